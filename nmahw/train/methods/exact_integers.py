"""Exact integer training: narrow integers, rates 2^-k, no float anywhere in a step.

The golden model of a hardware trainer: docs/training.md specifies every rounding, saturation and
draw, and `IntegerTrainer.step` shows them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from ...errors import UsageError
from . import Method

if TYPE_CHECKING:
    from ..dataset import Dataset
    from ..integer_trainer import IntegerTrainer
    from ..topology import Topology

__all__ = ["ExactIntegers"]

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "rounding": ("nearest", "stochastic"), "loss": ("squared_hinge", "softmax"),
    "product": ("exact", "quarter_square")}
_RANGES: Mapping[str, tuple[int, int]] = {
    "weight_bits": (2, 12), "master_bits": (2, 24), "activation_bits": (1, 10),
    "gradient_bits": (2, 12), "batch": (1, 1024), "rate": (-16, 30), "halvings": (0, 16),
    "weight_range": (-8, 8), "activation_range": (-8, 8), "gradient_range": (-16, 8),
    "hidden_gradient_range": (-16, 8), "shift_images": (0, 8)}


def _option(default: object, text: str) -> object:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class ExactIntegers(Method):
    """See the module's text and docs/training.md."""

    name: ClassVar[str] = "exact_integers"
    summary: ClassVar[str] = "narrow integers only, rate 2^-k, specified to the last bit"
    multiplications: ClassVar[str] = (
        "products in forward, backward and update are exact products of two narrow integers, and "
        "nothing else multiplies: hardware makes them with an exact adder-only arithmetic "
        "(quarter_square, bit_serial, ...); --set product=quarter_square makes them here by "
        "squares from a table, with identical bits; softmax divides, by shift and subtract")
    bits_form: ClassVar[str] = "W/M/A/G"
    needs: ClassVar[tuple[str, ...]] = ("numba",)

    weight_bits: int = _option(8, "bits of a weight in products, sign included")
    master_bits: int = _option(16, "bits of the weights that steps add to, sign included")
    activation_bits: int = _option(8, "bits of an activation, without sign")
    gradient_bits: int = _option(8, "bits of a gradient, sign included")
    batch: int = _option(1, "images between updates, a power of two")
    rounding: str = _option("stochastic", "of gradients and steps: nearest or stochastic")
    loss: str = _option("squared_hinge", "squared_hinge or softmax")
    rate: int = _option(7, "k of the learning rate 2^-k at the start")
    halvings: int = _option(4, "how often the rate is halved, at even distances")
    weight_range: int = _option(2, "weights reach 2^this times what they start within")
    activation_range: int = _option(2, "activations reach 2^this")
    gradient_range: int = _option(1, "gradients of scores reach 2^this")
    hidden_gradient_range: int = _option(0, "gradients of hidden layers reach 2^this")
    shift_images: int = _option(0, "training images are moved by up to so many pixels each way")
    product: str = _option("exact", "how products are made: exact or quarter_square, same bits")

    def __post_init__(self):
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise UsageError(f"{name} must be an integer of {low}..{high}, not {value!r}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} must be one of {', '.join(choices)}, not "
                                 f"{getattr(self, name)!r}")
        if self.master_bits < self.weight_bits:
            raise UsageError(f"master bits must be at least the weight bits, {self.weight_bits}, "
                             f"not {self.master_bits}")
        if self.batch & (self.batch - 1):
            raise UsageError(f"batch must be a power of two, not {self.batch}")

    @classmethod
    def with_bits(cls, text: str, **options: object) -> Self:
        parts = text.strip().split("/")
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 5
                                      for part in parts):
            raise UsageError(f"bits of exact_integers must be WEIGHT/MASTER/ACTIVATION/GRADIENT, "
                             f"for example 8/16/8/8 or 5/10/4/4, not {text!r}")
        weight, master, activation, gradient = map(int, parts)
        return cls(weight_bits=weight, master_bits=master, activation_bits=activation,
                   gradient_bits=gradient, **options)

    def rate_at(self, epoch: int, epochs: int) -> int:
        """k of the rate 2^-k in epoch `epoch` (0 for the first) of `epochs`."""
        return self.rate + epoch * (self.halvings + 1) // max(epochs, 1)

    def rates(self, epochs: int) -> np.ndarray:
        """k of every epoch (epochs,)."""
        return np.array([self.rate_at(epoch, epochs) for epoch in range(epochs)])

    def trainer(self, topology: Topology, dataset: Dataset, epochs: int, seed: int
                ) -> IntegerTrainer:
        from ..integer_trainer import IntegerTrainer
        return IntegerTrainer(self, topology, dataset, epochs, seed)
