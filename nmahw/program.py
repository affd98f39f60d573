"""A network as the engine runs it: passes over a matrix, with what happens on the way out.

A *pass* computes, for every *position* (output pixel, in the order pooling needs them) and every
output channel, a sum over *taps* k of activation times weight; its results go ``scale - bias -
rescale - pool - rescale`` into memory. Positions are numbered so that an activation's address is
``position address + tap offset``: both come from counters that add constants and from one small
table, so that no multiplier is needed. `nmahw.lowering` makes a `Program` of a network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .layers.softmax import Softmax
from .network import Network
from .operations import Operation
from .tensor import TensorFormat

__all__ = ["Region", "Rescale", "Pool", "Pass", "Program"]


@dataclass(frozen=True)
class Rescale:
    """``clip(floor(x / 2^shift + 1/2), low, high)``; ``None`` for a limit that never acts."""

    shift: int = 0
    low: int | None = None
    high: int | None = None

    def then(self, other: Rescale) -> Rescale | None:
        """The two in a row as one, if that is possible without rounding twice."""
        if self.shift and other.shift:
            return None
        low, high = (None if limit is None else other.apply(limit)
                     for limit in (self.low, self.high))
        return Rescale(self.shift + other.shift, other.low if low is None else low,
                       other.high if high is None else high)

    def apply(self, value: int) -> int:
        """Result for one integer."""
        value = (value + ((1 << self.shift) >> 1)) >> self.shift
        if self.low is not None:
            value = max(value, self.low)
        return value if self.high is None else min(value, self.high)

    def range(self, low: int, high: int) -> tuple[int, int]:
        """Range of the result for values of `low` .. `high`."""
        return self.apply(low), self.apply(high)

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self == Rescale()


@dataclass(frozen=True)
class Pool:
    """Reduction over a window of positions.

    Parameters
    ----------
    kind : str
        ``"max"`` or ``"average"``.
    size, stride : int
    """

    kind: str = "max"
    size: int = 1
    stride: int = 1

    @property
    def shift(self) -> int:
        """Binary logarithm of what a sum over the window is divided by (average only)."""
        return 2 * (self.size.bit_length() - 1) if self.kind == "average" else 0


@dataclass(frozen=True)
class Region:
    """Where a tensor lies in the activation memory: channel by channel, row by row.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height, width.
    padding : int
        Zeros around each channel, never written.
    base : int
        Address of the first word, border included.
    """

    shape: tuple[int, int, int]
    padding: int = 0
    base: int = 0

    @property
    def pitch(self) -> int:
        """Words from one row to the next."""
        return self.shape[2] + 2 * self.padding

    @property
    def plane(self) -> int:
        """Words from one channel to the next."""
        return self.pitch * (self.shape[1] + 2 * self.padding)

    @property
    def words(self) -> int:
        """Words in all."""
        return self.plane * self.shape[0]

    @property
    def origin(self) -> int:
        """Address of element (0, 0, 0)."""
        return self.base + self.padding * self.pitch + self.padding

    def locate(self, address: int) -> tuple[int, int, int] | None:
        """Channel, row and column of the element at `address`; None for border or outside."""
        offset = address - self.base
        if not 0 <= offset < self.words:
            return None
        channel, rest = divmod(offset, self.plane)
        y, x = (value - self.padding for value in divmod(rest, self.pitch))
        inside = 0 <= y < self.shape[1] and 0 <= x < self.shape[2]
        return (channel, y, x) if inside else None


@dataclass(frozen=True)
class Pass:
    """One sweep of the array over one matrix layer.

    Attributes
    ----------
    title : str
        For reports, e.g. ``"0 conv2d"``.
    first_layer, last_layer : int
        Layers of the network this pass carries out, inclusive.
    weights : integer array (taps, channels)
    kernel : (int, int)
        Kernel height and width; the taps run over input channel, row, column.
    stride, padding : int
    is_dense : bool
        One position whose taps are the whole input.
    scale : integer array (channels,)
        What a channel's sums are scaled by before the bias: at most two signed powers of two.
    bias : integer array (channels,)
    before, after : Rescale
        On the way out, before and after the pool.
    pool : Pool
    grid : (int, int)
        Pooled output positions: rows and columns.
    input_format : TensorFormat
        Of the activations.
    operation : Operation
        What is done to an activation and a weight.
    sums : (int, int)
        Range of the accumulator, whatever the order and cut of the sum.
    source, target : Region
        Where activations come from and results go (the last pass: in the output buffer).
    """

    title: str
    first_layer: int
    last_layer: int
    weights: np.ndarray
    kernel: tuple[int, int]
    stride: int
    padding: int
    is_dense: bool
    scale: np.ndarray
    bias: np.ndarray
    before: Rescale
    after: Rescale
    pool: Pool
    grid: tuple[int, int]
    input_format: TensorFormat
    operation: Operation
    sums: tuple[int, int]
    source: Region
    target: Region

    @property
    def taps(self) -> int:
        """Length of the sum."""
        return self.weights.shape[0]

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.weights.shape[1]

    @property
    def positions(self) -> int:
        """Sums per output channel, those that pooling then reduces included."""
        return self.grid[0] * self.grid[1] * self.pool.size**2

    @property
    def macs(self) -> int:
        """Steps of one activation and one weight the array carries out."""
        return self.positions * self.weights.size

    def tap_offset(self, tap: int) -> int:
        """Address of tap `tap`'s activation relative to the position's address."""
        if self.is_dense:
            return tap
        channel, rest = divmod(tap, self.kernel[0] * self.kernel[1])
        row, column = divmod(rest, self.kernel[1])
        return channel * self.source.plane + row * self.source.pitch + column

    def ranges(self) -> dict[str, tuple[int, int]]:
        """Ranges of the values on the way out, by stage name."""
        scaled = [limit * factor for limit in self.sums for factor in self.scale.tolist()]
        biased = (min(scaled) + min(int(self.bias.min()), 0),
                  max(scaled) + max(int(self.bias.max()), 0))
        before = self.before.range(*biased)
        pooled = before
        count = 1 << self.pool.shift
        total = (min(before[0] * count, 0), max(before[1] * count + count // 2, 0))
        return {"sum": self.sums, "biased": biased, "before": before,
                "total": total if self.pool.kind == "average" else before,
                "pooled": pooled, "after": self.after.range(*pooled)}


@dataclass(frozen=True)
class Program:
    """The passes of a network and the memory they use.

    Attributes
    ----------
    network : Network
    passes : tuple of Pass
    entry : Rescale
        What happens to elements of the input on their way in.
    sources : (Region, Region)
        Where inputs go, by turns: one is filled while the other is computed.
    memory_words : int
        Words of activation memory, for one reader.
    arg_max : bool
        Whether the result is the index of the largest output instead of the outputs.
    softmax : Softmax or None
        What is done to the outputs on their way out.
    """

    network: Network
    passes: tuple[Pass, ...]
    entry: Rescale
    sources: tuple[Region, Region]
    memory_words: int
    arg_max: bool
    softmax: Softmax | None = None

    def activation_ranges(self) -> list[tuple[int, int]]:
        """Range of the activations of each pass."""
        return [(p.input_format.low, p.input_format.high) for p in self.passes]

    def golden_for(self, index: int, outputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """Golden result of pass `index` (batch, channels, rows, columns) from a trace's outputs."""
        final = index == len(self.passes) - 1
        finished = final and (self.arg_max or self.softmax is not None)
        layer = self.passes[index].last_layer - finished
        result = outputs[layer]
        return result.reshape(len(result), *self.passes[index].target.shape)

    def locate(self, index: int, address: int) -> tuple[int, int, int] | None:
        """Channel, row and column of what pass `index` writes at `address`."""
        return self.passes[index].target.locate(address)
