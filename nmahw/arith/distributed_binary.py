"""Distributed arithmetic with plain binary tables: nothing is negated, exact.

As in `nmahw.arith.distributed`, but bits count as 0 and 1 and every bit is part of the address: a
table holds all sums of subsets of its weights. That takes one address bit more for as many
weights, and suits devices whose carry cells cannot negate an operand. Without distributed RAM,
the 256 words of an iCE40's block RAM hold the sums of eight weights; and where weights never
change, a table of four is one LUT a bit.
"""

from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Module, Shape, Signal, Value, unsigned
from amaranth.lib.memory import Memory

from ..gateware.common import delayed
from . import Arithmetic, Element, LoadUnit, Operand, RowUnit, range_shape
from ._gray_code import GrayCodeSums
from ._tables import TableDefinition
from .bit_serial import ShiftAccumulateColumnUnit

__all__ = ["DistributedBinary", "DistributedBlockRam"]


class DistributedBinary(Arithmetic):
    """Four weights a table of 16 entries in distributed RAM."""

    name = "distributed_binary"
    summary = "16-entry tables of sums of 4 weights, addressed by activation bits"
    source = "Croisier 1973; Peled, Liu 1974"
    activation_bits = (1, 16)
    weight_bits = (1, 13)
    taps = 4
    holds_weights = True
    #: What synthesis is told about the table, and whether it is read a cycle late. A row that is
    #: idle reads the empty sum, which is 0 before, while and after it is written.
    table_style = "distributed"
    reads_late = False

    @cached_property
    def entry_shape(self) -> Shape:
        """Of a table's entry."""
        return range_shape(self.taps * self.weight.low, self.taps * self.weight.high)

    @property
    def symbol_shape(self) -> Shape:
        return unsigned(self.taps)

    @property
    def latency_cycles(self) -> int:
        return 2 + self.reads_late

    @property
    def row_latency_cycles(self) -> int:
        return 2

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

    @property
    def load_code_latency_cycles(self) -> int:
        return GrayCodeSums.CODE_LATENCY_CYCLES

    @property
    def tables(self) -> TableDefinition:
        addresses = [step ^ (step >> 1) for step in range(1 << self.taps)]
        return TableDefinition(
            tuple(tuple(address >> tap & 1 for tap in range(self.taps)) for address in addresses),
            tuple((addresses.index(pattern), False) for pattern in range(1 << self.taps)),
            self.taps)

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
        return SubsetTableElement(self, row)

    def create_constant(self, row: int, weights: np.ndarray) -> Element:
        return ConstantSubsetTableElement(self, row, weights)

    def create_row_unit(self) -> RowUnit:
        return PlanesRowUnit(self)

    def create_load_unit(self) -> LoadUnit:
        return SubsetSumLoadUnit(self)

    def create_column_unit(self, rows: int) -> ShiftAccumulateColumnUnit:
        return ShiftAccumulateColumnUnit(self, rows)


class DistributedBlockRam(DistributedBinary):
    """Eight weights a table of 256 entries in a block RAM."""

    name = "distributed_block_ram"
    summary = "256-entry tables of sums of 8 weights in block RAM, addressed by activation bits"
    taps = 8
    table_style = "block"
    reads_late = True

    @property
    def provable(self) -> "DistributedBlockRam":
        return _SmallBlockRam(self.activation, self.weight)


class _SmallBlockRam(DistributedBlockRam):
    """Four weights a table: few enough entries to be unrolled, otherwise the same hardware."""

    taps = DistributedBinary.taps

    @property
    def provable(self) -> "DistributedBlockRam":
        return self


class SubsetTableElement(Element):
    """``psum_o = psum_i + table[address]``, a register behind the table."""

    def elaborate(self, platform):
        m = Module()
        entry = Signal(self.arithmetic.entry_shape, reset_less=True)
        m.d.sync += entry.eq(self._read(m))
        self.add_to_psum(m, entry)
        return m

    def _read(self, m: Module) -> Value:
        arithmetic = self.arithmetic
        m.submodules.table = table = Memory(
            shape=arithmetic.entry_shape, depth=arithmetic.load_cycles, init=[],
            attrs={"ram_style": arithmetic.table_style})
        write = table.write_port()
        read = table.read_port(domain="sync" if arithmetic.reads_late else "comb")
        m.d.comb += [write.en.eq(self.load), write.data.eq(self.load_data),
                     write.addr.eq(self.load_step ^ (self.load_step >> 1)),
                     read.addr.eq(self.symbol)]
        if arithmetic.reads_late:
            m.d.comb += read.en.eq(1)
        return read.data


class ConstantSubsetTableElement(SubsetTableElement):
    """The same with a table that never changes, in LUTs."""

    def __init__(self, arithmetic: DistributedBinary, row: int, weights: np.ndarray):
        self._weights = [int(w) for w in weights]
        super().__init__(arithmetic, row, constant=True)

    def _read(self, m: Module) -> Value:
        word = Signal(self.arithmetic.entry_shape, name="word")
        with m.Switch(self.symbol):
            for address in range(1 << len(self._weights)):
                with m.Case(address):
                    m.d.comb += word.eq(sum(w for k, w in enumerate(self._weights)
                                            if address >> k & 1))
        if self.arithmetic.reads_late:
            late = Signal.like(word, name="late", reset_less=True)
            m.d.sync += late.eq(word)
            return late
        return word


class PlanesRowUnit(RowUnit):
    """Bit `phase` of the activations; the address of the empty sum where the row is idle.

    In two registers: one at the choice, one on the way to the tables.
    """

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        width = arithmetic.activation.bits
        bits = [self.activations[tap * width:(tap + 1) * width].bit_select(self.phase, 1)
                & self.active for tap in range(arithmetic.taps)]
        m.d.comb += self.symbol.eq(delayed(m, Cat(bits), 2, "plane"))
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
