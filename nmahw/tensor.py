"""Integer tensor formats: a shape and the inclusive range its elements can take."""

from dataclasses import dataclass
from math import prod

import numpy as np

from .errors import ModelError

__all__ = ["TensorFormat", "bits_for_range", "smallest_int"]


def bits_for_range(low: int, high: int) -> int:
    """Bits that hold every integer of `low` .. `high` (two's complement if `low` < 0)."""
    if low < 0:
        return max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1
    return max(high.bit_length(), 1)


@dataclass(frozen=True)
class TensorFormat:
    """Shape and value range of a tensor on its way through a network (batch axis left out).

    Parameters
    ----------
    shape : tuple of int
        ``(channels, height, width)`` or ``(features,)``.
    low, high : int
        Smallest and largest value an element can take, inclusive.
    """

    shape: tuple[int, ...]
    low: int
    high: int

    def __post_init__(self):
        if len(self.shape) not in (1, 3) or any(type(d) is not int or d < 1 for d in self.shape):
            raise ModelError(f"a tensor's shape must be (features,) or (channels, height, width) "
                             f"with every size at least 1, not {self.shape!r}")
        if type(self.low) is not int or type(self.high) is not int or self.low > self.high:
            raise ModelError(f"a tensor's range must be two integers low <= high, "
                             f"not {self.low!r}..{self.high!r}")

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def signed(self) -> bool:
        """Whether the range reaches below zero."""
        return self.low < 0

    @property
    def bits(self) -> int:
        """Width of one element in bits."""
        return bits_for_range(self.low, self.high)

    @property
    def magnitude(self) -> int:
        """Largest absolute value in the range."""
        return max(abs(self.low), abs(self.high))

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {'s' if self.signed else 'u'}{self.bits}"


def smallest_int(bound: int) -> type:
    """Integer type in which golden results of magnitude `bound` are kept."""
    return np.int32 if bound < 2**31 else np.int64
