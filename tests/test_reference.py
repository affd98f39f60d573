"""The reference Verilog in rtl/ is what nmahw generates today, and lints clean."""

from pathlib import Path

import pytest

from nmahw.arith import ARITHMETICS
from nmahw.reference import reference_designs
from nmahw.verilog import check_reference, lint

RTL = Path(__file__).parent.parent / "rtl"


@pytest.fixture(scope="module")
def designs():
    return reference_designs()


def test_reference_is_up_to_date(designs):
    check_reference(RTL, designs)


def test_every_arithmetic_has_its_element(designs):
    names = {name for name, _ in designs}
    assert {f"nmahw_element_{name}" for name in ARITHMETICS.names()} <= names


@pytest.mark.parametrize("path", sorted(RTL.glob("*.v")), ids=lambda path: path.stem)
def test_reference_lints(path):
    lint(path, top=path.stem)
