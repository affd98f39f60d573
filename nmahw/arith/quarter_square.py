"""The multiplication gate on integers: quarter squares, exact.

The smooth gate of Lin, Tegmark and Rolnick (2017) multiplies with four neurons,
``[t(x+w) + t(-x-w) - t(x-w) - t(-x+w)] / (4 t''(0))``. With the even function ``t(s) = s^2 / 4``
two look-ups remain, and with q(s) = floor(s^2 / 4) integers stay integers:
``x w = q(x+w) - q(x-w)`` exactly, because x+w and x-w have the same parity and the two quarters
that the floors drop cancel.

Sums and differences of an a-bit activation and a signed b-bit weight together take at most
2^(max(a,b)+1) values in one contiguous range, so a table of that many entries, addressed by the
low bits of the sum, serves both look-ups without taking an absolute value. (Two unsigned
operands may need a table twice as long.)
"""

import numpy as np
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib.memory import Memory

from . import Arithmetic, Element, range_shape

__all__ = ["QuarterSquare", "QuarterSquareRom"]


class QuarterSquare(Arithmetic):
    """Table in one dual-port block RAM an element (two on parts with single-port RAM)."""

    name = "quarter_square"
    summary = "q(x+w) - q(x-w), q(s) = floor(s^2/4) in one dual-port block RAM"
    source = "Lin, Tegmark, Rolnick 2017, with t(s) = s^2/4"
    activation_bits = (2, 9)
    weight_bits = (2, 9)
    #: What synthesis is told about the table.
    table_style = "block"

    @property
    def latency_cycles(self) -> int:
        return 5

    @property
    def table_address_bits(self) -> int:
        """Binary logarithm of the number of entries."""
        low, high = self.argument_range
        return (high - low).bit_length()

    @property
    def argument_range(self) -> tuple[int, int]:
        """Smallest and largest x+w or x-w."""
        x, w = self.activation, self.weight
        return min(x.low + w.low, x.low - w.high), max(x.high + w.high, x.high - w.low)

    def table(self) -> list[int]:
        """Entries by address: the quarter square of the argument with these low bits."""
        size = 1 << self.table_address_bits
        low, high = self.argument_range
        entries = [0] * size
        for argument in range(low, high + 1):
            entries[argument % size] = argument * argument // 4
        return entries

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)

        def quarter_square(s: np.ndarray) -> np.ndarray:
            return np.floor_divide(np.square(s), 4)

        return quarter_square(x + w) - quarter_square(x - w)

    def create(self, row: int = 0) -> Element:
        return QuarterSquareElement(self, row)


class QuarterSquareRom(QuarterSquare):
    """Table in LUTs."""

    name = "quarter_square_rom"
    summary = "q(x+w) - q(x-w), q(s) = floor(s^2/4) in a ROM of LUTs"
    table_style = "logic"


class QuarterSquareElement(Element):
    """Add and subtract, look both up, subtract, add to the psum: a register after each."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        entries = arithmetic.table()
        m.submodules.table = table = Memory(
            shape=unsigned(max(entries).bit_length()), depth=len(entries), init=entries,
            attrs={"ram_style": arithmetic.table_style, "rom_style": arithmetic.table_style})
        plus, minus = table.read_port(), table.read_port()
        m.d.comb += [plus.en.eq(1), minus.en.eq(1)]

        x = Signal(arithmetic.activation.shape)
        w = Signal(arithmetic.weight.shape)
        # Registers: arguments, (the table's own,) quarter squares, product; then the psum.
        total = Signal(arithmetic.table_address_bits, reset_less=True)
        difference = Signal(arithmetic.table_address_bits, reset_less=True)
        q_plus = Signal(table.shape, reset_less=True)
        q_minus = Signal(table.shape, reset_less=True)
        product = Signal(range_shape(*arithmetic.product_range()), reset_less=True)
        m.d.comb += [
            x.eq(self.symbol), w.eq(self.weight),
            plus.addr.eq(total), minus.addr.eq(difference),
        ]
        m.d.sync += [
            total.eq(x + w), difference.eq(x - w),
            q_plus.eq(plus.data), q_minus.eq(minus.data),
            product.eq(q_plus - q_minus),
        ]
        self.add_to_psum(m, product)
        return m
