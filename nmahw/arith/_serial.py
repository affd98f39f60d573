"""What the arithmetics that go through an operand's digits share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Module, Mux, Shape, Signal, Value

from ._operand import Operand, range_shape
from ._units import ColumnUnit

if TYPE_CHECKING:
    from . import Arithmetic

__all__ = ["HornerColumnUnit", "digit_multiple", "digits_shape"]


def digits_shape(operand: Operand, rows: int) -> Shape:
    """Shape of a sum of `rows` multiples of `operand` by digits of -2..2."""
    reach = 2 * max(-operand.low, operand.high) * rows
    return range_shape(-reach, reach)


def digit_multiple(m: Module, value: Value, digit: Value) -> Value:
    """`value` times the magnitude of `digit`, in a register; the sign is left to the adder."""
    multiple = Signal(Shape(value.shape().width + 1, value.shape().signed), name="multiple",
                      reset_less=True)
    m.d.sync += multiple.eq(Mux(digit[0], value, Mux(digit[1], value << 1, 0)))
    return multiple


class HornerColumnUnit(ColumnUnit):
    """``value = value * 2^digit_bits + psum`` over a step's phases.

    Parameters
    ----------
    digit_bits : int
    negate_first : bool
        Whether the first phase counts negative (the sign plane of two's complement).
    """

    def __init__(self, arithmetic: Arithmetic, rows: int, digit_bits: int,
                 negate_first: bool = False):
        self._digit_bits, self._negate_first = digit_bits, negate_first
        super().__init__(arithmetic, rows)

    def elaborate(self, platform):
        m = Module()
        first = -self.psum if self._negate_first else self.psum
        following = (self.value << self._digit_bits) + self.psum
        m.d.sync += self.value.eq(Mux(self.first, first, following))
        return m
