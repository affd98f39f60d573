"""Every arithmetic against plain Python integers, exhaustively at small widths."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import OPERATIONS

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


#: Pairs that the fast tests try at most.
MOST_PAIRS = 600


def expected(arithmetic, pairs: list[tuple[int, int]]) -> list[int]:
    """What the operation makes of each pair; an approximate arithmetic's own golden model."""
    if arithmetic.exact and arithmetic.operation in OPERATIONS:
        return [OPERATIONS[arithmetic.operation](x, w) for x, w in pairs]
    x, w = np.array(pairs, dtype=np.int64).T
    return arithmetic.compute(x, w).tolist()


def some(pairs: list[tuple[int, int]], seed: int) -> list[tuple[int, int]]:
    """The pairs, or a sample of them if they are too many for the simulator."""
    if len(pairs) <= MOST_PAIRS:
        return pairs
    chosen = np.random.default_rng(seed).choice(len(pairs), MOST_PAIRS, replace=False)
    return [pairs[i] for i in chosen]


ALL = list(ARITHMETICS)
NAMED = [kind for kind in ALL if kind.exact and kind.operation in OPERATIONS]


def is_small(kind) -> bool:
    """Whether all pairs of its narrowest operands can be tried."""
    return kind.activation_bits[0] + kind.weight_bits[0] <= 12


@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("formats", FORMATS, ids=str)
def test_golden_is_the_operation(kind, formats):
    arithmetic = kind.nearest(*formats)
    pairs = every_pair(arithmetic)
    x, w = np.array(pairs, dtype=np.int64).T
    assert arithmetic.compute(x, w).tolist() == expected(arithmetic, pairs)


@pytest.mark.parametrize("kind", [k for k in ALL if not k.exact and k.operation == "product"],
                         ids=lambda kind: kind.name)
@pytest.mark.parametrize("formats", FORMATS, ids=str)
def test_golden_keeps_its_error_bound(kind, formats):
    arithmetic = kind.nearest(*formats)
    for x, w in every_pair(arithmetic):
        error = abs(int(arithmetic.compute(np.array(x), np.array(w))) - x * w)
        assert error <= arithmetic.error_bound


@pytest.mark.parametrize("kind", [kind for kind in ALL if is_small(kind)],
                         ids=lambda kind: kind.name)
@pytest.mark.parametrize("formats", FORMATS, ids=str)
def test_hardware_is_the_golden_model(kind, formats):
    arithmetic = kind.nearest(*formats)
    pairs = some(every_pair(arithmetic), 1)
    assert step_results(arithmetic, pairs) == expected(arithmetic, pairs)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_row_that_is_not_active_contributes_nothing(kind):
    arithmetic = kind.nearest(Operand(4, False), Operand(4, True))
    x = arithmetic.activation
    pairs = [(value, None) for value in (x.low, x.high, 0, x.high // 3, x.low // 3)]
    assert step_results(arithmetic, pairs) == [0] * len(pairs)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
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
    assert step_results(arithmetic, pairs) == expected(arithmetic, pairs)


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in ALL if is_small(kind)],
                         ids=lambda kind: kind.name)
@pytest.mark.parametrize("signed", [False, True])
def test_hardware_exhaustive_at_six_bits(kind, signed):
    arithmetic = kind.nearest(Operand(6, signed), Operand(6, True))
    pairs = every_pair(arithmetic)
    assert step_results(arithmetic, pairs) == expected(arithmetic, pairs)


@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.name)
@given(data=st.data())
def test_golden_over_all_widths(kind, data):
    operands = []
    for low, high in (kind.activation_bits, kind.weight_bits):
        operands.append(Operand(data.draw(st.integers(low, high)), data.draw(st.booleans())))
    arithmetic = kind(*operands)
    x, w = (data.draw(st.integers(o.low, o.high)) for o in operands)
    w = int(kind.project(np.array(w)))
    value = int(arithmetic.compute(np.array(x), np.array(w)))
    assert [value] == expected(arithmetic, [(x, w)])
    low, high = arithmetic.product_range()
    # What a clamped weight exceeds is an offset, outside the array.
    offset = arithmetic.step_offset(np.array([[w]], dtype=np.int64), arithmetic.activation)
    if arithmetic.operation == "product":
        offset[0] = 0
    assert low <= value + int(offset[0]) <= high


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
