"""What goes into an arithmetic: integers of a width, signed or not."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Shape, signed, unsigned

from ..tensor import bits_for_range

__all__ = ["Operand", "range_shape"]


def range_shape(low: int, high: int) -> Shape:
    """Amaranth shape that holds every integer of `low` .. `high` and zero."""
    low, high = min(low, 0), max(high, 0)
    return Shape(bits_for_range(low, high), signed=low < 0)


@dataclass(frozen=True)
class Operand:
    """Two's complement or unsigned integer of a number of bits.

    Parameters
    ----------
    bits : int
        Width, at least 1.
    signed : bool
    """

    bits: int
    signed: bool

    @property
    def low(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def shape(self) -> Shape:
        """Amaranth shape."""
        return signed(self.bits) if self.signed else unsigned(self.bits)

    @property
    def values(self) -> range:
        """Every value, for exhaustive tests and tables."""
        return range(self.low, self.high + 1)

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}"
