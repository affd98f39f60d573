"""Per-channel scale and shift (batch norm, constant Mul and Add) folded into weights.

An affine step right behind a layer with weights goes back into it. Any other goes forward,
through flatten and average-pool (and max-pool where no scale is negative), into the next layer
with weights; a shift cannot enter a padded convolution, whose zeros are not shifted. Layers of
another operation than the product can take shifts, but no scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ModelError
from ..floatnet import (
    FloatAveragePool,
    FloatConv2d,
    FloatDense,
    FloatFlatten,
    FloatLayer,
    FloatMaxPool,
    FloatReLU,
    check_finite,
)

__all__ = ["Affine", "batch_norm", "input_offset", "fold"]


@dataclass(frozen=True, eq=False)
class Affine:
    """``x * scale + shift``, per channel.

    Attributes
    ----------
    scale, shift : float64 array (channels,) or (1,)
        One value stands for all channels.
    label : str
        Name in messages.
    """

    scale: np.ndarray
    shift: np.ndarray
    label: str

    def for_channels(self, channels: int) -> "Affine":
        """With one value per channel."""
        for part in (self.scale, self.shift):
            if part.size not in (1, channels):
                raise ModelError(f"{self.label} must have {channels} channels, as what comes "
                                 f"before it, not {part.size}")
        return Affine(np.broadcast_to(self.scale, channels),
                      np.broadcast_to(self.shift, channels), self.label)

    def after(self, first: "Affine") -> "Affine":
        """One step that does `first`, then this."""
        return Affine(first.scale * self.scale, first.shift * self.scale + self.shift,
                      f"{first.label} and {self.label}")


def batch_norm(label: str, weight: np.ndarray, bias: np.ndarray, mean: np.ndarray,
               variance: np.ndarray, eps: float) -> Affine:
    """Batch norm in inference as an affine step."""
    named = {"weight": weight, "bias": bias, "running mean": mean, "running variance": variance}
    parts = {what: check_finite(array, f"batch norm {label} {what}", 1).astype(np.float64)
             for what, array in named.items()}
    if len({part.size for part in parts.values()}) != 1:
        raise ModelError(f"batch norm {label} tensors must be equally long, not "
                         + ", ".join(f"{what} {part.size}" for what, part in parts.items()))
    spread = parts["running variance"] + eps
    if spread.min() <= 0:
        raise ModelError(f"batch norm {label} variance plus eps must be positive, not "
                         f"{spread.min():g}")
    scale = parts["weight"] / np.sqrt(spread)
    return Affine(scale, parts["bias"] - parts["running mean"] * scale, f"batch norm {label}")


def input_offset(offset: float | None) -> tuple[Affine, ...]:
    """The step that adds the real value of input code 0; none when that is zero."""
    if not offset:
        return ()
    value = check_finite(np.array([offset]), "input offset", 1).astype(np.float64)
    return (Affine(np.ones(1), value, "the input offset"),)


def fold(steps: Sequence[FloatLayer | Affine], input_shape: tuple[int, ...]
         ) -> tuple[FloatLayer, ...]:
    """`steps` without affine ones, equal in what they compute.

    Raises
    ------
    ModelError
        An affine step has nowhere to go; the message names it.
    """
    layers: list[FloatLayer] = []
    pending: Affine | None = None
    shape = tuple(input_shape)
    for index, step in enumerate(steps):
        if isinstance(step, Affine):
            step = step.for_channels(shape[0])
            if pending is None and layers and isinstance(layers[-1], (FloatConv2d, FloatDense)):
                layers[-1] = _backward(layers[-1], step)
            else:
                pending = step if pending is None else step.after(pending)
            continue
        try:
            new_shape = step.output_shape(shape)
        except ModelError as error:
            label = getattr(step, "label", "")
            raise ModelError(f"layer {index} ({step.name}{label and ' ' + label}): "
                             f"{error}") from None
        if pending is not None:
            step, pending = _forward(step, pending, shape)
        layers.append(step)
        shape = new_shape
    if pending is not None:
        raise ModelError(f"{pending.label} must stand beside a layer with weights, to be folded "
                         f"into it, but none follows it")
    return tuple(layers)


def _backward(layer: FloatConv2d | FloatDense, affine: Affine) -> FloatConv2d | FloatDense:
    if _takes_shifts_only(layer, affine):
        return replace(layer, bias=layer.bias + affine.shift)
    scale = affine.scale.reshape((-1,) + (1,) * (layer.weights.ndim - 1))
    return replace(layer, weights=layer.weights * scale,
                   bias=layer.bias * affine.scale + affine.shift)


def _takes_shifts_only(layer: FloatConv2d | FloatDense, affine: Affine) -> bool:
    """Whether the layer's operation is a function of the difference of activation and weight."""
    if layer.operation.name == "product":
        return False
    if not layer.operation.shared_scale or np.any(affine.scale != 1):
        raise ModelError(f"{affine.label} must not scale what goes into or comes from a layer of "
                         f"the operation {layer.operation} ({layer.label}), because its weights "
                         f"cannot take a scale")
    return True


def _forward(layer: FloatLayer, affine: Affine, shape: tuple[int, ...]
             ) -> tuple[FloatLayer, Affine | None]:
    """`layer` with `affine` taken in, or as it is with the affine that now follows it."""
    if isinstance(layer, FloatFlatten):
        repeat = int(np.prod(shape[1:]))
        return layer, replace(affine, scale=np.repeat(affine.scale, repeat),
                              shift=np.repeat(affine.shift, repeat))
    if isinstance(layer, FloatAveragePool) or (
            isinstance(layer, FloatMaxPool) and affine.scale.min() >= 0):
        return layer, affine
    if isinstance(layer, FloatReLU) and affine.scale.min() >= 0 and not affine.shift.any():
        return layer, affine
    if isinstance(layer, FloatConv2d) and layer.padding and affine.shift.any():
        raise ModelError(f"{affine.label} must not shift the input of a padded convolution "
                         f"({layer.label}): the padding's zeros would have to be shifted too")
    if not isinstance(layer, (FloatConv2d, FloatDense)):
        raise ModelError(f"{affine.label} must stand beside a layer with weights, to be folded "
                         f"into it, but {layer.name} follows it")
    per_input = (1, -1) + (1,) * (layer.weights.ndim - 2)
    weights = layer.weights.astype(np.float64)
    if _takes_shifts_only(layer, affine):
        return replace(layer, weights=weights - affine.shift.reshape(per_input)), None
    shifts = (weights * affine.shift.reshape(per_input)).reshape(len(weights), -1).sum(axis=1)
    return replace(layer, weights=weights * affine.scale.reshape(per_input),
                   bias=layer.bias + shifts), None
