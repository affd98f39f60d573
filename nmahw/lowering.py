"""Lowering: a network's layers become the passes of a `Program`.

The layers are walked once. A matrix layer (conv2d, dense) begins a pass; the layers after it are
absorbed into the pass's way out, which is always ``scale - bias - rescale - pool - rescale``. A
layer that fits no open pass begins an *identity* pass (weights 1, exact for every exact
arithmetic). A requantise before the first pass is done while the input comes in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .errors import ModelError
from .layers.softmax import Softmax
from .network import Network
from .operations import Operation, operation
from .program import Pass, Pool, Program, Region, Rescale
from .signed_digits import MAX_TERMS, signed_digits
from .tensor import TensorFormat

__all__ = ["ProgramBuilder", "lower"]


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
    operation: Operation
    sums: tuple[int, int]
    grid: tuple[int, int]
    scale: np.ndarray = field(init=False)
    bias: np.ndarray = field(init=False)
    before: Rescale = Rescale()
    after: Rescale = Rescale()
    pool: Pool | None = None
    last_layer: int = 0

    def __post_init__(self):
        self.scale = np.ones(self.weights.shape[1], dtype=np.int64)
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
        self.softmax_seen: Softmax | None = None
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

    def begin_convolution(self, weights: np.ndarray, stride: int, padding: int,
                          operation: Operation) -> None:
        """Begin a pass; `weights` (out, in, height, width)."""
        height, width = ((size + 2 * padding - kernel) // stride + 1 for size, kernel
                         in zip(self.format.shape[1:], weights.shape[2:], strict=True))
        self._begin(weights.reshape(len(weights), -1).T, weights.shape[2:], stride, padding,
                    False, (height, width), operation)

    def begin_dense(self, weights: np.ndarray, operation: Operation) -> None:
        """Begin a pass; `weights` (out, in)."""
        self._begin(weights.T, (1, 1), 1, 0, True, (1, 1), operation)

    def begin_identity(self) -> None:
        """Begin a pass that changes nothing, to carry what follows."""
        channels, product = self.format.shape[0], operation("product")
        if len(self.format.shape) == 3:
            self.begin_convolution(np.eye(channels, dtype=np.int64)[:, :, None, None], 1, 0,
                                   product)
        else:
            self.begin_dense(np.eye(channels, dtype=np.int64), product)

    def add_bias(self, values: np.ndarray) -> None:
        """Add one value per channel."""
        last = self._open()
        if not self._is_affine(len(values)):
            self.begin_identity()
            last = self._passes[-1]
        last.bias = last.bias + values

    def scale_channels(self, factors: np.ndarray) -> None:
        """Scale each channel; factors are sums of at most two signed powers of two."""
        last = self._open()
        # Positive factors commute with max-pooling.
        fits = self._is_affine(len(factors)) and (last.pool is None or factors.min() >= 0)
        if fits:
            scale = [a * b for a, b in zip(last.scale.tolist(), factors.tolist(), strict=True)]
            fits = all(len(signed_digits(f)) <= MAX_TERMS and abs(f) < 2**53 for f in scale)
        if not fits:
            self.begin_identity()
            last, scale = self._passes[-1], factors
        last.scale = np.array(scale, dtype=np.int64)
        last.bias = last.bias * factors

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

    def softmax(self, layer: Softmax) -> None:
        """The results are the softmax of the outputs."""
        self._open_or_identity()
        self.softmax_seen = layer

    # Inside.

    def _open(self) -> _OpenPass | None:
        return self._passes[-1] if self._passes else None

    def _is_affine(self, channels: int) -> bool:
        """Whether the open pass has done no more than scale and add, to as many channels."""
        last = self._open()
        return (last is not None and last.before.is_identity and last.after.is_identity
                and (last.pool is None or last.pool.kind == "max") and len(last.bias) == channels)

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
               is_dense: bool, grid: tuple[int, int], operation: Operation) -> None:
        name = self.network.layers[self._layer].name
        self._passes.append(_OpenPass(
            f"{self._layer} {name}", self._layer, weights, tuple(kernel), stride, padding,
            is_dense, self.format, operation, operation.sum_range(weights, self.format), grid,
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
        p.is_dense, p.scale, p.bias, p.before, p.after, p.pool or Pool(), p.grid, p.input_format,
        p.operation, p.sums,
        source, target) for p, source, target in zip(open_passes, placed, targets, strict=True))
    shape = _as_three(builder.network.input_format.shape)
    entries = tuple(Region(shape, placed[0].padding, base)
                    for base in (placed[0].base, placed[0].base - placed[0].words))
    return Program(builder.network, passes, builder.entry, entries, top, builder.arg_max_seen,
                   builder.softmax_seen)


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
