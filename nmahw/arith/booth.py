"""Baseline: a radix-4 Booth multiplier in LUTs, made by Yosys' `booth` pass.

A. D. Booth, "A signed binary multiplication technique", 1951. The pass recodes products of at
least 4 x 4 bits; narrower operands are sign-extended to 4 bits, so that what is called Booth
here always is.
"""

from . import Element
from ._multiplier import MultiplierArithmetic, MultiplierElement

__all__ = ["Booth"]

# Smallest operands that Yosys' booth pass takes.
_LEAST_BITS = 4


class Booth(MultiplierArithmetic):
    """A Booth-recoded multiplier in LUTs an element."""

    name = "booth"
    summary = "x * w by radix-4 Booth recoding in LUTs"
    source = "baseline; Booth 1951"
    yosys_passes = ("booth",)

    def create(self, row: int = 0) -> Element:
        return MultiplierElement(self, row, least_bits=_LEAST_BITS)
