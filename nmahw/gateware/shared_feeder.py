"""Activations for rows that take turns at their memories.

A step of several phases asks for one activation a row. Row r sees it r cycles after row 0, so of
`share` rows that follow each other, each can read the same memory in a cycle of its own: in the
first cycle of the step the first row, a cycle later the second, and so on. One address generator
serves them all, and what the memory gives is kept for the row until its next step.

Images in lockstep read the same addresses, each in its own memories.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..schedule import Schedule
from .common import delayed, of_images
from .feeder import feeder_members, tap_memory
from .memory import SlicedMemory

__all__ = ["SharedFeeder"]


class SharedFeeder(wiring.Component):
    """Steps to activations.

    Attributes
    ----------
    address, tap, phase : In
        The step, as the sequencer shows it.
    strobe : In
        It is the step's first cycle.
    activations : Out
        Activations of row r of image i in place ``i * rows + r``, ``r + Schedule.feed_cycles``
        cycles after the step's first cycle and until the next step's.
    phases : Out
        Phase of row r, in step with them.
    w_en, w_addr, w_data : In
        Write port of the activation memories; `w_en` has a bit for each image's.
    """

    def __init__(self, schedule: Schedule, sequencer_signature):
        self.schedule = schedule
        super().__init__(feeder_members(schedule, sequencer_signature) | {"strobe": In(1)})

    def elaborate(self, platform):
        m = Module()
        schedule, share = self.schedule, self.schedule.share
        w_en = delayed(m, self.w_en, 1, "w_en", reset=True)
        w_addr = delayed(m, self.w_addr, 1, "w_addr")
        w_data = [delayed(m, data, 1, f"w_data{image}")
                  for image, data in enumerate(of_images(self.w_data, schedule.images))]
        phase = delayed(m, self.phase, schedule.feed_cycles, "phase")
        for row in range(schedule.rows):
            if row:
                phase = delayed(m, phase, 1, f"phase_row{row}")
            m.d.comb += self.phases[row].eq(phase)

        address, tap, strobe = self.address, self.tap, self.strobe
        for group in range(schedule.row_groups):
            if group:
                # A step lasts at least `share` cycles, so its values are still there.
                strobe = delayed(m, strobe, share - 1, f"strobe_group{group}", reset=True)
                kept = []
                for name, value in (("address", address), ("tap", tap)):
                    register = Signal.like(value, name=f"{name}_group{group}", reset_less=True)
                    with m.If(strobe):
                        m.d.sync += register.eq(value)
                    kept.append(register)
                address, tap = kept
                strobe = delayed(m, strobe, 1, f"strobe_last{group}", reset=True)
            rows = range(group * share, min((group + 1) * share, schedule.rows))
            self._group(m, group, rows, (address, tap, strobe), (w_en, w_addr, w_data))
        return m

    def _group(self, m: Module, group: int, rows: range, step, write) -> None:
        """The rows that share a memory."""
        schedule = self.schedule
        address, tap, strobe = step
        w_en, w_addr, w_data = write
        # Whose turn it is; behind the last one's, it does not matter.
        turn, following = (Signal(range(max(schedule.share, 2)), name=f"{name}_group{group}")
                           for name in ("turn", "following_turn"))
        m.d.comb += turn.eq(Mux(strobe, 0, following))
        m.d.sync += following.eq(turn + 1)
        position = delayed(m, address, 1, f"position_group{group}")
        table = schedule.tap_table()
        for index in range(schedule.taps):
            lane = group * schedule.taps + index
            offsets = [int(table[entry, rows[place], index]) if place < len(rows) else 0
                       for entry in range(len(table)) for place in range(1 << len(turn))]
            m.submodules[f"taps{lane}"] = taps = tap_memory(offsets)
            offset = taps.read_port()
            summed = Signal.like(self.address, name=f"address_lane{lane}", reset_less=True)
            m.d.comb += [offset.en.eq(1), offset.addr.eq(Cat(turn, tap))]
            m.d.sync += summed.eq(position + offset.data)
            for image in range(schedule.images):
                m.submodules[f"activations{image}_{lane}"] = memory = SlicedMemory(
                    schedule.activation_bits, schedule.memory_words)
                m.d.comb += [memory.r_addr.eq(summed), memory.w_en.eq(w_en[image]),
                             memory.w_addr.eq(w_addr), memory.w_data.eq(w_data[image])]
                word = delayed(m, memory.r_data, 1, f"word{image}_lane{lane}")
                capture = delayed(m, strobe, schedule.feed_cycles - 1,
                                  f"capture{image}_lane{lane}", reset=True)
                for place, row in enumerate(rows):
                    if place:
                        capture = delayed(m, capture, 1, f"capture{image}_row{row}_{index}",
                                          reset=True)
                    activation = Signal(schedule.activation_bits, reset_less=True,
                                        name=f"activation{image}_row{row}_{index}")
                    with m.If(capture):
                        m.d.sync += activation.eq(word)
                    m.d.comb += self.activations[image * schedule.rows + row][index].eq(
                        activation)
