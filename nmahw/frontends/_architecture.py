"""The architecture language of `nmahw.frontends.npz`, where it is documented."""

import difflib
import re
from collections.abc import Callable, Mapping

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
)
from ._folding import Affine, batch_norm, fold, input_offset

__all__ = ["build_layers", "tensor_names"]

_STEP = re.compile(r"(?P<kind>\w+)\s*(?::\s*(?P<subject>[^\s=]+))?(?P<options>(?:\s+\w+=\S+)*)")


class _Reader:
    """Steps of one architecture text, with the arrays its names refer to."""

    def __init__(self, text: str, arrays: Mapping[str, np.ndarray]):
        self.arrays = arrays
        self.steps = []
        for part in re.split(r"[,\n]+", text):
            if part := part.strip():
                match = _STEP.fullmatch(part)
                if match is None:
                    raise ModelError(f"an architecture's step must be KIND[:SUBJECT] "
                                     f"[OPTION=VALUE ...], not {part!r}")
                if match["kind"] not in _KINDS:
                    raise ModelError(f"an architecture's layer kind must be one of "
                                     f"{', '.join(_KINDS)}, not {match['kind']!r}")
                self.steps.append((part, match["kind"], match["subject"],
                                   dict(o.split("=", 1) for o in match["options"].split())))
        if not self.steps:
            raise ModelError("an architecture must have at least one step, not none")

    def key(self, label: str, role: str) -> str | None:
        """Name of the array that plays `role` (weight, bias, ...) for layer `label`."""
        short = role[0]
        names = [f"{label}.{role}", f"{label}_{role}"]
        if role in ("weight", "bias"):
            names += [f"{label}.{short}", f"{label}_{short}", f"{short}{label}"]
        return next((name for name in names if name in self.arrays), None)

    def array(self, label: str, role: str) -> np.ndarray:
        key = self.key(label, role)
        if key is None:
            near = difflib.get_close_matches(f"{label}.{role}", self.arrays, n=1)
            raise ModelError(f"layer {label!r} must have an array {label}.{role} (or {label}_"
                             f"{role}), but the file holds {', '.join(self.arrays)}"
                             + (f" (did you mean {near[0]!r}?)" if near else ""))
        return self.arrays[key]

    def matrix(self, make: Callable, label: str, axes: int, **options: int | str
               ) -> FloatLayer:
        weights = self.array(label, "weight")
        if weights.ndim != axes:
            raise ModelError(f"{make.name} {label} weights must have {axes} axes, not shape "
                             f"{weights.shape}")
        bias_key = self.key(label, "bias")
        bias = np.zeros(weights.shape[0]) if bias_key is None else self.arrays[bias_key]
        return make(weights, bias, label, **options)

    def batch_norm(self, label: str, eps: float) -> Affine:
        mean = self.array(label, "running_mean")
        weight, bias = (self.array(label, role) if self.key(label, role) else default
                        for role, default in (("weight", np.ones_like(mean)),
                                              ("bias", np.zeros_like(mean))))
        return batch_norm(label, weight, bias, mean, self.array(label, "running_var"), eps)


def _number(part: str, text: str, kind: type) -> int | float | str:
    try:
        return kind(text)
    except ValueError:
        raise ModelError(f"step {part!r}: {text!r} must be "
                         f"{'an integer' if kind is int else 'a number'}") from None


# What each kind takes: whether a subject, which options (with their type).
_KINDS = {
    "conv2d": ("a layer name", {"stride": int, "padding": int, "operation": str}),
    "dense": ("a layer name", {"operation": str}),
    "batch_norm": ("a layer name", {"eps": float}),
    "relu": (None, {}),
    "flatten": (None, {}),
    "max_pool": ("a window size", {"stride": int}),
    "average_pool": ("a window size", {"stride": int}),
}


def build_layers(text: str, arrays: Mapping[str, np.ndarray], input_shape: tuple[int, ...],
                 offset: float | None = None) -> tuple[FloatLayer, ...]:
    """Float layers of an architecture text, batch norm and the input's offset folded.

    Raises
    ------
    ModelError
        The text or an array it needs is wrong; the message names the step.
    """
    reader = _Reader(text, arrays)
    layers: list[FloatLayer | Affine] = [*input_offset(offset)]
    for part, kind, subject, raw in reader.steps:
        wants, options = _KINDS[kind]
        if (subject is None) != (wants is None):
            raise ModelError(f"step {part!r} must have "
                             + (f"{wants} after a colon" if wants else "nothing after its kind"))
        for name in raw:
            if name not in options:
                raise ModelError(f"step {part!r}: options must be among "
                                 f"{', '.join(options) or '(none)'}, not {name!r}")
        given = {name: _number(part, value, options[name]) for name, value in raw.items()}
        if kind == "conv2d":
            layers.append(reader.matrix(FloatConv2d, subject, 4, **given))
        elif kind == "dense":
            layers.append(reader.matrix(FloatDense, subject, 2, **given))
        elif kind == "batch_norm":
            layers.append(reader.batch_norm(subject, given.get("eps", 1e-5)))
        elif wants is None:
            layers.append(FloatReLU() if kind == "relu" else FloatFlatten())
        else:
            size = _number(part, subject, int)
            make = FloatMaxPool if kind == "max_pool" else FloatAveragePool
            layers.append(make(size, given.get("stride", size)))
    return fold(layers, input_shape)


def tensor_names(text: str, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the weight arrays of an architecture's layers, in order."""
    reader = _Reader(text, arrays)
    keys = (reader.key(subject, "weight") for _, kind, subject, _ in reader.steps
            if kind in ("conv2d", "dense") and subject)
    return [key for key in keys if key]
