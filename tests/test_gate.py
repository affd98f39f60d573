"""The smooth multiplication gate against plain Python, and against its own error bound."""

import itertools
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from networks import NETWORKS, random_images

from nmahw.approximate import approximated
from nmahw.arith import Operand
from nmahw.arith._nonlinearity import nonlinearities
from nmahw.arith.gate import (
    HIDDEN_WEIGHTS,
    NONLINEARITIES,
    OUTPUT_WEIGHTS,
    Gate,
    GateFolded,
    GateSigmoid,
    gate_float,
)
from nmahw.design import Design
from nmahw.errors import ModelError, UsageError
from rtl import run_accelerator, step_results

U4, S4, U8, S8 = Operand(4, False), Operand(4, True), Operand(8, False), Operand(8, True)
KINDS = [Gate, GateSigmoid, GateFolded]


def softplus(u: float) -> float:
    return math.log1p(math.exp(u))


def sigmoid(u: float) -> float:
    return 1 / (1 + math.exp(-u))


def sigmoid_bias() -> float:
    """Where s(1-s)(1-2s) = 1/16 and rises, by bisection."""
    low, high = -10.0, -1.4
    for _ in range(200):
        middle = (low + high) / 2
        s = sigmoid(middle)
        low, high = (middle, high) if s * (1 - s) * (1 - 2 * s) < 1 / 16 else (low, middle)
    return low


class Oracle:
    """The gate in plain Python: floats for entries, which must not be near a tie, fractions."""

    def __init__(self, t: str, step: float, entry_bits: int, reach: int):
        function, bias, second = {"softplus": (softplus, 0.0, Fraction(1, 4)),
                                  "sigmoid": (sigmoid, sigmoid_bias(), Fraction(1, 16))}[t]
        exact = [function(bias + step * k) for k in range(-reach, reach + 1)]
        fraction_bits = max(f for f in range(80)
                            if max(round(value * 2**f) for value in exact) < 2**entry_bits)
        for value in exact:
            assert abs(value * 2**fraction_bits % 1 - 0.5) > 1e-7, "use another width"
        self.table = {k: round(value * 2**fraction_bits)
                      for k, value in zip(range(-reach, reach + 1), exact, strict=True)}
        self.scale = 1 / (4 * Fraction(step)**2 * second * 2**fraction_bits)

    def product(self, x: int, w: int) -> int:
        t = self.table
        total = t[x + w] + t[-x - w] - t[x - w] - t[w - x]
        return math.floor(total * self.scale + Fraction(1, 2))


def largest(gate: Gate) -> list[int]:
    return [max(-o.low, o.high) for o in (gate.activation, gate.weight)]


def every(gate: Gate) -> tuple[np.ndarray, np.ndarray]:
    return np.array(gate.activation.values)[:, None], np.array(gate.weight.values)


def worst(gate: Gate) -> int:
    x, w = every(gate)
    return int(np.abs(gate.compute(x, w) - x * w).max())


def samples(gate: Gate, count: int, seed: int = 0) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    corners = itertools.product(*({o.low, -1 if o.signed else 1, 0, o.high}
                                  for o in (gate.activation, gate.weight)))
    return [*corners, *(tuple(int(rng.integers(o.low, o.high + 1))
                              for o in (gate.activation, gate.weight)) for _ in range(count))]


# The network as it is drawn.

def test_is_a_network_of_two_inputs_four_neurons_and_one_output():
    assert HIDDEN_WEIGHTS.tolist() == [[1, 1], [-1, -1], [1, -1], [-1, 1]]
    assert OUTPUT_WEIGHTS.tolist() == [1, 1, -1, -1]


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_float_gate_follows_the_formula(name):
    function, bias, second = ((softplus, 0, 1 / 4) if name == "softplus"
                              else (sigmoid, sigmoid_bias(), 1 / 16))
    for x, w, k in [(0.3, -0.7, -2), (1.5, 0.25, -4), (-0.9, -0.8, 0)]:
        step = 2.0**k
        expected = (function(bias + step * (x + w)) + function(bias - step * (x + w))
                    - function(bias + step * (x - w)) - function(bias - step * (x - w))) \
            / (4 * step**2 * second)
        assert gate_float(x, w, k, name) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_float_error_falls_with_lambda_until_cancellation_wins(name):
    x, w = np.random.default_rng(1).uniform(-1, 1, (2, 2000))
    single = {k: np.abs(gate_float(x, w, k, name, np.float32) - x * w).max()
              for k in range(-12, 1)}
    double = {k: np.abs(gate_float(x, w, k, name) - x * w).max() for k in range(-10, 1)}
    assert gate_float(x, w, -5, name, np.float32).dtype == np.float32
    # Taylor's part is in proportion to lambda^2.
    assert double[-7] / double[-8] == pytest.approx(4, rel=0.05)
    # The best is about the square root of the machine's epsilon.
    assert 0.1 < min(single.values()) / math.sqrt(np.finfo(np.float32).eps) < 10
    assert single[-12] > 20 * min(single.values()) and single[0] > 20 * min(single.values())


def test_float_gate_refuses_unknown_nonlinearities():
    with pytest.raises(UsageError, match="one of sigmoid, softplus, not 'tanh'"):
        gate_float(1, 1, -4, "tanh")


# Nonlinearities.

@pytest.mark.parametrize("name", NONLINEARITIES)
def test_second_derivative_is_the_power_of_two_it_says(name):
    t, h = nonlinearities()[name], Decimal("1e-10")
    second = (t.exactly(t.bias + h) + t.exactly(t.bias - h) - 2 * t.exactly(t.bias)) / h**2
    assert float(second) == pytest.approx(2.0**t.second_derivative_log2, rel=1e-7)


@pytest.mark.parametrize("name", NONLINEARITIES)
@pytest.mark.parametrize("reach", [0.01, 0.3, 1.0, 3.0, 20.0])
def test_fourth_derivative_is_bounded_tightly(name, reach):
    t, h = nonlinearities()[name], Decimal("1e-5")

    def fourth(u: Decimal) -> float:
        values = [t.exactly(u + i * h) for i in range(-2, 3)]
        return float(sum(c * v for c, v in zip((1, -4, 6, -4, 1), values, strict=True)) / h**4)

    seen = max(abs(fourth(t.bias + Decimal(reach * i / 200))) for i in range(-200, 201))
    bound = t.fourth_derivative_bound(reach)
    assert seen * 0.999 <= bound <= seen * 1.02


# Golden model.

@pytest.mark.parametrize("name", NONLINEARITIES)
@pytest.mark.parametrize("operands, entry_bits, lambda_log2", [
    ((U4, S4), 12, None), ((S4, S4), 18, None), ((U4, S4), 9, -2), ((S4, Operand(2, True)), 16, 0),
    ((U8, S8), 18, None), ((S8, S8), 22, -9), ((U8, Operand(3, True)), 24, None)], ids=str)
def test_golden_is_the_rom_arithmetic(name, operands, entry_bits, lambda_log2):
    gate = Gate(*operands, name, lambda_log2, entry_bits)
    oracle = Oracle(name, 2.0**gate.lambda_log2, entry_bits, sum(largest(gate)))
    pairs = list(itertools.product(*(o.values for o in operands)))
    pairs = pairs if len(pairs) < 3000 else samples(gate, 2000)
    x, w = np.array(pairs).T
    assert gate.compute(x, w).tolist() == [oracle.product(*pair) for pair in pairs]
    low, high = gate.product_range()
    assert low <= gate.compute(x, w).min() and gate.compute(x, w).max() <= high


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("bits", [(4, 18), (8, 12), (8, 18), (8, 30)], ids=str)
def test_zero_gives_zero(kind, bits):
    gate = kind(Operand(bits[0], False), Operand(bits[0], True), entry_bits=bits[1])
    x, w = every(gate)
    assert not gate.compute(x, np.array(0)).any() and not gate.compute(np.array(0), w).any()


@pytest.mark.parametrize("name", NONLINEARITIES)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("entry_bits", [8, 12, 18, 24, 30, 40])
def test_error_keeps_its_bound(name, signed, entry_bits):
    for bits in (2, 3, 4, 5, 6, 8):
        gate = Gate(Operand(bits, signed), Operand(bits, True), name, entry_bits=entry_bits)
        assert worst(gate) <= gate.error_bound
        for lambda_log2 in (gate.lambda_log2 - 2, gate.lambda_log2 + 2):
            other = Gate(gate.activation, gate.weight, name, lambda_log2, entry_bits) \
                if lambda_log2 <= 0 else gate
            assert worst(other) <= other.error_bound


@pytest.mark.parametrize("name", NONLINEARITIES)
@pytest.mark.parametrize("bits, entry_bits", [(4, 8), (5, 12), (6, 12), (8, 12), (8, 18), (8, 24)])
def test_bound_is_not_loose(name, bits, entry_bits):
    gate = Gate(Operand(bits, False), Operand(bits, True), name, entry_bits=entry_bits)
    assert gate.error_bound <= 3 * worst(gate)


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_default_lambda_has_the_least_bound(name):
    gate = Gate(U8, S8, name)
    around = [Gate(U8, S8, name, gate.lambda_log2 + d).error_bound for d in (-1, 1)]
    assert gate.error_bound < min(around)


def test_wide_tables_multiply_exactly():
    x, w = every(Gate(U8, S8))
    gate = GateSigmoid(U8, S8, entry_bits=30)
    assert gate.error_bound == 0
    assert (gate.compute(x, w) == x * w).all()


def test_folding_changes_nothing_but_the_hardware():
    x, w = every(Gate(U8, S8))
    assert (Gate(U8, S8).compute(x, w) == GateFolded(U8, S8).compute(x, w)).all()
    assert GateFolded(U8, S8).latency_cycles == Gate(U8, S8).latency_cycles - 1


# Hardware.

@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("entry_bits", [10, 18])
def test_hardware_is_the_golden_model_at_four_bits(kind, signed, entry_bits):
    gate = kind(Operand(4, signed), S4, entry_bits=entry_bits)
    # Both ways to scale: 10 bits to the left or not at all, 18 to the right and rounded.
    assert (gate.rom.shift > 0) == (entry_bits == 18)
    pairs = list(itertools.product(gate.activation.values, gate.weight.values))
    x, w = np.array(pairs).T
    assert step_results(gate, pairs) == gate.compute(x, w).tolist()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("operands, entry_bits", [
    ((U8, S8), 18), ((S8, S8), 30), ((Operand(9, True), Operand(3, True)), 18)], ids=str)
def test_hardware_is_the_golden_model_at_full_width(kind, operands, entry_bits):
    gate = kind(*operands, entry_bits=entry_bits)
    pairs = samples(gate, 300)
    x, w = np.array(pairs).T
    assert step_results(gate, pairs) == gate.compute(x, w).tolist()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["lenet-like", "mlp"])
def test_accelerator_computes_the_approximated_network(kind, name):
    design = Design.of(NETWORKS[name], kind.name, 2, 2)
    images = random_images(design.network, 2)
    assert run_accelerator(design, images, stall=0.2).outputs == design.predict(images).tolist()


def test_accelerator_with_a_coarse_table_of_ones_own():
    network = NETWORKS["mlp"]
    reach = 23
    table = [round(40 * math.cosh(k / 12), 1) for k in range(-reach, reach + 1)]
    gate = Gate.with_table(table, U4, S4, entry_bits=8)
    network = approximated(network, gate)
    design = Design(network, gate, 3, 2)
    images = random_images(network, 3)
    assert (design.predict(images) != NETWORKS["mlp"].predict(images)).any()
    assert run_accelerator(design, images).outputs == design.predict(images).tolist()


# Tables of one's own.

REACH = 15 + 8


def steps(function, scale: float = 1.0, reach: int = REACH) -> list[float]:
    return [function(scale * k) for k in range(-reach, reach + 1)]


def test_quarter_squares_as_a_table_are_exact():
    gate = Gate.with_table(steps(lambda k: int(k) ** 2 // 4), U4, S4)
    assert gate.rom.entries == tuple(k * k // 4 for k in range(-REACH, REACH + 1))
    assert gate.error_bound == 0 and worst(gate) == 0


def test_a_table_of_integers_is_the_rom():
    gate = Gate(U8, S8)
    same = Gate.with_table(np.array(gate.rom.entries), U8, S8)
    x, w = every(gate)
    assert same.rom.shift == gate.rom.shift
    assert (same.compute(x, w) == gate.compute(x, w)).all()


@pytest.mark.parametrize("function", [math.cosh, math.cos, lambda u: -math.cosh(u),
                                      lambda u: math.exp(u) - 3, lambda u: u * u + 5 * u,
                                      lambda u: math.tanh(u - 0.6)],
                         ids=["cosh", "cos", "-cosh", "exp", "square", "tanh"])
@pytest.mark.parametrize("entry_bits", [8, 14, 20])
def test_tables_keep_their_bound(function, entry_bits):
    gate = Gate.with_table(steps(function, 1 / 32), U4, S4, entry_bits=entry_bits)
    assert worst(gate) <= gate.error_bound <= 2 * max(worst(gate), 0.5)
    low, high = min(gate.rom.entries), max(gate.rom.entries)
    assert high - min(low, 0) < 2**entry_bits and -2**(entry_bits - 1) <= min(low, 0)
    pairs = samples(gate, 60)
    x, w = np.array(pairs).T
    assert step_results(gate, pairs) == gate.compute(x, w).tolist()


def test_arguments_give_lambda():
    arguments = [-0.25 + k / 64 for k in range(-REACH, REACH + 1)]
    gate = Gate.with_table([math.exp(u) for u in arguments], U4, S4, arguments)
    assert gate.lambda_log2 == -6


@pytest.mark.parametrize("values, message", [
    (steps(math.cosh, 1 / 32)[:-1], r"gate: table must have 47 entries \(arguments -23\.\.23 .*, "
                                    r"not 46"),
    ([], "table must have 47 entries .*, not 0"),
    (steps(lambda u: math.nan if u == 2 else u), "must be numbers below 2.62, not nan at argument "
                                                 "2"),
    (steps(lambda u: "x" if u == -23 else u), "numbers below 2.62, not 'x' at argument -23"),
    (steps(lambda u: 10**30 if u == 1 else 0), "numbers below 2.62, not 10+ at argument 1"),
    (steps(lambda u: True), "numbers below 2.62, not True at argument -23"),
    (steps(sigmoid, 1 / 32), "t'' must not be zero at the bias point"),
    (steps(lambda u: 3.0 * u - 1, 1 / 32), "t'' must not be zero at the bias point"),
    (steps(lambda u: u**3), "t'' must not be zero at the bias point"),
    (steps(lambda u: 0.0), "t'' must not be zero at the bias point"),
    (steps(lambda u: int(u) * 3), "t'' must not be zero at the bias point"),
    (steps(lambda u: float(u > 0)), "t'' must not be zero|must be of a smooth function"),
    (steps(lambda u: math.exp(-u * u)), "table must be of a smooth function, whose products are "
                                        "off by less than the largest .120., not by up to"),
])
def test_refuses_tables_that_cannot_multiply(values, message):
    with pytest.raises(ModelError, match=message):
        Gate.with_table(values, U4, S4)


@pytest.mark.parametrize("change, message", [
    (lambda u: u[::-1], "table arguments must rise, not go from 0.71875 to 0.6875"),
    (lambda u: [*u[:9], u[8], *u[10:]], "table arguments must rise, not go from"),
    (lambda u: [2.5 * v for v in u], "rise by the same power of two everywhere, not by 0.078125"),
    (lambda u: [v + 0.01 * (k > 20) for k, v in enumerate(u)], "same power of two everywhere"),
    (lambda u: u[1:], "must have an argument for each of its 47 entries, not 46"),
    (lambda u: [math.inf, *u[1:]], "must be two or more finite numbers"),
    (lambda u: ["a", *u[1:]], "table arguments must be numbers"),
    (lambda u: [4096 * v for v in u], r"lambda_log2 must be an integer of -24\.\.0, not 7"),
])
def test_refuses_arguments_in_disorder(change, message):
    arguments = steps(float, 1 / 32)
    with pytest.raises(ModelError, match=message):
        Gate.with_table([math.cosh(u) for u in arguments], U4, S4, change(arguments))


def test_refuses_tables_that_are_too_wide():
    with pytest.raises(ModelError, match="table entries must fit 8 bits, not reach from 0 to 529"):
        Gate.with_table(steps(lambda k: int(k) ** 2), U4, S4, entry_bits=8)


@pytest.mark.parametrize("parameters, message", [
    ({"nonlinearity": "tanh"}, "gate: nonlinearity must be a table .a tuple. or one of sigmoid, "
                               "softplus, not 'tanh'"),
    ({"nonlinearity": [1, 2]}, "nonlinearity must be a table .a tuple. .*, not list"),
    ({"entry_bits": 3}, r"gate: entry_bits must be an integer of 4\.\.40, not 3"),
    ({"entry_bits": 18.0}, r"entry_bits must be an integer of 4\.\.40, not 18.0"),
    ({"lambda_log2": 1}, r"gate: lambda_log2 must be an integer of -24\.\.0, not 1"),
    ({"lambda_log2": "x"}, r"lambda_log2 must be an integer of -24\.\.0, not 'x'"),
])
def test_refuses_parameters_out_of_range(parameters, message):
    with pytest.raises(ModelError, match=message):
        Gate(U4, S4, **parameters)


def test_a_table_for_other_operands_is_refused_with_the_length_they_need():
    table = Gate(U4, S4).rom.entries
    with pytest.raises(ModelError, match=r"table must have 767 entries .*, not 47"):
        Gate.with_table(table, U8, S8)
