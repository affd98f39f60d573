"""Float formats against ml_dtypes and numpy, over all patterns of 8 and 16 bits."""

import ml_dtypes
import numpy as np
import pytest

from nmahw.errors import ModelError
from nmahw.floats import BF16, FP8_E4M3, FP8_E5M2, FP32, FixedPoint, FloatFormat

TYPES = [(FP8_E4M3, ml_dtypes.float8_e4m3fn), (FP8_E5M2, ml_dtypes.float8_e5m2),
         (BF16, ml_dtypes.bfloat16), (FloatFormat(4, 3), ml_dtypes.float8_e4m3),
         (FloatFormat(5, 10), np.float16)]
IDS = ["e4m3fn", "e5m2", "bf16", "e4m3", "fp16"]


def bits_of(values: np.ndarray) -> np.ndarray:
    """Patterns of an array of a float type."""
    return values.view(np.dtype(f"u{values.dtype.itemsize}")).astype(np.int64)


def theirs(patterns: np.ndarray, kind: type) -> np.ndarray:
    """Values of patterns, by the other library."""
    width = np.dtype(kind).itemsize
    # Casting a signalling NaN is an invalid operation.
    with np.errstate(invalid="ignore"):
        return patterns.astype(np.dtype(f"u{width}")).view(kind).astype(np.float64)


@pytest.mark.parametrize("fmt, kind", TYPES, ids=IDS)
def test_decodes_every_pattern(fmt, kind):
    patterns = np.arange(1 << fmt.bits)
    ours, expected = fmt.decode(patterns), theirs(patterns, kind)
    np.testing.assert_array_equal(ours, expected)
    signs = ~np.isnan(expected)
    assert (np.signbit(ours) == np.signbit(expected))[signs].all()


@pytest.mark.parametrize("fmt, kind", TYPES, ids=IDS)
def test_encodes_every_value_back(fmt, kind):
    patterns = np.arange(1 << fmt.bits)
    values = fmt.decode(patterns)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(fmt.encode(values)[numbers], patterns[numbers])
    assert np.isnan(fmt.decode(fmt.encode(values[~numbers]))).all()
    assert fmt.encode(np.array(np.nan)) == fmt.nan


@pytest.mark.parametrize("fmt, kind", TYPES, ids=IDS)
def test_rounds_to_nearest_even(fmt, kind):
    # Between every two neighbours, and beyond the ends: the middle, and just off it.
    finite = fmt.decode(np.arange(fmt.max_finite + 1))
    beyond = 2 * finite[-1] - finite[-2]
    low, high = finite, np.append(finite[1:], beyond)
    # What float32 holds, both libraries round once only.
    middle = ((low + high) / 2).astype(np.float32)
    values = np.concatenate([middle, np.nextafter(middle, np.float32(0)),
                             np.nextafter(middle, np.float32(np.inf)),
                             np.float32([3e38, np.inf, 1e-45, 0])])
    values = np.concatenate([values, -values])
    with np.errstate(over="ignore"):
        expected = bits_of(values.astype(kind))
    np.testing.assert_array_equal(fmt.encode(values), expected)


def test_fp32_is_numpys():
    rng = np.random.default_rng(1)
    patterns = np.concatenate([rng.integers(0, 1 << 32, 20000), [0, 1, 1 << 31, 0x7F7FFFFF,
                                                                 0x7F800000, 0xFF800000]])
    np.testing.assert_array_equal(FP32.decode(patterns), theirs(patterns, np.float32))
    exact = rng.standard_normal(20000) * 10.0 ** rng.integers(-45, 40, 20000)
    with np.errstate(over="ignore", under="ignore"):
        expected = bits_of(exact.astype(np.float32))
    np.testing.assert_array_equal(FP32.encode(exact), expected)


def test_what_formats_have():
    assert (FP8_E4M3.decode(np.array(FP8_E4M3.max_finite)), FP8_E4M3.infinity) == (448, None)
    assert FP8_E5M2.decode(np.array(FP8_E5M2.max_finite)) == 57344
    assert (FP32.bits, BF16.bits, FP8_E4M3.bits) == (32, 16, 8)
    assert BF16.infinity == BF16.overflow == 0x7F80 and BF16.nan == 0x7FC0
    assert FP8_E4M3.overflow == FP8_E4M3.nan == 0x7F
    assert (FP8_E4M3.max_exponent, FP8_E5M2.max_exponent) == (15, 30)
    assert str(BF16) == "e8m7"


@pytest.mark.parametrize("arguments, message", [
    ((1, 3), "a float's exponent must have 2..8 bits, not 1"),
    ((4, 24), "a float's mantissa must have 1..23 bits, not 24"),
    ((4, 3, 1.5), "a float's bias must be an integer of -255..255, not 1.5")])
def test_refuses_other_formats(arguments, message):
    with pytest.raises(ModelError, match=message):
        FloatFormat(*arguments)


@pytest.mark.parametrize("arguments, message", [
    ((0, 1), "bits must be an integer of 2..57, not 1"), ((0, 58), "bits must be"),
    ((1000, 8), "lsb_exponent must be an integer of -512..512, not 1000")])
def test_refuses_other_windows(arguments, message):
    with pytest.raises(ModelError, match=message):
        FixedPoint(*arguments)


def test_a_window():
    window = FixedPoint(-3, 9)
    assert (window.positions, window.largest, window.unit) == (8, 255, 0.125)
