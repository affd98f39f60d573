"""Shift-and-add over activation bits: one bit plane a cycle, adders only, exact.

The classical serial multiplier, unrolled in space over the array: in phase p the elements of a
column add up the weights whose activation has bit p set; the psum stays as narrow as a sum of
weights, and one shift-accumulator a column weighs the planes, most significant first (the sign
plane of a signed activation counts negative).
"""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, unsigned

from ..gateware.gated_add import GatedAdd
from . import Arithmetic, ColumnUnit, Element, Operand, RowUnit, range_shape
from ._serial import HornerColumnUnit, digit_multiple, digits_shape

__all__ = ["BitSerial", "BitSerialRadix4"]


class BitSerial(Arithmetic):
    """One activation bit a cycle."""

    name = "bit_serial"
    summary = "psum += w where the activation's bit is set; one shift-add a column and plane"
    source = "serial multiplication; bit-plane arrays as in Stripes (MICRO 2016)"

    @property
    def symbol_shape(self) -> Shape:
        return unsigned(1)

    @property
    def latency_cycles(self) -> int:
        return 1

    @property
    def column_latency_cycles(self) -> int:
        return 1

    def phases(self, activation: Operand) -> int:
        return activation.bits

    def psum_shape(self, rows: int) -> Shape:
        return range_shape(self.weight.low * rows, self.weight.high * rows)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        total = np.zeros(np.broadcast_shapes(x.shape, w.shape), dtype=np.int64)
        for plane in range(self.activation.bits):
            part = np.where((x >> plane) & 1, w, 0) << plane
            negative = self.activation.signed and plane == self.activation.bits - 1
            total = total - part if negative else total + part
        return total

    def create(self, row: int = 0) -> Element:
        return BitSerialElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return BitPlaneRowUnit(self)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        return ShiftAccumulateColumnUnit(self, rows)


class BitSerialElement(Element):
    """``psum_o = psum_i + (weight if symbol else 0)``."""

    def elaborate(self, platform):
        m = Module()
        weight = Signal(self.arithmetic.weight.shape)
        m.d.comb += weight.eq(self.weight)
        self.add_to_psum(m, weight, gate=self.symbol)
        return m


class BitPlaneRowUnit(RowUnit):
    """Bit `phase` of the activation."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.symbol.eq(self.activations.bit_select(self.phase, 1) & self.active)
        return m


class ShiftAccumulateColumnUnit(ColumnUnit):
    """``value = 2 value + psum`` over a step's phases, the sign plane negative."""

    def elaborate(self, platform):
        m = Module()
        if self.arithmetic.activation.signed:
            m.d.sync += self.value.eq(Mux(self.first, -self.psum, (self.value << 1) + self.psum))
            return m
        shape = self.value.shape()
        doubled = Signal(Shape(shape.width + 1, shape.signed))
        m.submodules.gated_add = adder = GatedAdd(
            self.psum.shape(), doubled.shape(), shape, gate=True)
        m.d.comb += [doubled.eq(self.value << 1), adder.augend.eq(self.psum),
                     adder.addend.eq(doubled), adder.gate.eq(~self.first)]
        m.d.sync += self.value.eq(adder.total)
        return m


class BitSerialRadix4(BitSerial):
    """Two activation bits a cycle.

    Unsigned activations are cut into pairs of bits; a pair less two is a digit of -2..1, and the
    twos are a constant of the weights. Signed ones are recoded after Booth, into digits of -2..2.
    """

    name = "bit_serial_radix4"
    summary = "psum += digit * w, digit of two activation bits in -2..2; half the cycles"
    source = "Booth 1951, MacSorley 1961 (radix 4); bit-plane arrays as in Stripes (MICRO 2016)"

    @property
    def symbol_shape(self) -> Shape:
        """A digit: whether it is one, two (or else zero), and negative."""
        return unsigned(3)

    @property
    def latency_cycles(self) -> int:
        return 2

    def phases(self, activation: Operand) -> int:
        return -(-activation.bits // 2)

    def psum_shape(self, rows: int) -> Shape:
        return digits_shape(self.weight, rows)

    def value_shape(self, rows: int) -> Shape:
        corners = [(x - self._twos(phases)) * w
                   for phases in range(1, self.phases(self.activation) + 1)
                   for x in (self.activation.low, min(self.activation.high, 4**phases - 1))
                   for w in (self.weight.low, self.weight.high)]
        return range_shape(min(corners) * rows, max(corners) * rows)

    def _twos(self, phases: int) -> int:
        """What the digits of an activation of so many phases leave out."""
        return 0 if self.activation.signed else 2 * (4**phases - 1) // 3

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        return -self._twos(self.phases(activation)) * weights.astype(np.int64).sum(axis=0)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        total = np.zeros(np.broadcast_shapes(x.shape, w.shape), dtype=np.int64)
        for place in range(self.phases(self.activation)):
            pair = (x >> 2 * place) % 4
            if self.activation.signed and place == self.phases(self.activation) - 1:
                pair = pair - 4 * (pair > 1)
            total = total + ((pair * w) << 2 * place)
        return total

    def create(self, row: int = 0) -> Element:
        return DigitSerialElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return DigitRowUnit(self)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        return HornerColumnUnit(self, rows, digit_bits=2)


class DigitSerialElement(Element):
    """``psum_o = psum_i + digit * weight``."""

    def elaborate(self, platform):
        m = Module()
        weight = Signal(self.arithmetic.weight.shape)
        negate = Signal(reset_less=True)
        m.d.comb += weight.eq(self.weight)
        m.d.sync += negate.eq(self.symbol[2])
        self.add_to_psum(m, digit_multiple(m, weight, self.symbol), subtract=negate)
        return m


class DigitRowUnit(RowUnit):
    """Two bits of the activation as a digit: less two, or (signed) with the bit below."""

    def elaborate(self, platform):
        m = Module()
        signed = self.arithmetic.activation.signed
        # Bits beyond the activation: its sign, or zeros; and a zero below.
        above = self.activations[-1] if signed else Const(0)
        bits = Cat(Const(0), self.activations, above)
        low, middle, high = (Signal(name=name) for name in ("low", "middle", "high"))
        for phase in range(self.arithmetic.phases(self.arithmetic.activation)):
            with m.If(self.phase == phase):
                m.d.comb += Cat(low, middle, high).eq(bits[2 * phase:2 * phase + 3])
        if signed:
            one, two, negate = middle ^ low, (high ^ middle) & ~(middle ^ low), high
        else:
            one, two, negate = middle, ~high & ~middle, ~high
        m.d.comb += self.symbol.eq(Mux(self.active, Cat(one, two, negate), 0))
        return m
