"""One integer per channel (or feature), added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat, smallest_int
from . import Layer, integer_array

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["Bias"]


@dataclass(frozen=True, eq=False)
class Bias(Layer):
    """Addition of a constant per channel.

    Parameters
    ----------
    values : integer array (channels,)
    """

    name: ClassVar[str] = "bias"

    values: np.ndarray

    def __post_init__(self):
        values = integer_array(self.values, "bias values", 1)
        if abs(int(values.min())) >= 2**52 or int(values.max()) >= 2**52:
            raise ModelError("bias values must be below 2^52 in magnitude")
        object.__setattr__(self, "values", values)

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        if input_format.shape[0] != self.values.size:
            raise ModelError(f"bias with {self.values.size} values must get as many channels, "
                             f"not {input_format.shape}")
        return TensorFormat(input_format.shape, input_format.low + int(self.values.min()),
                            input_format.high + int(self.values.max()))

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        kept = smallest_int(self.output_format(input_format).magnitude)
        values = self.values.astype(kept).reshape((-1,) + (1,) * (x.ndim - 2))
        return x.astype(kept, copy=False) + values

    def lower(self, builder: ProgramBuilder) -> None:
        builder.add_bias(self.values)

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((3, 2, 4), -8, 7), cls(rng.integers(-50, 50, 3))
        yield TensorFormat((6,), 0, 15), cls(rng.integers(-50, 50, 6))
