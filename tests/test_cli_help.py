"""The command line's help."""

import re
import shlex
import subprocess
import sys

import pytest
import typer

from nmahw import bundled
from nmahw.arith import ARITHMETICS
from nmahw.cli import app
from nmahw.cli._choices import CHOICES
from nmahw.devices import device_names
from nmahw.errors import EXIT_CODES
from nmahw.frontends import FRONTENDS

COMMANDS = typer.main.get_command(app).commands

STAGES = {"demo", "import", "predict", "simulate", "verilog", "compare", "certify", "info"}


def words(text: str) -> str:
    """Text of a help page without frames and line breaks."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


def test_every_stage_is_a_command(cli):
    assert STAGES <= set(COMMANDS)
    code, out, _ = cli("--help")
    assert code == 0
    for name in COMMANDS:
        assert re.search(rf"^│ {name} ", out, re.M)
    for number, meaning in EXIT_CODES.items():
        assert f"{number} {meaning}" in words(out)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_explains_and_shows_an_example(cli, name):
    code, out, err = cli(name, "--help")
    assert code == 0 and not err
    example = words(out).partition("Example: ")[2]
    assert example.startswith(f"nmahw {name}")
    # The example is one that the command takes.
    COMMANDS[name].make_context(name, shlex.split(example)[2:])
    for parameter in COMMANDS[name].params:
        if parameter.name != "help":
            assert parameter.help, parameter.name
    assert [choice for choice in CHOICES if f"{{{choice}}}" in words(out)] == []


@pytest.mark.parametrize("name, choices", [
    ("simulate", ARITHMETICS.names() + bundled.models()), ("verilog", ARITHMETICS.names()),
    ("certify", ARITHMETICS.names() + device_names()),
    ("compare", ARITHMETICS.names() + device_names()),
    ("import", [suffix for front_end in FRONTENDS for suffix in front_end.suffixes])])
def test_help_lists_the_choices(cli, name, choices):
    _, out, _ = cli(name, "--help")
    assert [choice for choice in choices if choice not in words(out)] == []


def test_no_command_shows_help_as_a_usage_error(cli):
    code, out, err = cli()
    assert code == 2 and "Commands" in out + err


def test_version(cli):
    from nmahw import __version__
    assert cli("--version") == (0, f"nmahw {__version__}\n", "")


def test_help_does_not_import_the_stages():
    code = ("import sys, nmahw.cli; nmahw.cli.run(['--help']); "
            "print([m for m in ('amaranth', 'numpy', 'matplotlib', 'onnx') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
