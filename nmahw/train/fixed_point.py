"""Stages that compute in integers, forward bit for bit as the exported network does.

A code of an activation stands for ``base * 2**exponent``, where `base` is the real value of one
code of the input; a weight's integer ``w`` for ``w * factor * 2**exponent``, with one factor for
each output channel, 1 or a sum of two signed powers of two. So everything between the layers with
weights is a shift: see `FixedStage.forward`.

What trains are float *masters*, the weights in steps of their integers. The gradient goes through
the rounding of weights and activations as if it were not there (straight through: Bengio, Leonard,
Courville 2013), except where a value was clipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..layers import Layer as IrLayer
from ..layers.bias import Bias
from ..layers.channel_scale import ChannelScale
from ..layers.conv2d import Conv2d
from ..layers.dense import Dense
from ..layers.flatten import Flatten
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from ..layers.requantise import Requantise
from ..signed_digits import signed_digits
from .stage_kernels import affine_relu_pool, scatter
from .stages import FloatStage, Geometry, Stage
from .weight_sets import WeightSet

__all__ = ["FixedStage", "StepChooser", "fix_stages", "input_shift"]

#: Chooses factors (N,) and an exponent for weights (N, K): see `nmahw.train.weight_sets`.
StepChooser = Callable[[np.ndarray, WeightSet], tuple[np.ndarray, int]]

_MAX_SHIFT = 40
# Below this, float32 holds every integer.
_EXACT = 2.0**24


class FixedStage(Stage):
    """One stage in integers.

    Parameters
    ----------
    geometry : Geometry
    allowed : WeightSet
    factors : int64 array (N,)
        Of the channel scale.
    shift : int
        Of the requantise layer.
    high_in, high_out : int
        Largest code of the activations that come in and go out; the lowest is 0.
    unit : float
        Real value of one step of the sums times factors.
    """

    def __init__(self, geometry: Geometry, allowed: WeightSet, factors: np.ndarray, shift: int,
                 high_in: int, high_out: int, unit: float):
        super().__init__(geometry)
        self.allowed, self.factors, self.shift = allowed, factors, shift
        self.high_in, self.high_out, self.unit = high_in, high_out, unit
        # Both are placeholders until `start_from` or a checkpoint fills them.
        self.parameters = {"weights": np.zeros((geometry.outputs, geometry.taps), np.float32),
                           "bias": np.zeros(geometry.outputs, np.float32)}

    def start_from(self, weights: np.ndarray, bias: np.ndarray, step: float, sum_unit: float
                   ) -> None:
        """Take real weights (N, K) and bias (N,) as masters.

        Parameters
        ----------
        step : float
            Real value of a weight 1 whose channel has the factor 1.
        sum_unit : float
            Real value of one step of the sums, factor left out.
        """
        self.parameters["weights"] = (weights / (self.factors[:, None] * step)).astype(np.float32)
        steps = bias / (self.factors * sum_unit)
        # So that a bias moves as far as weights do under the same rate.
        self.parameters["bias"] = (steps / self.high_in).astype(np.float32)
        self.clip()

    def clip(self) -> None:
        """Keep masters where a small step can still change their integer."""
        weights = self.parameters["weights"]
        np.clip(weights, *map(np.float32, self.allowed.limits), out=weights)

    @property
    def weights(self) -> np.ndarray:
        """Integer weights (N, K), float32."""
        return self.allowed.nearest(self.parameters["weights"])

    @property
    def bias(self) -> np.ndarray:
        """Integer bias (N,), float32, in steps of the sums."""
        return np.rint(self.parameters["bias"] * np.float32(self.high_in))

    def exact(self) -> bool:
        """Whether no input can make a sum that float32 rounds."""
        reach = np.abs(self.weights).sum(axis=1, dtype=np.float64) * self.high_in
        reach = (reach + np.abs(self.bias)) * np.abs(self.factors)
        return bool(reach.max() + 2.0**self.shift < _EXACT)

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        """``clip(floor((sums + bias) * factor / 2**shift + 1/2), 0, high_out)``, then max-pool.

        The last stage gives ``(sums + bias) * factor``. All of it is integers, and divisions by
        powers of two, which float32 holds exactly (`exact`).
        """
        self._integers = self.weights
        sums = self.sums(x, self._integers)
        scale = np.float32(2.0**-self.shift)
        self._factor = self.factors.astype(np.float32) * scale
        offset = self.bias * self._factor
        self._sums_shape = sums.shape
        if self.geometry.last:
            self._place = np.zeros(sums.shape, np.int8)
            return sums * self._factor[:, None, None, None] + offset[:, None, None, None]
        result, self._place = affine_relu_pool(sums, self._factor, offset, self.geometry.pool,
                                               float(self.high_out))
        return result

    def backward(self, gradient: np.ndarray, first: bool = False) -> np.ndarray | None:
        inner = self.zeros("gradient", self._sums_shape)
        total = scatter(np.ascontiguousarray(gradient), self._place, self._factor,
                        self.geometry.pool, inner)
        self.gradients["bias"] = (total * self._factor * self.high_in).astype(np.float32)
        return self.back_through_sums(inner, self._integers, first)

    def ir_layers(self) -> list[IrLayer]:
        """The layers of the IR that compute the same."""
        g = self.geometry
        weights = self.weights.astype(np.int64).reshape(g.weight_shape)
        layers: list[IrLayer] = [Flatten()] if g.flatten_before else []
        layers.append(Dense(weights) if g.size is None else Conv2d(weights, g.stride, g.padding))
        layers.append(Bias(self.bias.astype(np.int64)))
        if (self.factors != 1).any():
            layers.append(_channel_scale(self.factors))
        if not g.last:
            layers += [ReLU(), Requantise(self.shift, 0, self.high_out)]
            layers += [MaxPool(g.pool, g.pool)] if g.pool > 1 else []
        return layers


def _channel_scale(factors: np.ndarray) -> ChannelScale:
    terms = np.zeros((len(factors), 2, 2), np.int64)
    for channel, factor in enumerate(factors.tolist()):
        for place, (shift, sign) in enumerate(signed_digits(factor)):
            terms[channel, place] = sign, shift
    return ChannelScale(terms[..., 0], terms[..., 1])


def input_shift(codes: np.ndarray, high: int, bits: int) -> tuple[int, int]:
    """Shift that narrows input codes to `bits` with the least square error, and the largest code.
    """
    widest = max(high.bit_length() - bits, 0)
    limit = 2**bits - 1
    real = codes.astype(np.float32)

    def error(shift: int) -> float:
        narrowed = np.clip(np.floor(real / 2**shift + 0.5), 0, limit)
        return float(np.square(narrowed * 2**shift - real).mean())

    shift = min(range(max(widest - 2, 0), widest + 1), key=error)
    return shift, min(limit, (high + (1 << shift >> 1)) >> shift)


def _activation_exponent(real: np.ndarray, base: float, bits: int) -> int:
    """Exponent of the step that codes 0 .. 2^bits - 1 take with the least error over `real`."""
    limit = 2**bits - 1
    top = int(np.ceil(np.log2((float(real.max()) or 1.0) / (limit * base))))

    def error(exponent: int) -> float:
        step = np.float32(base * 2.0**exponent)
        return float(np.square(np.clip(np.rint(real / step), 0, limit) * step - real).mean())

    return min(range(top - 4, top + 1), key=error)


def fix_stages(stages: Sequence[FloatStage], x: np.ndarray, base: float, shift: int,
               high: int, bits: int, allowed: WeightSet, choose_steps: StepChooser
               ) -> list[FixedStage]:
    """Integer stages that start from trained float ones.

    Parameters
    ----------
    stages : sequence of FloatStage
    x : float32 array (channels, height, width, batch)
        Real inputs to choose the steps of activations on.
    base : float
        Real value of one input code, before it is narrowed.
    shift, high : int
        How the input is narrowed, and its largest code then: see `input_shift`.
    bits : int
        Width of activations.
    allowed : WeightSet
    choose_steps : StepChooser
    """
    fixed = []
    exponent = shift
    for stage in stages:
        x = stage.forward(x, False)
        weights, bias = stage.folded()
        factors, weight_exponent = choose_steps(weights, allowed)
        sums = exponent + weight_exponent
        out = sums if stage.geometry.last else min(
            max(_activation_exponent(x, base, bits), sums), sums + _MAX_SHIFT)
        new = FixedStage(stage.geometry, allowed, factors, out - sums, high, 2**bits - 1,
                         base * 2.0**sums)
        new.start_from(weights, bias, 2.0**weight_exponent, base * 2.0**sums)
        fixed.append(new)
        exponent, high = out, 2**bits - 1
    return fixed
