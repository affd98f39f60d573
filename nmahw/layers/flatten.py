"""(channels, height, width) to (features,), channel by channel, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..tensor import TensorFormat
from . import Layer

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["Flatten"]


@dataclass(frozen=True, eq=False)
class Flatten(Layer):
    """The same elements in the same order with a single axis."""

    name: ClassVar[str] = "flatten"

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        return TensorFormat((input_format.size,), input_format.low, input_format.high)

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        return x.reshape(x.shape[0], -1)

    def lower(self, builder: ProgramBuilder) -> None:
        builder.flatten()

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((3, 2, 4), -8, 7), cls()
        yield TensorFormat((5,), 0, 15), cls()
