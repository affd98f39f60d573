"""The commands train and evaluate."""

import json

import numpy as np
import pytest
from small_trainings import small_file, train_tiny

from nmahw.train.datasets import load_dataset
from nmahw.train.methods import METHODS
from nmahw.train.settings import settings_table
from nmahw.train.topology import Topology


@pytest.fixture
def small(tmp_path):
    return small_file(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("trained"))


def test_train_then_evaluate(cli, small, tmp_path):
    out = tmp_path / "n.npz"
    code, text, err = cli("train", small, "--epochs", 2, "--set", "rate=7", "--bits", "6/12/6/6",
                          "-o", out)
    assert code == 0, err
    assert {entry.name for entry in tmp_path.iterdir()} == {
        "small.npz", "n.npz", "n.json", "n.svg", "n.checkpoint.npz"}
    record = json.loads((tmp_path / "n.json").read_text())
    assert record["method"]["weight_bits"] == 6 and record["method"]["rate"] == 7
    assert record["topology"] == "64-64-10"
    percent = f"{100 * record['network_test_accuracy']:.2f} %"
    assert f"as a network {percent}" in text and "epoch 2: loss" in err
    for file in (out, tmp_path / "n.checkpoint.npz"):
        code, text, err = cli("evaluate", file, small)
        assert code == 0 and f"{percent} of the test images of small" in text, err
    assert "of the validation images" in cli("evaluate", out, small, "--part", "validation")[1]


def test_evaluate_tells_when_parts_were_others(cli, trained, tmp_path):
    for file in (trained[2].paths["network"], trained[2].paths["checkpoint"]):
        code, text, err = cli("evaluate", file, "digits")
        assert code == 0 and "may have been trained on" not in text + err
        code, text, err = cli("evaluate", file, "digits", "--split", "1")
        assert code == 0 and "test images may have been trained on" in text + err


@pytest.mark.parametrize("arguments, code, word", [
    (["--method", "magic"], 2, "exact_integers"), (["--bits", "8x8"], 2, "WEIGHT/MASTER"),
    (["--topology", "64-x-10"], 2, "topology must be"), (["--epochs", "0"], 2, "epochs"),
    (["--topology", "64-8-7"], 2, "10 features"), (["--set", "rate=1.5"], 2, "an integer"),
    (["--plot", "a.txt"], 2, ".svg or .png"), (["--bits", "1/1/1/1"], 2, "weight_bits must be"),
    (["--validation", "0"], 2, "validation"), (["--data", "x.npz"], 2, "--data must not"),
    (["--seed", "-1"], 2, "seed")])
def test_train_refuses(cli, small, tmp_path, arguments, code, word):
    found, _, err = cli("train", small, *arguments, "-o", tmp_path / "n.npz")
    assert found == code and word in err and "Traceback" not in err
    assert not (tmp_path / "n.npz").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_evaluate_refuses_damaged_files(cli, small, tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    code, _, err = cli("evaluate", tmp_path / "bad.npz", small)
    assert code == 3 and "bad.npz" in err and "Traceback" not in err


def test_evaluate_refuses_other_images(cli, trained, small):
    code, _, err = cli("evaluate", "lenet5-w4a4", small)
    assert code == 3 and "must have shape" in err
    assert cli("evaluate", "digits-w4a4", small, "--part", "all")[0] == 2


def test_evaluate_refuses_more_classes_or_another_range(cli, trained, tmp_path):
    digits = load_dataset("digits")
    # One image of an eleventh class; codes beyond those of the training.
    for name, high, classes in (("more", 16, 11), ("brighter", 17, 10)):
        y = digits.y_test.copy()
        y[0] = classes - 1
        x = digits.x_test.copy()
        x[0, 0] = high
        np.savez(tmp_path / f"{name}.npz", x_train=digits.x_train, y_train=digits.y_train,
                 x_test=x, y_test=y)
    code, _, err = cli("evaluate", "digits-w4a4", tmp_path / "more.npz")
    assert code == 2 and "must know the 11 classes" in err
    code, _, err = cli("evaluate", trained[2].paths["checkpoint"], tmp_path / "brighter.npz")
    assert code == 3 and "judged on images of 0..16, not 0..17" in err, err


def test_an_adder_network_without_batch_norm_is_remarked(cli, tmp_path):
    method = METHODS.get("addernet")()
    assert "layer 1 (Dense) has no batch_norm" in method.remark(
        Topology.of("flatten, dense 8, relu, dense 3, batch_norm"))
    for shape in ((64,), (1, 8, 8)):
        assert method.remark(Topology.of(method.default_topology(shape, 10))) == ""
    code, out, err = cli("train", "digits", "--method", "addernet", "--topology", "64-8-10",
                         "--epochs", 1, "-o", tmp_path / "n.npz")
    assert code == 0 and "hardly learns" in out + err


def test_list_shows_every_method_and_setting(cli):
    code, out, err = cli("train", "--list")
    assert code == 0, err
    for method in METHODS:
        assert method.name in out and method.summary in out
        for name, _, _ in settings_table(method):
            assert name in out


def test_without_numba(monkeypatch, cli, small, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    code, _, err = cli("train", small, "-o", tmp_path / "n.npz")
    assert code == 6 and "pip install 'nmahw[train]'" in err
