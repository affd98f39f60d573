"""Distributed arithmetic with a block RAM for every table, exact.

As in `nmahw.arith.distributed`, with larger tables for devices without distributed RAM: the 256
words of an iCE40's block RAM hold all the sums that eight weights can make, and one bit plane of
eight activations is the address. Bits count as 0 and 1, so nothing has to be negated.
"""

from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Module, Shape, Signal, unsigned
from amaranth.lib.memory import Memory

from . import Arithmetic, Element, LoadUnit, Operand, RowUnit, range_shape
from ._gray_code import GrayCodeSums
from .bit_serial import ShiftAccumulateColumnUnit

__all__ = ["DistributedBlockRam"]


class DistributedBlockRam(Arithmetic):
    """Eight weights a table of 256 entries in a block RAM."""

    name = "distributed_block_ram"
    summary = "256-entry tables of sums of 8 weights in block RAM, addressed by activation bits"
    source = "Croisier 1973; Peled, Liu 1974"
    activation_bits = (1, 16)
    weight_bits = (1, 13)
    taps = 8
    holds_weights = True

    @cached_property
    def entry_shape(self) -> Shape:
        """Of a table's entry."""
        return range_shape(self.taps * self.weight.low, self.taps * self.weight.high)

    @property
    def symbol_shape(self) -> Shape:
        return unsigned(self.taps)

    @property
    def latency_cycles(self) -> int:
        return 3

    @property
    def row_latency_cycles(self) -> int:
        return 1

    @property
    def column_latency_cycles(self) -> int:
        return 1

    @property
    def load_cycles(self) -> int:
        return 1 << self.taps

    @property
    def load_shape(self) -> Shape:
        return self.entry_shape

    @property
    def load_latency_cycles(self) -> int:
        return GrayCodeSums.LATENCY_CYCLES

    def phases(self, activation: Operand) -> int:
        return activation.bits

    def psum_shape(self, rows: int) -> Shape:
        return range_shape(self.taps * rows * self.weight.low, self.taps * rows * self.weight.high)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        total = np.zeros(np.broadcast_shapes(x.shape, w.shape), dtype=np.int64)
        for plane in range(self.activation.bits):
            part = np.where((x >> plane) & 1, w, 0) << plane
            negative = self.activation.signed and plane == self.activation.bits - 1
            total = total - part if negative else total + part
        return total

    def create(self, row: int = 0) -> Element:
        return BlockRamElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return PlanesRowUnit(self)

    def create_load_unit(self) -> LoadUnit:
        return SubsetSumLoadUnit(self)

    def create_column_unit(self, rows: int) -> ShiftAccumulateColumnUnit:
        return ShiftAccumulateColumnUnit(self, rows)


class BlockRamElement(Element):
    """``psum_o = psum_i + table[address]``, a register behind the table."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        m.submodules.table = table = Memory(
            shape=arithmetic.entry_shape, depth=arithmetic.load_cycles, init=[],
            attrs={"ram_style": "block"})
        write, read = table.write_port(), table.read_port()
        entry = Signal(arithmetic.entry_shape, reset_less=True)
        m.d.comb += [write.en.eq(self.load), write.data.eq(self.load_data),
                     write.addr.eq(self.load_step ^ (self.load_step >> 1)),
                     read.en.eq(1), read.addr.eq(self.symbol)]
        m.d.sync += entry.eq(read.data)
        self.add_to_psum(m, entry)
        return m


class PlanesRowUnit(RowUnit):
    """Bit `phase` of the activations; the address of the empty sum where the row is idle."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        width = arithmetic.activation.bits
        bits = [self.activations[tap * width:(tap + 1) * width].bit_select(self.phase, 1)
                & self.active for tap in range(arithmetic.taps)]
        symbol = Signal(arithmetic.symbol_shape, reset_less=True)
        m.d.sync += symbol.eq(Cat(bits))
        m.d.comb += self.symbol.eq(symbol)
        return m


class SubsetSumLoadUnit(LoadUnit):
    """Sums of all subsets in Gray-code order."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        m.submodules.sums = sums = GrayCodeSums(
            arithmetic.weight.shape, arithmetic.taps, arithmetic.entry_shape)
        m.d.comb += [Cat(*sums.weights).eq(self.code), sums.step.eq(self.step),
                     self.data.eq(sums.entry)]
        return m
