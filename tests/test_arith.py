"""Every arithmetic against plain Python integers, exhaustively at small widths."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmahw.arith import ARITHMETICS, Operand
from nmahw.errors import ModelError
from rtl import step_results

FORMATS = [(Operand(a, s), Operand(w, t)) for (a, s), (w, t) in [
    ((4, False), (4, True)), ((4, True), (4, True)), ((2, False), (5, True)),
    ((5, True), (2, True)), ((3, False), (3, False)), ((3, True), (4, False))]]

def every_pair(arithmetic) -> list[tuple[int, int]]:
    """All activations with all weights that have a code."""
    weights = np.unique(arithmetic.project(np.array(arithmetic.weight.values))).tolist()
    return list(itertools.product(arithmetic.activation.values, weights))


EXACT = [kind for kind in ARITHMETICS if kind.exact]


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize("formats", FORMATS, ids=str)
def test_golden_is_the_product(kind, formats):
    arithmetic = kind.nearest(*formats)
    for x, w in every_pair(arithmetic):
        assert int(arithmetic.compute(np.array(x), np.array(w))) == x * w


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize("formats", FORMATS, ids=str)
def test_hardware_is_the_product(kind, formats):
    arithmetic = kind.nearest(*formats)
    pairs = every_pair(arithmetic)
    assert step_results(arithmetic, pairs) == [x * w for x, w in pairs]


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize("bits", [6, 8])
def test_hardware_at_full_width(kind, bits):
    arithmetic = kind.nearest(Operand(bits, False), Operand(bits, True))
    x, w = arithmetic.activation, arithmetic.weight
    corners = [(a, b) for a in (x.low, x.low + 1, x.high - 1, x.high)
               for b in (w.low, w.low + 1, -1, 0, 1, w.high - 1, w.high)]
    rng = np.random.default_rng(bits)
    pairs = corners + [(int(a), int(b)) for a, b in zip(
        rng.integers(x.low, x.high + 1, 200), rng.integers(w.low, w.high + 1, 200), strict=True)]
    pairs = [(a, int(kind.project(np.array(b)))) for a, b in pairs]
    assert step_results(arithmetic, pairs) == [a * b for a, b in pairs]


@pytest.mark.long
@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize("signed", [False, True])
def test_hardware_exhaustive_at_six_bits(kind, signed):
    arithmetic = kind.nearest(Operand(6, signed), Operand(6, True))
    pairs = every_pair(arithmetic)
    assert step_results(arithmetic, pairs) == [x * w for x, w in pairs]


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@given(data=st.data())
def test_golden_over_all_widths(kind, data):
    operands = []
    for low, high in (kind.activation_bits, kind.weight_bits):
        operands.append(Operand(data.draw(st.integers(low, high)), data.draw(st.booleans())))
    arithmetic = kind(*operands)
    x, w = (data.draw(st.integers(o.low, o.high)) for o in operands)
    w = int(kind.project(np.array(w)))
    assert int(arithmetic.compute(np.array(x), np.array(w))) == x * w
    low, high = arithmetic.product_range()
    assert low <= x * w <= high


@pytest.mark.parametrize("kind", list(ARITHMETICS), ids=lambda kind: kind.name)
def test_refuses_widths_it_cannot_take(kind):
    good = Operand(kind.activation_bits[1], True)
    too_wide = Operand(kind.activation_bits[1] + 1, False)
    with pytest.raises(ModelError, match=rf"{kind.name} takes activations of \d+\.\.\d+ bits"):
        kind(too_wide, Operand(kind.weight_bits[1], True))
    with pytest.raises(ModelError, match=rf"{kind.name} takes weights of \d+\.\.\d+ bits"):
        kind(good, Operand(kind.weight_bits[1] + 1, True))


@pytest.mark.parametrize("kind", list(ARITHMETICS), ids=lambda kind: kind.name)
def test_says_what_it_is(kind):
    assert kind.summary and kind.source
    arithmetic = kind.nearest(Operand(8, False), Operand(8, True))
    assert str(arithmetic) == f"{kind.name} {arithmetic.activation}x{arithmetic.weight}"
