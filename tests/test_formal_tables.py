"""Proofs of arithmetics with tables: entries, codes, and what is read."""

from dataclasses import replace

import pytest
from amaranth.hdl import Cat, Module, Signal, signed

from nmahw.arith import ARITHMETICS, Operand
from nmahw.arith._serial import HornerColumnUnit
from nmahw.arith.distributed import Distributed, OffsetBinaryRowUnit
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
    assert not wrong_entry(ARITHMETICS.get("distributed_binary")(Operand(4, False),
                                                                 Operand(8, True)))


def test_large_tables_are_proved_with_small_ones_in_their_place():
    kind = ARITHMETICS.get("distributed_block_ram")
    proof = prove(kind(Operand(3, True), Operand(2, True)), rows=1)
    assert proof.holds, proof.counterexample
    assert proof.statement == ("value = sum of product, with 4 taps a table; "
                               "every entry with 8 taps = its sum of weights")


class WrongEntry(DistributedBinary):
    """One too much in one entry."""

    name = "wrong_entry"

    def create_load_unit(self):
        return WrongEntryLoadUnit(self)


class WrongEntryLoadUnit(SubsetSumLoadUnit):
    def elaborate(self, platform):
        m = Module()
        m.submodules.sums = sums = SubsetSumLoadUnit(self.arithmetic)
        steps = [self.step]
        for number in range(self.arithmetic.load_latency_cycles):
            steps.append(Signal.like(self.step, name=f"step{number}"))
            m.d.sync += steps[-1].eq(steps[-2])
        wrong = (steps[-1] == 14) & (self.code != 0)
        m.d.comb += [sums.code.eq(self.code), sums.step.eq(self.step),
                     self.data.eq(sums.data + wrong)]
        return m


def test_a_wrong_entry_is_found():
    assert wrong_entry(WrongEntry(Operand(4, True), Operand(4, True))) is not None


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
    assert proof.holds and proof.statement.startswith("value = sum of product")
    assert "alone" not in proof.statement


@pytest.mark.long
@pytest.mark.parametrize("signed_activations", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", NAMES)
def test_all_taps_are_proved_at_eight_bits(name, signed_activations):
    assert prove(ARITHMETICS.get(name)(Operand(8, signed_activations), Operand(8, True))).holds


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


@pytest.mark.parametrize("arithmetic, phase", [
    (plain(create_row_unit=lambda self: UngatedRowUnit(self)), 0),
    (plain(create=lambda self, row=0: PlainOrderElement(self, row)), 0),
    (plain(create_column_unit=lambda self, rows: HornerColumnUnit(self, rows, 1)), 0),
    (plain(psum_shape=lambda self, rows: signed(3)), 0),
    (halved(create_row_unit=lambda self: UnflippedRowUnit(self)), 0),
    (halved(create_column_unit=lambda self, rows: HornerColumnUnit(self, rows, 2)), 1)],
    ids=["idle rows", "order of entries", "sign plane", "narrow psum", "flipped bits", "weights"])
def test_what_is_read_wrongly_is_found(arithmetic, phase):
    check_tables(arithmetic)
    assert wrong_entry(arithmetic) is None
    assert wrong_phase(arithmetic, rows=1) == phase
    with pytest.raises(MismatchError, match=f"value after phase {phase} of a step"):
        prove(arithmetic, rows=1)


def test_what_is_right_is_not_found_wrong():
    for arithmetic in (plain(), halved()):
        assert wrong_phase(arithmetic, rows=2) is None


@pytest.mark.parametrize("arithmetic, message", [
    (plain(step_offset=lambda self, weights, activation: weights.sum(axis=0)), "code and offset"),
    (plain(encode_weights=lambda self, weights, used=None: DistributedBinary.encode_weights(
        self, weights[..., ::-1])), "code and offset"),
    (halved(encode_weights=lambda self, weights, used=None: Distributed.encode_weights(
        self, -weights)), "code and offset"),
    (halved(tables=property(lambda self: replace(
        Distributed.tables.fget(self), reads=Distributed.tables.fget(self).reads[::-1]))),
     "must read the sum of their weights")], ids=["offset", "order", "first entry", "reads"])
def test_definitions_that_do_not_hold_are_found(arithmetic, message):
    with pytest.raises(MismatchError, match=message):
        prove(arithmetic, rows=1)
