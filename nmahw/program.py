"""A network as the engine runs it: passes over a matrix, with what happens on the way out.

*Lowering* walks the layers once. A matrix layer (conv2d, dense) begins a *pass*; the layers
after it are absorbed into the pass's way out, which is always ``bias - rescale - pool -
rescale``. A layer that fits no open pass begins an *identity* pass (weights 1, exact for every
exact arithmetic). A requantise before the first pass is done while pixels come in.

A pass computes, for every *position* (output pixel, in the order pooling needs them) and every
output channel, a sum over *taps* k of activation times weight. Positions are numbered so that
an activation's address is ``position address + tap offset``: both come from counters that add
constants and from one small table, so that no multiplier is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .errors import ModelError
from .layers._product import column_range
from .network import Network
from .tensor import TensorFormat

__all__ = ["Region", "Rescale", "Pool", "Pass", "Program", "ProgramBuilder", "lower"]


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
    bias : integer array (channels,)
    before, after : Rescale
        On the way out, before and after the pool.
    pool : Pool
    grid : (int, int)
        Pooled output positions: rows and columns.
    input_format : TensorFormat
        Of the activations.
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
    bias: np.ndarray
    before: Rescale
    after: Rescale
    pool: Pool
    grid: tuple[int, int]
    input_format: TensorFormat
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
        biased = (self.sums[0] + min(int(self.bias.min()), 0),
                  self.sums[1] + max(int(self.bias.max()), 0))
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
    """

    network: Network
    passes: tuple[Pass, ...]
    entry: Rescale
    sources: tuple[Region, Region]
    memory_words: int
    arg_max: bool

    def activation_ranges(self) -> list[tuple[int, int]]:
        """Range of the activations of each pass."""
        return [(p.input_format.low, p.input_format.high) for p in self.passes]

    def golden_for(self, index: int, outputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """Golden result of pass `index` (batch, channels, rows, columns) from a trace's outputs."""
        final = index == len(self.passes) - 1
        layer = self.passes[index].last_layer - (1 if final and self.arg_max else 0)
        result = outputs[layer]
        return result.reshape(len(result), *self.passes[index].target.shape)

    def locate(self, index: int, address: int) -> tuple[int, int, int] | None:
        """Channel, row and column of what pass `index` writes at `address`."""
        return self.passes[index].target.locate(address)


@dataclass
class _OpenPass:
    """A pass while layers are still being absorbed into it."""

    title: str
    first_layer: int
    weights: np.ndarray
    kernel: tuple[int, int]
    stride: int
    padding: int
    is_dense: bool
    input_format: TensorFormat
    sums: tuple[int, int]
    grid: tuple[int, int]
    bias: np.ndarray = field(init=False)
    before: Rescale = Rescale()
    after: Rescale = Rescale()
    pool: Pool | None = None
    last_layer: int = 0

    def __post_init__(self):
        self.bias = np.zeros(self.weights.shape[1], dtype=np.int64)


class ProgramBuilder:
    """What a layer's `lower` talks to.

    Attributes
    ----------
    format : TensorFormat
        What the layer being lowered gets.
    """

    def __init__(self, network: Network):
        self.network = network
        self.format = network.input_format
        self.entry = Rescale()
        self.arg_max_seen = False
        self._passes: list[_OpenPass] = []
        self._layer = 0

    def build(self) -> Program:
        """Lower every layer, then lay out the memory."""
        for index, layer in enumerate(self.network.layers):
            self._layer, self.format = index, self.network.formats[index]
            try:
                layer.lower(self)
            except ModelError as error:
                raise ModelError(f"layer {index} ({layer.name}): {error}") from None
            if self._passes:
                self._passes[-1].last_layer = index
        if not self._passes:
            self._layer, self.format = index, self.network.output_format
            self.begin_identity()
            self._passes[-1].last_layer = index
        return _lay_out(self)

    # Called by layers.

    def begin_convolution(self, weights: np.ndarray, stride: int, padding: int) -> None:
        """Begin a pass; `weights` (out, in, height, width)."""
        height, width = ((size + 2 * padding - kernel) // stride + 1 for size, kernel
                         in zip(self.format.shape[1:], weights.shape[2:], strict=True))
        self._begin(weights.reshape(len(weights), -1).T, weights.shape[2:], stride, padding,
                    False, (height, width))

    def begin_dense(self, weights: np.ndarray) -> None:
        """Begin a pass; `weights` (out, in)."""
        self._begin(weights.T, (1, 1), 1, 0, True, (1, 1))

    def begin_identity(self) -> None:
        """Begin a pass that changes nothing, to carry what follows."""
        channels = self.format.shape[0]
        if len(self.format.shape) == 3:
            self.begin_convolution(np.eye(channels, dtype=np.int64)[:, :, None, None], 1, 0)
        else:
            self.begin_dense(np.eye(channels, dtype=np.int64))

    def add_bias(self, values: np.ndarray) -> None:
        """Add one value per channel."""
        last = self._open()
        plain = last is not None and last.before.is_identity and last.after.is_identity
        if not plain or (last.pool is not None and last.pool.kind == "average") \
                or len(values) != len(last.bias):
            self.begin_identity()
            last = self._passes[-1]
        last.bias = last.bias + values

    def rectify(self) -> None:
        """Negative values become zero."""
        self._rescale(Rescale(0, 0, None))

    def requantise(self, shift: int, low: int, high: int) -> None:
        """Scale by a power of two, round half up, saturate."""
        step = Rescale(shift, low, high)
        if not self._passes:
            combined = self.entry.then(step)
            if combined is not None:
                self.entry = combined
                return
        self._rescale(step)

    def pool(self, kind: str, size: int, stride: int) -> None:
        """Reduce windows of positions; `kind` is ``"max"`` or ``"average"``."""
        last = self._open()
        if last is None or last.pool is not None or last.is_dense:
            self.begin_identity()
            last = self._passes[-1]
        last.pool = Pool(kind, size, stride)
        last.grid = tuple((n - size) // stride + 1 for n in last.grid)

    def flatten(self) -> None:
        """Nothing moves: the memory already holds channel by channel, row by row."""

    def arg_max(self) -> None:
        """The result is the index of the largest output."""
        self._open_or_identity()
        self.arg_max_seen = True

    # Inside.

    def _open(self) -> _OpenPass | None:
        return self._passes[-1] if self._passes else None

    def _open_or_identity(self) -> _OpenPass:
        if not self._passes:
            self.begin_identity()
        return self._passes[-1]

    def _rescale(self, step: Rescale) -> None:
        last = self._open_or_identity()
        # Rounding, clipping and max commute with max-pooling; averaging is a wall.
        slot = "after" if last.pool is not None and last.pool.kind == "average" else "before"
        combined = getattr(last, slot).then(step)
        if combined is None:
            self.begin_identity()
            last, slot, combined = self._passes[-1], "before", step
        setattr(last, slot, combined)

    def _begin(self, weights: np.ndarray, kernel: tuple[int, int], stride: int, padding: int,
               is_dense: bool, grid: tuple[int, int]) -> None:
        name = self.network.layers[self._layer].name
        self._passes.append(_OpenPass(
            f"{self._layer} {name}", self._layer, weights, tuple(kernel), stride, padding,
            is_dense, self.format, column_range(weights, self.format), grid,
            last_layer=self._layer))


def _lay_out(builder: ProgramBuilder) -> Program:
    """Give every tensor between passes its place.

    The input has two places, because the next image may come in while this one is computed.
    Padded tensors have words of their own for good: borders stay zero only if nobody writes
    them. The others take the lowest free words that no tensor alive at the same time holds.
    """
    open_passes = builder._passes
    sources = [Region(_as_three(p.input_format.shape) if not p.is_dense
                      else (1, 1, p.input_format.size), p.padding) for p in open_passes]
    targets: list[Region] = []
    fixed = sources[0].words
    placed: list[Region | None] = [None] * len(sources)
    for index, region in enumerate(sources):
        if index == 0 or region.padding:
            placed[index] = replace(region, base=fixed)
            fixed += region.words
    top = fixed
    for index, region in enumerate(sources):
        if placed[index] is not None:
            continue
        # Alive at the same time: the pass that writes this tensor reads the one before it.
        before = placed[index - 1]
        base = fixed
        if before is not None and before.base >= fixed and before.base < base + region.words:
            base = before.base + before.words
        placed[index] = replace(region, base=base)
        top = max(top, base + region.words)
    for index, p in enumerate(open_passes):
        shape = (len(p.bias), *p.grid)
        if index + 1 < len(open_passes):
            following = placed[index + 1]
            # A dense reader sees one row of features; the writer sees channels and positions.
            target = replace(following, shape=shape) if following.padding else \
                Region(shape, 0, following.base)
        else:
            target = Region(shape)
        targets.append(target)
    passes = tuple(Pass(
        p.title, p.first_layer, p.last_layer, p.weights, p.kernel, p.stride, p.padding,
        p.is_dense, p.bias, p.before, p.after, p.pool or Pool(), p.grid, p.input_format, p.sums,
        source, target) for p, source, target in zip(open_passes, placed, targets, strict=True))
    shape = _as_three(builder.network.input_format.shape)
    entries = tuple(Region(shape, placed[0].padding, base)
                    for base in (placed[0].base, placed[0].base - placed[0].words))
    return Program(builder.network, passes, builder.entry, entries, top, builder.arg_max_seen)


def _as_three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape if len(shape) == 3 else (1, 1, *shape)


def lower(network: Network) -> Program:
    """The program that runs `network`.

    Raises
    ------
    ModelError
        A layer cannot be run by the engine; the message names it.
    """
    return ProgramBuilder(network).build()
