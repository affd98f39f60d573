"""int_add and true float products against plain Python, exhaustively for 8-bit floats."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from nmahw.arith import ARITHMETICS, Operand
from nmahw.arith._float_sum import FloatSum
from nmahw.arith.int_add import int_add_patterns
from nmahw.compare import baseline_names
from nmahw.errors import ModelError
from nmahw.floats import BF16, FP8_E5M2, FP32, FixedPoint, FloatFormat
from nmahw.operations.float_product import FloatProductBf16
from rtl import step_results

KINDS = [kind for kind in ARITHMETICS if kind.operation.startswith("float_product")]
EIGHT = [kind for kind in KINDS if kind.activation_bits == (8, 8)]
INT_ADDS = [kind for kind in KINDS if not kind.exact]


def make(kind, **parameters):
    operand = Operand(kind.activation_bits[0], False)
    return kind(operand, operand, **parameters)


def by_name(name, **parameters):
    return make(ARITHMETICS.get(name), **parameters)


def oracle(arithmetic, x: int, w: int) -> int:
    """A product in fixed point, in plain integers and fractions."""
    fmt, window = arithmetic.float_format, arithmetic.window
    bits, fields = fmt.mantissa_bits, []
    for pattern in (x, w):
        text = f"{pattern:0{fmt.bits}b}"
        fields.append((int(text[0]), int(text[1:-bits], 2), int(text[-bits:], 2)))
    sign = -1 if fields[0][0] != fields[1][0] else 1
    largest = 2 ** (window.bits - 1) - 1
    if any(exponent == 0 for _, exponent, _ in fields):
        return 0
    ones = 2**fmt.exponent_bits - 1
    if any(e == ones and (fmt.has_infinity or m == 2**bits - 1) for _, e, m in fields):
        return sign * largest
    if arithmetic.exact:
        value = Fraction(1)
        for _, exponent, mantissa in fields:
            value *= (1 + Fraction(mantissa, 2**bits)) * Fraction(2) ** (exponent - fmt.bias)
    else:
        mantissa = fields[0][2] + fields[1][2] + arithmetic.mean_error_constant
        exponent = fields[0][1] + fields[1][1] - 2 * fmt.bias
        while mantissa >= 2**bits:
            mantissa, exponent = mantissa - 2**bits, exponent + 1
        value = (1 + Fraction(mantissa, 2**bits)) * Fraction(2) ** exponent
    return sign * min(int(value / Fraction(2) ** window.lsb_exponent), largest)


def check(arithmetic, pairs, hardware=True) -> None:
    x, w = np.array(pairs, dtype=np.int64).T
    golden = arithmetic.compute(x, w).tolist()
    assert golden == [oracle(arithmetic, a, b) for a, b in pairs]
    if hardware:
        assert step_results(arithmetic, pairs) == golden


def around_the_window(arithmetic, count: int, seed: int) -> list[tuple[int, int]]:
    """Random patterns, half of them with products near or in the window; and all corners."""
    fmt, rng = arithmetic.float_format, np.random.default_rng(seed)
    x, w = rng.integers(0, 1 << fmt.bits, (2, count)).tolist()
    for i in range(count // 2):
        field = (x[i] & (fmt.sign_bit - 1)) >> fmt.mantissa_bits
        position = int(rng.integers(-3, arithmetic.window.positions + 3))
        exponent = min(max(position + arithmetic.position_offset - field, 0), fmt.exponent_ones)
        w[i] = w[i] & ~(fmt.exponent_ones << fmt.mantissa_bits) | exponent << fmt.mantissa_bits
    one, top = 1 << fmt.mantissa_bits, fmt.sign_bit - 1
    corners = [0, 1, one - 1, one, one + 1, fmt.bias * one, fmt.bias * one + one - 1,
               fmt.max_finite - 1, fmt.max_finite, fmt.max_finite + 1, top]
    corners += [value | fmt.sign_bit for value in corners]
    return [*zip(x, w, strict=True), *((a, b) for a in corners for b in corners)]


@pytest.mark.parametrize("kind", EIGHT, ids=lambda kind: kind.name)
def test_eight_bits_golden_exhaustively(kind):
    pairs = [(x, w) for x in range(256) for w in range(256)]
    check(make(kind), pairs, hardware=False)
    if not kind.exact:
        check(make(kind, mean_error_constant=1), pairs, hardware=False)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_hardware_around_the_window(kind):
    arithmetic = make(kind)
    check(arithmetic, around_the_window(arithmetic, 1500, 1))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("window", [FixedPoint(-5, 2), FixedPoint(-3, 4), FixedPoint(-9, 12),
                                    FixedPoint(2, 17), FixedPoint(-20, 57)], ids=str)
def test_other_windows(kind, window):
    arithmetic = make(kind, window=window)
    check(arithmetic, around_the_window(arithmetic, 150, 2))


@pytest.mark.long
@pytest.mark.parametrize("kind", EIGHT, ids=lambda kind: kind.name)
def test_eight_bits_hardware_exhaustively(kind):
    check(make(kind), [(x, w) for x in range(256) for w in range(256)])


def mantissa_pairs(exponent_x: int, exponent_w: int, signs: int) -> list[tuple[int, int]]:
    return [((signs & 1) << 15 | exponent_x << 7 | a, (signs >> 1) << 15 | exponent_w << 7 | b)
            for a in range(128) for b in range(128)]


EXPONENTS = [(127, 127, 0), (120, 138, 1), (110, 122, 2), (118, 116, 3), (130, 134, 0),
             (136, 127, 1)]


@pytest.mark.parametrize("name", ["int_add_bf16", "float_multiply_bf16"])
@pytest.mark.parametrize("exponents", EXPONENTS, ids=str)
def test_all_mantissa_pairs_of_bf16(name, exponents):
    check(by_name(name), mantissa_pairs(*exponents), hardware=False)
    # A part of them in hardware, in which every mantissa of either operand occurs.
    check(by_name(name), mantissa_pairs(*exponents)[::53])


@pytest.mark.long
@pytest.mark.parametrize("name", ["int_add_bf16", "float_multiply_bf16"])
@pytest.mark.parametrize("exponents", EXPONENTS, ids=str)
def test_all_mantissa_pairs_of_bf16_in_hardware(name, exponents):
    check(by_name(name), mantissa_pairs(*exponents))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.exact], ids=lambda k: k.name)
def test_two_product_stages(kind):
    arithmetic = make(kind, product_stages=2)
    assert arithmetic.latency_cycles == make(kind).latency_cycles + 1
    check(arithmetic, around_the_window(arithmetic, 300, 3))


@pytest.mark.parametrize("constant", [0, 7, 63])
def test_mean_error_constant_in_hardware(constant):
    arithmetic = by_name("int_add_bf16", mean_error_constant=constant)
    check(arithmetic, around_the_window(arithmetic, 300, 4))


@pytest.mark.parametrize("psum", [-(1 << 32), -1, 12345])
def test_adds_to_the_psum(psum):
    arithmetic = by_name("int_add_bf16")
    pairs = around_the_window(arithmetic, 100, 5)
    x, w = np.array(pairs).T
    # The element of row 1 takes any psum of one row.
    assert step_results(arithmetic, pairs, psum) == (arithmetic.compute(x, w) + psum).tolist()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_special_operands(kind):
    arithmetic = make(kind)
    fmt, largest = arithmetic.float_format, arithmetic.window.largest
    one, minus = fmt.bias << fmt.mantissa_bits, fmt.sign_bit
    nan = fmt.nan
    cases = {(0, one): 0, (minus, nan): 0, (1, fmt.max_finite): 0, (nan, 1 | minus): 0,
             (nan, one): largest, (one | minus, nan): -largest, (nan | minus, nan | minus): largest,
             (one, one): round(1 / arithmetic.window.unit),
             (one | minus, one): -round(1 / arithmetic.window.unit)}
    if fmt.infinity:
        cases |= {(fmt.infinity, 0): 0, (fmt.infinity, 1): 0, (fmt.infinity, one): largest,
                  (one | minus, fmt.infinity): -largest, (fmt.infinity, nan | minus): -largest}
    x, w = np.array(list(cases)).T
    assert arithmetic.compute(x, w).tolist() == list(cases.values())
    assert step_results(arithmetic, list(cases)) == list(cases.values())


@pytest.mark.parametrize("constant, mean", [(0, -0.0385), (7, -0.0013)])
def test_relative_error(constant, mean):
    # Products from 2 on, in a window of many bits: nothing is cut off.
    arithmetic = by_name("int_add_bf16", mean_error_constant=constant,
                         window=FixedPoint(-20, 41))
    pairs = np.array(mantissa_pairs(128, 128, 0)).T
    true = arithmetic.operation_class(arithmetic.window).apply(*pairs)
    error = arithmetic.compute(*pairs) / true - 1
    low, high = arithmetic.relative_error_bounds
    assert low <= error.min() < low + 1e-4 and high - 1e-9 < error.max() <= high
    assert error.mean() == pytest.approx(mean, abs=5e-5)
    if not constant:
        assert low == pytest.approx(-1 / 9) and high == 0


@pytest.mark.parametrize("kind", INT_ADDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("constant", [0, 1])
def test_keeps_its_error_bound(kind, constant):
    arithmetic = make(kind, mean_error_constant=constant)
    x, w = np.array(around_the_window(arithmetic, 20000, 6)).T
    error = np.abs(arithmetic.compute(x, w) - arithmetic.operation_class().apply(x, w))
    assert 0 < error.max() <= arithmetic.error_bound
    low, high = arithmetic.product_range()
    assert (low, high) == (arithmetic.compute(x, w).min(), arithmetic.compute(x, w).max())


def test_patterns_are_one_integer_addition():
    rng = np.random.default_rng(7)
    x, w = (rng.standard_normal((2, 5000)) * 10.0 ** rng.integers(-9, 9, (2, 5000))).astype("f4")
    mogami = (x.view("i4") + (w.view("i4") - np.int32(0x3F800000))).astype(np.int32)
    negative = (x < 0) ^ (w < 0)
    expected = (mogami & 0x7FFFFFFF).view("f4") * np.where(negative, -1, 1).astype("f4")
    ours = int_add_patterns(x.view("u4"), w.view("u4"), FP32)
    np.testing.assert_array_equal(FP32.decode(ours), expected.astype(np.float64))


def test_patterns_at_the_ends():
    one, infinity, sign = 0x3F80, 0x7F80, 0x8000
    cases = {(0, infinity): 0, (sign, one): sign, (1, 0x7F7F): 0, (0x7F7F, 0x4000): infinity,
             (infinity, 0x0080): infinity, (0x7FC0, one | sign): infinity | sign,
             (0x0080, 0x3F00): 0, (0x0080, one): 0x0080, (0x0081, 0x3FFF): 0x0100,
             (0x7F00, 0x3FFF): 0x7F7F, (0x7F01, 0x3FFF): infinity}
    x, w = np.array(list(cases)).T
    assert int_add_patterns(x, w, BF16).tolist() == list(cases.values())
    assert int_add_patterns(np.array(one), np.array(one), BF16, 7) == one + 7


def test_only_the_baseline_multiplies():
    for kind in KINDS:
        text = rtlil.convert(make(kind).create(1), name="top", emit_src=False)
        assert ("$mul" in text) == kind.is_baseline


def test_baselines_are_those_of_the_operation():
    assert not any(name.startswith("float") for name in baseline_names())
    assert baseline_names({"float_product_bf16"}) == ("float_multiply_bf16",)


def test_operations_with_different_windows_differ():
    plain, other = FloatProductBf16(), FloatProductBf16(FixedPoint(0, 9))
    assert plain == FloatProductBf16() and hash(plain) == hash(FloatProductBf16())
    assert plain != other
    x = np.full((1, 3), 0x3F80)
    assert other.sums(x, np.full((3, 2), 0x4040), None).tolist() == [[9, 9]]
    assert other.sum_range(np.full((3, 2), 0x4040), None) == (-3 * 255, 3 * 255)
    low, high = other.contributions(np.full((3, 2), 0x4040), None)
    assert (low == -255).all() and (high == 255).all()


@pytest.mark.parametrize("kind, parameters, message", [
    ("int_add_bf16", {"mean_error_constant": 64},
     r"int_add_bf16's mean_error_constant must be an integer of 0\.\.63, not 64"),
    ("int_add_e5m2", {"mean_error_constant": -1}, "must be an integer of 0..1, not -1"),
    ("float_multiply_bf16", {"product_stages": 3}, "product_stages must be 1 or 2, not 3")])
def test_refuses_other_parameters(kind, parameters, message):
    with pytest.raises(ModelError, match=message):
        by_name(kind, **parameters)


# Floating-point accumulators.

SUMS = [FloatSum(), FloatSum(multiply=True), FloatSum(mean_error_constant=7),
        FloatSum(accumulator=FloatFormat(8, 12)), FloatSum(FP8_E5M2, FloatFormat(5, 6)),
        FloatSum(FP8_E5M2, FloatFormat(5, 6), multiply=True)]


def toward_zero(value: Fraction, fmt) -> int:
    """Pattern of a number rounded toward zero, subnormals to +0."""
    sign, value, exponent = (fmt.sign_bit if value < 0 else 0), abs(value), fmt.bias
    if not value:
        return 0
    while value >= 2:
        value, exponent = value / 2, exponent + 1
    while value < 1:
        value, exponent = value * 2, exponent - 1
    if exponent < 1:
        return 0
    if exponent > fmt.max_exponent:
        return fmt.infinity | sign
    return sign | exponent << fmt.mantissa_bits | int((value - 1) * 2**fmt.mantissa_bits)


def exact_sum(a: int, b: int, fmt) -> int:
    """`FloatSum.add` in fractions."""
    values = []
    for pattern in (a, b):
        magnitude = pattern & (fmt.sign_bit - 1)
        if magnitude > fmt.max_finite:
            return fmt.infinity | (pattern & fmt.sign_bit)
        normal = magnitude >> fmt.mantissa_bits
        values.append(Fraction(float(fmt.decode(np.array(pattern)))) if normal else Fraction(0))
    return toward_zero(sum(values), fmt)


def sum_operands(parameters, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Operands, and psums often near the product, of the other sign or its negative."""
    rng = np.random.default_rng(8)
    fmt, wide = parameters.operand, parameters.accumulator
    x, w = rng.integers(0, 1 << fmt.bits, (2, count))
    psum = rng.integers(0, 1 << wide.bits, count)
    product = parameters.products(x, w)
    near = product + (rng.integers(-6, 7, count) << wide.mantissa_bits) \
        + rng.integers(0, 1 << wide.mantissa_bits, count)
    near = (near ^ np.where(rng.random(count) < 0.5, wide.sign_bit, 0)) & ((1 << wide.bits) - 1)
    psum = np.where(rng.random(count) < 0.7, near, psum)
    psum[::17] = product[::17] ^ wide.sign_bit
    return x, w, psum


@pytest.mark.parametrize("parameters", SUMS, ids=str)
def test_float_sums_are_exact_ones_cut_off(parameters):
    x, w, psum = sum_operands(parameters, 4000)
    product = parameters.products(x, w)
    expected = [exact_sum(a, b, parameters.accumulator)
                for a, b in zip(psum.tolist(), product.tolist(), strict=True)]
    assert parameters.add(psum, product).tolist() == expected


def test_true_products_are_exact():
    parameters = FloatSum(multiply=True)
    rng = np.random.default_rng(9)
    x, w = (rng.integers(0x3000, 0x4800, 4000) for _ in range(2))
    np.testing.assert_array_equal(FP32.decode(parameters.products(x, w)),
                                  BF16.decode(x) * BF16.decode(w))


def test_accumulates_in_order():
    parameters = FloatSum(multiply=True)
    one, huge = 0x3F80, 0x4C00  # 2^25: one more is lost beside it.
    x = np.array([[one, huge, huge | 0x8000], [huge, huge | 0x8000, one]])
    sums = parameters.accumulate(x, np.full(3, one))
    assert FP32.decode(sums).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("parameters", SUMS, ids=str)
def test_float_sum_hardware(parameters):
    count = 600
    x, w, psum = sum_operands(parameters, count)
    dut, seen = parameters.create(), []
    wait = parameters.product_latency_cycles
    latency = wait + parameters.sum_latency_cycles

    async def bench(ctx):
        for cycle in range(count + latency):
            if cycle < count:
                ctx.set(dut.x, int(x[cycle]))
                ctx.set(dut.w, int(w[cycle]))
            if 0 <= cycle - wait < count:
                ctx.set(dut.psum_i, int(psum[cycle - wait]))
            if cycle >= latency:
                seen.append(ctx.get(dut.psum_o))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == parameters.add(psum, parameters.products(x, w)).tolist()


@pytest.mark.parametrize("arguments, message", [
    ((BF16, FloatFormat(8, 10), True), "a mantissa of 15 bits or more, not e8m10"),
    ((BF16, FloatFormat(5, 10)), "the same exponents"),
    ((BF16, FP32, True, 1), r"mean_error_constant must be an integer of 0\.\.0, not 1")])
def test_float_sums_refuse(arguments, message):
    with pytest.raises(ModelError, match=message):
        FloatSum(*arguments)
