"""Arithmetics whose weights have small codes: encodings, refusals, every code, idle rows."""

import itertools

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.sim import Simulator

from nmahw.arith import ARITHMETICS, Operand
from nmahw.arith._codes import nearest_of
from nmahw.design import Design
from nmahw.errors import ModelError
from nmahw.layers.dense import Dense
from nmahw.network import Network
from nmahw.tensor import TensorFormat
from rtl import step_results

NAMES = ("shift", "shift_pair", "ternary", "binary", "shared_multiples")
WIDEST = {"shift": 8, "shift_pair": 8, "ternary": 2, "binary": 2, "shared_multiples": 5}


def create(name, activation=6, signed=False, weight=None):
    kind = ARITHMETICS.get(name)
    return kind.nearest(Operand(activation, signed), Operand(weight or WIDEST[name], True))


def weights_of(arithmetic) -> list[int]:
    """Every weight that has a code."""
    values = np.array(arithmetic.weight.values)
    return values[arithmetic.project(values) == values].tolist()


# Which weights have a code.

def powers(limit):
    return {0} | {sign << k for k in range(limit) for sign in (1, -1)}


CODES = {
    "shift": powers(8),
    "shift_pair": {a + b for a in powers(8) for b in powers(8) if -128 <= a + b <= 127},
    "ternary": {-1, 0, 1}, "binary": {-1, 0, 1}, "shared_multiples": set(range(-16, 16)),
}


@pytest.mark.parametrize("name", NAMES)
def test_project_gives_the_nearest_weight_with_a_code(name):
    kind = ARITHMETICS.get(name)
    high = max(CODES[name])
    weights = np.arange(-16 if name == "shared_multiples" else -300, high + 1)
    projected = kind.project(weights)
    assert projected.dtype == np.int64 and set(projected.tolist()) <= CODES[name]
    for w, p in zip(weights.tolist(), projected.tolist(), strict=True):
        assert abs(w - p) == min(abs(w - c) for c in CODES[name])
    assert kind.project(np.zeros((2, 3, 1, 1), dtype=np.int64)).shape == (2, 3, 1, 1)


def test_of_two_nearest_the_smaller_magnitude_is_taken():
    assert nearest_of([-4, -2, 0, 2, 4], np.array([-3, -1, 1, 3, 9])).tolist() == [-2, 0, 0, 2, 4]


@pytest.mark.parametrize("name, wrong", [("shift", 3), ("shift_pair", 11), ("ternary", -2),
                                         ("binary", -2)])
def test_other_weights_are_refused_naming_the_layer(name, wrong):
    network = Network(TensorFormat((3,), 0, 3), (Dense(np.array([[1, wrong, 0]])),))
    with pytest.raises(ModelError, match=rf"layer 0 dense: {name} must have a code for every "
                                         rf"weight, but has none for {wrong}"):
        Design.of(network, name, 1, 1)


# Codes.

@pytest.mark.parametrize("name", NAMES)
def test_codes_are_different_and_fit(name):
    arithmetic = create(name)
    weights = np.array(weights_of(arithmetic))
    tapped = np.repeat(weights[:, None], arithmetic.taps, axis=1)
    codes = arithmetic.encode_weights(tapped, np.ones(tapped.shape, dtype=bool))
    assert len(set(codes.tolist())) == len(weights)
    assert all(0 <= code < 1 << arithmetic.weight_code_bits for code in codes)


def decode_terms(arithmetic, code: int) -> int:
    """Weight of a shift code, by what its fields mean."""
    total = 0
    for term in arithmetic.terms:
        field = code >> term.at
        exponent = term.exponents[field >> 2 & (1 << term.exponent_bits) - 1]
        total += (field & 1) * (-1 if field & 2 else 1) * 2**exponent
    return total


@pytest.mark.parametrize("name", ["shift", "shift_pair"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_codes_of_terms_decode_to_the_weight(name, bits):
    arithmetic = create(name, weight=bits)
    for w in weights_of(arithmetic):
        code, = arithmetic.encode_weights(np.array([[w]]))
        assert decode_terms(arithmetic, int(code)) == w


@pytest.mark.parametrize("name", ["ternary", "binary"])
def test_fields_of_taps_are_signs(name):
    arithmetic = create(name)
    for weights in itertools.islice(itertools.product((-1, 0, 1), repeat=arithmetic.taps), 500):
        code, = arithmetic.encode_weights(np.array([weights]))
        fields = [int(code) >> 2 * tap & 3 for tap in range(arithmetic.taps)]
        assert fields == [{0: 0, 1: 1, -1: 3}[w] for w in weights]


# Hardware.

@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", NAMES)
def test_every_code_with_every_activation(name, signed):
    arithmetic = create(name, 6, signed)
    xs = list(arithmetic.activation.values)
    if name == "shift_pair":
        xs = xs[:3] + xs[29:35] + xs[-3:]
    pairs = list(itertools.product(xs, weights_of(arithmetic)))
    assert step_results(arithmetic, pairs) == [x * w for x, w in pairs]


class Column(Elaboratable):
    """Row units, elements below one another and the column unit."""

    def __init__(self, arithmetic, rows):
        self.units = [arithmetic.create_row_unit() for _ in range(rows)]
        self.elements = [arithmetic.create(row) for row in range(rows)]
        self.end = arithmetic.create_column_unit(rows)

    def elaborate(self, platform):
        m = Module()
        m.submodules += [*self.units, *self.elements, self.end]
        m.d.comb += [element.symbol.eq(unit.symbol)
                     for unit, element in zip(self.units, self.elements, strict=True)]
        m.d.comb += [below.psum_i.eq(above.psum_o)
                     for above, below in itertools.pairwise(self.elements)]
        m.d.comb += self.end.psum.eq(self.elements[-1].psum_o)
        return m


def column_values(arithmetic, x, w, used, active) -> list[int]:
    """Value of every step, (steps, rows, taps) operands and `used`, (steps, rows) `active`."""
    steps, rows, taps = x.shape
    phases = arithmetic.phases(arithmetic.activation)
    dut = Column(arithmetic, rows)
    codes = arithmetic.encode_weights(np.where(used, w, 0), used)
    mask = (1 << arithmetic.activation.bits) - 1
    words = [[sum((int(v) & mask) << tap * arithmetic.activation.bits
                  for tap, v in enumerate(x[step, row])) for row in range(rows)]
             for step in range(steps)]
    to_psum = arithmetic.row_latency_cycles + rows - 1 + arithmetic.latency_cycles
    to_value = to_psum + arithmetic.column_latency_cycles
    values = []

    async def bench(ctx):
        for cycle in range(steps * phases + to_value):
            for row in range(rows):
                step, phase = divmod(cycle - row, phases)
                if 0 <= step < steps:
                    ctx.set(dut.units[row].activations, words[step][row])
                    ctx.set(dut.units[row].active, int(active[step, row]))
                    ctx.set(dut.units[row].phase, phases - 1 - phase)
                step = (cycle - row - arithmetic.row_latency_cycles) // phases
                if 0 <= step < steps:
                    ctx.set(dut.elements[row].weight, int(codes[step, row]))
            phase = (cycle - to_psum) % phases
            ctx.set(dut.end.first, phase == 0)
            ctx.set(dut.end.last, phase == phases - 1)
            if cycle >= to_value and (cycle - to_value) % phases == phases - 1:
                values.append(ctx.get(dut.end.value))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return values


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", NAMES)
def test_columns_with_idle_rows_and_unused_taps(name, signed):
    arithmetic = create(name, 4, signed)
    rows, steps, taps = 4, 200, arithmetic.taps
    rng = np.random.default_rng(5)
    x = rng.integers(arithmetic.activation.low, arithmetic.activation.high + 1,
                     (steps, rows, taps))
    known = np.array(weights_of(arithmetic))
    w = rng.choice(known, x.shape)
    used, active = rng.random(x.shape) < 0.7, rng.random((steps, rows)) < 0.7
    # The corners: every element at its extremes, all used; then all unused, all idle.
    for step, (a, b) in enumerate(itertools.product(
            (arithmetic.activation.low, arithmetic.activation.high), (known[0], known[-1]))):
        x[step], w[step], used[step], active[step] = a, b, True, True
    used[4], active[5] = False, False
    counts = used & active[..., None]
    offsets = [int(arithmetic.step_offset(w[step][counts[step]][:, None], arithmetic.activation)[0])
               for step in range(steps)]
    expected = (np.where(counts, x * w, 0).sum(axis=(1, 2)) + offsets).tolist()
    values = column_values(arithmetic, x, w, used, active)
    assert values == expected
    assert values[4] == values[5] == 0


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_offset_of_planes_depends_on_the_planes_of_the_layer(bits, signed):
    arithmetic = create("binary", 8, signed)
    offset = arithmetic.step_offset(np.array([[-1, 1], [-1, -1], [0, 1]]), Operand(bits, signed))
    assert offset.tolist() == ([-2, -1] if signed else [2 * (2**bits - 1), 2**bits - 1])


def test_row_unit_makes_the_odd_multiples():
    arithmetic = create("shared_multiples", 5, True)
    assert arithmetic.odd_multiples == [1, 3, 5, 7, 9, 11, 13, 15]
    unit = arithmetic.create_row_unit()
    seen = []

    async def bench(ctx):
        for x in arithmetic.activation.values:
            ctx.set(unit.activations, x & 31)
            await ctx.tick().repeat(arithmetic.row_latency_cycles)
            seen.append(ctx.get(unit.symbol))

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    for x, symbol in zip(arithmetic.activation.values, seen, strict=True):
        for n in arithmetic.odd_multiples:
            width = arithmetic.multiple_shape(n).width
            assert symbol & ((1 << width) - 1) == n * x & ((1 << width) - 1)
            symbol >>= width


@pytest.mark.parametrize("magnitudes", [
    (1,), (3,), (5, 7), (1, 2, 3, 4, 6), (2, 4, 8), (1, 2, 3, 4, 5, 6, 7), (11,), (13, 16),
    (6, 9, 15)])
@pytest.mark.parametrize("signed", [False, True])
def test_shared_multiples_of_the_weights_that_occur(magnitudes, signed):
    kind = ARITHMETICS.get("shared_multiples")
    weights = [0, *(s * n for n in magnitudes for s in (1, -1) if s * n < 16)]
    arithmetic = kind.for_weights(Operand(4, signed), Operand(5, True), np.array(weights))
    assert arithmetic.magnitudes == magnitudes
    whole = kind(Operand(4, signed), Operand(5, True))
    assert arithmetic.weight_code_bits < whole.weight_code_bits
    assert set(arithmetic.odd_multiples) < set(whole.odd_multiples)
    pairs = list(itertools.product(range(-8 if signed else 0, 8 if signed else 16), weights))
    assert step_results(arithmetic, pairs) == [x * w for x, w in pairs]
    missing = next(n for n in range(1, 16) if n not in magnitudes)
    with pytest.raises(ModelError, match=f"made for magnitudes .*, not -{missing}"):
        arithmetic.encode_weights(np.array([[-missing]]))


@pytest.mark.parametrize("magnitudes", [(0, 1), (2, 1), (1, 17), (1, 1)])
def test_shared_multiples_refuses_magnitudes(magnitudes):
    kind = ARITHMETICS.get("shared_multiples")
    with pytest.raises(ModelError, match=r"magnitudes must be rising integers of 1\.\.16, not"):
        kind(Operand(4, False), Operand(5, True), magnitudes)


def test_a_design_makes_only_the_multiples_its_weights_need():
    weights = np.array([[3, -6, 0, 1], [4, 2, -3, 6]])
    network = Network(TensorFormat((4,), 0, 15), (Dense(weights),))
    design = Design.of(network, "shared_multiples", 2, 2)
    assert design.arithmetic.odd_multiples == [1, 3]
    assert design.arithmetic.magnitudes == (1, 2, 3, 4, 6)
