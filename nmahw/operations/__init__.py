"""Operations: what a matrix layer does to an activation and a weight before it adds up.

An *operation* is mathematics, part of the network: the product of ordinary layers, the negative
L1 distance of AdderNet, ... An *arithmetic* (`nmahw.arith`) is how hardware carries one out. One
file each, found by listing this folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from ..errors import ModelError
from ..registry import Registry
from ..tensor import TensorFormat

__all__ = ["Operation", "OPERATIONS", "operation"]


class Operation(ABC):
    """A function of an activation and a weight, and sums of it."""

    #: Name in network files and messages.
    name: ClassVar[str]
    #: One line for listings.
    summary: ClassVar[str]
    #: Whether activations and weights must be on one scale, which is then that of the sums.
    shared_scale: ClassVar[bool] = False

    @abstractmethod
    def apply(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The function, elementwise, broadcast (int64)."""

    def sums(self, x: np.ndarray, weights: np.ndarray, x_format: TensorFormat) -> np.ndarray:
        """``sum_k apply(x[..., k], weights[k, n])``, exact.

        Parameters
        ----------
        x : integer array (..., K)
            Of `x_format`, or zero.
        weights : integer array (K, N)
        x_format : TensorFormat
        """
        x = np.asarray(x)
        flat = x.reshape(-1, x.shape[-1])
        result = np.empty((len(flat), weights.shape[1]), dtype=np.int64)
        # Pieces that stay in the cache.
        rows = max(1, (1 << 18) // weights.size)
        for start in range(0, len(flat), rows):
            part = flat[start:start + rows].astype(np.int64)
            result[start:start + rows] = self.apply(
                part[:, :, None], weights[None].astype(np.int64)).sum(axis=1)
        return result.reshape(*x.shape[:-1], weights.shape[1])

    def real_sums(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The same sums of real numbers, for float networks: float arrays (M, K) and (K, N).

        Raises
        ------
        ModelError
            The operation is not one of real numbers.
        """
        raise ModelError(f"a float network's operation must be one of real numbers, not {self}")

    def contributions(self, weights: np.ndarray, x_format: TensorFormat) \
            -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest `apply` over the activations, 0 included, for each weight."""
        kinds, where = np.unique(weights, return_inverse=True)
        x = np.arange(min(x_format.low, 0), max(x_format.high, 0) + 1, dtype=np.int64)
        table = self.apply(x[:, None], kinds[None].astype(np.int64))
        where = where.reshape(weights.shape)
        return table.min(axis=0)[where], table.max(axis=0)[where]

    def sum_range(self, weights: np.ndarray, x_format: TensorFormat) -> tuple[int, int]:
        """Range of any partial sum, whatever the order and cut, for weights (K, N)."""
        low, high = self.contributions(weights, x_format)
        return (int(np.minimum(low, 0).sum(axis=0).min()),
                int(np.maximum(high, 0).sum(axis=0).max()))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<operation {self}>"


#: Every operation there is.
OPERATIONS: Registry[Operation] = Registry(__name__, Operation, "operation")


def operation(given: str | Operation) -> Operation:
    """The operation of that name; an operation stays as it is.

    Raises
    ------
    UsageError
        There is none of that name; the message lists what there is.
    """
    return given if isinstance(given, Operation) else OPERATIONS.get(given)()
