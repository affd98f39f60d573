"""Bit-serial arithmetics: phases, digits, and steps of layers narrower than the array."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmahw.arith import ARITHMETICS, Operand
from rtl import step_results

RADIX4, WEIGHT, WEIGHT4 = (ARITHMETICS.get(f"bit_serial_{name}")
                           for name in ("radix4", "weight", "weight_radix4"))


@pytest.mark.parametrize("activation, weight, phases", [
    # of bit_serial, its radix 4, the weight's bits, and their digits
    (Operand(8, False), Operand(8, True), (8, 4, 8, 4)),
    (Operand(7, True), Operand(5, True), (7, 4, 5, 3)),
    (Operand(1, False), Operand(4, True), (1, 1, 4, 2)),
    # An unsigned weight may need a digit more for its highest bit.
    (Operand(4, True), Operand(4, False), (4, 2, 4, 3)),
])
def test_phases(activation, weight, phases):
    kinds = [ARITHMETICS.get("bit_serial"), RADIX4, WEIGHT, WEIGHT4]
    assert tuple(kind(activation, weight).phases(activation) for kind in kinds) == phases


def test_narrow_layers_take_fewer_phases_only_where_the_activation_is_serial():
    narrow = Operand(3, False)
    for kind, phases in ((RADIX4, 2), (WEIGHT, 8), (WEIGHT4, 4)):
        assert kind(Operand(8, False), Operand(8, True)).phases(narrow) == phases


@pytest.mark.parametrize("weight", [Operand(6, True), Operand(6, False), Operand(5, True)],
                         ids=str)
def test_weight_codes_are_booth_digits(weight):
    arithmetic = WEIGHT4(Operand(4, False), weight)
    weights = np.array(weight.values)
    codes = arithmetic.encode_weights(weights[:, None])
    for w, code in zip(weights.tolist(), codes, strict=True):
        value = 0
        for place in range(arithmetic.digits):
            field = int(code) >> 3 * place & 7
            # One, two and negative; never one and two at once, and no negative zero.
            assert field in (0b000, 0b001, 0b010, 0b101, 0b110)
            value += {0: 0, 1: 1, 2: 2}[field & 3] * (-1 if field & 4 else 1) << 2 * place
        assert value == w
        assert 0 <= code < 1 << arithmetic.weight_code_bits


@given(st.data())
def test_offset_of_unsigned_digits_depends_on_the_layer(data):
    """Pairs of bits less two, so often as the layer has phases."""
    arithmetic = RADIX4(Operand(8, False), Operand(8, True))
    layer = Operand(data.draw(st.integers(1, 8)), False)
    x = data.draw(st.integers(0, layer.high))
    w = np.array(data.draw(st.lists(st.integers(-128, 127), min_size=1, max_size=5)))
    value = sum(((x >> 2 * place & 3) - 2 << 2 * place) * w.sum()
                for place in range(arithmetic.phases(layer)))
    offset, = arithmetic.step_offset(w[:, None], layer)
    assert value == x * w.sum() + offset
    shape = arithmetic.value_shape(len(w))
    assert -(1 << shape.width - 1) <= value < 1 << shape.width - 1


@pytest.mark.parametrize("kind", [RADIX4, WEIGHT, WEIGHT4], ids=lambda kind: kind.name)
def test_psums_stay_narrow(kind):
    """As wide as the parallel operand, two bits at most for digits and the rows' share."""
    arithmetic = kind(Operand(8, False), Operand(8, True))
    assert arithmetic.psum_shape(16).width <= 8 + 4 + 2 < arithmetic.value_shape(16).width


@pytest.mark.parametrize("kind", [RADIX4, WEIGHT, WEIGHT4], ids=lambda kind: kind.name)
def test_odd_and_unequal_widths(kind):
    for x, w in ((Operand(5, True), Operand(3, True)), (Operand(1, False), Operand(7, True)),
                 (Operand(7, False), Operand(2, False))):
        arithmetic = kind(x, w)
        pairs = [(a, b) for a in x.values for b in w.values]
        assert step_results(arithmetic, pairs) == [a * b for a, b in pairs]
