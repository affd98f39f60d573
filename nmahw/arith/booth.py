"""Baseline: a radix-4 Booth multiplier in LUTs, made by Yosys' `booth` pass.

A. D. Booth, "A signed binary multiplication technique", 1951. The pass recodes products of at
least 4 x 4 bits and leaves narrower ones alone; so that what is called Booth here always is,
narrower networks get operands of 4 bits.
"""

from ._multiplier import MultiplierArithmetic

__all__ = ["Booth"]


class Booth(MultiplierArithmetic):
    """A Booth-recoded multiplier in LUTs an element."""

    name = "booth"
    summary = "x * w by radix-4 Booth recoding in LUTs"
    source = "baseline; Booth 1951"
    yosys_passes = ("booth",)
    activation_bits = (4, 16)
    weight_bits = (4, 16)
