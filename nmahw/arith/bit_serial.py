"""Shift-and-add over activation bits: one bit plane a cycle, adders only, exact.

The classical serial multiplier, unrolled in space over the array: in phase p the elements of a
column add up the weights whose activation has bit p set; the psum stays as narrow as a sum of
weights, and one shift-accumulator a column weighs the planes, most significant first (the sign
plane of a signed activation counts negative).
"""

import numpy as np
from amaranth.hdl import Module, Mux, Shape, Signal, unsigned

from . import Arithmetic, ColumnUnit, Element, Operand, RowUnit, range_shape

__all__ = ["BitSerial"]


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
        first = -self.psum if self.arithmetic.activation.signed else self.psum
        m.d.sync += self.value.eq(Mux(self.first, first, (self.value << 1) + self.psum))
        return m
