"""From a trained float adder network to integers: its quantised twin, and the IR's `Network`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import UsageError
from ..layers import Layer
from ..layers.bias import Bias
from ..layers.channel_scale import ChannelScale
from ..layers.conv2d import Conv2d
from ..layers.dense import Dense
from ..layers.flatten import Flatten
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from ..layers.requantise import Requantise
from ..network import Network
from ..tensor import TensorFormat
from . import layers as trained
from .adder import AdderRule
from .adder_quantised import GridAdder, GridProduct, GridReLU, ShiftNorm
from .export import ir_weights

__all__ = ["best_step", "check_chain", "clamped", "input_shift", "integer_network",
           "observed_steps", "quantised_model", "settle"]

# Images that go through a layer at a time.
_CHUNK = 64


def clamped(weights: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Filters within the activations' range, and what their column of sums lacks by it.

    For x of 0..top, ``|x - w| = |x - clamp(w)| + |w - clamp(w)|``, exactly.

    Parameters
    ----------
    weights : int64 array (K, N)
    top : int
        Largest code of an activation; the smallest is 0.

    Returns
    -------
    int64 arrays (K, N) and (N,)
        Clamped filters, and the sum of the rest of each column.
    """
    inside = np.clip(weights, 0, top)
    return inside, np.abs(weights - inside).sum(axis=0)


def input_shift(high: int, bits: int) -> int:
    """Bits that input codes 0..high lose to have `bits`."""
    return max(high.bit_length() - bits, 0)


def best_step(x: np.ndarray, bits: int) -> float:
    """Step of least square error for values of which those below zero become zero."""
    top = 2**bits - 1
    x = np.maximum(x.reshape(-1).astype(np.float64), 0)
    largest = float(x.max()) or 1.0

    def error(step: float) -> float:
        return float(np.square(np.minimum(np.floor(x / step + 0.5), top) * step - x).mean())
    return min((largest / top * 2.0 ** (-less / 4) for less in range(12)), key=error)


def _planar(real: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(real.transpose(0, 2, 3, 1)) if real.ndim == 4 else real


def _through(layer: trained.Layer, x: np.ndarray) -> np.ndarray:
    return np.concatenate([layer.forward(x[i:i + _CHUNK], False)
                           for i in range(0, len(x), _CHUNK)])


def settle(model: trained.Model, real: np.ndarray) -> None:
    """Give every batch norm the means (and variances) that `real` causes in inference.

    Layer by layer, so that each sees what the ones before it will give it.

    Parameters
    ----------
    model : Model
        Float or quantised chain; `BatchNorm` within other layers keeps its running means.
    real : float32 array (images, channels, height, width), or (images, features)
    """
    x = _planar(real)
    for layer in model.layers:
        if isinstance(layer, (trained.BatchNorm, ShiftNorm)):
            flat = x.reshape(-1, x.shape[-1])
            mean = flat.mean(axis=0, dtype=np.float64)
            layer.buffers["mean"] = mean.astype(np.float32)
            if "variance" in layer.buffers:
                layer.buffers["variance"] = np.square(flat - layer.buffers["mean"]).mean(
                    axis=0, dtype=np.float64).astype(np.float32)
        x = _through(layer, x)


def observed_steps(model: trained.Model, real: np.ndarray, bits: int, first: float) -> np.ndarray:
    """Best steps of what enters each layer with weights, in inference.

    Parameters
    ----------
    model : Model
    real : float32 array (images, channels, height, width), or (images, features)
        Some inputs.
    bits : int
    first : float
        Step of the input.
    """
    x = _planar(real)
    steps: list[float] = []
    for layer in model.layers:
        if isinstance(layer, trained.Matrix):
            steps.append(best_step(x, bits) if steps else first)
        x = _through(layer, x)
    return np.array(steps)


def _power_of_two_steps(steps: Sequence[float]) -> np.ndarray:
    """Powers of two nearest to `steps` on a logarithmic scale, float64."""
    return 2.0 ** np.rint(np.log2(np.asarray(steps, dtype=np.float64)))


def check_chain(layers: Sequence[trained.Layer]) -> list[tuple[trained.Matrix, trained.BatchNorm]]:
    """Layers with weights and their batch norms, of a chain that can be quantised.

    Raises
    ------
    UsageError
        Anything but: layer with weights, batch norm, then, if another follows, one ReLU; max-pool
        and flatten where they like behind the batch norm.
    """
    pairs = []
    rectified = True
    for index, layer in enumerate(layers):
        follower = layers[index + 1] if index + 1 < len(layers) else None
        if isinstance(layer, trained.Matrix):
            if not isinstance(follower, trained.BatchNorm) or "bias" in layer.parameters:
                raise UsageError(f"batch_norm must follow {layer.label} for addernet's integers")
            if not rectified:
                raise UsageError(f"one relu must stand between {pairs[-1][0].label} and "
                                 f"{layer.label} for addernet's integers")
            pairs.append((layer, follower))
            rectified = False
        elif isinstance(layer, trained.BatchNorm):
            if index == 0 or not isinstance(layers[index - 1], trained.Matrix):
                raise UsageError(f"{layer.label} must follow a layer with weights for addernet's "
                                 f"integers")
        elif isinstance(layer, trained.ReLU):
            if rectified:
                raise UsageError(f"{layer.label} must be the only one behind a layer with weights "
                                 f"for addernet's integers")
            rectified = True
        elif not isinstance(layer, (trained.MaxPool, trained.Flatten)):
            raise UsageError(f"{layer.label} is not among what addernet's integers take: conv, "
                             f"dense, batch_norm, relu, max_pool, flatten")
    if rectified:
        raise UsageError("no relu may follow the last layer with weights for addernet's integers")
    return pairs


def _weight_step(weights: np.ndarray, bits: int) -> float:
    """Power-of-two step of least square error for `bits`-bit weights of a product."""
    whole = np.ceil(np.log2(max(float(np.abs(weights).max()), 1e-30) / (2 ** (bits - 1) - 1)))

    def error(step: float) -> float:
        return float(np.square(GridProduct(step, bits).effective(weights) - weights).mean())
    return min((2.0 ** (whole - less) for less in range(3)), key=error)


def quantised_model(model: trained.Model, steps: Sequence[float], bits: int, terms: int,
                    weight_steps: Mapping[int, float] | None = None) -> trained.Model:
    """The quantised twin of a float model, with copies of its parameters.

    Everything at a layer's input is scaled so that its best step becomes a power of two: filters
    of adder layers by as much, and the batch norms before and behind it make good for that.

    Parameters
    ----------
    model : Model
        As `check_chain` wants it.
    steps : sequence of float
        Wanted step of what enters each layer with weights; the first is that of the input.
    bits, terms : int
    weight_steps : mapping of int to float, optional
        Steps of layers that multiply, by number; chosen here when left out.
    """
    pairs = check_chain(model.layers)
    grids = _power_of_two_steps(steps)
    scales = np.append(grids / np.asarray(steps, dtype=np.float64), 1.0)
    result: list[trained.Layer] = []
    number = -1
    for layer in model.layers:
        if isinstance(layer, trained.Matrix):
            number += 1
            twin = copy.copy(layer)
            weights = layer.parameters["weights"]
            if isinstance(layer.rule, AdderRule):
                weights, unit = weights * np.float32(scales[number]), grids[number]
                twin.rule = GridAdder(grids[number])
            else:
                step = (weight_steps or {}).get(number) or _weight_step(weights, bits)
                twin.rule, unit = GridProduct(step, bits), grids[number] * step
            twin.parameters, twin.gradients, twin.buffers = {"weights": weights.copy()}, {}, {}
            result.append(twin)
        elif isinstance(layer, trained.BatchNorm):
            deviation = np.sqrt(layer.buffers["variance"].astype(np.float64) + layer.EPSILON)
            last = number + 1 == len(pairs)
            result.append(ShiftNorm(
                layer.rule, layer.parameters["scale"] * scales[number + 1],
                layer.parameters["offset"] * scales[number + 1],
                layer.buffers["mean"] * scales[number], 1 / (deviation * scales[number]),
                unit, unit if last else grids[number + 1], terms, layer.label))
        elif isinstance(layer, trained.ReLU):
            result.append(GridReLU(layer.rule, grids[number + 1], bits, layer.label))
        else:
            result.append(copy.copy(layer))
    return trained.Model(result)


def _matrix(layer: trained.Matrix, top: int) -> tuple[Layer, np.ndarray]:
    """The IR's layer, and what each column of its sums is too large by."""
    weights = layer.rule.effective(layer.parameters["weights"]).astype(np.float64)
    codes = np.rint(weights / layer.rule.step).astype(np.int64)
    excess, operation = np.zeros(codes.shape[1], np.int64), "product"
    if isinstance(layer.rule, GridAdder):
        (codes, excess), operation = clamped(codes, top), "l1"
    codes = ir_weights(layer, codes)
    if layer.size is None:
        return Dense(codes, operation), excess
    return Conv2d(codes, layer.stride, layer.padding, operation), excess


def integer_network(model: trained.Model, bits: int, input_format: TensorFormat, title: str,
                    metadata: Mapping[str, str]) -> Network:
    """The IR of a quantised twin; `Network.predict` equals its inference, exactly.

    Parameters
    ----------
    model : Model
        As `quantised_model` gives it, trained on or not.
    bits : int
    input_format : TensorFormat
    title, metadata
        As in `Network`.

    Returns
    -------
    Network
        ``requantise``, then for each layer with weights ``conv2d | dense, channel_scale, bias,
        relu, requantise``, pooling and flatten; the last ends with its bias.
    """
    top = 2**bits - 1
    layers: list[Layer] = []
    if shift := input_shift(input_format.high, bits):
        layers.append(Requantise(shift, 0, top))
    fraction, between = 0, []
    for layer in model.layers:
        match layer:
            case trained.Matrix():
                matrix, excess = _matrix(layer, top)
                layers.append(matrix)
            case ShiftNorm():
                fixed = layer.fixed_point()
                layers += [ChannelScale(fixed.signs, fixed.shifts),
                           Bias(fixed.bias - fixed.factors * excess)]
                fraction, between = fixed.fraction, []
            case GridReLU():
                # Pooling and flatten in between commute with what narrows: the engine has it first.
                place = len(layers) - len(between)
                layers[place:place] = [ReLU(), Requantise(fraction, 0, top)]
            case trained.MaxPool():
                between.append(MaxPool(layer.size, layer.size))
                layers.append(between[-1])
            case trained.Flatten():
                between.append(Flatten())
                layers.append(between[-1])
    return Network(input_format, tuple(layers), title, metadata)
