"""Squares without a multiplier, as triangular numbers.

A *triangular number* T(s) = s (s + 1) / 2 is a square in disguise: ``(2s + 1)^2 = 8 T(s) + 1``. It
does all a square does for products, and better, because no half is left over:
``T(x + w) = x w + T(x) + T(w)``. It is also even about -1/2: ``T(s) = T(~s)``, so taking an
absolute value is an exclusive or, without a carry.

Let t be a number of n bits, and t' the n - 1 bits below its top bit, inverted when that bit is 0.
Then

    T(t) = T(t') + 2^(n-1) t - 2^(2n-3) + 2^(n-2)

so a *level* of the squarer costs one addition of n bits: half as much as a row of a multiplier,
and no bit products at all. All levels invert the bits of the one argument, each by another bit:
inverting is what a carry chain can do on the way (`GatedAdd`). Levels are added from the lowest,
a table of 2^(base + 1) entries, upwards; the bits below 2^(n-1) are done after n levels.

Of the constants, the multiple of 2^(2n-3) sits where T(t') has no bits and is free; a carry in
makes up for more than the other one. So what comes out is ``T(s) + excess``, never negative,
with an `excess` that whoever subtracts two such squares need not know.



"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Const, Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..gateware.gated_add import GatedAdd

__all__ = ["TriangularSquarer", "TriangularSquares", "triangular"]


def triangular(s):
    """``s (s + 1) / 2`` of an integer or an array of them."""
    return s * (s + 1) >> 1


@dataclass(frozen=True)
class TriangularSquares:
    """Parameters of a squarer.

    Parameters
    ----------
    levels : int
        Bits of the argument beside its sign, at least 1.
    most_in_table : int
        Levels that the table may take.
    """

    levels: int
    most_in_table: int = 4

    @property
    def base(self) -> int:
        """Levels that the table takes."""
        return min(self.levels, self.most_in_table)

    @property
    def latency_cycles(self) -> int:
        """A register after the table and one after each further level."""
        return 1 + self.levels - self.base

    @property
    def excess(self) -> int:
        """By how much results are larger than T(s)."""
        return (1 << self.levels - 1) - (1 << self.base - 1)

    def create(self) -> TriangularSquarer:
        """The squarer."""
        return TriangularSquarer(self)


class TriangularSquarer(wiring.Component):
    """``o = T(s) + excess``, `latency_cycles` later.

    Attributes
    ----------
    s : In
        The argument, signed.
    o : Out
        Unsigned, ``2 levels - 1`` bits.
    """

    def __init__(self, parameters: TriangularSquares):
        self.levels, self.base = parameters.levels, parameters.base
        super().__init__({"s": In(signed(self.levels + 1)),
                          "o": Out(unsigned(2 * self.levels - 1))})

    def elaborate(self, platform):
        m = Module()
        s, total = self.s, Signal(2 * self.base - 1, name="table", reset_less=True)
        # The lowest level's argument is centred: its top bit, inverted, is its sign; but when it
        # is the only level, it is the argument itself.
        half = 0 if self.base == self.levels else 1 << self.base
        size = 2 << self.base
        entries = [triangular((pattern ^ half) - size * ((pattern ^ half) >> self.base))
                   for pattern in range(size)]
        m.d.sync += total.eq(Array(Const(entry, total.shape()) for entry in entries)
                             [s[:self.base + 1]])
        for bits in range(self.base + 1, self.levels + 1):
            argument = Signal(self.levels + 1, name=f"argument{bits}", reset_less=True)
            m.d.sync += argument.eq(s)
            s = argument
            m.submodules[f"level{bits}"] = adder = GatedAdd(bits, bits, bits,
                                                            negate=True, carry=True)
            following = Signal(2 * bits - 1, name=f"total{bits}", reset_less=True)
            m.d.comb += [
                adder.augend.eq(Cat(total[bits - 1:], Const(3, 2))),
                adder.addend.eq(s),
                # The top level's argument is folded by its sign, the others by what is left then.
                adder.negate.eq(s[bits] if bits == self.levels else ~s[bits]),
                adder.carry.eq(1),
            ]
            m.d.sync += following.eq(Cat(total[:bits - 1], adder.total))
            total = following
        m.d.comb += self.o.eq(total)
        return m
