"""Products of floating-point numbers by one integer addition of their bit patterns.

T. Mogami, "Deep Neural Network Training without Multiplications", 2020; the idea is J. N.
Mitchell's, "Computer Multiplication and Division Using Binary Logarithms", IRE Transactions on
Electronic Computers, 1962. Exponent and mantissa side by side are nearly a logarithm: ``e + a``
stands for the ``e + log2(1 + a)`` of ``2^e (1 + a)``. So the sum of two patterns, less one bias,
is nearly the pattern of the product. With ``s = a + b`` the mantissa part ``(1 + a)(1 + b)``
becomes ``1 + s`` for s < 1 and ``2 s`` from there on.

Relative error. Over the exact product, ``1 + s`` or ``2 s`` is least at a = b = 1/2, 8/9: the
product is 11.1 % too small at worst and exact where a or b is 0; 3.85 % too small on average over
uniform mantissas. A constant c added to the sum (`mean_error_constant`, in units of the last bit)
costs nothing here, because weight codes have it added already. Then the greatest ratio is ``1 + c``
(a = b = 0) and the least ``8 / (3 - c)^2`` (a = b = (1 - c)/2), for 0 <= c < 1/2. c = 7/128 takes
the mean error of bfloat16 to -0.13 %, -7.8 % .. +5.5 %; c = 0.0566 that of wide formats to zero.

The sum keeps all carries, so exponents cannot overflow before the window is looked at. Bit for bit:

===================================  ==============================================
operands                             result
===================================  ==============================================
zero or subnormal, with anything     0 (subnormals count as zero; zero wins even
                                     over infinity and NaN)
infinity or NaN, with anything else  plus or minus `FixedPoint.largest`, the sign
                                     being the exclusive or of the signs
sum's exponent above the window      plus or minus `FixedPoint.largest`
sum's exponent below the window      0
otherwise                            significand shifted to where its exponent
                                     says, bits below the unit cut off
===================================  ==============================================

`int_add_patterns` is the same with a pattern as its result, for training and floating-point sums.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, signed

from ..errors import ModelError
from ..floats import BF16, FP8_E4M3, FP8_E5M2, FP32, FloatFormat
from ..operations.float_product import (
    FloatProductBf16,
    FloatProductE4m3,
    FloatProductE5m2,
    FloatProductFp32,
)
from . import Element
from ._float_window import FloatWindowArithmetic, WindowElement

__all__ = ["IntAdd", "IntAddBf16", "IntAddE4m3", "IntAddE5m2", "IntAddFp32", "int_add_patterns"]


def int_add_patterns(x: np.ndarray, w: np.ndarray, fmt: FloatFormat,
                     mean_error_constant: int = 0) -> np.ndarray:
    """Pattern of the approximate product of two patterns of `fmt`, broadcast (int64).

    Zero or subnormal with anything gives zero (with the exclusive or of the signs, like all
    results). Otherwise infinity or NaN gives `fmt.overflow`, as does a sum above the largest
    finite number; a sum below the smallest normal one gives zero.

    Parameters
    ----------
    x, w : integer arrays
    fmt : FloatFormat
    mean_error_constant : int
        In units of the mantissa's last bit.
    """
    x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
    magnitude_x, magnitude_w = x & (fmt.sign_bit - 1), w & (fmt.sign_bit - 1)
    smallest = 1 << fmt.mantissa_bits
    total = magnitude_x + magnitude_w - (fmt.bias << fmt.mantissa_bits) + mean_error_constant
    special = (magnitude_x > fmt.max_finite) | (magnitude_w > fmt.max_finite)
    result = np.where(special | (total > fmt.max_finite), fmt.overflow,
                      np.where(total < smallest, 0, total))
    zero = (magnitude_x < smallest) | (magnitude_w < smallest)
    return np.where(zero, 0, result) | ((x ^ w) & fmt.sign_bit)


@dataclass(frozen=True)
class IntAdd(FloatWindowArithmetic):
    """Add patterns, shift into fixed point.

    Parameters
    ----------
    activation, weight : Operand
    window : FixedPoint, optional
    mean_error_constant : int
        Added to the sum of patterns, in units of the mantissa's last bit; less than half of one.

    Raises
    ------
    ModelError
        The constant is out of range.
    """

    source = "Mogami 2020; Mitchell 1962"
    exact = False

    mean_error_constant: int = 0

    def __post_init__(self):
        super().__post_init__()
        limit = 1 << (self.float_format.mantissa_bits - 1)
        if type(self.mean_error_constant) is not int or not 0 <= self.mean_error_constant < limit:
            raise ModelError(f"{self.name}'s mean_error_constant must be an integer of "
                             f"0..{limit - 1}, not {self.mean_error_constant!r}")

    @property
    def relative_error_bounds(self) -> tuple[float, float]:
        """Least and greatest relative error of a product, before the window."""
        c = self.mean_error_constant / (1 << self.float_format.mantissa_bits)
        return 8 / (3 - c) ** 2 - 1, c

    @property
    def error_bound(self) -> float:
        # The product's error, and up to one unit of difference from cutting off both.
        low, high = self.relative_error_bounds
        return max(-low, high) * (self.window.largest + 1) + 1

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        fmt, window = self.float_format, self.window
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        leading = 1 << fmt.mantissa_bits
        patterns = x & (fmt.sign_bit - 1), w & (fmt.sign_bit - 1)
        total = sum(patterns) - (fmt.bias << fmt.mantissa_bits) + self.mean_error_constant
        exponent = (total >> fmt.mantissa_bits) - fmt.bias - window.lsb_exponent
        significand = total % leading + leading
        shift = exponent - fmt.mantissa_bits
        magnitude = np.where(shift >= 0,
                             significand << np.clip(shift, 0, window.positions),
                             significand >> np.clip(-shift, 0, 62))
        above = (exponent >= window.positions) | (np.maximum(*patterns) > fmt.max_finite)
        magnitude = np.where(above, window.largest, magnitude)
        magnitude = np.where(np.minimum(*patterns) < leading, 0, magnitude)
        return np.where((x ^ w) & fmt.sign_bit, -magnitude, magnitude)

    def weight_increment(self) -> int:
        return self.mean_error_constant

    def create(self, row: int = 0) -> Element:
        return IntAddElement(self, row)


class IntAddElement(WindowElement):
    """One adder for exponents and mantissas."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        mantissa_bits = arithmetic.float_format.mantissa_bits
        (mantissa_x, exponent_x, sign_x), (mantissa_w, exponent_w, sign_w) = self.codes()
        total = Signal(signed(mantissa_bits + arithmetic.position_bits), reset_less=True)
        negative = Signal(reset_less=True)
        m.d.sync += [total.eq(Cat(mantissa_x, exponent_x).as_signed()
                              + Cat(mantissa_w, exponent_w).as_signed()),
                     negative.eq(sign_x ^ sign_w)]
        position = total[mantissa_bits:].as_signed()
        self.add_shifted(m, Cat(total[:mantissa_bits], Const(1, 1)), mantissa_bits, position,
                         negative, above=self.is_above(position), below=position[-1])
        return m


class IntAddBf16(IntAdd):
    """bfloat16."""

    name = "int_add_bf16"
    summary = "bfloat16 patterns added as integers, into fixed point"
    operation = "float_product_bf16"
    float_format, operation_class = BF16, FloatProductBf16
    activation_bits = weight_bits = (16, 16)


class IntAddE4m3(IntAdd):
    """float8 e4m3."""

    name = "int_add_e4m3"
    summary = "float8 e4m3 patterns added as integers, into fixed point"
    operation = "float_product_e4m3"
    float_format, operation_class = FP8_E4M3, FloatProductE4m3
    activation_bits = weight_bits = (8, 8)


class IntAddE5m2(IntAdd):
    """float8 e5m2."""

    name = "int_add_e5m2"
    summary = "float8 e5m2 patterns added as integers, into fixed point"
    operation = "float_product_e5m2"
    float_format, operation_class = FP8_E5M2, FloatProductE5m2
    activation_bits = weight_bits = (8, 8)


class IntAddFp32(IntAdd):
    """binary32."""

    name = "int_add_fp32"
    summary = "binary32 patterns added as integers, into fixed point"
    operation = "float_product_fp32"
    float_format, operation_class = FP32, FloatProductFp32
    activation_bits = weight_bits = (32, 32)
