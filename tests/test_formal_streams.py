"""The contracts of the streams in and out, and units that break them."""

import pytest
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring

from nmahw.errors import BuildError
from nmahw.formal.invariant import holds_always, shortest_failure
from nmahw.formal.streams import CONTRACTS, EntryContract, ExitContract, small_schedule
from nmahw.gateware.entry import Entry
from nmahw.gateware.exit import Exit

INPUTS = {Entry: ("blocked", "release", "release_bank"), Exit: ("w_en", "w_addr", "w_data",
                                                               "w_done")}
OUTPUTS = {Entry: ("full", "w_en", "w_addr", "w_data", "frame_error"), Exit: ("free",)}


@pytest.mark.parametrize("name", CONTRACTS)
def test_contract_holds_always(name):
    assert holds_always(CONTRACTS[name](small_schedule()))


class Altered(wiring.Component):
    """A unit behind a wrapper that `alter` changes something in."""

    kind: type

    def __init__(self, schedule):
        self.inner = self.kind(schedule)
        self.element = self.inner.element
        super().__init__(self.inner.signature)

    def alter(self, m):
        raise NotImplementedError

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = self.inner
        m.d.comb += [getattr(inner, name).eq(getattr(self, name)) for name in INPUTS[self.kind]]
        m.d.comb += [getattr(self, name).eq(getattr(inner, name)) for name in OUTPUTS[self.kind]]
        if self.kind is Entry:
            m.d.comb += [inner.i.valid.eq(self.i.valid), inner.i.payload.eq(self.i.payload),
                         self.i.ready.eq(inner.i.ready)]
        else:
            m.d.comb += [self.o.valid.eq(inner.o.valid), self.o.payload.eq(inner.o.payload),
                         inner.o.ready.eq(self.o.ready)]
        self.alter(m)
        return m


class SameExit(Altered):
    """Not altered at all."""

    kind = Exit

    def alter(self, m):
        pass


class SameEntry(SameExit):
    kind = Entry


class Blinking(Altered):
    """Takes an offer back when it is not taken at once."""

    kind = Exit

    def alter(self, m):
        stalled = Signal()
        m.d.sync += stalled.eq(self.o.valid & ~self.o.ready)
        m.d.comb += self.o.valid.eq(self.inner.o.valid & ~stalled)


class Changing(Altered):
    """Shows another result while the first one waits."""

    kind = Exit

    def alter(self, m):
        stalled = Signal()
        m.d.sync += stalled.eq(self.o.valid & ~self.o.ready)
        m.d.comb += self.o.payload.data.eq(self.inner.o.payload.data ^ stalled)


class Unmarked(Altered):
    """Never says which result is the last."""

    kind = Exit

    def alter(self, m):
        m.d.comb += self.o.payload.last.eq(0)


class Twice(Altered):
    """Writes the same element in every free cycle until the next one comes."""

    kind = Entry

    def alter(self, m):
        had = Signal()
        m.d.sync += had.eq(self.w_en)
        m.d.comb += self.w_en.eq(self.inner.w_en | (had & ~self.blocked))


class Losing(Altered):
    """Writes without looking whether the memory is free."""

    kind = Entry

    def alter(self, m):
        m.d.comb += [self.inner.blocked.eq(0), self.w_en.eq(self.inner.w_en & ~self.blocked)]


class Silent(Altered):
    """Drops broken frames without a word."""

    kind = Entry

    def alter(self, m):
        m.d.comb += self.frame_error.eq(0)


@pytest.mark.parametrize("unit, contract", [
    (Blinking, ExitContract), (Changing, ExitContract), (Unmarked, ExitContract),
    (Twice, EntryContract), (Losing, EntryContract), (Silent, EntryContract)],
    ids=lambda kind: kind.__name__)
def test_what_breaks_a_contract_is_found(unit, contract):
    schedule = small_schedule()
    failure = shortest_failure(contract(schedule, unit(schedule)), 14)
    assert failure is not None and 2 <= len(failure) <= 14
    assert all("rst" not in inputs for inputs in failure)


def test_a_broken_contract_has_no_invariant():
    schedule = small_schedule()
    assert not holds_always(ExitContract(schedule, Blinking(schedule)))


def test_the_units_themselves_do_not_fail_soon():
    schedule = small_schedule()
    for contract, wrapped in ((ExitContract, SameExit), (EntryContract, SameEntry)):
        assert shortest_failure(contract(schedule), 5) is None
        assert shortest_failure(contract(schedule, wrapped(schedule)), 8) is None


def test_a_contract_that_asserts_nothing_is_refused():
    class Empty(Elaboratable):
        def __init__(self):
            self.ports = {"a": Signal(name="a")}

        def elaborate(self, platform):
            m = Module()
            kept = Signal()
            m.d.sync += kept.eq(self.ports["a"])
            return m

    with pytest.raises(BuildError, match="must assert something"):
        holds_always(Empty())
