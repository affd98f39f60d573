"""Floating-point formats by their bit patterns, and the fixed-point window that sums them.

IEEE 754-2019 binary interchange formats, and the 8-bit formats of P. Micikevicius et al., "FP8
Formats for Deep Learning", 2022: E5M2 is made like IEEE's, E4M3 has no infinities and gives
their place to finite numbers but for one pattern of NaN per sign.
"""

from dataclasses import dataclass

import numpy as np

from .errors import ModelError

__all__ = ["FloatFormat", "FixedPoint", "FP32", "BF16", "FP8_E4M3", "FP8_E5M2"]


@dataclass(frozen=True)
class FloatFormat:
    """Sign, exponent and mantissa (fraction) side by side, most significant first.

    A number is ``(-1)^sign * 2^(exponent - bias) * (1 + mantissa / 2^mantissa_bits)``; where the
    exponent field is 0 it is subnormal, ``(-1)^sign * 2^(1 - bias) * mantissa / 2^mantissa_bits``.

    Parameters
    ----------
    exponent_bits : int
        2..8.
    mantissa_bits : int
        1..23, without the leading one.
    bias : int
        By default ``2^(exponent_bits - 1) - 1``.
    has_infinity : bool
        True: the largest exponent field holds infinity (mantissa 0) and NaN. False: only the
        pattern of all ones is NaN, all others are finite.

    Raises
    ------
    ModelError
        Bits out of range.
    """

    exponent_bits: int
    mantissa_bits: int
    bias: int | None = None
    has_infinity: bool = True

    def __post_init__(self):
        for what, value, high in (("exponent", self.exponent_bits, 8),
                                  ("mantissa", self.mantissa_bits, 23)):
            low = 2 if what == "exponent" else 1
            if type(value) is not int or not low <= value <= high:
                raise ModelError(f"a float's {what} must have {low}..{high} bits, not {value!r}")
        if self.bias is None:
            object.__setattr__(self, "bias", (1 << (self.exponent_bits - 1)) - 1)
        elif type(self.bias) is not int or abs(self.bias) > 255:
            raise ModelError(f"a float's bias must be an integer of -255..255, not {self.bias!r}")

    @property
    def bits(self) -> int:
        """Width of a pattern."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def sign_bit(self) -> int:
        """Pattern of the sign alone, that is of -0."""
        return 1 << (self.bits - 1)

    @property
    def exponent_ones(self) -> int:
        """Largest value of the exponent field."""
        return (1 << self.exponent_bits) - 1

    @property
    def max_finite(self) -> int:
        """Pattern of the largest finite number."""
        special = self.exponent_ones << self.mantissa_bits
        return special - 1 if self.has_infinity else self.sign_bit - 2

    @property
    def infinity(self) -> int | None:
        """Pattern of +infinity; None without one."""
        return self.max_finite + 1 if self.has_infinity else None

    @property
    def nan(self) -> int:
        """Pattern that `encode` gives a positive NaN (quiet)."""
        if not self.has_infinity:
            return self.sign_bit - 1
        return self.infinity | (1 << (self.mantissa_bits - 1))

    @property
    def overflow(self) -> int:
        """Pattern of what is too large: infinity, or NaN where there is none."""
        return self.max_finite + 1

    @property
    def max_exponent(self) -> int:
        """Largest exponent field of a finite number."""
        return self.max_finite >> self.mantissa_bits

    def decode(self, patterns: np.ndarray) -> np.ndarray:
        """Values of patterns, exact (float64).

        Parameters
        ----------
        patterns : integer array
            The low `bits` bits count.
        """
        patterns = np.asarray(patterns).astype(np.int64)
        magnitude = patterns & (self.sign_bit - 1)
        exponent = magnitude >> self.mantissa_bits
        mantissa = magnitude & ((1 << self.mantissa_bits) - 1)
        significand = np.where(exponent > 0, mantissa | (1 << self.mantissa_bits), mantissa)
        value = np.ldexp(significand.astype(np.float64),
                         np.maximum(exponent, 1) - self.bias - self.mantissa_bits)
        value = np.where(magnitude > self.max_finite, np.nan, value)
        if self.has_infinity:
            value = np.where(magnitude == self.infinity, np.inf, value)
        return np.copysign(value, np.where(patterns & self.sign_bit, -1.0, 1.0))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Patterns of the nearest numbers (int64), ties to the even mantissa.

        What rounds to more than the largest finite number becomes `overflow`; NaN becomes `nan`
        with its sign. Subnormals are made.

        Parameters
        ----------
        values : real array
        """
        values = np.asarray(values, dtype=np.float64)
        finite = np.isfinite(values)
        magnitude = np.where(finite, np.abs(values), 0.0)
        exponent = np.where(magnitude > 0, np.frexp(magnitude)[1] - 1, 1 - self.bias)
        exponent = np.maximum(exponent, 1 - self.bias)
        # Scaling by a power of two is exact, so there is one rounding only.
        units = np.rint(np.ldexp(magnitude, self.mantissa_bits - exponent)).astype(np.int64)
        # The leading one of `units` adds one to the exponent field, a carry out of it another.
        # Exponents far above the format's are cut so that the shift below stays in range.
        steps = np.minimum(exponent + self.bias - 1, self.exponent_ones + 1).astype(np.int64)
        pattern = np.minimum(units + (steps << self.mantissa_bits), self.overflow)
        pattern = np.where(finite, pattern, np.where(np.isnan(values), self.nan, self.overflow))
        return pattern | np.where(np.signbit(values), self.sign_bit, 0)

    def __str__(self) -> str:
        return f"e{self.exponent_bits}m{self.mantissa_bits}"


#: IEEE 754 binary32.
FP32 = FloatFormat(8, 23)
#: bfloat16: the upper half of binary32.
BF16 = FloatFormat(8, 7)
#: E4M3 of Micikevicius et al. (``float8_e4m3fn``): up to 448, no infinity.
FP8_E4M3 = FloatFormat(4, 3, has_infinity=False)
#: E5M2 of Micikevicius et al. (``float8_e5m2``): the upper half of binary16.
FP8_E5M2 = FloatFormat(5, 2)


@dataclass(frozen=True)
class FixedPoint:
    """The window of a fixed-point number: sign and magnitude in units of a power of two.

    A real number v gets the integer ``trunc(v / 2^lsb_exponent)`` (toward zero), clipped to
    ``-largest .. largest``. Sums of such integers are exact in any order.

    Parameters
    ----------
    lsb_exponent : int
        Binary logarithm of the unit, -512..512.
    bits : int
        Width with the sign, 2..57: sums over 64 rows still fit 64 bits.

    Raises
    ------
    ModelError
        Out of range.
    """

    lsb_exponent: int
    bits: int

    def __post_init__(self):
        for what, value, low, high in (("lsb_exponent", self.lsb_exponent, -512, 512),
                                       ("bits", self.bits, 2, 57)):
            if type(value) is not int or not low <= value <= high:
                raise ModelError(f"a fixed-point window's {what} must be an integer of "
                                 f"{low}..{high}, not {value!r}")

    @property
    def positions(self) -> int:
        """Exponents that the leading one of a number can have: bits of the magnitude."""
        return self.bits - 1

    @property
    def largest(self) -> int:
        """Largest magnitude, in units."""
        return (1 << self.positions) - 1

    @property
    def unit(self) -> float:
        """Value of 1."""
        return 2.0 ** self.lsb_exponent
