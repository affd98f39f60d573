"""Baseline: the device's hard multiplier."""

from ._multiplier import MultiplierArithmetic

__all__ = ["Dsp"]


class Dsp(MultiplierArithmetic):
    """One hard multiplier (DSP block) an element, where the device has any."""

    name = "dsp"
    summary = "x * w in a hard multiplier"
    source = "baseline"
    hard_multiplier = True
