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

Other squarers, each in an element behind a serial harness (33 COMB or 62 LC of every figure),
eight-bit operands, one seed (`benchmarks/squarers.py`):

| squarer | ECP5 COMB, FF, MHz | HX8K LC, FF, MHz |
| --- | --- | --- |
| this one | 108, 177, 315 | 210, 177, 228 |
| this one, bits inverted ahead of registers | 130, 176, 323 | 190, 176, 228 |
| bit products of the magnitude, folded, a row at a time | 138, 231, 268 | 259, 231, 210 |
| two tables of halves and their product | 119, 206, 305 | 213, 206, 228 |
| one table in LUTs | 247, 109, 170 | 273, 109, 161 |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..gateware.gated_add import GatedAdd

__all__ = ["TriangularSquarer", "TriangularSquares", "triangular"]


def triangular(s: int | np.ndarray) -> int | np.ndarray:
    """``s (s + 1) / 2`` of an integer or an array of them, exact."""
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
    invert_ahead : bool
        Invert the argument's bits before the register, where a look-up table goes with every
        register anyway, and not behind it, in the carry chain.
    """

    levels: int
    most_in_table: int = 4
    invert_ahead: bool = False

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
    argument : In
        Signed.
    o : Out
        Unsigned, ``2 levels - 1`` bits.
    """

    def __init__(self, parameters: TriangularSquares):
        self.levels, self.base = parameters.levels, parameters.base
        self.invert_ahead = parameters.invert_ahead
        super().__init__({"argument": In(signed(self.levels + 1)),
                          "o": Out(unsigned(2 * self.levels - 1))})

    def elaborate(self, platform):
        m = Module()
        s, total = self.argument, Signal(2 * self.base - 1, name="table", reset_less=True)
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
            # The top level's argument is folded by its sign, the others by what is left then.
            is_top = bits == self.levels
            m.submodules[f"level{bits}"] = adder = GatedAdd(
                bits, bits, bits, carry=True, negate=not self.invert_ahead)
            following = Signal(2 * bits - 1, name=f"total{bits}", reset_less=True)
            negate = s[bits] ^ (not is_top)
            if self.invert_ahead:
                # The bits below the last level's own are inverted already, for that level.
                before = ~s[bits - 1] if bits > self.base + 1 else Const(0)
                low = s[:bits - 1] ^ (negate ^ before).replicate(bits - 1)
                m.d.sync += argument.eq(Cat(low, s[bits - 1] ^ negate, s[bits:]))
            else:
                m.d.sync += argument.eq(s)
                m.d.comb += adder.negate.eq(argument[bits] ^ (not is_top))
            m.d.comb += [adder.augend.eq(Cat(total[bits - 1:], Const(3, 2))),
                         adder.addend.eq(argument), adder.carry.eq(1)]
            m.d.sync += following.eq(Cat(total[:bits - 1], adder.total))
            s, total = argument, following
        m.d.comb += self.o.eq(total)
        return m
