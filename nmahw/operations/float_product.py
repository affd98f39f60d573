"""The product of two floating-point numbers, given by their bit patterns, in fixed point.

The operands are patterns of a `FloatFormat`, the result is ``trunc(x * w / 2^lsb_exponent)``,
clipped to the window: its sums are exact, in any order. What is not an ordinary product:

===================================  ==============================================
operands                             result
===================================  ==============================================
zero or subnormal, with anything     0 (subnormals count as zero; zero wins even
                                     over infinity and NaN)
infinity or NaN, with anything else  plus or minus `FixedPoint.largest`, the sign
                                     being the exclusive or of the signs
product of 2^(lsb + bits - 1) on     plus or minus `FixedPoint.largest`
product below 2^lsb                  0
===================================  ==============================================

The sum of two numbers of the same magnitude and opposite sign is 0; there is no -0.
"""

from typing import ClassVar

import numpy as np

from ..floats import BF16, FP8_E4M3, FP8_E5M2, FP32, FixedPoint, FloatFormat
from ..tensor import TensorFormat
from . import Operation

__all__ = ["FloatProduct", "FloatProductBf16", "FloatProductE4m3", "FloatProductE5m2",
           "FloatProductFp32"]


class FloatProduct(Operation):
    """Product of patterns of one format.

    Parameters
    ----------
    window : FixedPoint, optional
        By default the format's `default_window`.
    """

    #: Of both operands.
    float_format: ClassVar[FloatFormat]
    #: Where results are kept unless said otherwise.
    default_window: ClassVar[FixedPoint]

    def __init__(self, window: FixedPoint | None = None):
        self.window = window or self.default_window

    def apply(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        fmt, window = self.float_format, self.window
        (negative_x, exponent_x, significand_x, infinite_x), \
            (negative_w, exponent_w, significand_w, infinite_w) = self._parts(x), self._parts(w)
        product = significand_x * significand_w
        # The product's value is product * 2^shift units.
        shift = (exponent_x + exponent_w - 2 * (fmt.bias + fmt.mantissa_bits)
                 - window.lsb_exponent)
        # 63 places right leave nothing; on the left, only what cannot overflow is shifted.
        room = np.clip(window.positions - shift, 0, 63)
        overflows = (product >> room) > 0
        left = np.clip(shift, 0, window.positions)
        magnitude = np.where(shift >= 0, np.where(overflows, 0, product) << left,
                             product >> np.clip(-shift, 0, 63))
        magnitude = np.where(overflows | infinite_x | infinite_w, window.largest, magnitude)
        magnitude = np.where(product == 0, 0, magnitude)
        return np.where(negative_x ^ negative_w, -magnitude, magnitude)

    def _parts(self, patterns: np.ndarray) -> tuple[np.ndarray, ...]:
        """Sign, exponent field, significand (0 for zero and subnormals), infinite or NaN."""
        fmt = self.float_format
        patterns = np.asarray(patterns, dtype=np.int64)
        magnitude = patterns & (fmt.sign_bit - 1)
        exponent = magnitude >> fmt.mantissa_bits
        leading = 1 << fmt.mantissa_bits
        significand = np.where(exponent > 0, magnitude & (leading - 1) | leading, 0)
        return (patterns & fmt.sign_bit) != 0, exponent, significand, magnitude > fmt.max_finite

    def contributions(self, weights: np.ndarray, x_format: TensorFormat) \
            -> tuple[np.ndarray, np.ndarray]:
        """The window's ends: patterns of all ranges hold large numbers of either sign."""
        largest = np.full(np.shape(weights), self.window.largest, dtype=np.int64)
        return -largest, largest

    def sum_range(self, weights: np.ndarray, x_format: TensorFormat) -> tuple[int, int]:
        largest = len(weights) * self.window.largest
        return -largest, largest

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and self.window == other.window

    def __hash__(self) -> int:
        return hash((type(self), self.window))


class FloatProductBf16(FloatProduct):
    """2^-22 to 2^10 (33 bits): products of 1 down to 2^-15 keep all 8 bits of a bfloat16."""

    name = "float_product_bf16"
    summary = "x * w of bfloat16 patterns, in units of 2^-22"
    float_format = BF16
    default_window = FixedPoint(-22, 33)


class FloatProductE4m3(FloatProduct):
    """2^-18 to 2^18 (37 bits): every product of two numbers, exactly."""

    name = "float_product_e4m3"
    summary = "x * w of float8 e4m3 patterns, in units of 2^-18"
    float_format = FP8_E4M3
    default_window = FixedPoint(-18, 37)


class FloatProductE5m2(FloatProduct):
    """2^-22 to 2^18 (41 bits): sums of 4096 stay below 2^53, a network's limit."""

    name = "float_product_e5m2"
    summary = "x * w of float8 e5m2 patterns, in units of 2^-22"
    float_format = FP8_E5M2
    default_window = FixedPoint(-22, 41)


class FloatProductFp32(FloatProduct):
    """2^-26 to 2^14 (41 bits): products of 1 down to 2^-3 keep all 24 bits of a binary32."""

    name = "float_product_fp32"
    summary = "x * w of binary32 patterns, in units of 2^-26"
    float_format = FP32
    default_window = FixedPoint(-26, 41)
