"""Proofs of arithmetics with tables: entries, codes, and what is read."""

from dataclasses import replace

import pytest
from amaranth.hdl import Cat, Module, Mux, signed

from nmahw.arith import ARITHMETICS, Operand
from nmahw.arith._serial import HornerColumnUnit
from nmahw.arith.distributed import Distributed, OffsetBinaryRowUnit
from nmahw.arith.distributed import SubsetSumLoadUnit as OffsetBinaryLoadUnit
from nmahw.arith.distributed_binary import (
    DistributedBinary,
    PlanesRowUnit,
    SubsetSumLoadUnit,
    SubsetTableElement,
)
from nmahw.errors import MismatchError, ModelError
from nmahw.formal.proof import prove
from nmahw.formal.reads import wrong_phase
from nmahw.formal.step import MOST_LOAD_CYCLES
from nmahw.formal.tables import check_tables, wrong_entry
from nmahw.gateware.common import delayed

NAMES = [kind.name for kind in ARITHMETICS if kind.holds_weights]


@pytest.mark.long
def test_large_tables_are_proved_entry_by_entry():
    arithmetic = ARITHMETICS.get("distributed_block_ram")(Operand(4, True), Operand(8, True))
    assert arithmetic.load_cycles > MOST_LOAD_CYCLES
    assert wrong_entry(arithmetic) is None
    assert wrong_entry(ARITHMETICS.get("distributed_binary")(Operand(4, False),
                                                             Operand(8, True))) is None


def test_large_tables_are_proved_with_small_ones_in_their_place():
    kind = ARITHMETICS.get("distributed_block_ram")
    proof = prove(kind(Operand(3, True), Operand(2, True)), rows=1)
    assert proof.holds, proof.counterexample
    assert proof.statement == ("value = sum of product, with 4 taps a table; "
                               "every entry with 8 taps = its sum of weights")


class WrongEntry(DistributedBinary):
    """Another weight is put in in one step."""

    name = "wrong_entry"

    def create_load_unit(self):
        return WrongEntryLoadUnit(self)


class WrongEntryLoadUnit(SubsetSumLoadUnit):
    def elaborate(self, platform):
        m = Module()
        m.submodules.sums = sums = SubsetSumLoadUnit(self.arithmetic)
        m.d.comb += [sums.code.eq(self.code), self.data.eq(sums.data),
                     sums.step.eq(Mux(self.step == 14, 12, self.step))]
        return m


def test_a_wrong_entry_is_found():
    assert wrong_entry(WrongEntry(Operand(4, True), Operand(4, True))) == 14


class AlwaysEvenLoadUnit(OffsetBinaryLoadUnit):
    """Says of every table that nothing was cut off from its halves."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = OffsetBinaryLoadUnit(self.arithmetic)
        m.d.comb += [unit.code.eq(self.code), unit.step.eq(self.step),
                     self.data.entry.eq(unit.data.entry), self.data.even.eq(1)]
        return m


def test_a_wrong_half_is_found():
    assert wrong_entry(halved(create_load_unit=lambda self: AlwaysEvenLoadUnit(self))) is not None
    assert wrong_entry(halved()) is None


def test_entries_must_hold_every_sum():
    class Narrow(DistributedBinary):
        entry_shape = signed(5)

    with pytest.raises(ModelError, match=r"must have entries that hold -32\.\.28, not -16\.\.15"):
        wrong_entry(Narrow(Operand(4, True), Operand(4, True)))


@pytest.mark.parametrize("signed_activations", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", NAMES)
def test_all_taps_are_proved_at_few_bits(name, signed_activations):
    kind = ARITHMETICS.get(name)
    proof = prove(kind(Operand(4, signed_activations), Operand(4, True)), rows=1)
    small = ", with 4 taps a table; every entry with 8 taps = its sum of weights"
    assert proof.statement == "value = sum of product" + small * (kind.taps == 8)


@pytest.mark.long
@pytest.mark.parametrize("signed_activations", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", NAMES)
def test_all_taps_are_proved_at_eight_bits(name, signed_activations):
    # What is wrong raises an error.
    assert prove(ARITHMETICS.get(name)(Operand(8, signed_activations), Operand(8, True))).rows == 2


def plain(**changes):
    """`distributed_binary` of few bits with something else in it."""
    return type("Changed", (DistributedBinary,), {"name": "changed", **changes})(
        Operand(2, True), Operand(2, True))


def halved(**changes):
    """`distributed` likewise."""
    return type("Changed", (Distributed,), {"name": "changed", **changes})(
        Operand(2, False), Operand(2, True))


class UnflippedRowUnit(OffsetBinaryRowUnit):
    """Its bits are those of the address whatever the last one is."""

    def elaborate(self, platform):
        m = Module()
        bits = [self.activations.word_select(tap, 2) for tap in range(self.arithmetic.taps)]
        plane = delayed(m, Cat(word.bit_select(self.phase, 1) for word in bits), 2, "plane")
        active = delayed(m, self.active, 2, "active")
        m.d.comb += [self.symbol.address.eq(plane), self.symbol.active.eq(active),
                     self.symbol.negate.eq(active & ~plane[-1])]
        return m


class UngatedRowUnit(PlanesRowUnit):
    """Its row is never idle."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = PlanesRowUnit(self.arithmetic)
        m.d.comb += [unit.activations.eq(self.activations), unit.phase.eq(self.phase),
                     unit.active.eq(1), self.symbol.eq(unit.symbol)]
        return m


class PlainOrderElement(SubsetTableElement):
    """Takes entries as if they came in the order of addresses."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = SubsetTableElement(self.arithmetic, 0)
        gray = self.load_step
        for shift in (1, 2):
            gray = gray ^ (gray >> shift)
        m.d.comb += [inner.load.eq(self.load), inner.load_data.eq(self.load_data),
                     inner.load_step.eq(gray), inner.symbol.eq(self.symbol),
                     inner.psum_i.eq(self.psum_i), self.psum_o.eq(inner.psum_o)]
        return m


class OnePortElement(SubsetTableElement):
    """Reads what it writes while it loads, also in a row that is idle."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = SubsetTableElement(self.arithmetic, 0)
        m.d.comb += [inner.load.eq(self.load), inner.load_data.eq(self.load_data),
                     inner.load_step.eq(self.load_step),
                     inner.symbol.eq(Mux(self.load, self.load_step ^ (self.load_step >> 1),
                                         self.symbol)),
                     inner.psum_i.eq(self.psum_i), self.psum_o.eq(inner.psum_o)]
        return m


class ForgetfulElement(SubsetTableElement):
    """Takes nothing from the rows above."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = SubsetTableElement(self.arithmetic, 0)
        m.d.comb += [inner.load.eq(self.load), inner.load_data.eq(self.load_data),
                     inner.load_step.eq(self.load_step), inner.symbol.eq(self.symbol),
                     self.psum_o.eq(inner.psum_o)]
        return m


@pytest.mark.parametrize("arithmetic, phase", [
    (plain(create_row_unit=lambda self: UngatedRowUnit(self)), 0),
    (plain(create=lambda self, row=0: PlainOrderElement(self, row)), 0),
    (plain(create_column_unit=lambda self, rows: HornerColumnUnit(self, rows, 1)), 0),
    (plain(create=lambda self, row=0: OnePortElement(self, row)), 0),
    (plain(create=lambda self, row=0: ForgetfulElement(self, row)), 0),
    (halved(create_row_unit=lambda self: UnflippedRowUnit(self)), 0),
    (halved(create_column_unit=lambda self, rows: HornerColumnUnit(self, rows, 2)), 1)],
    ids=["idle rows", "order of entries", "sign plane", "loading rows", "rows above",
         "flipped bits", "weights"])
def test_what_is_read_wrongly_is_found(arithmetic, phase):
    check_tables(arithmetic)
    assert wrong_entry(arithmetic) is None
    assert wrong_phase(arithmetic) == phase
    with pytest.raises(MismatchError, match=f"value after phase {phase} of a step"):
        prove(arithmetic)


def test_what_is_right_is_not_found_wrong():
    for arithmetic in (plain(), halved()):
        assert wrong_phase(arithmetic, rows=2) is None


@pytest.mark.parametrize("arithmetic, message", [
    (plain(step_offset=lambda self, weights, activation: weights.sum(axis=0)), "the offset of"),
    (halved(step_offset=lambda self, weights, activation: Distributed.step_offset(
        self, weights, self.activation)), "activations of 1 bits"),
    (plain(encode_weights=lambda self, weights, used=None: DistributedBinary.encode_weights(
        self, weights[..., ::-1])), "the code of"),
    (halved(encode_weights=lambda self, weights, used=None: Distributed.encode_weights(
        self, -weights)), "the code of"),
    (halved(tables=property(lambda self: replace(
        Distributed.tables.fget(self), reads=Distributed.tables.fget(self).reads[::-1]))),
     "must read the sum of their weights")],
    ids=["offset", "offset of narrow activations", "order", "first entry", "reads"])
def test_definitions_that_do_not_hold_are_found(arithmetic, message):
    with pytest.raises(MismatchError, match=message):
        prove(arithmetic, rows=1)


@pytest.mark.parametrize("arithmetic, message", [
    (plain(psum_shape=lambda self, rows: signed(3)), r"psums that hold -16\.\.8 with 2 rows"),
    (plain(value_shape=lambda self, rows: signed(5)), r"values that hold -16\.\.32 with 2 rows")])
def test_sums_that_do_not_fit_are_refused(arithmetic, message):
    with pytest.raises(ModelError, match=message):
        prove(arithmetic)
