"""Softmax without products or quotients: two small tables, shifts, additions.

``y[i] = e^(s x[i]) / sum_j e^(s x[j])``, as ``2^-(u[i] + log2(sum_j 2^-u[j]))``.
The *exponent* u[i] is the difference from the largest feature times the binary logarithm of the
base (a few signed shifts), a fixed-point number of `table_bits` fraction bits. Its fraction
addresses a table of powers of two, its integer part is a shift; so every *term* is. The sum's
leading one is the integer part of its logarithm, the bits behind it address a second table. The
quotient is a difference of exponents, and the first table makes a number of it again.

Mitchell (1962) divides by logarithms in the same way. The tables' lengths and the terms' width
decide the error; `Softmax.error_bound` derives it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..signed_digits import signed_digits
from ..tensor import TensorFormat
from . import Layer, integer_field

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["BASES", "Softmax"]

#: Binary logarithm of every base there is.
BASES = {"e": math.log2(math.e), "2": 1.0}
# Bits by which terms are finer than results.
_GUARD_BITS = 4


@dataclass(frozen=True, eq=False)
class Softmax(Layer):
    """Probabilities of the features, in units of ``2^-bits``; only a network's last layer.

    The largest result is ``2^bits - 1``. A larger feature never gets the smaller result.

    Parameters
    ----------
    shift : int
        Fraction bits of the features, 0..32.
    bits : int
        Width of the results, 1..16.
    table_bits : int
        Binary logarithm of the tables' lengths and fraction bits of exponents, 1..12.
    base : str
        ``"e"`` or ``"2"``.
    steps : int
        A feature's unit stands for ``steps / 2^shift``; 1..65536.
    """

    name: ClassVar[str] = "softmax"
    is_last: ClassVar[bool] = True

    shift: int
    bits: int = 8
    table_bits: int = 8
    base: str = "e"
    steps: int = 1

    def __post_init__(self):
        for what, low, high in (("shift", 0, 32), ("bits", 1, 16), ("table_bits", 1, 12),
                                ("steps", 1, 65536)):
            object.__setattr__(self, what, integer_field(getattr(self, what), f"softmax {what}",
                                                         low, high))
        if not isinstance(self.base, str) or self.base not in BASES:
            raise ModelError(f"softmax base must be one of {', '.join(BASES)}, not {self.base!r}")

    @classmethod
    def of_step(cls, step: float, bits: int = 8, table_bits: int = 8) -> Softmax:
        """The softmax, base e, of features whose unit stands for `step`, to one part in 2^12.

        Raises
        ------
        ModelError
            No such layer: `step` must be 2^-20 to 2^15.
        """
        if not 2.0**-20 <= step <= 2.0**15:
            raise ModelError(f"softmax needs features whose unit stands for 2^-20..2^15, not "
                             f"{step}")
        # Twelve fraction bits at the least, or fewer steps that are near enough.
        shift = next(shift for shift in range(33)
                     if abs(round(step * 2.0**shift) / (step * 2.0**shift) - 1) <= 2.0**-12)
        return cls(shift, bits, table_bits, "e", round(step * 2.0**shift))

    @property
    def scale(self) -> float:
        """What the binary exponent of a feature's unit is, times ``2^shift``."""
        return BASES[self.base] * self.steps

    # What golden model and hardware are both made of.

    @property
    def term_bits(self) -> int:
        """Fraction bits of a term, whose largest value is 1."""
        return self.bits + _GUARD_BITS

    @property
    def mantissa_bits(self) -> int:
        """Bits behind the sum's leading one that count."""
        return min(self.table_bits, self.term_bits)

    @cached_property
    def factor(self) -> tuple[int, int]:
        """Multiplier and right shift (negative: left) that make exponents of differences.

        The multiplier is the shortest one for which the largest difference that counts is off by a
        quarter of an exponent's unit at most.
        """
        span = (self.term_bits + 3) / self.scale
        for fraction in range(-20, 40):
            multiplier = round(self.scale * 2.0**fraction)
            error = abs(multiplier / 2.0**fraction - self.scale)
            if error * span <= 2.0 ** (-self.table_bits - 2):
                break
        return multiplier, fraction + self.shift - self.table_bits

    @cached_property
    def largest_difference(self) -> int:
        """Difference whose term, like those of all larger ones, is 0."""
        multiplier, shift = self.factor
        limit = (self.term_bits + 2) << self.table_bits
        least = (limit << shift) - ((1 << shift) >> 1) if shift > 0 else limit
        return -(-least // (multiplier << max(-shift, 0)))

    @cached_property
    def powers(self) -> tuple[int, ...]:
        """Table of ``2^-f`` for every fraction f of an exponent."""
        steps = np.arange(1 << self.table_bits) / (1 << self.table_bits)
        return tuple(int(v) for v in np.rint(2.0 ** (self.term_bits - steps)))

    @cached_property
    def logarithms(self) -> tuple[int, ...]:
        """Table of ``log2(1 + m)`` for every mantissa m, in the middle of what it stands for."""
        middles = (np.arange(1 << self.mantissa_bits) + 0.5) / (1 << self.mantissa_bits)
        return tuple(int(v) for v in np.rint(np.log2(1 + middles) * (1 << self.table_bits)))

    # Closed forms.

    def error_bound(self, features: int) -> float:
        """Largest difference between ``result / 2^bits`` and the true softmax.

        An exponent is off by its rounding and by its factor; as the sum's terms are off by the
        same, only differences of these errors count. A term is rounded twice (by 1/4 and 1/2 at
        most where it is shifted, by 1/2 where not); the largest one is exact. The sum's logarithm
        is off by half a mantissa's unit, ``log2(e)`` times, and by its table's rounding. All that
        is an error of the result's exponent, so a factor of a result of at most 1; then the table's
        and the result's own rounding.
        """
        multiplier, shift = self.factor
        rounding = 2.0 ** (-self.table_bits - 1)
        span = self.largest_difference / 2.0**self.shift
        fraction = shift - self.shift + self.table_bits
        exponent = (2 * rounding * (shift > 0)
                    + abs(multiplier / 2.0**fraction - self.scale) * span)
        terms = -math.log2(1 - 0.75 * (features - 1) / (1 << self.term_bits))
        logarithm = 2.0 ** (-self.mantissa_bits - 1) * math.log2(math.e) + rounding
        bound = (2 ** (exponent + terms + logarithm) - 1 + 2.0 ** (-self.term_bits - 1)
                 + 2.0 ** (-self.bits - 1))
        return max(bound, 2.0**-self.bits)

    # The layer.

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        if len(input_format.shape) != 1:
            raise ModelError(f"softmax must get (features,), not {input_format.shape}: "
                             f"put flatten before it")
        # Rounded terms must not outweigh the largest one.
        most = 1 << (self.term_bits - 1)
        if input_format.size > most:
            raise ModelError(f"softmax of {self.bits} bits must get at most {most} features, not "
                             f"{input_format.size}: give it more bits")
        return TensorFormat(input_format.shape, 0, (1 << self.bits) - 1)

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        x = x.astype(np.int64, copy=False)
        distance = np.minimum(x.max(axis=1, keepdims=True) - x, self.largest_difference)
        multiplier, shift = self.factor
        exponent = (distance * multiplier) << max(-shift, 0)
        if shift > 0:
            exponent = (exponent + (1 << (shift - 1))) >> shift
        total = self._power(exponent).sum(axis=1, keepdims=True)
        leading = np.frexp(total.astype(np.float64))[1] - 1
        mantissa = ((total << self.mantissa_bits) >> leading) - (1 << self.mantissa_bits)
        logarithm = (leading << self.table_bits) + np.array(self.logarithms)[mantissa]
        # Both in units of a term; a result has fewer fraction bits than a term.
        result = self._power(exponent + logarithm - (self.bits << self.table_bits))
        return np.minimum(result, (1 << self.bits) - 1).astype(np.int32)

    def _power(self, exponent: np.ndarray) -> np.ndarray:
        """``2^-exponent`` in units of a term, rounded half up."""
        shift = np.minimum(exponent >> self.table_bits, 40)
        entry = np.array(self.powers)[exponent & (len(self.powers) - 1)]
        return (entry + ((1 << shift) >> 1)) >> shift

    def lower(self, builder: ProgramBuilder) -> None:
        builder.softmax(self)

    # Hardware's closed form.

    @cached_property
    def latency_cycles(self) -> int:
        """From a feature's address to its term or result: one cycle for each digit, and eight."""
        return 8 + len(signed_digits(self.factor[0]))

    def exit_cycles(self, features: int) -> int:
        """From the last feature to when the next result may be written, without a pause.

        A sweep for the sum, its normalisation, the look-up, and one result after the other.
        """
        return (3 + features + self.latency_cycles + features.bit_length() - 1
                + features * (self.latency_cycles + 2))

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((10,), -512, 511), cls(5)
        yield TensorFormat((7,), -8, 7), cls(0, 4, 3)
        yield TensorFormat((5,), 0, 255), cls(3, 12, 6, "2")
        yield TensorFormat((3,), 0, 15), cls(9, 1, 12, "2")
        yield TensorFormat((1,), -2, 3), cls(1, 16, 12)
        yield TensorFormat((40,), -(2**14), 2**14), cls(10, 10, 10)
        yield TensorFormat((10,), -800, 700), cls.of_step(1 / 255, 8, 9)
