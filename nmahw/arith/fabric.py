"""Baseline: whatever Yosys makes of ``x * w`` in LUTs when left alone."""

from ._multiplier import MultiplierArithmetic

__all__ = ["Fabric"]


class Fabric(MultiplierArithmetic):
    """Yosys' default multiplier in LUTs. It is weak: never compare with it alone."""

    name = "fabric"
    summary = "x * w as Yosys builds it in LUTs by default"
    source = "baseline"
