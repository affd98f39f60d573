"""The Booth baseline is Booth: no product survives the pass, whatever the operands' widths."""

import re

import numpy as np
import pytest
from amaranth.back import rtlil

from nmahw.arith import ARITHMETICS, Operand
from nmahw.design import Design
from nmahw.layers.dense import Dense
from nmahw.network import Network
from nmahw.tensor import TensorFormat
from nmahw.toolchain import find, run

FORMATS = [(Operand(x, x_signed), Operand(w, True))
           for x, x_signed, w in [(4, False, 4), (4, True, 4), (5, True, 4), (8, False, 8),
                                  (8, True, 8), (9, True, 5), (16, False, 16)]]


def cells_after(kind, formats, passes, folder) -> dict[str, int]:
    """Cell counts of one element after `passes`, by type."""
    element = kind(*formats).create(row=1)
    (folder / "element.il").write_text(rtlil.convert(element, name="top", emit_src=False))
    script = "; ".join(["read_rtlil element.il", "proc", "flatten", "opt", *passes,
                        "tee -o cells.txt stat"])
    run(find("yosys"), ["-q", "-p", script], cwd=folder)
    return {name: int(count) for count, name in
            re.findall(r"^\s+(\d+)\s+(\$\w+)$", (folder / "cells.txt").read_text(), re.M)}


@pytest.mark.parametrize("formats", FORMATS, ids=lambda f: f"{f[0]}x{f[1]}")
def test_every_product_is_recoded(formats, tmp_path):
    kind = ARITHMETICS.get("booth")
    before = cells_after(kind, formats, [], tmp_path)
    after = cells_after(kind, formats, kind.yosys_passes, tmp_path)
    assert before["$mul"] == 1
    assert "$mul" not in after
    # Recoding selects multiples digit by digit and adds them: many small cells.
    assert sum(after.values()) > sum(before.values()) + 10


def test_narrow_networks_get_operands_wide_enough():
    network = Network(TensorFormat((2,), 0, 1), (Dense(np.array([[1, -1]])),))
    arithmetic = Design.of(network, "booth", 1, 1).arithmetic
    assert (arithmetic.activation.bits, arithmetic.weight.bits) == (4, 4)


def test_the_default_fabric_multiplier_is_not(tmp_path):
    kind = ARITHMETICS.get("fabric")
    assert cells_after(kind, FORMATS[3], kind.yosys_passes, tmp_path)["$mul"] == 1
