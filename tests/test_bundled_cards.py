"""Every bundled network has a card, and the data folder's README shows it."""

import re
from importlib import resources

import pytest

from nmahw.arith import ARITHMETICS
from nmahw.bundled import card_of, load_model, models
from nmahw.cli import run
from nmahw.design import Design
from nmahw.layers.relu import ReLU
from nmahw.network import Network
from nmahw.tensor import TensorFormat

README = resources.files("nmahw.data").joinpath("README.md").read_text()


@pytest.mark.parametrize("name", models())
def test_card_is_whole_and_in_the_readme(name):
    card = card_of(load_model(name))
    assert re.fullmatch(r"W\d+A\d+", card.bits)
    assert re.fullmatch(r"\d+\.\d\d %", card.accuracy) and int(card.test_images) >= 450
    assert card.method and card.command
    assert not re.search(r"(^|[\s=])/", card.command)
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == [card.title, card.method, card.bits,
                         f"{card.accuracy} of {card.test_images}", card.seed]
    assert card.command.replace(" && ", "\n") in README


@pytest.mark.parametrize("name", [
    name for name in models() if load_model(name).metadata.get("method") in ARITHMETICS])
def test_a_network_trained_for_an_arithmetic_runs_on_it(name):
    network = load_model(name)
    design = Design.of(network, network.metadata["method"], 8, 8)
    assert {arithmetic.name for arithmetic in design.arithmetics} == {network.metadata["method"]}
    assert design.cycles_per_image > 0


def test_readme_names_no_other_network():
    assert set(re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE)) == set(models())


def test_a_network_without_metadata_has_an_empty_card():
    card = card_of(Network(TensorFormat((3,), -1, 1), (ReLU(),), "plain", {"accuracy": "high"}))
    assert card.rows == [("title", "plain")]


def test_info_shows_the_card(capsys):
    assert run(["info", "lenet5-w8a8"]) == 0
    out = capsys.readouterr().out
    assert "W8A8" in out and "10000 test images" in out and "240,000" in out


def test_info_of_an_unknown_network(capsys):
    assert run(["info", "lenet5-w9"]) == 2
    assert "did you mean" in capsys.readouterr().err
