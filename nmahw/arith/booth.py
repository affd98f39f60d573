"""Baseline: a radix-4 Booth multiplier in LUTs, made by Yosys' `booth` pass.

A. D. Booth, "A signed binary multiplication technique", 1951. The pass recodes products of at
least 4 x 4 bits; narrower operands are sign-extended to 4 bits, so that what is called Booth
here always is.
"""

from amaranth.hdl import Module, Shape, Signal

from . import Element, range_shape
from ._multiplier import MultiplierArithmetic

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
        return BoothElement(self, row)


class BoothElement(Element):
    """``psum_o = psum_i + symbol * weight`` with operands and result wide enough to recode."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        x = Signal(_at_least(arithmetic.activation.shape))
        w = Signal(_at_least(arithmetic.weight.shape))
        product = Signal(range_shape(*arithmetic.product_range()))
        m.d.comb += [
            x.eq(self.symbol.as_signed() if arithmetic.activation.signed else self.symbol),
            w.eq(self.weight.as_signed() if arithmetic.weight.signed else self.weight),
        ]
        m.d.sync += [product.eq(x * w), self.psum_o.eq(self.psum_i + product)]
        return m


def _at_least(shape: Shape) -> Shape:
    return Shape(max(shape.width, _LEAST_BITS), signed=shape.signed)
