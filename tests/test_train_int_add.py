"""Mogami's rule has the bits of int_add, and its errors are those derived."""

import numpy as np
import pytest

from nmahw.arith import Operand
from nmahw.arith.int_add import IntAddBf16, IntAddFp32, int_add_patterns
from nmahw.floats import BF16, FP32
from nmahw.train import _int_add
from nmahw.train.int_add_rule import IntAddRule


def patterns(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.int64)


def floats(bits: np.ndarray) -> np.ndarray:
    return np.asarray(bits, np.int64).astype(np.uint32).view(np.float32)


def every_kind(count: int, seed: int) -> np.ndarray:
    """Patterns of all kinds: of any exponent, near the format's ends, zeros, infinities, NaN."""
    rng = np.random.default_rng(seed)
    special = [0, 1 << 31, 1, 0x7FFFFF, 0x800000, 0x807FFFFF, 0x80800000, 0x7F7FFFFF, 0xFF7FFFFF,
               0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345, 0x3F800000, 0xBF800000]
    return np.concatenate([rng.integers(0, 1 << 32, count), rng.choice(special, count)])


@pytest.mark.parametrize("constant", [0, 1, 474_820])
def test_products_are_int_add(constant):
    x = every_kind(20_000, 1)
    w = np.random.default_rng(2).permutation(every_kind(20_000, 3))
    bits = patterns(_int_add.product(floats(x), floats(w), constant))
    assert np.array_equal(bits, int_add_patterns(x, w, FP32, constant))


@pytest.mark.parametrize("constant", [0.0, 7 / 128])
def test_bf16_products_are_int_add_of_rounded_operands(constant):
    x, w = every_kind(20_000, 4), np.random.default_rng(5).permutation(every_kind(20_000, 6))
    with np.errstate(invalid="ignore"):
        rounded = BF16.encode(floats(x)), BF16.encode(floats(w))
    bits = patterns(IntAddRule(True, constant).product(floats(x), floats(w)))
    assert np.array_equal(bits >> 16, int_add_patterns(*rounded, BF16, round(constant * 128)))
    assert not (bits & 0xFFFF).any()


@pytest.mark.parametrize("kind, rule, form", [(IntAddFp32, IntAddRule(), FP32),
                                              (IntAddBf16, IntAddRule(True), BF16)])
def test_products_are_those_of_the_hardware_before_its_window(kind, rule, form):
    rng = np.random.default_rng(7)
    x, w = rng.normal(size=(2, 5000)).astype(np.float32)
    arithmetic = kind(Operand(form.bits, False), Operand(form.bits, False))
    codes = arithmetic.compute(form.encode(x), form.encode(w))
    product = rule.product(x, w).astype(np.float64)
    assert np.array_equal(codes, np.trunc(product / arithmetic.window.unit))


@pytest.mark.parametrize("shape", [(5, 7, 3), (3, 40, 8), (2, 9, 70), (64, 300, 17), (1, 1, 1)])
@pytest.mark.parametrize("large", [False, True])
def test_sums_are_products_added_in_order(shape, large):
    rows, count, columns = shape
    rng = np.random.default_rng(8)
    a = rng.normal(size=(rows, count)).astype(np.float32)
    b = rng.normal(size=(count, columns)).astype(np.float32)
    a[rng.random(a.shape) < 0.4] = 0
    b[rng.random(b.shape) < 0.2] = -0.0
    b *= np.exp2(rng.integers(-140, 20, b.shape)).astype(np.float32)
    if large:
        a[0, 0], b[0, 0] = 2.0**100, 2.0**30
    expected = np.zeros((rows, columns), np.float32)
    for j in range(count):
        expected += _int_add.product(a[:, j, None], b[j], 9)
    assert np.array_equal(patterns(_int_add.multiply_sum(a, b, 9)), patterns(expected))
    assert np.isinf(expected[0, 0]) == large


def test_a_weight_gradient_does_not_depend_on_whose_zeros_are_left_out():
    rng = np.random.default_rng(9)
    x, g = (rng.normal(size=(50, n)).astype(np.float32) for n in (20, 6))
    rule = IntAddRule()
    sparse_x, sparse_g = np.where(rng.random(x.shape) < 0.05, x, 0), np.where(g > 1.5, g, 0)
    for a, b in ((sparse_x, g), (x, sparse_g), (x, g)):
        expected = np.zeros((20, 6), np.float32)
        for s in range(50):
            expected += rule.product(a[s][:, None], b[s])
        assert np.array_equal(rule.weight_gradient(a, None, b), expected)


def uniform(count: int, seed: int) -> np.ndarray:
    """Numbers of uniform mantissas."""
    rng = np.random.default_rng(seed)
    return floats((rng.integers(100, 154, count) << 23) + rng.integers(0, 1 << 23, count))


def test_relative_error_of_products():
    x, w = uniform(400_000, 10), uniform(400_000, 11)
    exact = x.astype(np.float64) * w
    error = _int_add.product(x, w) / exact - 1
    assert -1 / 9 <= error.min() < -0.111 and -1e-4 < error.max() <= 0
    assert error.mean() == pytest.approx(-0.0385, abs=2e-4)
    assert abs((IntAddRule(mean_error_constant=0.0566).product(x, w) / exact - 1).mean()) < 3e-4


def test_quotients_undo_products():
    x, w = uniform(10_000, 12), uniform(10_000, 13)
    for rule in (IntAddRule(), IntAddRule(mean_error_constant=0.0566)):
        assert np.array_equal(rule.quotient(rule.product(x, w), w), x)
    error = IntAddRule().quotient(x, w) / (x.astype(np.float64) / w) - 1
    assert 0 <= error.min() < 1e-4 and 0.124 < error.max() <= 0.125


def test_quotients_at_the_ends():
    inf, big, tiny = np.float32(np.inf), np.float32(2.0**100), np.float32(2.0**-100)
    x = np.array([0, 1, inf, big, tiny, -1, 1, 1e-40], np.float32)
    w = np.array([0, 0, 2, tiny, big, inf, -0.0, 1], np.float32)
    assert np.array_equal(_int_add.quotient(x, w), [0, inf, inf, inf, 0, 0, -inf, 0])


def test_roots_halve_patterns():
    x = uniform(10_000, 14)
    root = _int_add.square_root(x)
    error = root / np.sqrt(x.astype(np.float64)) - 1
    assert -1e-6 < error.min() and 0.060 < error.max() < 0.0607
    again = patterns(_int_add.product(root, root))
    assert set(np.unique(patterns(x) - again)) <= {0, 1}
    assert np.array_equal(_int_add.square_root(np.array([0, 1e-40, 4, np.inf], np.float32)),
                          np.array([0, 0, 2, np.inf], np.float32))


def test_exponentials():
    y = -np.random.default_rng(15).uniform(0, 100, 10_000).astype(np.float32)
    error = _int_add.exponential(y) / np.exp2(y.astype(np.float64)) - 1
    assert -1e-6 < error.min() and 0.061 < error.max() < 0.0615
    ends = np.array([0, -1, -126, -127, -np.inf, np.nan], np.float32)
    assert _int_add.exponential(ends).tolist() == [1, 0.5, 2.0**-126, 0, 0, 0]
    bf16 = IntAddRule(True)
    assert not (patterns(bf16.exponential(y)) & 0xFFFF).any()
    assert not (patterns(bf16.square_root(-y)) & 0xFFFF).any()


def test_rounding_to_bf16():
    x = floats(every_kind(50_000, 16))
    with np.errstate(invalid="ignore"):
        assert np.array_equal(patterns(_int_add.round_bf16(x)) >> 16, BF16.encode(x))


def test_broadcast_products_of_many_short_rows():
    rng = np.random.default_rng(17)
    x, w = rng.normal(size=(64, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    expected = np.stack([_int_add.product(row, w) for row in x])
    assert np.array_equal(_int_add.product(x, w), expected)
