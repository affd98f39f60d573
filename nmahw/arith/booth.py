"""Baseline: a radix-4 Booth multiplier in LUTs, made by Yosys' `booth` pass.

A. D. Booth, "A signed binary multiplication technique", 1951. The pass recodes products of at
least 4 x 4 bits and leaves narrower ones alone; so that what is called Booth here always is,
narrower networks get operands of 4 bits.

What was tried to make it better, per 8-bit element (ECP5: COMB of the element alone; MHz of a
weight-stationary 4x4 array, one seed):

| form | COMB | MHz |
| --- | --- | --- |
| a register behind the product (this one) | 159 | 117 |
| registers before it as well | 159 | 114 |
| two products of half a weight, their sum in a register of its own | 185 | 130 |
| the pass's ``-lowpower`` form (an array of rows; 46 instead of 50 at 4 x 4 bits) | 183 | |
| mapped with wide LUTs | 246 | |

Per COMB of the array, none is faster.
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
