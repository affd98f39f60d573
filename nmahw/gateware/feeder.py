"""Activations for the array's rows: im2col by adding, no multiplier and no shared port.

Every lane (a row's tap) has a copy of the activation memory, because all lanes read different
addresses in every cycle. An address is the position's address plus the lane's tap offset from a
small table. Steps flow from row to row, a cycle each, and so do the psums below: that is the
skew of a systolic array.
"""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..schedule import Schedule
from .common import delayed, image_suffix, of_images, per_image
from .memory import SlicedMemory

__all__ = ["Feeder", "feeder_members", "tap_memory"]


def feeder_members(schedule: Schedule, sequencer_signature: wiring.Signature) -> dict:
    """Ports of every feeder; see `Feeder`."""
    steps = {name: In(sequencer_signature.members[name].shape)
             for name in ("address", "tap", "phase")}
    return steps | {
        "activations": Out(unsigned(schedule.activation_bits))
        .array(schedule.images * schedule.rows, schedule.taps),
        "phases": Out(sequencer_signature.members["phase"].shape).array(schedule.rows),
        "w_en": In(schedule.images), "w_addr": In(range(schedule.memory_words)),
        "w_data": per_image(In(unsigned(schedule.activation_bits)), schedule.images),
    }


def tap_memory(offsets: list[int]) -> Memory:
    """A lane's table of tap offsets: small, and in LUTs."""
    return Memory(shape=unsigned(max(max(offsets).bit_length(), 1)), depth=len(offsets),
                  init=offsets, attrs={"rom_style": "logic", "ram_style": "logic"})


class Feeder(wiring.Component):
    """Steps to activations.

    Attributes
    ----------
    address, tap, phase : In
        The step, as the sequencer shows it.
    activations : Out
        Activations of row r of image i in place ``i * rows + r``, one a tap, ``r + FEED_CYCLES``
        cycles after their step.
    phases : Out
        Phase of row r, in step with them.
    w_en, w_addr, w_data : In
        Write port of the activation memories (all copies); `w_en` has a bit for each image's.
    """

    def __init__(self, schedule: Schedule, sequencer_signature):
        self.schedule = schedule
        super().__init__(feeder_members(schedule, sequencer_signature))

    def elaborate(self, platform):
        m = Module()
        schedule = self.schedule
        table = schedule.tap_table()
        address, tap = self.address, self.tap
        phase = delayed(m, self.phase, 4, "phase")
        # A register between the writer and the many memories it reaches.
        w_en = delayed(m, self.w_en, 1, "w_en", reset=True)
        w_addr = delayed(m, self.w_addr, 1, "w_addr")
        datas = of_images(self.w_data, schedule.images)
        w_data = [delayed(m, data, 1, f"w_data{image_suffix(image)}")
                  for image, data in enumerate(datas)]
        for row in range(schedule.rows):
            if row:
                address = delayed(m, address, 1, f"address_row{row}")
                tap = delayed(m, tap, 1, f"tap_row{row}")
                phase = delayed(m, phase, 1, f"phase_row{row}")
            position = delayed(m, address, 1, f"position_row{row}")
            m.d.comb += self.phases[row].eq(phase)
            for index in range(schedule.taps):
                lane = row * schedule.taps + index
                offsets = [int(v) for v in table[:, row, index]]
                m.submodules[f"taps{lane}"] = taps = tap_memory(offsets)
                offset = taps.read_port()
                summed = Signal.like(self.address, name=f"address_lane{lane}", reset_less=True)
                m.d.comb += [offset.en.eq(1), offset.addr.eq(tap)]
                m.d.sync += summed.eq(position + offset.data)
                for image, data in enumerate(w_data):
                    m.submodules[f"activations{lane}{image_suffix(image)}"] = memory = SlicedMemory(
                        schedule.activation_bits, schedule.memory_words)
                    word = Signal(schedule.activation_bits, reset_less=True,
                                  name=f"activation_lane{lane}{image_suffix(image)}")
                    m.d.comb += [
                        memory.r_addr.eq(summed), memory.w_en.eq(w_en[image]),
                        memory.w_addr.eq(w_addr), memory.w_data.eq(data),
                        self.activations[image * schedule.rows + row][index].eq(word)]
                    m.d.sync += word.eq(memory.r_data)
        return m
