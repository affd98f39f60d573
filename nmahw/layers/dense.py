"""Fully connected layer, without bias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat
from . import Layer, integer_array
from ._product import column_range, exact_matmul

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["Dense"]


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """Matrix-vector product.

    Parameters
    ----------
    weights : integer array (out_features, in_features)
    """

    name: ClassVar[str] = "dense"
    is_matrix: ClassVar[bool] = True

    weights: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "weights", integer_array(self.weights, "dense weights", 2))

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        if input_format.shape != (self.weights.shape[1],):
            raise ModelError(f"dense with weights {self.weights.shape} must get "
                             f"({self.weights.shape[1]},), not {input_format.shape}"
                             + (": put flatten before it" if len(input_format.shape) == 3 else ""))
        return TensorFormat((self.weights.shape[0],),
                            *column_range(self.weights.T, input_format))

    def macs(self, input_format: TensorFormat) -> int:
        return int(self.weights.size)

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        return exact_matmul(x, self.weights.T, input_format.magnitude)

    def lower(self, builder: ProgramBuilder) -> None:
        builder.begin_dense(self.weights)

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((7,), 0, 15), cls(rng.integers(-8, 8, (5, 7)))
        yield TensorFormat((20,), -8, 7), cls(rng.integers(-8, 8, (11, 20)))
        yield TensorFormat((1,), 0, 15), cls(rng.integers(-8, 8, (1, 1)))
