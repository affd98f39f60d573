"""One matrix layer at a time: scales and integers chosen on calibration data.

A *stage* is a layer with weights and all that follows it up to the next one: bias, ReLU,
requantise, pooling, flatten. `quantise_stage` chooses for one stage the exponent of the weight
scale, the integer weights and bias, and the requantise shift, by the error against what the
float network gives at the same place. Scales between stages are the input scale times powers of
two, so that every rescaling in the integer network is a shift.
"""

from dataclasses import dataclass, replace

import numpy as np

from .errors import ModelError
from .floatnet import (
    FloatAveragePool,
    FloatConv2d,
    FloatDense,
    FloatFlatten,
    FloatLayer,
    FloatMaxPool,
    FloatNetwork,
    FloatReLU,
)
from .layers import Layer
from .layers.bias import Bias
from .layers.relu import ReLU
from .layers.requantise import Requantise
from .rounding import Moments, round_weights
from .tensor import TensorFormat

__all__ = ["Stage", "Signal", "split_stages", "quantise_input", "quantise_stage"]

_BATCH = 128
_MAX_SHIFT = 40
#: Width of weights that share the scale of activations.
_SHARED_BITS = 16


@dataclass(frozen=True)
class Stage:
    """One layer with weights and what follows it.

    Attributes
    ----------
    matrix : FloatConv2d or FloatDense
    rectified : bool
        Whether a ReLU comes right behind the bias.
    tail : tuple of FloatLayer
        The rest.
    last : bool
        Whether no other layer with weights follows.
    """

    matrix: FloatConv2d | FloatDense
    rectified: bool
    tail: tuple[FloatLayer, ...]
    last: bool


@dataclass(frozen=True)
class Signal:
    """The same calibration data at one place of both networks.

    Attributes
    ----------
    real : float32 array
        What the float network has.
    codes : integer array, same shape
        What the integer network has.
    scale : float
        Real value of one code step.
    format : TensorFormat
        Range of the codes that any input can cause.
    layers : tuple of Layer
        Integer layers that lead here from the network's input.
    """

    real: np.ndarray
    codes: np.ndarray
    scale: float
    format: TensorFormat
    layers: tuple[Layer, ...] = ()

    def through(self, layer: Layer, scale: float | None = None) -> "Signal":
        """The signal with its codes taken through an integer layer (`real` unchanged)."""
        codes = np.concatenate([layer.compute(self.codes[i:i + _BATCH], self.format)
                                for i in range(0, len(self.codes), _BATCH)])
        return replace(self, codes=codes, scale=scale or self.scale, layers=(*self.layers, layer),
                       format=layer.output_format(self.format))

    def through_both(self, layer: FloatLayer) -> "Signal":
        """The signal behind a layer without weights, in both networks."""
        return replace(self.through(layer.integer_layer), real=_compute(layer, self.real))

    @property
    def error(self) -> float:
        """Mean square difference of the two networks."""
        # In code steps, where squares of float32 neither overflow nor vanish.
        difference = self.codes.astype(np.float32) - self.real / np.float32(self.scale)
        return float(np.mean(np.square(difference), dtype=np.float64)) * self.scale**2


def _compute(layer: FloatLayer, x: np.ndarray) -> np.ndarray:
    return np.concatenate([layer.compute(x[i:i + _BATCH]) for i in range(0, len(x), _BATCH)])


def split_stages(network: FloatNetwork) -> tuple[tuple[FloatLayer, ...], list[Stage]]:
    """Layers before the first one with weights, and the stages.

    A ReLU behind max-pool or flatten is moved before it, which gives the same result: the
    hardware rectifies before it requantises.
    """
    before: list[FloatLayer] = []
    groups: list[list[FloatLayer]] = []
    for layer in network.layers:
        if isinstance(layer, (FloatConv2d, FloatDense)):
            groups.append([layer])
        else:
            (groups[-1] if groups else before).append(layer)
    stages = []
    for index, (matrix, *tail) in enumerate(groups):
        movable = 0
        while movable < len(tail) and isinstance(tail[movable], (FloatMaxPool, FloatFlatten)):
            movable += 1
        rectified = movable < len(tail) and isinstance(tail[movable], FloatReLU)
        if rectified:
            del tail[movable]
            tail = [layer for layer in tail if not isinstance(layer, FloatReLU)]
        stages.append(Stage(matrix, rectified, tuple(tail), index == len(groups) - 1))
    return tuple(before), stages


def _limits(bits: int, signed: bool) -> tuple[int, int]:
    return (1 - 2**(bits - 1), 2**(bits - 1) - 1) if signed else (0, 2**bits - 1)


def quantise_input(signal: Signal, bits: int) -> Signal:
    """Narrow the input's codes to `bits`, when they are wider, by the shift of least error."""
    if signal.format.bits <= bits:
        return signal
    low, high = _limits(bits, signal.format.signed)
    widest = signal.format.bits - bits
    candidates = [signal.through(Requantise(shift, low, high), signal.scale * 2.0**shift)
                  for shift in range(max(widest - 2, 0), widest + 1)]
    return min(candidates, key=lambda candidate: candidate.error)


def _moments(matrix: FloatConv2d | FloatDense, signal: Signal) -> Moments:
    size = matrix.matrix.shape[0]
    quantised, mixed = np.zeros((size, size)), np.zeros((size, size))
    sum_quantised, sum_real, count = np.zeros(size), np.zeros(size), 0
    origin_quantised = origin_real = None
    for i in range(0, len(signal.codes), _BATCH):
        # In code steps, whose squares float32 holds whatever the scale.
        q = matrix.columns(signal.codes[i:i + _BATCH])
        x = matrix.columns(signal.real[i:i + _BATCH]) / np.float32(signal.scale)
        if origin_quantised is None:
            # Moments about a point near the mean, so that little cancels in the covariance.
            origin_quantised, origin_real = q.mean(axis=0), x.mean(axis=0)
        q, x = q - origin_quantised, x - origin_real
        quantised += q.T @ q
        mixed += q.T @ x
        sum_quantised += q.sum(axis=0, dtype=np.float64)
        sum_real += x.sum(axis=0, dtype=np.float64)
        count += len(q)
    mean_quantised, mean_real = sum_quantised / count, sum_real / count
    return Moments(quantised / count - np.outer(mean_quantised, mean_quantised),
                   mixed / count - np.outer(mean_quantised, mean_real),
                   mean_quantised + origin_quantised, mean_real + origin_real)


def _choose_weights(matrix: FloatConv2d | FloatDense, moments: Moments, bits: int
                    ) -> tuple[np.ndarray, int]:
    """Integer weights (K, N) and the exponent of their scale."""
    limit = 2**(bits - 1) - 1
    target = moments.target(matrix.matrix.astype(np.float64))
    largest = float(np.abs(target).max()) or 1.0
    # The finest scale at which nothing is cut off, and finer ones that cut off outliers.
    whole = int(np.floor(np.log2(limit / largest)))

    def error(exponent: int) -> float:
        rounded = round_weights(target * 2.0**exponent, moments, limit, polish=False)
        return moments.error(rounded * 2.0**-exponent - target)

    exponent = min(range(whole, whole + 3), key=error)
    return round_weights(target * 2.0**exponent, moments, limit), exponent


def _multiplied(matrix: FloatConv2d | FloatDense, signal: Signal, weight_bits: int
                ) -> tuple[np.ndarray, np.ndarray, float]:
    """Integer weights (K, N) and bias, and the scale of the sums, for products."""
    moments = _moments(matrix, signal)
    weights, exponent = _choose_weights(matrix, moments, weight_bits)
    scale = signal.scale * 2.0**-exponent
    # A constant output error, whatever its cause, is the bias's to correct.
    mean_error = (moments.mean_real @ matrix.matrix
                  - moments.mean_quantised @ weights * 2.0**-exponent)
    return weights, np.rint((matrix.bias + mean_error * signal.scale) / scale), scale


def _on_one_scale(matrix: FloatConv2d | FloatDense, signal: Signal
                  ) -> tuple[np.ndarray, np.ndarray, float]:
    """The same where weights have the scale of the activations, and so have the sums.

    There is nothing to choose: weights are rounded to steps of the activation's code. Those far
    past its range may need more bits than the activation, up to `_SHARED_BITS`.
    """
    limit = 2**(_SHARED_BITS - 1) - 1
    weights = np.rint(matrix.matrix.astype(np.float64) / signal.scale)
    if np.abs(weights).max() > limit:
        raise ModelError(f"{matrix.name} {matrix.label}: weights must be at most {limit} steps of "
                         f"the activations' code, whose scale they share, not "
                         f"{np.abs(weights).max():.3g}; give the activations fewer bits")
    error, count = np.zeros(weights.shape[1]), 0
    for i in range(0, len(signal.codes), _BATCH):
        real = matrix.operation.real_sums(
            matrix.columns(signal.real[i:i + _BATCH]) / np.float32(signal.scale),
            matrix.matrix / np.float32(signal.scale))
        codes = matrix.operation.real_sums(matrix.columns(signal.codes[i:i + _BATCH]),
                                           weights.astype(np.float32))
        error += (real - codes).sum(axis=0, dtype=np.float64)
        count += len(real)
    bias = np.rint(matrix.bias / signal.scale + error / count)
    return weights.astype(np.int64), bias, signal.scale


def quantise_stage(stage: Stage, signal: Signal, weight_bits: int, out_bits: int) -> Signal:
    """The signal behind one stage, with the chosen integer layers added.

    Parameters
    ----------
    stage : Stage
    signal : Signal
        At the stage's input.
    weight_bits : int
        Width of the signed weights; not used where they share the activations' scale.
    out_bits : int
        Width of the codes the stage gives (unsigned behind a ReLU); unused in a last stage
        that has no pooling.
    """
    matrix = stage.matrix
    weights, bias, scale = (_on_one_scale(matrix, signal) if matrix.operation.shared_scale
                            else _multiplied(matrix, signal, weight_bits))
    if np.abs(bias).max() >= 2**52:
        raise ModelError(f"{matrix.name} {matrix.label}: bias must be less than 2^52 steps of "
                         f"the accumulator, not {np.abs(bias).max():.3g}: its weights are too "
                         f"small beside it")
    signal = signal.through(matrix.with_weights(weights.T.reshape(matrix.weights.shape)), scale)
    signal = signal.through(Bias(bias.astype(np.int64)))
    signal = replace(signal, real=_compute(matrix, signal.real))
    if stage.rectified:
        signal = replace(signal.through(ReLU()), real=np.maximum(signal.real, 0))
    pooled = any(isinstance(layer, (FloatMaxPool, FloatAveragePool)) for layer in stage.tail)
    if not stage.last or pooled:
        return _requantise(signal, stage.tail, out_bits)
    for layer in stage.tail:
        signal = signal.through_both(layer)
    return signal


def _requantise(signal: Signal, tail: tuple[FloatLayer, ...], bits: int) -> Signal:
    """The signal narrowed to `bits`, behind `tail`, by the shift of least error there."""
    low, high = _limits(bits, signal.format.signed)
    reached = max(int(signal.codes.max()), -int(signal.codes.min()), 1)
    # The largest shift worth a try cuts nothing off, smaller ones cut off outliers.
    whole = min((reached // (high + 1)).bit_length(), _MAX_SHIFT)
    best, least = signal, np.inf
    for shift in range(max(whole - 3, 0), whole + 1):
        candidate = signal.through(Requantise(shift, low, high), signal.scale * 2.0**shift)
        for layer in tail:
            candidate = candidate.through_both(layer)
        if (error := candidate.error) < least:
            best, least = candidate, error
    return best
