"""Proofs of tables that are too large to be unrolled."""

import pytest
from amaranth.hdl import Module, Signal, signed

from nmahw.arith import ARITHMETICS, Operand
from nmahw.arith.distributed_binary import DistributedBinary, SubsetSumLoadUnit
from nmahw.errors import ModelError
from nmahw.formal.proof import prove
from nmahw.formal.step import MOST_LOAD_CYCLES
from nmahw.formal.tables import wrong_entry


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
    assert proof.statement == ("value = sum of product, each tap alone, with 4 taps a table; "
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
        load_shape = signed(5)

    with pytest.raises(ModelError, match=r"must have entries that hold -24\.\.21, not -16\.\.15"):
        wrong_entry(Narrow(Operand(4, True), Operand(4, True)))
