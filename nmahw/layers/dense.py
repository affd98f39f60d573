"""Fully connected layer, without bias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..operations import Operation, operation
from ..tensor import TensorFormat
from . import Layer, integer_array

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["Dense"]


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """Matrix-vector product, or sums of another operation.

    Parameters
    ----------
    weights : integer array (out_features, in_features)
    operation : Operation or its name
        What is done to an activation and a weight.
    """

    name: ClassVar[str] = "dense"
    is_matrix: ClassVar[bool] = True

    weights: np.ndarray
    operation: Operation | str = "product"

    def __post_init__(self):
        object.__setattr__(self, "weights", integer_array(self.weights, "dense weights", 2))
        object.__setattr__(self, "operation", operation(self.operation))

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        if input_format.shape != (self.weights.shape[1],):
            raise ModelError(f"dense with weights {self.weights.shape} must get "
                             f"({self.weights.shape[1]},), not {input_format.shape}"
                             + (": put flatten before it" if len(input_format.shape) == 3 else ""))
        return TensorFormat((self.weights.shape[0],),
                            *self.operation.sum_range(self.weights.T, input_format))

    def macs(self, input_format: TensorFormat) -> int:
        return int(self.weights.size)

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        return self.operation.sums(x, self.weights.T, input_format)

    def lower(self, builder: ProgramBuilder) -> None:
        builder.begin_dense(self.weights, self.operation)

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((7,), 0, 15), cls(rng.integers(-8, 8, (5, 7)))
        yield TensorFormat((20,), -8, 7), cls(rng.integers(-8, 8, (11, 20)))
        yield TensorFormat((1,), 0, 15), cls(rng.integers(-8, 8, (1, 1)))
        yield TensorFormat((9,), -8, 7), cls(rng.integers(-8, 8, (3, 9)), operation="l1")
