"""Layer kinds of the network IR: one file each, found by listing this folder.

A layer is a frozen dataclass of plain integers and integer arrays. It says which formats it
takes and gives (`output_format`), computes its golden result (`compute`), and tells the
engine how to run it (`lower`). The three faces share the parameters and nothing else.

To add a layer kind, add a file with a `Layer` subclass that has a `name`; `examples` feeds
the tests, so a new kind is tested without touching them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..registry import Registry
from ..tensor import TensorFormat

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["Layer", "LAYERS", "integer_array", "integer_field"]


def integer_array(value: object, what: str, dimensions: int) -> np.ndarray:
    """A read-only, C-contiguous int64 copy of `value`, which must hold integers."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.size == 0 or array.ndim != dimensions:
        raise ModelError(f"{what} must be a non-empty integer array with {dimensions} axes, not "
                         f"{array.dtype} of shape {array.shape}")
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise ModelError(f"{what} must fit 64-bit signed integers")
    array = np.array(array, dtype=np.int64, order="C")
    array.setflags(write=False)
    return array


def integer_field(value: object, what: str, low: int, high: int) -> int:
    """`value` as a plain int, which must be an integer of `low` .. `high`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) \
            or not low <= value <= high:
        raise ModelError(f"{what} must be an integer of {low}..{high}, not {value!r}")
    return int(value)


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """One step of a `Network`."""

    #: Name of the kind, as in files and messages.
    name: ClassVar[str]
    #: Whether `compute` is a sum of products, so that an arithmetic carries it out.
    is_matrix: ClassVar[bool] = False
    #: Whether it works on a whole result on its way out, so that no layer can follow.
    is_last: ClassVar[bool] = False
    #: Whether its result is a class's number instead of a score for each class.
    names_class: ClassVar[bool] = False

    @abstractmethod
    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        """Format of the result for inputs of `input_format`.

        Raises
        ------
        ModelError
            The layer cannot take `input_format`.
        """

    @abstractmethod
    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        """Golden result for the batch `x` (batch axis first, integers of `input_format`)."""

    @abstractmethod
    def lower(self, builder: ProgramBuilder) -> None:
        """Tell the engine's program how to run this layer."""

    @classmethod
    @abstractmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        """Small instances with an input format each, for the tests."""

    def macs(self, input_format: TensorFormat) -> int:
        """Multiply-accumulate steps per image; 0 for a layer that is no sum of products."""
        return 0

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(np.array_equal(getattr(self, f.name), getattr(other, f.name))
                   for f in fields(self))

    def __hash__(self) -> int:
        values = [getattr(self, f.name) for f in fields(self)]
        return hash((type(self), *(v.tobytes() if isinstance(v, np.ndarray) else v
                                   for v in values)))

    def __str__(self) -> str:
        parts = [f"{f.name}={'x'.join(map(str, v.shape)) if isinstance(v, np.ndarray) else v}"
                 for f in fields(self) for v in [getattr(self, f.name)]]
        return f"{self.name}({', '.join(parts)})"


#: Every layer kind there is.
LAYERS: Registry[Layer] = Registry(__name__, Layer, "layer")
