"""Layers that learn by backpropagation, with a `Rule` for every product.

Values are float32 with axes (batch, y, x, channel) or (batch, feature). `forward` keeps what
`backward` needs; `backward` takes the gradient of the result, leaves those of the parameters in
`gradients` and gives that of the input.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ModelError
from . import topology as plan
from .norm_kernels import (
    add_to_channels,
    centre,
    channel_sums,
    normalise,
    normalise_backward,
    product_sums,
)
from .patches import fold, max_pool, max_unpool, unfold
from .rule import Rule
from .topology import Topology

__all__ = ["BatchNorm", "Flatten", "GlobalAveragePool", "Layer", "Matrix", "MaxPool", "Model",
           "ReLU", "Residual", "build"]


class Layer:
    """One step; see the module's text."""

    def __init__(self, rule: Rule, label: str = ""):
        self.rule = rule
        self.label = label or type(self).__name__
        #: Arrays that training moves.
        self.parameters: dict[str, np.ndarray] = {}
        #: Gradients of the last `backward`, same names and shapes.
        self.gradients: dict[str, np.ndarray] = {}
        #: Other arrays that are part of the state (running means).
        self.buffers: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        raise NotImplementedError

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def parts(self) -> list[Layer]:
        """The layer and what it is made of, in the order in which they compute."""
        return [self]


class Matrix(Layer):
    """Convolution (`size` is not None) or dense layer; weights (K, N), K in order y, x, channel.

    Parameters
    ----------
    rule : Rule
    inputs, outputs : int
        Channels, or features.
    rng : numpy.random.Generator
        Initial weights: normal, variance 2 / K (He et al. 2015).
    bias : bool
    """

    def __init__(self, rule: Rule, inputs: int, outputs: int, rng: np.random.Generator,
                 size: int | None = None, stride: int = 1, padding: int = 0, bias: bool = True,
                 label: str = ""):
        super().__init__(rule, label)
        self.size, self.stride, self.padding = size, stride, padding
        #: False where nothing before the layer learns: `backward` then gives no gradient.
        self.needs_input_gradient = True
        taps = inputs * (size or 1) ** 2
        weights = rng.standard_normal((taps, outputs)) * np.sqrt(2 / taps)
        self.parameters["weights"] = weights.astype(np.float32)
        if bias:
            self.parameters["bias"] = np.zeros(outputs, np.float32)

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._shape = x.shape
        if self.size is None:
            self._x, shape = x, (len(x),)
        else:
            self._x = unfold(x, self.size, self.stride, self.padding)
            shape = (len(x), *((side + 2 * self.padding - self.size) // self.stride + 1
                               for side in x.shape[1:3]))
        self._w = self.rule.effective(self.parameters["weights"])
        sums = self.rule.sums(self._x, self._w)
        if "bias" in self.parameters:
            add_to_channels(sums, self.parameters["bias"])
        return sums.reshape(*shape, -1)

    def backward(self, gradient: np.ndarray) -> np.ndarray | None:
        gradient = np.ascontiguousarray(gradient.reshape(-1, gradient.shape[-1]))
        self.gradients["weights"] = self.rule.weight_gradient(self._x, self._w, gradient)
        if "bias" in self.parameters:
            self.gradients["bias"] = channel_sums(gradient)
        if not self.needs_input_gradient:
            return None
        patches = self.rule.input_gradient(self._x, self._w, gradient)
        if self.size is None:
            return patches
        return fold(patches, *self._shape, self.size, self.stride, self.padding)


class BatchNorm(Layer):
    """Normalisation per channel over batch and positions (Ioffe and Szegedy 2015)."""

    MOMENTUM_SHIFT = 4
    EPSILON = np.float32(1e-5)

    def __init__(self, rule: Rule, channels: int, label: str = ""):
        super().__init__(rule, label)
        self.parameters = {"scale": np.ones(channels, np.float32),
                           "offset": np.zeros(channels, np.float32)}
        self.buffers = {"mean": np.zeros(channels, np.float32),
                        "variance": np.ones(channels, np.float32)}
        # Ordinary arithmetic goes through compiled loops.
        self._compiled = all(getattr(type(rule), name) is getattr(Rule, name)
                             for name in ("product", "quotient", "square_root"))

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        if self._compiled and training:
            return self._forward_compiled(x)
        product, quotient = self.rule.product, self.rule.quotient
        flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        if training:
            count = np.float32(len(flat))
            mean = quotient(channel_sums(flat), count)
            centred = flat - mean
            variance = quotient(channel_sums(product(centred, centred)), count)
            # A power of two, so that the running means need no product.
            rate = np.float32(2.0 ** -self.MOMENTUM_SHIFT)
            self.buffers["mean"] += (mean - self.buffers["mean"]) * rate
            self.buffers["variance"] += (variance - self.buffers["variance"]) * rate
        else:
            centred, variance = flat - self.buffers["mean"], self.buffers["variance"]
        self._deviation = self.rule.square_root(variance + self.EPSILON)
        self._normal = quotient(centred, self._deviation)
        result = product(self._normal, self.parameters["scale"]) + self.parameters["offset"]
        return result.reshape(x.shape)

    def _forward_compiled(self, x: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        count = np.float32(len(flat))
        mean = channel_sums(flat) / count
        centred, squares = centre(flat, mean)
        variance = squares / count
        rate = np.float32(2.0 ** -self.MOMENTUM_SHIFT)
        self.buffers["mean"] += (mean - self.buffers["mean"]) * rate
        self.buffers["variance"] += (variance - self.buffers["variance"]) * rate
        self._deviation = np.sqrt(variance + self.EPSILON)
        self._normal, result = normalise(centred, 1 / self._deviation, self.parameters["scale"],
                                         self.parameters["offset"])
        return result.reshape(x.shape)

    def _backward_compiled(self, gradient: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(gradient).reshape(-1, gradient.shape[-1])
        count = np.float32(len(flat))
        total, along = channel_sums(flat), product_sums(flat, self._normal)
        self.gradients |= {"offset": total, "scale": along}
        factor = self.parameters["scale"] / self._deviation
        result = normalise_backward(flat, self._normal, factor, total / count, along / count)
        return result.reshape(gradient.shape)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        if self._compiled:
            return self._backward_compiled(gradient)
        product, quotient = self.rule.product, self.rule.quotient
        flat = np.ascontiguousarray(gradient).reshape(-1, gradient.shape[-1])
        count = np.float32(len(flat))
        self.gradients["offset"] = channel_sums(flat)
        self.gradients["scale"] = channel_sums(product(flat, self._normal))
        inner = product(flat, self.parameters["scale"])
        mean = quotient(channel_sums(inner), count)
        along = quotient(channel_sums(product(inner, self._normal)), count)
        inner = quotient(inner - mean - product(self._normal, along), self._deviation)
        return inner.reshape(gradient.shape)


class ReLU(Layer):
    """``max(x, 0)``."""

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._open = x > 0
        return np.where(self._open, x, np.float32(0))

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        return np.where(self._open, gradient, np.float32(0))


class MaxPool(Layer):
    """Largest of each ``size x size`` window."""

    def __init__(self, rule: Rule, size: int, label: str = ""):
        super().__init__(rule, label)
        self.size = size

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._sides = x.shape[1:3]
        result, self._which = max_pool(x, self.size)
        return result

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        return max_unpool(np.ascontiguousarray(gradient), self._which, *self._sides, self.size)


class GlobalAveragePool(Layer):
    """Mean over all positions of each channel."""

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._shape = x.shape
        return self.rule.quotient(x.sum(axis=(1, 2)), np.float32(x.shape[1] * x.shape[2]))

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        share = self.rule.quotient(gradient, np.float32(self._shape[1] * self._shape[2]))
        return np.broadcast_to(share[:, None, None, :], self._shape)


class Flatten(Layer):
    """To (batch, feature), features channel by channel as in the IR."""

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._shape = x.shape
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), -1)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        batch, height, width, channels = self._shape
        return gradient.reshape(batch, channels, height, width).transpose(0, 2, 3, 1)


class Residual(Layer):
    """Two convolutions and a way past them; see `nmahw.train.topology.Residual`."""

    def __init__(self, rule: Rule, inputs: int, outputs: int, stride: int,
                 rng: np.random.Generator, label: str = ""):
        super().__init__(rule, label)

        def conv(inputs: int, size: int, stride: int, name: str) -> list[Layer]:
            return [Matrix(rule, inputs, outputs, rng, size, stride, size // 2, False,
                           f"{self.label}.{name}"),
                    BatchNorm(rule, outputs, f"{self.label}.{name}_norm")]

        self.body = [*conv(inputs, 3, stride, "conv1"), ReLU(rule, f"{self.label}.relu1"),
                     *conv(outputs, 3, 1, "conv2")]
        same = stride == 1 and inputs == outputs
        self.past = [] if same else conv(inputs, 1, stride, "past")
        self.last = ReLU(rule, f"{self.label}.relu2")

    def parts(self) -> list[Layer]:
        return [*self.body, *self.past, self.last]

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        y = x
        for layer in self.body:
            y = layer.forward(y, training)
        for layer in self.past:
            x = layer.forward(x, training)
        return self.last.forward(x + y, training)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        gradient = past = self.last.backward(gradient)
        for layer in reversed(self.body):
            gradient = layer.backward(gradient)
        for layer in reversed(self.past):
            past = layer.backward(past)
        return gradient + past


class Model:
    """A chain of layers."""

    def __init__(self, layers: list[Layer]):
        self.layers = layers
        self._first = next((index for index, layer in enumerate(layers)
                            if any(part.parameters for part in layer.parts())), 0)
        if layers and isinstance(layers[self._first], Matrix):
            layers[self._first].needs_input_gradient = False

    def parts(self) -> list[Layer]:
        """All layers with those inside of others."""
        return [part for layer in self.layers for part in layer.parts()]

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        """Scores (batch, classes) for float32 `x` (batch, channels, height, width), or features."""
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, gradient: np.ndarray) -> None:
        """Leave every parameter's gradient, from that of the scores."""
        for layer in reversed(self.layers[self._first:]):
            gradient = layer.backward(gradient)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers, by layer and name."""
        return {f"{index}.{name}": value.copy() for index, part in enumerate(self.parts())
                for name, value in (part.parameters | part.buffers).items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take what `state` gave.

        Raises
        ------
        ModelError
            An array is missing or has another shape.
        """
        for index, part in enumerate(self.parts()):
            for arrays in (part.parameters, part.buffers):
                for name, value in arrays.items():
                    key = f"{index}.{name}"
                    if key not in state or state[key].shape != value.shape:
                        raise ModelError(f"the checkpoint must have {key} of shape {value.shape} "
                                         f"({part.label}), and has not: it is of another topology")
                    arrays[name] = np.array(state[key], dtype=value.dtype)

    def culprit(self, x: np.ndarray) -> str:
        """Label of the first layer whose result is not finite for `x`; "the loss" if none."""
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x
        for layer in self.layers:
            x = layer.forward(x, False)
            if not np.isfinite(x).all():
                return layer.label
        return "the loss"


def build(topology: Topology, shape: tuple[int, ...], rule: Rule, rng: np.random.Generator,
          rules: Mapping[int, Rule] | None = None, matrix: type[Matrix] = Matrix) -> Model:
    """The layers of `topology` for inputs of `shape`, with new weights.

    Parameters
    ----------
    topology : Topology
    shape : tuple of int
        Of one input, (channels, height, width) or (features,).
    rule : Rule
    rng : numpy.random.Generator
    rules : mapping of int to Rule, optional
        Another rule for the matrix layer of that number, counted from 0 (the first, the last).
    matrix : type
        What conv and dense layers are made as, outside of residual ones.

    Raises
    ------
    UsageError
        Shapes that do not fit.
    """
    shapes = topology.shapes(shape)
    layers: list[Layer] = []
    matrices = 0
    if len(shapes[0]) != len(shape):
        layers.append(Flatten(rule, "flatten"))
    for index, item in enumerate(topology.layers):
        inputs, label = shapes[index][0], f"layer {index} ({type(item).__name__})"
        own = (rules or {}).get(matrices, rule)
        follower = topology.layers[index + 1] if index + 1 < len(topology.layers) else None
        bias = not isinstance(follower, plan.BatchNorm)
        match item:
            case plan.Conv():
                layers.append(matrix(own, inputs, item.channels, rng, item.size, item.stride,
                                     item.padding, bias, label))
                matrices += 1
            case plan.Dense():
                layers.append(matrix(own, inputs, item.features, rng, bias=bias, label=label))
                matrices += 1
            case plan.BatchNorm():
                layers.append(BatchNorm(rule, inputs, label))
            case plan.ReLU():
                layers.append(ReLU(rule, label))
            case plan.MaxPool():
                layers.append(MaxPool(rule, item.size, label))
            case plan.GlobalAveragePool():
                layers.append(GlobalAveragePool(rule, label))
            case plan.Flatten():
                layers.append(Flatten(rule, label))
            case plan.Residual():
                layers.append(Residual(rule, inputs, item.channels, item.stride, rng, label))
    return Model(layers)
