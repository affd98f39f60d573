"""What the streams at an accelerator's edge promise, as hardware beside the units that keep it.

A *contract* drives one unit with arbitrary inputs and asserts, in every cycle, what a partner may
rely on: offered data hold until they are taken, everything taken is passed on once and in its
place, and nothing waits for what cannot come. `nmahw.formal.invariant` proves the assertions for
every number of cycles. Each contract has its own idea of the unit's state, made from the ports
alone.
"""

import numpy as np
from amaranth.hdl import Array, Assert, Assume, Const, Elaboratable, Module, Signal, Value

from ..design import Design
from ..gateware.entry import Entry
from ..gateware.exit import Exit
from ..layers.conv2d import Conv2d
from ..network import Network
from ..schedule import Schedule
from ..tensor import TensorFormat

__all__ = ["EntryContract", "ExitContract", "CONTRACTS", "small_schedule"]


class EntryContract(Elaboratable):
    """Elements in: each one taken is written once, where it belongs; broken frames are dropped.

    Parameters
    ----------
    schedule : Schedule
        Of a network without a requantise at its beginning.
    unit : Entry, optional
        By default that of the schedule.
    """

    def __init__(self, schedule: Schedule, unit: Elaboratable | None = None):
        self.schedule = schedule
        self.unit = Entry(schedule) if unit is None else unit
        self.ports: dict[str, Value] = {
            "valid": self.unit.i.valid, "payload": Value.cast(self.unit.i.payload),
            "blocked": self.unit.blocked,
            "release": self.unit.release, "release_bank": self.unit.release_bank}

    def _addresses(self) -> list[list[int]]:
        """Where each element of an image belongs, for both banks."""
        result = []
        for region in self.schedule.program.sources:
            channels, rows, columns = region.shape
            result.append([region.origin + channel * region.plane + row * region.pitch + column
                           for channel in range(channels) for row in range(rows)
                           for column in range(columns)])
        return result

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        addresses = self._addresses()
        size = len(addresses[0])
        started = Signal()
        m.d.sync += started.eq(1)
        taken = Signal()
        m.d.comb += taken.eq(unit.i.valid & unit.i.ready)

        # What has been taken of the image, and what is still to be written.
        position, bank, dropping = Signal(range(max(size, 2))), Signal(), Signal()
        pending, final, final_bank = Signal(), Signal(), Signal()
        address, word = Signal.like(unit.w_addr), Signal(unit.element)
        full, error = Signal(2), Signal()
        complete, broken = Signal(), Signal()
        m.d.comb += [complete.eq((position == size - 1) & unit.i.payload.last),
                     broken.eq((position == size - 1) ^ unit.i.payload.last)]
        with m.If(unit.w_en):
            m.d.sync += pending.eq(0)
            with m.If(final):
                m.d.sync += full.bit_select(final_bank, 1).eq(1)
        with m.If(unit.release):
            m.d.sync += full.bit_select(unit.release_bank, 1).eq(0)
        m.d.sync += error.eq(taken & ~dropping & broken)
        with m.If(taken & dropping):
            m.d.sync += dropping.eq(~unit.i.payload.last)
        with m.Elif(taken):
            places = Array(Array(Const(place, len(address)) for place in row)
                           for row in addresses)
            m.d.sync += [pending.eq(1), address.eq(places[bank][position]),
                         word.eq(unit.i.payload.data), final.eq(complete), final_bank.eq(bank),
                         position.eq(position + 1)]
            with m.If(complete | broken):
                m.d.sync += [position.eq(0), bank.eq(bank ^ complete),
                             dropping.eq(~unit.i.payload.last)]
        m.d.comb += [
            # Only what is complete is released.
            Assume(~unit.release | full.bit_select(unit.release_bank, 1)),
            # Written is what was taken, once, in its place, when the memory is free.
            Assert(unit.w_en == (pending & ~unit.blocked)),
            Assert(~unit.w_en | ((unit.w_addr == address) & (unit.w_data == word))),
            # Nothing is taken before there is room for it.
            Assert(~taken | ~pending | unit.w_en),
            Assert(~unit.i.ready | ~full.bit_select(bank, 1)),
            # Whatever there is room for is taken, whether offered or not.
            Assert(~started | unit.i.ready | full.bit_select(bank, 1) | (pending & unit.blocked)),
            Assert(unit.full == full), Assert(unit.frame_error == error),
        ]
        return m


class ExitContract(Elaboratable):
    """Results out: held until taken, each image's once, in order, the last one marked.

    One result is followed from its writing to its leaving; which one is arbitrary.

    Parameters
    ----------
    schedule : Schedule
        Of a network without an arg max at its end.
    unit : Exit, optional
        By default that of the schedule.
    """

    #: Cycles after which the next result must be offered.
    most_idle_cycles = 3

    def __init__(self, schedule: Schedule, unit: Elaboratable | None = None):
        self.unit = Exit(schedule) if unit is None else unit
        self.words = schedule.passes[-1].work.target.words
        self.followed = Signal(range(max(self.words, 2)))
        self.ports: dict[str, Value] = {
            "w_en": self.unit.w_en, "w_addr": self.unit.w_addr, "w_data": self.unit.w_data,
            "w_done": self.unit.w_done, "ready": self.unit.o.ready, "followed": self.followed}

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        o = unit.o
        started = Signal()
        place = Signal.like(self.followed)
        value, written = Signal.like(unit.w_data), Signal()
        leaving, index, idle = Signal(), Signal.like(place), Signal(range(8))
        stalled, data, last = Signal(), Signal.like(o.payload.data), Signal()
        m.d.sync += [started.eq(1), stalled.eq(o.valid & ~o.ready), data.eq(o.payload.data),
                     last.eq(o.payload.last)]
        with m.If(~started):
            # Arbitrary, and then the same for ever.
            m.d.sync += place.eq(self.followed)
        with m.If(unit.w_en & (unit.w_addr == place) & started):
            m.d.sync += [value.eq(unit.w_data), written.eq(1)]
        with m.If(unit.w_en & unit.w_done):
            m.d.sync += [leaving.eq(1), index.eq(0), idle.eq(0)]
        with m.If(leaving & ~o.valid):
            m.d.sync += idle.eq(idle + 1)
        with m.If(o.valid & o.ready):
            m.d.sync += [index.eq(index + 1), idle.eq(0)]
            with m.If(o.payload.last):
                m.d.sync += [leaving.eq(0), written.eq(0)]
        m.d.comb += [
            # The engine writes when the buffer is free, and every result of an image.
            Assume(~unit.w_en | (unit.free & started)),
            Assume(self.followed < self.words), Assume(unit.w_addr < self.words),
            Assume(~(unit.w_en & unit.w_done) | written | (unit.w_addr == place)),
            Assert(unit.free == ~leaving),
            # Offered data neither go nor change before they are taken.
            Assert(~stalled | (o.valid & (o.payload.data == data) & (o.payload.last == last))),
            # They are the results, in order, the last one marked, and nothing else.
            Assert(~o.valid | leaving),
            Assert(~o.valid | (index < self.words)),
            Assert(~o.valid | (index != place) | (o.payload.data == value)),
            Assert(~o.valid | (o.payload.last == (index == self.words - 1))),
            Assert(~leaving | (idle <= self.most_idle_cycles)),
        ]
        return m


def small_schedule() -> Schedule:
    """Of a network that is small, yet has several channels, padding and several results."""
    weights = np.zeros((1, 2, 3, 3), dtype=np.int64)
    weights[0, :, 1, 1] = 1, -1
    network = Network(TensorFormat((2, 1, 2), 0, 1), (Conv2d(weights, 1, 1),))
    return Design.of(network, "fabric", 1, 1).schedule


#: What is proved of the edge, by name.
CONTRACTS = {"entry": EntryContract, "exit": ExitContract}
