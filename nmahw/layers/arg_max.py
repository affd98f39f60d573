"""Index of the largest feature; of several equal ones, the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat
from . import Layer

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["ArgMax"]


@dataclass(frozen=True, eq=False)
class ArgMax(Layer):
    """The class a classifier names; only a network's last layer."""

    name: ClassVar[str] = "arg_max"
    is_last: ClassVar[bool] = True
    names_class: ClassVar[bool] = True

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        if len(input_format.shape) != 1:
            raise ModelError(f"arg_max must get (features,), not {input_format.shape}: "
                             f"put flatten before it")
        return TensorFormat((1,), 0, input_format.size - 1)

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        return np.argmax(x, axis=1, keepdims=True).astype(np.int32)

    def lower(self, builder: ProgramBuilder) -> None:
        builder.arg_max()

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        yield TensorFormat((7,), -4, 3), cls()
        yield TensorFormat((1,), 0, 3), cls()
