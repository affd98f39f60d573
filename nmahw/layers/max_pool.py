"""Largest value of each square window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..tensor import TensorFormat
from . import Layer, integer_field
from ._window import pooled_shape, window_reduce

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["MaxPool"]


@dataclass(frozen=True, eq=False)
class MaxPool(Layer):
    """Max-pooling without padding.

    Parameters
    ----------
    size : int
        Side of the window, 1..16.
    stride : int
        Step in both directions, 1..16.
    """

    name: ClassVar[str] = "max_pool"

    size: int
    stride: int

    def __post_init__(self):
        object.__setattr__(self, "size", integer_field(self.size, "max_pool size", 1, 16))
        object.__setattr__(self, "stride", integer_field(self.stride, "max_pool stride", 1, 16))

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        shape = pooled_shape(self.name, self.size, self.stride, input_format)
        return TensorFormat(shape, input_format.low, input_format.high)

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        return window_reduce(x, self.size, self.stride, np.maximum)

    def lower(self, builder: ProgramBuilder) -> None:
        builder.pool("max", self.size, self.stride)

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((3, 4, 6), -8, 7), cls(2, 2)
        yield TensorFormat((1, 7, 5), 0, 15), cls(3, 2)
        yield TensorFormat((2, 3, 3), -8, -1), cls(2, 3)
