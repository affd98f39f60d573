"""Back to a narrow format: power-of-two scale, round half up, saturate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat, smallest_int
from . import Layer, integer_field

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["Requantise"]


@dataclass(frozen=True, eq=False)
class Requantise(Layer):
    """``clip(floor(x / 2^shift + 1/2), low, high)``.

    Parameters
    ----------
    shift : int
        Binary logarithm of the divisor, 0..40.
    low, high : int
        Saturation limits, inclusive; at most 32 bits wide.
    """

    name: ClassVar[str] = "requantise"

    shift: int
    low: int
    high: int

    def __post_init__(self):
        limit = 2**31
        object.__setattr__(self, "shift", integer_field(self.shift, "requantise shift", 0, 40))
        object.__setattr__(self, "low", integer_field(self.low, "requantise low", -limit, limit))
        object.__setattr__(self, "high", integer_field(self.high, "requantise high",
                                                       -limit, limit))
        if self.low > self.high:
            raise ModelError(f"requantise low must not exceed high, not {self.low} > {self.high}")

    def _scale(self, value: int) -> int:
        return (value + ((1 << self.shift) >> 1)) >> self.shift

    def _clip(self, value: int) -> int:
        return min(max(value, self.low), self.high)

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        return TensorFormat(input_format.shape, self._clip(self._scale(input_format.low)),
                            self._clip(self._scale(input_format.high)))

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        half = (1 << self.shift) >> 1
        wide = smallest_int(max(input_format.magnitude + half, abs(self.low), abs(self.high)))
        x = x.astype(wide, copy=False)
        if self.shift:
            x = (x + wide(half)) >> wide(self.shift)
        return np.clip(x, self.low, self.high).astype(
            smallest_int(self.output_format(input_format).magnitude), copy=False)

    def lower(self, builder: ProgramBuilder) -> None:
        builder.requantise(self.shift, self.low, self.high)

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((3, 4, 4), -200, 900), cls(3, 0, 15)
        yield TensorFormat((9,), -128, 127), cls(4, -4, 3)
        yield TensorFormat((4,), 0, 15), cls(0, 2, 9)
