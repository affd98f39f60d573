"""Triangular squares: what the squarer adds, that it cancels, and where the array's saving is."""

import re

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from nmahw.arith import ARITHMETICS, Operand
from nmahw.arith._squarer import TriangularSquares
from nmahw.gateware.array import SystolicArray

FAIR_SQUARE = ARITHMETICS.get("fair_square")


def squares(parameters: TriangularSquares, arguments: range) -> list[int]:
    """What the squarer makes of each argument, one a cycle."""
    m = Module()
    m.submodules.dut = dut = parameters.create()
    results = []

    async def bench(ctx):
        for cycle in range(len(arguments) + parameters.latency_cycles):
            ctx.set(dut.argument, arguments[min(cycle, len(arguments) - 1)])
            if cycle >= parameters.latency_cycles:
                results.append(ctx.get(dut.o))
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results


@pytest.mark.parametrize("levels", range(1, 10))
@pytest.mark.parametrize("most_in_table", [1, 3, 4, 6])
@pytest.mark.parametrize("invert_ahead", [False, True], ids=["in chain", "ahead"])
def test_squares_of_all_arguments(levels, most_in_table, invert_ahead):
    parameters = TriangularSquares(levels, most_in_table, invert_ahead)
    arguments = range(-(1 << levels), 1 << levels)
    assert squares(parameters, arguments) == [s * (s + 1) // 2 + parameters.excess
                                              for s in arguments]


@given(st.integers(1, 16), st.integers(1, 6))
def test_squares_fit_their_bits(levels, most_in_table):
    """Excess included, the largest argument's square is below 2^(2 levels - 1)."""
    excess = TriangularSquares(levels, most_in_table).excess
    largest = (1 << levels) - 1
    assert 0 <= excess and largest * (largest + 1) // 2 + excess < 1 << (2 * levels - 1)


@given(st.data())
def test_values_are_the_sum_and_the_offset(data):
    """The golden identity that the array rests on, with activations off their centre."""
    x_signed = data.draw(st.booleans())
    arithmetic = FAIR_SQUARE(Operand(8, x_signed), Operand(8, True))
    taps = data.draw(st.integers(1, 9))
    x = np.array(data.draw(st.lists(st.integers(arithmetic.activation.low,
                                                arithmetic.activation.high),
                                    min_size=taps, max_size=taps)))
    w = np.array(data.draw(st.lists(st.integers(-128, 127), min_size=taps, max_size=taps)))
    centred = x - (0 if x_signed else 128)
    squares_of_sums = sum(s * (s + 1) // 2 for s in (centred + w).tolist())
    squares_of_x = sum(s * (s + 1) // 2 for s in centred.tolist())
    offset, = arithmetic.step_offset(w[:, None], arithmetic.activation)
    assert squares_of_sums - squares_of_x == (x * w).sum() + offset
    shape = arithmetic.value_shape(taps)
    bound = 1 << shape.width - shape.signed
    assert -bound * shape.signed <= squares_of_sums - squares_of_x < bound


def test_one_squarer_an_element_and_one_more_a_row():
    arithmetic = FAIR_SQUARE(Operand(4, False), Operand(4, True))
    text = rtlil.convert(SystolicArray(arithmetic, 3, 5, hop=8), name="top")
    assert len(re.findall(r"^ *cell \S+ \\squarer$", text, re.M)) == 3 * 5 + 3
    assert "$mul" not in text
