"""What every test shares."""

import hypothesis
import pytest

from nmahw.cli import run
from nmahw.devices import FAMILIES
from nmahw.errors import EnvironmentProblem
from nmahw.toolchain import find, prewarm

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("nmahw", deadline=None)
hypothesis.settings.load_profile("nmahw")


def pytest_configure(config: pytest.Config) -> None:
    """Let the tools compile themselves before several test processes start: they would race."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        for name in dict.fromkeys(["yosys", *(family.place_tool for family in FAMILIES)]):
            try:
                prewarm([find(name)], print)
            except EnvironmentProblem:
                pass  # the tests that need it say so


@pytest.fixture
def cli(capsys):
    """Run a command line in this process: exit code, standard output, standard error."""
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err
    return call
