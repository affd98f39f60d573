"""Baseline: the device's hard multiplier."""

from . import Element
from ._multiplier import MultiplierArithmetic, MultiplierElement

__all__ = ["Dsp"]


class Dsp(MultiplierArithmetic):
    """One hard multiplier (DSP block) an element, where the device has any."""

    name = "dsp"
    summary = "x * w in a hard multiplier"
    source = "baseline"
    hard_multiplier = True

    @property
    def latency_cycles(self) -> int:
        return 3

    def create(self, row: int = 0) -> Element:
        # The blocks stand in a few rows of the chip: without a register on either side, the
        # way there and back would be one path, and the baseline slower than it has to be.
        # Yosys 0.70 may pack one product register into two iCE40 blocks (its own as the product,
        # the one above's as the addend) and then drop half of the array: `keep` prevents it.
        return MultiplierElement(self, row, register_operands=True, keep_product=True)
