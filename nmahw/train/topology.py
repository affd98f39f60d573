"""What is trained: layers and sizes, before there are weights.

Written as text: ``784-64-10`` is dense layers with ReLU between them; otherwise layers are
separated by commas, ``conv 6 5 padding=2, batch_norm, relu, max_pool 2, flatten, dense 10``.
Conv2d and dense layers have no bias when a batch norm follows them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import UsageError

__all__ = ["TOPOLOGIES", "Layer", "Topology", "BatchNorm", "Conv", "Dense", "Flatten",
           "GlobalAveragePool", "MaxPool", "ReLU", "Residual"]


@dataclass(frozen=True)
class Layer:
    """One step of a topology."""


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution to `channels` with square kernels."""

    channels: int
    size: int
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected to `features`."""

    features: int


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Normalisation over the batch, per channel."""


@dataclass(frozen=True)
class ReLU(Layer):
    """``max(x, 0)``."""


@dataclass(frozen=True)
class MaxPool(Layer):
    """Largest of each ``size x size`` window, windows side by side."""

    size: int


@dataclass(frozen=True)
class GlobalAveragePool(Layer):
    """Mean over all positions of each channel; (channels, height, width) to (channels,)."""


@dataclass(frozen=True)
class Flatten(Layer):
    """(channels, height, width) to (features,)."""


@dataclass(frozen=True)
class Residual(Layer):
    """Two 3x3 convolutions with a batch norm each and a way past them, added before the last ReLU.

    The way past is the identity, or a 1x1 convolution with batch norm where the shape changes.
    """

    channels: int
    stride: int = 1


#: Ready-made texts by name.
TOPOLOGIES: dict[str, str] = {
    "mlp-64": "784-64-10",
    "mlp-128": "784-128-10",
    "digits": "64-32-10",
    "lenet5": "conv 6 5 padding=2, relu, max_pool 2, conv 16 5, relu, max_pool 2, flatten, "
              "dense 120, relu, dense 84, relu, dense 10",
    "lenet5-bn": "conv 6 5 padding=2, batch_norm, relu, max_pool 2, conv 16 5, batch_norm, relu, "
                 "max_pool 2, flatten, dense 120, batch_norm, relu, dense 84, batch_norm, relu, "
                 "dense 10, batch_norm",
    # Eight layers with weights: He et al. (CVPR 2016) for CIFAR-10 with n = 1.
    "resnet8": "conv 8 3 padding=1, batch_norm, relu, residual 8, residual 16 stride=2, "
               "residual 32 stride=2, global_average_pool, dense 10",
}

_KINDS: dict[str, tuple[type[Layer], tuple[str, ...]]] = {
    "conv": (Conv, ("channels", "size")), "dense": (Dense, ("features",)),
    "batch_norm": (BatchNorm, ()), "relu": (ReLU, ()), "max_pool": (MaxPool, ("size",)),
    "global_average_pool": (GlobalAveragePool, ()), "flatten": (Flatten, ()),
    "residual": (Residual, ("channels",))}
_OPTIONS: dict[str, tuple[str, ...]] = {"conv": ("stride", "padding"), "residual": ("stride",)}
_LIMIT = 65536


@dataclass(frozen=True)
class Topology:
    """A chain of layers; made by `Topology.of` from a name or a text."""

    text: str
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, text: str) -> Topology:
        """The topology called `text`, or written in it.

        Raises
        ------
        UsageError
            Neither; the message says what is wrong.
        """
        text = " ".join(TOPOLOGIES.get(text.strip(), text).split())
        if re.fullmatch(r"\d+(-\d+)+", text):
            sizes = [_number(size, "a layer's size", 1) for size in text.split("-")]
            layers: list[Layer] = []
            for size in sizes[1:]:
                layers += [Dense(size), ReLU()]
            return cls(text, tuple(layers[:-1]))
        layers = [_layer(part.strip()) for part in text.split(",")]
        if not any(isinstance(layer, (Conv, Dense, Residual)) for layer in layers):
            raise UsageError(f"a topology must have a layer with weights, but {text!r} has none")
        return cls(text, tuple(layers))

    @property
    def input_features(self) -> int | None:
        """Number of inputs that a text of sizes begins with; None for other texts."""
        return int(self.text.split("-")[0]) if re.fullmatch(r"\d+(-\d+)+", self.text) else None

    def shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Shape of the input and of every layer's result, batch axis left out.

        Parameters
        ----------
        shape : tuple of int
            Of one input: (channels, height, width) or (features,). Sizes such as ``784-64-10``
            take any shape of that many values: it is flattened.

        Raises
        ------
        UsageError
            A layer cannot take what the one before it gives; the message names it.
        """
        if self.input_features is not None:
            if math.prod(shape) != self.input_features:
                raise UsageError(f"topology {self.text} must get {self.input_features} inputs, but "
                                 f"the images are {'x'.join(map(str, shape))}")
            shape = (self.input_features,)
        shapes = [shape]
        for index, layer in enumerate(self.layers):
            try:
                shapes.append(_result_shape(layer, shapes[-1]))
            except UsageError as error:
                raise UsageError(f"layer {index} ({type(layer).__name__}): {error}") from None
        return shapes


def _result_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    planar = isinstance(layer, (Conv, MaxPool, GlobalAveragePool, Residual, Flatten))
    if planar and len(shape) != 3:
        raise UsageError(f"must get (channels, height, width), not {shape}")
    if isinstance(layer, Dense):
        if len(shape) != 1:
            raise UsageError(f"must get (features,), not {shape}: put flatten before it")
        return (layer.features,)
    if isinstance(layer, (BatchNorm, ReLU)):
        return shape
    if isinstance(layer, Flatten):
        return (math.prod(shape),)
    if isinstance(layer, GlobalAveragePool):
        return shape[:1]
    if isinstance(layer, MaxPool):
        size, channels, stride, padding = layer.size, shape[0], layer.size, 0
    elif isinstance(layer, Residual):
        size, channels, stride, padding = 3, layer.channels, layer.stride, 1
    else:
        size, channels, stride, padding = layer.size, layer.channels, layer.stride, layer.padding
    sides = [(side + 2 * padding - size) // stride + 1 for side in shape[1:]]
    if min(sides) < 1:
        raise UsageError(f"windows of {size}x{size} must fit {shape[1]}x{shape[2]} positions")
    return (channels, *sides)


def _number(text: str, what: str, low: int) -> int:
    if not re.fullmatch(r"\d{1,6}", text) or not low <= int(text) <= _LIMIT:
        raise UsageError(f"{what} must be an integer of {low}..{_LIMIT}, not {text!r}")
    return int(text)


def _layer(text: str) -> Layer:
    kind, *words = text.split() or [""]
    if kind not in _KINDS:
        raise UsageError(f"a topology must be one of {', '.join(TOPOLOGIES)}, sizes as 784-64-10, "
                         f"or layers of {', '.join(_KINDS)}; {kind!r} is none of them")
    layer, names = _KINDS[kind]
    plain = [word for word in words if "=" not in word]
    if len(plain) != len(names):
        raise UsageError(f"{kind} must have {' and '.join(names) or 'no sizes'}, but {text!r} has "
                         f"{len(plain)} numbers")
    values = {name: _number(word, f"{kind} {name}", 1)
              for name, word in zip(names, plain, strict=True)}
    allowed = _OPTIONS.get(kind, ())
    for word in words:
        if "=" in word:
            name, value = word.split("=", 1)
            if name not in allowed:
                raise UsageError(f"{kind} takes {', '.join(allowed) or 'no options'}, not {name!r}")
            values[name] = _number(value, f"{kind} {name}", 0 if name == "padding" else 1)
    return layer(**values)
