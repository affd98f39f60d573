"""Exact integer training: narrow integers, rates 2^-k, no float anywhere in a step.

The golden model of a hardware trainer: docs/training.md specifies every rounding, saturation and
draw, and `IntegerTrainer.step` shows them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from ...errors import UsageError
from ..hyperparameters import choice, integer
from . import Method

if TYPE_CHECKING:
    from ..dataset import Dataset
    from ..integer_trainer import IntegerTrainer
    from ..topology import Topology

__all__ = ["ExactIntegers"]

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

    weight_bits: int = integer(8, 2, 12, "bits of a weight in products, sign included")
    master_bits: int = integer(16, 2, 24, "bits of the weights that steps add to, sign included")
    activation_bits: int = integer(8, 1, 10, "bits of an activation, without sign")
    gradient_bits: int = integer(8, 2, 12, "bits of a gradient, sign included")
    batch: int = integer(1, 1, 1024, "images between updates, a power of two")
    rounding: str = choice("stochastic", ("nearest", "stochastic"),
                           "of gradients and steps: nearest or stochastic")
    loss: str = choice("squared_hinge", ("squared_hinge", "softmax"), "squared_hinge or softmax")
    rate: int = integer(7, -16, 30, "k of the learning rate 2^-k at the start")
    halvings: int = integer(4, 0, 16, "how often the rate is halved, at even distances")
    weight_range: int = integer(2, -8, 8, "weights reach 2^this times what they start within")
    activation_range: int = integer(2, -8, 8, "activations reach 2^this")
    gradient_range: int = integer(1, -16, 8, "gradients of scores reach 2^this")
    hidden_gradient_range: int = integer(0, -16, 8, "gradients of hidden layers reach 2^this")
    shift_images: int = integer(0, 0, 8,
                                "training images are moved by up to so many pixels each way")
    product: str = choice("exact", ("exact", "quarter_square"),
                          "how products are made: exact or quarter_square, same bits")

    def __post_init__(self):
        super().__post_init__()
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
