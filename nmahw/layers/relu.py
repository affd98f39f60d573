"""Rectified linear unit: ``max(x, 0)``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..tensor import TensorFormat
from . import Layer

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["ReLU"]


@dataclass(frozen=True, eq=False)
class ReLU(Layer):
    """Negative values become zero."""

    name: ClassVar[str] = "relu"

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        return TensorFormat(input_format.shape, max(input_format.low, 0),
                            max(input_format.high, 0))

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        return np.maximum(x, 0)

    def lower(self, builder: ProgramBuilder) -> None:
        builder.rectify()

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((2, 3, 3), -8, 7), cls()
        yield TensorFormat((5,), -8, 7), cls()
