"""Batch norm's factor: each channel times one or two signed powers of two, by shifts.

Two such terms come within a tenth of any factor. AdderNet (CVPR 2020) needs it, because its sums
grow with the fan-in. Only left shifts: results are exact integers, and the requantise that
follows divides with rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat, smallest_int
from . import Layer, integer_array

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["ChannelScale", "MAX_SHIFT"]

#: Largest shift of a term.
MAX_SHIFT = 31


@dataclass(frozen=True, eq=False)
class ChannelScale(Layer):
    """``y[c] = signs[c, 0] * (x[c] << shifts[c, 0]) + signs[c, 1] * (x[c] << shifts[c, 1])``.

    Parameters
    ----------
    signs : integer array (channels, 2)
        -1, 0 or 1; a term of sign 0 is none.
    shifts : integer array (channels, 2)
        0..31.
    """

    name: ClassVar[str] = "channel_scale"

    signs: np.ndarray
    shifts: np.ndarray

    def __post_init__(self):
        for what, low, high in (("signs", -1, 1), ("shifts", 0, MAX_SHIFT)):
            values = integer_array(getattr(self, what), f"channel_scale {what}", 2)
            if values.shape[1] != 2:
                raise ModelError(f"channel_scale {what} must have shape (channels, 2), not "
                                 f"{values.shape}")
            if values.min() < low or values.max() > high:
                raise ModelError(f"channel_scale {what} must lie in {low}..{high}, not "
                                 f"{values.min()}..{values.max()}")
            object.__setattr__(self, what, values)
        if self.signs.shape != self.shifts.shape:
            raise ModelError(f"channel_scale must have as many signs as shifts, not "
                             f"{len(self.signs)} and {len(self.shifts)}")

    @property
    def factors(self) -> np.ndarray:
        """What each channel is scaled by (channels,)."""
        return (self.signs << self.shifts).sum(axis=1)

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        if input_format.shape[0] != len(self.signs):
            raise ModelError(f"channel_scale of {len(self.signs)} channels must get as many, not "
                             f"{input_format.shape}")
        largest = input_format.magnitude << self._largest_shift
        if largest >= 2**53:
            raise ModelError(f"channel_scale terms must stay below 2^53, but can reach {largest}")
        corners = [bound * factor for bound in (input_format.low, input_format.high)
                   for factor in self.factors.tolist()]
        return TensorFormat(input_format.shape, min(corners), max(corners))

    @property
    def _largest_shift(self) -> int:
        return int(np.max(self.shifts, where=self.signs != 0, initial=0))

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        # Twice the larger term holds both.
        kept = smallest_int(input_format.magnitude << (self._largest_shift + 1))
        x = x.astype(kept, copy=False)
        result = np.zeros(x.shape, dtype=kept)
        for signs, shifts in zip(self.signs.T, self.shifts.T, strict=True):
            signs, shifts = (values.astype(kept).reshape((-1,) + (1,) * (x.ndim - 2))
                             for values in (signs, np.where(signs != 0, shifts, 0)))
            result += signs * (x << shifts)
        return result

    def lower(self, builder: ProgramBuilder) -> None:
        builder.scale_channels(self.factors)

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        def drawn(channels: int, high: int) -> ChannelScale:
            return cls(rng.integers(-1, 2, (channels, 2)), rng.integers(0, high + 1, (channels, 2)))

        yield TensorFormat((3, 2, 4), -8, 7), drawn(3, 5)
        yield TensorFormat((9,), 0, 15), drawn(9, 7)
        yield TensorFormat((4,), -128, 127), cls(
            np.array([[1, 0], [-1, 0], [0, 1], [0, 0]]), np.array([[0, 9], [3, 0], [0, 8], [1, 1]]))
        yield TensorFormat((1, 2, 2), -(2**12), 2**12), cls(np.array([[-1, 1]]),
                                                            np.array([[31, 0]]))
