"""Weights -1 and 1: exclusive or, and count.

M. Courbariaux, Y. Bengio, J.-P. David, "BinaryConnect", 2015 (arXiv 1511.00363); M. Courbariaux,
I. Hubara, D. Soudry, R. El-Yaniv, Y. Bengio, "Binarized Neural Networks", 2016 (arXiv 1602.02830).

Activations come as bit planes, one a cycle, several taps to an element. A weight 1 counts a tap's
bit, a weight -1 counts the bit's complement: one more than minus the bit in every plane, which the
planes' weights make a constant of the weights, the `step_offset`. A column's shift-accumulator
weighs the planes. A tap may be unused, which its code has to say; so weight 0 has a code too, and
layers that the engine runs as identity matrices can be.

A layer of 1-bit activations takes one cycle for `taps` taps, and the same array takes a first
layer of 8 bits in eight. Where all activations are wide, `ternary` adds them in parallel and gets
more out of a look-up table.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Shape, Signal, Value, unsigned

from ..gateware.gated_add import GatedAdd
from . import Arithmetic, ColumnUnit, Element, Operand, RowUnit, range_shape
from .bit_serial import ShiftAccumulateColumnUnit

__all__ = ["Binary"]


class Binary(Arithmetic):
    """One bit plane of several activations a cycle."""

    name = "binary"
    summary = "psum += count of (bit xor weight sign) over eight taps; one shift-add a column"
    source = "Courbariaux et al. 2015 (arXiv 1511.00363), 2016 (arXiv 1602.02830)"
    activation_bits = (1, 8)
    weight_bits = (2, 2)
    taps = 8

    @classmethod
    def project(cls, weights: np.ndarray) -> np.ndarray:
        return np.clip(np.asarray(weights, dtype=np.int64), -1, 1)

    @property
    def symbol_shape(self) -> Shape:
        return unsigned(self.taps + 1)

    @property
    def weight_code_bits(self) -> int:
        return 2 * self.taps

    @property
    def latency_cycles(self) -> int:
        return 3

    @property
    def column_latency_cycles(self) -> int:
        return 1

    def phases(self, activation: Operand) -> int:
        return activation.bits

    def psum_shape(self, rows: int) -> Shape:
        return range_shape(0, self.taps * rows)

    def value_shape(self, rows: int) -> Shape:
        lanes = self.taps * rows
        return range_shape(self.activation.low * lanes, self.activation.high * lanes)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        return np.where(w > 0, x, np.where(w < 0, -x, 0))

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        # What a weight of -1 makes of activation 0: ones in all planes.
        inverted_zero = -1 if activation.signed else (1 << activation.bits) - 1
        return np.count_nonzero(np.asarray(weights) < 0, axis=0).astype(np.int64) * inverted_zero

    def encode_weights(self, weights: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
        """For each tap, bit 0: it counts; bit 1: inverted."""
        weights = np.asarray(weights)
        fields = (weights != 0).astype(object) | (2 * (weights < 0).astype(object))
        return sum(fields[..., tap] << (2 * tap) for tap in range(self.taps))

    def create(self, row: int = 0) -> Element:
        return BinaryElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return BitPlanesRowUnit(self)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        return ShiftAccumulateColumnUnit(self, rows)


class BitPlanesRowUnit(RowUnit):
    """Bit `phase` of every activation, and above them whether the row is idle."""

    def elaborate(self, platform):
        m = Module()
        bits, taps = self.arithmetic.activation.bits, self.arithmetic.taps
        plane = [self.activations[tap * bits:(tap + 1) * bits].bit_select(self.phase, 1)
                 for tap in range(taps)]
        m.d.comb += self.symbol.eq(Cat(*plane, ~self.active))
        return m


def add_bits(bits: list[Value]) -> Value:
    """Number of ones, in full and half adders column by column."""
    columns = {0: list(bits)}
    total = []
    weight = 0
    while weight in columns:
        column = columns[weight]
        while len(column) > 1:
            a, b, *column = column
            c, column = (column[0], column[1:]) if column else (None, column)
            carry = (a & b) if c is None else (a & b) | (a & c) | (b & c)
            column.append(a ^ b if c is None else a ^ b ^ c)
            columns.setdefault(weight + 1, []).append(carry)
        total.append(column[0])
        weight += 1
    return Cat(*total)


class BinaryElement(Element):
    """Exclusive or and gate; count all taps but one; add, the last one as carry."""

    def elaborate(self, platform):
        m = Module()
        taps = self.arithmetic.taps
        idle = self.symbol[-1]
        bits = Signal(taps, reset_less=True)
        for tap in range(taps):
            counts, inverted = self.weight[2 * tap], self.weight[2 * tap + 1]
            m.d.sync += bits[tap].eq((self.symbol[tap] ^ inverted) & counts & ~idle)
        counted = add_bits(list(bits[:-1]))
        count = Signal(len(counted), reset_less=True)
        carry = Signal(reset_less=True)
        psum = Signal(self.psum_o.shape(), reset_less=True)
        m.submodules.gated_add = adder = GatedAdd(
            self.psum_i.shape(), count.shape(), psum.shape(), carry=True)
        m.d.comb += [adder.augend.eq(self.psum_i), adder.addend.eq(count),
                     adder.carry.eq(carry), self.psum_o.eq(psum)]
        m.d.sync += [count.eq(counted), carry.eq(bits[-1]), psum.eq(adder.total)]
        return m
