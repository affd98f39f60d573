"""Weights -1 and 1 by straight-through estimation."""

from dataclasses import dataclass
from typing import ClassVar

from ..fixed_point import StepChooser
from ..hyperparameters import integer
from ..straight_through import StraightThrough
from ..weight_sets import WeightSet, step_chooser

__all__ = ["Binary"]


@dataclass(frozen=True)
class Binary(StraightThrough):
    """Weights -1 and 1, and a factor for each output channel of one or two powers of two.

    M. Courbariaux, Y. Bengio, J.-P. David, "BinaryConnect", 2015 (arXiv 1511.00363); the factor,
    near the mean magnitude, as in M. Rastegari et al., "XNOR-Net", ECCV 2016.
    """

    name: ClassVar[str] = "binary"
    summary: ClassVar[str] = "weights -1, 1 and a two-shift factor a channel, straight through"
    fixed_weight_bits: ClassVar[int] = 1

    terms: int = integer(2, 0, 2, "signed powers of two in the factor of a channel, 1 or 2; "
                                   "0: one a layer")

    @property
    def allowed(self) -> WeightSet:
        return WeightSet((-1, 1))

    @property
    def choose_steps(self) -> StepChooser:
        return step_chooser(self.terms)
