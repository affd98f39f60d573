"""Weights -1, 0 and 1 by straight-through estimation."""

from dataclasses import dataclass
from typing import ClassVar

from ..fixed_point import StepChooser
from ..hyperparameters import integer
from ..straight_through import StraightThrough
from ..weight_sets import WeightSet, step_chooser

__all__ = ["Ternary"]


@dataclass(frozen=True)
class Ternary(StraightThrough):
    """Weights -1, 0, 1, and a factor for each output channel of one or two powers of two.

    F. Li, B. Zhang, B. Liu, "Ternary Weight Networks", 2016 (arXiv 1605.04711): a factor times
    three values, of least square error. Here the factor is chosen once and is a `channel_scale`.
    """

    name: ClassVar[str] = "ternary"
    summary: ClassVar[str] = "weights -1, 0, 1 and a two-shift factor a channel, straight through"
    fixed_weight_bits: ClassVar[int] = 2

    terms: int = integer(2, 0, 2, "signed powers of two in the factor of a channel, 1 or 2; "
                                   "0: one a layer")

    @property
    def allowed(self) -> WeightSet:
        return WeightSet((-1, 0, 1))

    @property
    def choose_steps(self) -> StepChooser:
        return step_chooser(self.terms)
