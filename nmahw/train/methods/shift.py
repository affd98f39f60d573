"""Weights of one or two signed powers of two by straight-through estimation."""

from dataclasses import dataclass
from typing import ClassVar

from ...arith.shift import LARGEST, ShiftPairWeights, ShiftWeights
from ..fixed_point import StepChooser
from ..hyperparameters import integer
from ..straight_through import StraightThrough
from ..weight_sets import WeightSet, power_of_two_steps

__all__ = ["Shift", "ShiftPair"]


@dataclass(frozen=True)
class Shift(StraightThrough):
    """Weights are 0 or one signed power of two.

    M. Marchesi et al. 1993; M. Elhoushi et al., "DeepShift" (arXiv 1905.13298), its variant that
    rounds float weights (DeepShift-Q).
    """

    name: ClassVar[str] = "shift"
    summary: ClassVar[str] = "weights 0 or +-2^k, straight through"

    weight_bits: int = integer(4, 2, 5, "width of a weight's code, 2..5: sign and "
                                         "2^(W-1) - 1 powers of two (8 at most)")

    @property
    def allowed(self) -> WeightSet:
        largest = 1 << min(2 ** (self.weight_bits - 1) - 2, LARGEST)
        return WeightSet(tuple(sorted(w for w in ShiftWeights.terms_of() if abs(w) <= largest)))

    @property
    def choose_steps(self) -> StepChooser:
        return power_of_two_steps


@dataclass(frozen=True)
class ShiftPair(StraightThrough):
    """Weights are 0, or sums of one or two signed powers of two."""

    name: ClassVar[str] = "shift_pair"
    summary: ClassVar[str] = "weights of up to two signed powers of two, straight through"

    weight_bits: int = integer(6, 3, 8, "width of weights as integers, 3..8: those below 2^(W-1) "
                                         "with two terms at most")

    @property
    def allowed(self) -> WeightSet:
        limit = 1 << (self.weight_bits - 1)
        return WeightSet(tuple(sorted(w for w in ShiftPairWeights.terms_of() if abs(w) < limit)))

    @property
    def choose_steps(self) -> StepChooser:
        return power_of_two_steps
