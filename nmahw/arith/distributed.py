"""Distributed arithmetic: one look-up for the bits of several activations at once, exact.

A. Croisier et al., US patent 3,777,130 (1973); A. Peled and B. Liu, "A new hardware realization
of digital filters", 1974; S. A. White, "Applications of distributed arithmetic to digital signal
processing", 1989. A table of all the sums that a few weights can make is addressed by one bit of
each activation, a bit plane a cycle; one shift-accumulator a column weighs the planes.

*Offset binary coding* (White, section IV) halves the table. A bit b counts as s = 2b - 1, so that
a plane's sum is ``V/2``, ``V = sum s_k w_k``, and flipping all bits negates it: with four of five
bits as the address and the fifth as the sign, 16 entries serve five weights. What is left is a
constant of the weights, ``sum w (2^planes - 1) / 2`` (``-1/2`` where the first plane is a sign).

An entry is ``t = floor(V/2)``; V is odd for all entries or for none, so the missing half
``p/2`` is a constant too, and ``-t - p/2`` is ``~t + (1 - p) + p/2``: negation is an exclusive or
and a carry, which carry chains have for nothing. Both constants go into `step_offset`.
"""

from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Module, Shape, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory

from ..gateware.gated_add import GatedAdd
from . import Arithmetic, Element, LoadUnit, Operand, RowUnit, range_shape
from ._gray_code import GrayCodeSums
from ._tables import TableDefinition
from .bit_serial import ShiftAccumulateColumnUnit

__all__ = ["Distributed"]


class Distributed(Arithmetic):
    """Five weights a table of 16 entries in distributed RAM."""

    name = "distributed"
    summary = "16-entry tables of sums of 5 weights, addressed by activation bits"
    source = "Croisier 1973; Peled, Liu 1974; offset binary coding as in White 1989"
    activation_bits = (1, 16)
    weight_bits = (1, 16)
    taps = 5
    holds_weights = True

    #: Bits of a table's address; one tap more gives the sign.
    address_bits = 4

    @cached_property
    def entry_shape(self) -> Shape:
        """Of a table's entry t."""
        # V/2 is a sum of halves; +1 because -128 / 2 counts for +64 in half of the entries.
        limit = self.taps * max(-self.weight.low, self.weight.high)
        return range_shape(-(limit + 1) // 2, limit // 2)

    @property
    def symbol_shape(self) -> data.StructLayout:
        return data.StructLayout({"address": self.address_bits, "negate": 1, "active": 1})

    @property
    def weight_code_bits(self) -> int:
        # The weights of the address bits, then the first entry and its parity.
        return self.address_bits * self.weight.bits + self.entry_shape.width + 1

    @property
    def latency_cycles(self) -> int:
        return 2

    @property
    def row_latency_cycles(self) -> int:
        return 2

    @property
    def column_latency_cycles(self) -> int:
        return 1

    @property
    def load_cycles(self) -> int:
        return 1 << self.address_bits

    @property
    def load_shape(self) -> data.StructLayout:
        return data.StructLayout({"entry": self.entry_shape, "even": 1})

    @property
    def load_latency_cycles(self) -> int:
        return GrayCodeSums.LATENCY_CYCLES

    @property
    def load_code_latency_cycles(self) -> int:
        return GrayCodeSums.CODE_LATENCY_CYCLES

    @property
    def tables(self) -> TableDefinition:
        addresses = [step ^ (step >> 1) for step in range(self.load_cycles)]
        last, mask = self.address_bits, self.load_cycles - 1
        reads = []
        for pattern in range(1 << self.taps):
            negated = not pattern >> last & 1
            reads.append((addresses.index((pattern ^ mask * negated) & mask), negated))
        return TableDefinition(
            tuple((*(1 if address >> tap & 1 else -1 for tap in range(last)), 1)
                  for address in addresses), tuple(reads), last, is_halved=True)

    def phases(self, activation: Operand) -> int:
        return activation.bits

    def psum_shape(self, rows: int) -> Shape:
        limit = self.taps * max(-self.weight.low, self.weight.high) * rows
        return range_shape(-(limit + rows + 1) // 2, (limit + rows) // 2)

    def value_shape(self, rows: int) -> Shape:
        # The planes' weights add up to less than 2^bits, with either sign.
        psum = self.psum_shape(rows)
        return signed(psum.width + self.activation.bits)

    def _sums(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Entry of address 0, ``floor((w_last - sum of the others) / 2)``, and its parity."""
        value = weights[..., -1] - weights[..., :-1].sum(axis=-1)
        return value // 2, value % 2

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        # (planes' weights) x (sum of an element's weights, rounded up to even) / 2, taken away.
        planes = -1 if activation.signed else (1 << activation.bits) - 1
        offset = np.zeros(weights.shape[1], dtype=np.int64)
        for start in range(0, len(weights), self.taps):
            total = weights[start:start + self.taps].sum(axis=0)
            offset -= planes * ((total + total % 2) // 2)
        return offset

    def encode_weights(self, weights: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
        weights = np.asarray(weights, dtype=np.int64)
        mask = (1 << self.weight.bits) - 1
        first, parity = self._sums(weights)
        codes = np.zeros(weights.shape[:-1], dtype=object)
        for tap in range(self.address_bits):
            codes = codes | ((weights[..., tap].astype(object) & mask) << (tap * self.weight.bits))
        width = self.entry_shape.width
        tail = (first.astype(object) & ((1 << width) - 1)) | ((1 - parity.astype(object)) << width)
        return codes | (tail << (self.address_bits * self.weight.bits))

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        # What the planes of one activation add up to, twice, and the constant, twice.
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        doubled = np.zeros(np.broadcast_shapes(x.shape, w.shape), dtype=np.int64)
        for plane in range(self.activation.bits):
            negative = self.activation.signed and plane == self.activation.bits - 1
            step = -(1 << plane) if negative else 1 << plane
            doubled = doubled + step * (np.where((x >> plane) & 1, w, -w) + w)
        return doubled // 2

    def create(self, row: int = 0) -> Element:
        return TableElement(self, row)

    def create_constant(self, row: int, weights: np.ndarray) -> Element:
        return ConstantTableElement(self, row, weights)

    def table(self, weights: np.ndarray) -> list[int]:
        """Words of the table of `weights` (taps,), by address."""
        layout = self.load_shape
        words = []
        for address in range(1 << self.address_bits):
            value = int(weights[-1]) + sum(
                int(w) if address >> k & 1 else -int(w) for k, w in enumerate(weights[:-1]))
            word = layout.const({"entry": value // 2, "even": 1 - value % 2})
            words.append(word.as_value().value)
        return words

    def create_row_unit(self) -> RowUnit:
        return OffsetBinaryRowUnit(self)

    def create_load_unit(self) -> LoadUnit:
        return SubsetSumLoadUnit(self)

    def create_column_unit(self, rows: int) -> ShiftAccumulateColumnUnit:
        return ShiftAccumulateColumnUnit(self, rows)


class TableElement(Element):
    """``psum_o = psum_i +- table[address]``, a register behind the table."""

    def elaborate(self, platform):
        m = Module()
        self._add(m, self._read(m))
        return m

    def _read(self, m: Module) -> Value:
        arithmetic = self.arithmetic
        m.submodules.table = table = Memory(
            shape=Shape.cast(arithmetic.load_shape).width, depth=arithmetic.load_cycles, init=[],
            attrs={"ram_style": "distributed"})
        write, read = table.write_port(), table.read_port(domain="comb")
        # Entry i of the loading order is that of address gray(i).
        m.d.comb += [write.en.eq(self.load), write.data.eq(self.load_data),
                     write.addr.eq(self.load_step ^ (self.load_step >> 1)),
                     read.addr.eq(self.symbol.address)]
        return read.data

    def _add(self, m: Module, word: Value) -> None:
        arithmetic = self.arithmetic
        entry = Signal(arithmetic.load_shape, reset_less=True)
        negate, active = (Signal(name=name, reset_less=True) for name in ("negate", "active"))
        m.d.sync += [entry.eq(word), negate.eq(self.symbol.negate),
                     active.eq(self.symbol.active)]
        psum = Signal(self.psum_o.shape(), reset_less=True)
        m.submodules.gated_add = adder = GatedAdd(
            self.psum_i.shape(), entry.entry.shape(), psum.shape(),
            gate=True, subtract=True, twos=True)
        m.d.comb += [
            adder.augend.eq(self.psum_i), adder.addend.eq(entry.entry), adder.gate.eq(active),
            adder.subtract.eq(negate), adder.twos.eq(entry.even), self.psum_o.eq(psum),
        ]
        m.d.sync += psum.eq(adder.total)


class ConstantTableElement(TableElement):
    """The same with a table that never changes, in LUTs."""

    def __init__(self, arithmetic: Distributed, row: int, weights: np.ndarray):
        self._words = arithmetic.table(weights)
        super().__init__(arithmetic, row, constant=True)

    def _read(self, m: Module) -> Value:
        word = Signal(Shape.cast(self.arithmetic.load_shape).width, name="word")
        with m.Switch(self.symbol.address):
            for address, value in enumerate(self._words):
                with m.Case(address):
                    m.d.comb += word.eq(value)
        return word


class OffsetBinaryRowUnit(RowUnit):
    """Bit `phase` of the activations: those of the address flipped where the last one is 0."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        width = arithmetic.activation.bits
        plane = Signal(arithmetic.taps, reset_less=True)
        active = Signal(reset_less=True)
        bits = [self.activations[tap * width:(tap + 1) * width].bit_select(self.phase, 1)
                for tap in range(arithmetic.taps)]
        symbol = Signal(arithmetic.symbol_shape, reset_less=True)
        m.d.sync += [
            plane.eq(Cat(bits)), active.eq(self.active),
            symbol.address.eq(plane[:-1] ^ (~plane[-1]).replicate(arithmetic.address_bits)),
            symbol.negate.eq(active & ~plane[-1]), symbol.active.eq(active),
        ]
        m.d.comb += self.symbol.eq(symbol)
        return m


class SubsetSumLoadUnit(LoadUnit):
    """Entries in Gray-code order; the first one comes with the weights."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        first = Signal(arithmetic.load_shape)
        m.submodules.sums = sums = GrayCodeSums(
            arithmetic.weight.shape, arithmetic.address_bits, arithmetic.entry_shape)
        m.d.comb += [Cat(*sums.weights, first).eq(self.code), sums.first.eq(first.entry),
                     sums.step.eq(self.step), self.data.entry.eq(sums.entry)]
        even = first.even
        for stage in range(sums.LATENCY_CYCLES - sums.CODE_LATENCY_CYCLES):
            kept = Signal(name=f"even{stage}", reset_less=True)
            m.d.sync += kept.eq(even)
            even = kept
        m.d.comb += self.data.even.eq(even)
        return m
