"""Mean of each square window; the window holds a power of two elements, so it is a shift."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat, smallest_int
from . import Layer, integer_field
from ._window import pooled_shape, window_reduce

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["AveragePool"]


@dataclass(frozen=True, eq=False)
class AveragePool(Layer):
    """``floor(sum / size^2 + 1/2)`` over windows without padding.

    Parameters
    ----------
    size : int
        Side of the window: 1, 2, 4, 8 or 16.
    stride : int
        Step in both directions, 1..16.
    """

    name: ClassVar[str] = "average_pool"

    size: int
    stride: int

    def __post_init__(self):
        object.__setattr__(self, "size", integer_field(self.size, "average_pool size", 1, 16))
        object.__setattr__(self, "stride", integer_field(self.stride, "average_pool stride",
                                                         1, 16))
        if self.size & (self.size - 1):
            raise ModelError(f"average_pool size must be a power of two, so that the mean is a "
                             f"shift, not {self.size}")

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        shape = pooled_shape(self.name, self.size, self.stride, input_format)
        return TensorFormat(shape, input_format.low, input_format.high)

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        count = self.size * self.size
        wide = smallest_int((input_format.magnitude + 1) * count)
        total = window_reduce(x.astype(wide, copy=False), self.size, self.stride, np.add)
        return np.floor_divide(total + count // 2, count)

    def lower(self, builder: ProgramBuilder) -> None:
        builder.pool("average", self.size, self.stride)

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((3, 4, 6), -8, 7), cls(2, 2)
        yield TensorFormat((2, 5, 5), 0, 15), cls(4, 1)
        yield TensorFormat((2, 5, 3), 0, 15), cls(1, 2)
