"""A network as stages, for quantisation-aware training: sums, affine, ReLU, rounding, pooling.

A *stage* is a layer with weights and what follows it up to the next one. A `FloatStage` trains
ordinarily, with a batch norm where the topology has one; `nmahw.train.fixed_point` makes integer
stages of them. Here is what both have in common.

Values have axes (channel, y, x, batch); dense layers see (feature, 1, 1, batch).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from . import topology as plan
from .layers import Layer
from .rule import Rule
from .stage_kernels import (
    affine_relu_pool,
    channel_moments,
    input_gradient,
    scatter,
    scatter_normalised,
    weight_gradient,
    window_sums,
)
from .topology import Topology

__all__ = ["FloatStage", "Geometry", "Stage", "geometries"]


@dataclass(frozen=True)
class Geometry:
    """What a stage is, before there are weights.

    Attributes
    ----------
    inputs, outputs : int
        Channels, or features.
    size : int or None
        Side of the kernel; None for a dense layer.
    stride, padding : int
    normalised : bool
        Whether a batch norm follows.
    pool : int
        Side of the pooling windows; 1 for none.
    flatten_before : bool
        Whether a (channels, height, width) signal becomes features.
    last : bool
        Whether it gives the scores; no ReLU follows then.
    label : str
    """

    inputs: int
    outputs: int
    size: int | None
    stride: int
    padding: int
    normalised: bool
    pool: int
    flatten_before: bool
    last: bool
    label: str

    @property
    def taps(self) -> int:
        """Operands of one sum."""
        return self.inputs * (self.size or 1) ** 2

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of the weights in the IR: (out, in, y, x) or (out, in)."""
        return (self.outputs, self.inputs) + ((self.size,) * 2 if self.size else ())


def geometries(topology: Topology, shape: tuple[int, ...]) -> list[Geometry]:
    """Stages of `topology` for inputs of `shape`.

    Raises
    ------
    UsageError
        A layer that stages do not have, or one out of place; the message names it.
    """
    shapes = topology.shapes(shape)
    kinds = [type(layer) for layer in topology.layers]
    matrices = [i for i, kind in enumerate(kinds) if kind in (plan.Conv, plan.Dense)]
    if not matrices or any(kind is not plan.Flatten for kind in kinds[:matrices[0]]):
        raise UsageError("a topology for quantised training must begin with a convolution or a "
                         "dense layer (or flatten)")
    flatten = len(shapes[0]) != len(shape) or matrices[0] > 0
    stages = []
    for index, end in zip(matrices, [*matrices[1:], len(kinds)], strict=True):
        layer, tail, last = topology.layers[index], kinds[index + 1:end], end == len(kinds)
        label = f"layer {index} ({kinds[index].__name__})"
        following = topology.layers[index + 1:end]
        allowed = [plan.BatchNorm] if last else [plan.BatchNorm, plan.ReLU, plan.MaxPool,
                                                 plan.Flatten]
        if any(kind not in allowed or tail.count(kind) > 1 for kind in tail) or \
                plan.BatchNorm in tail[1:] or (not last and plan.ReLU not in tail) or \
                (plan.Flatten in tail and tail[-1] is not plan.Flatten):
            wanted = "a batch norm at most" if last else \
                "[batch_norm], relu, [max_pool] and [flatten]"
            raise UsageError(f"{label}: quantised training needs {wanted} behind it, not "
                             f"{', '.join(kind.__name__ for kind in tail) or 'nothing'}")
        conv = isinstance(layer, plan.Conv)
        stages.append(Geometry(
            shapes[index][0], shapes[index + 1][0], layer.size if conv else None,
            layer.stride if conv else 1, layer.padding if conv else 0, plan.BatchNorm in tail,
            next((item.size for item in following if isinstance(item, plan.MaxPool)), 1),
            flatten, last, label))
        flatten = plan.Flatten in tail
    return stages


class Stage(Layer):
    """The sums of a stage and their gradients, whatever its weights are made of."""

    def __init__(self, geometry: Geometry):
        super().__init__(Rule(), geometry.label)
        self.geometry = geometry
        self._scratch: dict[str, np.ndarray] = {}

    def zeros(self, name: str, shape: tuple[int, ...], clear: bool = True) -> np.ndarray:
        """A kept array: fresh memory for every batch would cost more than the sums."""
        array = self._scratch.get(name)
        if array is None or array.shape != shape:
            self._scratch[name] = array = np.zeros(shape, np.float32)
        elif clear:
            array.fill(0)
        return array

    def sums(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sums (N, y, x, batch) of `weights` (N, K) over `x`; keeps the operands."""
        g = self.geometry
        self._input_shape = x.shape
        if g.size is None:
            self._operands = np.ascontiguousarray(x).reshape(g.taps, x.shape[-1])
            return (weights @ self._operands)[:, None, None, :]
        channels, height, width, batch = x.shape
        pad = g.padding
        sides = height + 2 * pad, width + 2 * pad
        padded = self.zeros("padded", (channels, *sides, batch), False)
        padded[:, pad:pad + height, pad:pad + width] = x
        self._operands = padded.reshape(-1, batch)
        rows, columns = ((side - g.size) // g.stride + 1 for side in sides)
        result = self.zeros("sums", (g.outputs, rows, columns, batch), False)
        window_sums(self._operands, self._offsets(sides), weights, g.stride, g.stride * sides[1],
                    result)
        return result

    def _offsets(self, sides: tuple[int, int]) -> np.ndarray:
        g = self.geometry
        channel, y, x = np.ogrid[:g.inputs, :g.size, :g.size]
        return ((channel * sides[0] + y) * sides[1] + x).reshape(-1)

    def back_through_sums(self, gradient: np.ndarray, weights: np.ndarray, first: bool
                          ) -> np.ndarray | None:
        """Leave the weights' gradient, give that of the input (None for the first stage)."""
        g = self.geometry
        if g.size is None:
            flat = gradient.reshape(g.outputs, -1)
            self.gradients["weights"] = flat @ self._operands.T
            return None if first else (weights.T @ flat).reshape(self._input_shape)
        channels, height, width, batch = self._input_shape
        pad = g.padding
        sides = height + 2 * pad, width + 2 * pad
        offsets, pitch = self._offsets(sides), g.stride * sides[1]
        self.gradients["weights"] = np.empty(weights.shape, np.float32)
        weight_gradient(gradient, self._operands, offsets, g.stride, pitch,
                        self.gradients["weights"])
        if first:
            return None
        result = self.zeros("input", (channels, *sides, batch))
        input_gradient(gradient, offsets, weights, g.stride, pitch, result.reshape(-1, batch))
        return result[:, pad:pad + height, pad:pad + width]


class FloatStage(Stage):
    """One stage in ordinary float training.

    Parameters
    ----------
    geometry : Geometry
    rng : numpy.random.Generator
        Initial weights: normal, variance 2 / K (He et al. 2015).

    Attributes
    ----------
    parameters
        ``weights`` (N, K), K in the IR's order channel, y, x; ``bias`` (N,), or ``scale`` and
        ``offset`` of the batch norm.
    """

    MOMENTUM_SHIFT = 4
    EPSILON = 1e-5

    def __init__(self, geometry: Geometry, rng: np.random.Generator):
        super().__init__(geometry)
        shape = geometry.outputs, geometry.taps
        weights = rng.standard_normal(shape) * np.sqrt(2 / geometry.taps)
        self.parameters["weights"] = weights.astype(np.float32)
        zeros, ones = (np.full(geometry.outputs, value, np.float32) for value in (0, 1))
        if geometry.normalised:
            self.parameters |= {"scale": ones.copy(), "offset": zeros.copy()}
            self.buffers = {"mean": zeros.copy(), "variance": ones.copy()}
        else:
            self.parameters["bias"] = zeros.copy()

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        g, p = self.geometry, self.parameters
        sums = self._sums = self.sums(x, p["weights"])
        if not g.normalised:
            factor, offset = np.ones(g.outputs, np.float32), p["bias"]
        else:
            if training:
                mean, variance = channel_moments(sums.reshape(g.outputs, -1))
                for name, value in (("mean", mean), ("variance", variance)):
                    self.buffers[name] += ((value - self.buffers[name])
                                           * 2.0**-self.MOMENTUM_SHIFT).astype(np.float32)
            else:
                mean, variance = self.buffers["mean"], self.buffers["variance"]
            self._mean = mean.astype(np.float32)
            self._inverse = (1 / np.sqrt(variance + self.EPSILON)).astype(np.float32)
            factor = p["scale"] * self._inverse
            offset = p["offset"] - self._mean * factor
        self._factor = factor
        if g.last:
            self._place = np.zeros(sums.shape, np.int8)
            return sums * factor[:, None, None, None] + offset[:, None, None, None]
        result, self._place = affine_relu_pool(sums, factor, offset, g.pool, 0.0)
        return result

    def backward(self, gradient: np.ndarray, first: bool = False) -> np.ndarray | None:
        g, p = self.geometry, self.parameters
        gradient = np.ascontiguousarray(gradient)
        if g.normalised:
            inner = self.zeros("gradient", self._sums.shape, False)
            scale, offset = scatter_normalised(gradient, self._place, self._sums, self._mean,
                                               self._inverse, p["scale"], g.pool, inner)
            self.gradients |= {"scale": scale.astype(np.float32),
                               "offset": offset.astype(np.float32)}
        else:
            inner = self.zeros("gradient", self._sums.shape)
            total = scatter(gradient, self._place, self._factor, g.pool, inner)
            self.gradients["bias"] = total.astype(np.float32)
        return self.back_through_sums(inner, p["weights"], first)

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (N, K) and bias (N,), float64, with the batch norm in them."""
        p = self.parameters
        weights = p["weights"].astype(np.float64)
        if not self.geometry.normalised:
            return weights, p["bias"].astype(np.float64)
        factor = p["scale"] / np.sqrt(self.buffers["variance"].astype(np.float64) + self.EPSILON)
        return weights * factor[:, None], p["offset"] - self.buffers["mean"] * factor
