"""Float networks: what front ends give and `quantise` takes.

A `FloatNetwork` is frozen and checked when it is made: its layers chain and its tensors hold
finite numbers. Its inputs are integer codes, as in files and on the hardware's stream (pixels
0..255, say); the real value of a code is ``code * input_scale``. Batch norm has been folded
into weights by the front end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from .errors import ModelError
from .layers import Layer
from .layers.average_pool import AveragePool
from .layers.conv2d import Conv2d
from .layers.dense import Dense
from .layers.flatten import Flatten
from .layers.max_pool import MaxPool
from .layers.relu import ReLU
from .network import Network
from .operations import Operation, operation
from .tensor import TensorFormat

__all__ = ["FloatNetwork", "FloatLayer", "FloatConv2d", "FloatDense", "FloatReLU",
           "FloatMaxPool", "FloatAveragePool", "FloatFlatten", "check_finite"]

# Images computed at a time: large enough for BLAS, small enough for the cache.
_BATCH = 128


def check_finite(array: object, what: str, dimensions: int) -> np.ndarray:
    """A read-only float32 copy of `array`, named `what` in messages."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiu" or array.ndim != dimensions or array.size == 0:
        raise ModelError(f"{what} must be a non-empty real array with {dimensions} axes, not "
                         f"{array.dtype} of shape {array.shape}")
    bad = ~(np.abs(array.astype(np.float64)) <= np.finfo(np.float32).max)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ModelError(f"{what} must hold finite float32 numbers, not {array[where]} "
                         f"(at index {list(where)}; {int(bad.sum())} of {array.size} are not)")
    array = np.array(array, dtype=np.float32, order="C")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class FloatLayer(ABC):
    """One step of a `FloatNetwork`."""

    #: Name of the kind, as in architecture texts and messages.
    name: ClassVar[str]

    @abstractmethod
    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result for inputs of `shape` (batch axis left out).

        Raises
        ------
        ModelError
            The layer cannot take `shape`.
        """

    @abstractmethod
    def compute(self, x: np.ndarray) -> np.ndarray:
        """Result for the batch `x` (batch axis first, float32)."""


@dataclass(frozen=True, eq=False)
class _MatrixLayer(FloatLayer):
    """A sum of an operation (a product, say) with weights, plus a bias per output channel."""

    weights: np.ndarray
    bias: np.ndarray
    label: str = ""

    #: Axes of `weights`.
    _axes: ClassVar[int]

    def __post_init__(self):
        label = f" {self.label}" if self.label else ""
        object.__setattr__(self, "weights", check_finite(
            self.weights, f"{self.name}{label} weights", self._axes))
        object.__setattr__(self, "bias", check_finite(self.bias, f"{self.name}{label} bias", 1))
        object.__setattr__(self, "operation", operation(self.operation))
        if self.bias.size != self.weights.shape[0]:
            raise ModelError(f"{self.name}{label} bias must have {self.weights.shape[0]} values, "
                             f"one per output channel of the weights, not {self.bias.size}")

    @property
    @abstractmethod
    def integer_layer(self) -> Layer:
        """The IR layer of the same geometry; its weights are all one."""

    @abstractmethod
    def with_weights(self, weights: np.ndarray) -> Layer:
        """The IR layer of the same geometry with integer `weights` (same shape)."""

    @abstractmethod
    def columns(self, x: np.ndarray) -> np.ndarray:
        """Operands of every sum: (sums, K) for a batch `x` (im2col)."""

    @property
    def matrix(self) -> np.ndarray:
        """Weights as (K, output channels)."""
        return self.weights.reshape(self.weights.shape[0], -1).T

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.integer_layer.output_format(TensorFormat(shape, 0, 1)).shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        shape = self.output_shape(x.shape[1:])
        sums = self.operation.real_sums(self.columns(x), self.matrix) + self.bias
        sums = sums.reshape(len(x), *shape[1:], shape[0])
        return np.ascontiguousarray(np.moveaxis(sums, -1, 1))


@dataclass(frozen=True, eq=False)
class FloatConv2d(_MatrixLayer):
    """Convolution with zero padding.

    Parameters
    ----------
    weights : float array (out_channels, in_channels, kernel_height, kernel_width)
    bias : float array (out_channels,)
    label : str
        Name in messages.
    stride, padding : int
    operation : Operation or its name
        As in `nmahw.layers.conv2d.Conv2d`.
    """

    name: ClassVar[str] = "conv2d"
    _axes: ClassVar[int] = 4

    stride: int = 1
    padding: int = 0
    operation: Operation | str = "product"

    def __post_init__(self):
        super().__post_init__()
        _ = self.integer_layer

    @cached_property
    def integer_layer(self) -> Conv2d:
        return self.with_weights(np.ones(self.weights.shape, np.int64))

    def with_weights(self, weights: np.ndarray) -> Conv2d:
        return Conv2d(weights, self.stride, self.padding, self.operation)

    def columns(self, x: np.ndarray) -> np.ndarray:
        pad = self.padding
        x = np.pad(x.astype(np.float32, copy=False), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(x, self.weights.shape[2:], axis=(2, 3))
        windows = windows[:, :, ::self.stride, ::self.stride].transpose(0, 2, 3, 1, 4, 5)
        return windows.reshape(-1, self.weights[0].size)


@dataclass(frozen=True, eq=False)
class FloatDense(_MatrixLayer):
    """Fully connected layer.

    Parameters
    ----------
    weights : float array (out_features, in_features)
    bias : float array (out_features,)
    label : str
        Name in messages.
    operation : Operation or its name
        As in `nmahw.layers.dense.Dense`.
    """

    name: ClassVar[str] = "dense"
    _axes: ClassVar[int] = 2

    operation: Operation | str = "product"

    @cached_property
    def integer_layer(self) -> Dense:
        return self.with_weights(np.ones(self.weights.shape, np.int64))

    def with_weights(self, weights: np.ndarray) -> Dense:
        return Dense(weights, self.operation)

    def columns(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class _PlainLayer(FloatLayer):
    """A layer without weights, which the IR has too."""

    @property
    @abstractmethod
    def integer_layer(self) -> Layer:
        """The IR layer that does the same on integers."""

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.integer_layer.output_format(TensorFormat(shape, 0, 1)).shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        # The IR's layers that only select or reorder values do so on any numbers.
        return self.integer_layer.compute(x, TensorFormat(x.shape[1:], 0, 1))


@dataclass(frozen=True, eq=False)
class FloatReLU(_PlainLayer):
    """``max(x, 0)``."""

    name: ClassVar[str] = "relu"

    @property
    def integer_layer(self) -> ReLU:
        return ReLU()


@dataclass(frozen=True, eq=False)
class FloatFlatten(_PlainLayer):
    """(channels, height, width) to (features,)."""

    name: ClassVar[str] = "flatten"

    @property
    def integer_layer(self) -> Flatten:
        return Flatten()


@dataclass(frozen=True, eq=False)
class FloatMaxPool(_PlainLayer):
    """Largest value of each ``size x size`` window."""

    name: ClassVar[str] = "max_pool"

    size: int
    stride: int

    @cached_property
    def integer_layer(self) -> MaxPool:
        return MaxPool(self.size, self.stride)


@dataclass(frozen=True, eq=False)
class FloatAveragePool(_PlainLayer):
    """Mean of each ``size x size`` window; `size` is a power of two."""

    name: ClassVar[str] = "average_pool"

    size: int
    stride: int

    @cached_property
    def integer_layer(self) -> AveragePool:
        return AveragePool(self.size, self.stride)

    def compute(self, x: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(x, (self.size, self.size), (2, 3))
        return windows[:, :, ::self.stride, ::self.stride].mean(axis=(4, 5))


@dataclass(frozen=True)
class FloatNetwork:
    """A trained network in floating point.

    Parameters
    ----------
    input_format : TensorFormat
        Shape and range of the integer codes of one input.
    input_scale : float
        Real value of one code step, e.g. 1/255 for pixels that were divided by 255.
    layers : tuple of FloatLayer
        At least one with weights.
    title : str
        What the network is called in reports.

    Raises
    ------
    ModelError
        A layer cannot take what the one before it gives; the message names it.
    """

    input_format: TensorFormat
    input_scale: float
    layers: tuple[FloatLayer, ...]
    title: str = "network"

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "input_scale", float(self.input_scale))
        if not 0 < self.input_scale < np.inf:
            raise ModelError(f"input scale must be a positive number, not {self.input_scale!r}")
        if not any(isinstance(layer, _MatrixLayer) for layer in self.layers):
            raise ModelError("a float network must have a layer with weights, not none")
        _ = self.shapes

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the input and of every layer's output."""
        shapes = [self.input_format.shape]
        for index, layer in enumerate(self.layers):
            label = getattr(layer, "label", "")
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except ModelError as error:
                raise ModelError(f"layer {index} ({layer.name}{label and ' ' + label}): "
                                 f"{error}") from None
        return tuple(shapes)

    def check_input(self, x: np.ndarray) -> np.ndarray:
        """`x` as a batch of this network's input codes; see `Network.check_input`."""
        return Network(self.input_format, (Flatten(),)).check_input(x)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Float results for a batch of input codes.

        Parameters
        ----------
        x : integer array (batch, *input shape)

        Returns
        -------
        float32 array (batch, *output shape)
        """
        x = self.check_input(x)
        results = []
        for start in range(0, len(x), _BATCH):
            batch = x[start:start + _BATCH].astype(np.float32) * np.float32(self.input_scale)
            for layer in self.layers:
                batch = layer.compute(batch)
            results.append(batch)
        return np.concatenate(results) if results else np.zeros((0, *self.shapes[-1]), np.float32)

    def classify(self, x: np.ndarray) -> np.ndarray:
        """Index of the largest result for each input."""
        return self.predict(x).reshape(len(x), -1).argmax(axis=1)
