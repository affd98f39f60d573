"""Quantisation-aware training for the exact arithmetics: small integers, power-of-two scales."""

from dataclasses import dataclass
from typing import ClassVar

from ..fixed_point import StepChooser
from ..hyperparameters import integer
from ..straight_through import StraightThrough
from ..weight_sets import WeightSet, power_of_two_steps

__all__ = ["Quantised"]


@dataclass(frozen=True)
class Quantised(StraightThrough):
    """Weights are all integers of a width, on one power-of-two step a layer.

    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-
    Arithmetic-Only Inference", CVPR 2018, with every scale a power of two.
    """

    name: ClassVar[str] = "quantised"
    summary: ClassVar[str] = "quantisation-aware: W-bit weights, A-bit activations, any arithmetic"

    weight_bits: int = integer(4, 2, 8, "width of weights, 2..8")

    @property
    def allowed(self) -> WeightSet:
        limit = 2 ** (self.weight_bits - 1) - 1
        return WeightSet(tuple(range(-limit, limit + 1)))

    @property
    def choose_steps(self) -> StepChooser:
        return power_of_two_steps
