"""Below the array: psums become values, values become sums.

At a column's end the arithmetic's column unit makes values of psums, and an accumulator makes the
sum; a finished sum waits in a holding register for the way out. Where weights are held, every
column has a memory of sums instead of one accumulator.
"""

from itertools import product

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..schedule import Schedule
from .array import correction_port
from .common import Tags, delayed, delayed_tags, of_images, per_image

__all__ = ["Accumulators", "EARLY_CYCLES"]

#: How much earlier than the first psum its tags come: time to read a sum from memory.
EARLY_CYCLES = 2


class Accumulators(wiring.Component):
    """Psums to finished sums.

    Attributes
    ----------
    psums : In
        Column c of image i in place ``i * columns + c``, as everywhere.
    correction : In
        In step with the first group; only if the arithmetic has a correction column.
    tags : In
        Tags of the step whose psum the first group shows `EARLY_CYCLES` later.
    sums : Out
        Last finished sum of each column; group g's appears g cycles after the first group's.
    emit : Out
        Tags of the step that finished the first group's sum, `valid` for one cycle: the first
        in which the holding register shows it, or `Schedule.emit_lead_cycles` before.
    """

    def __init__(self, schedule: Schedule, engine: int):
        self.schedule, self.engine = schedule, engine
        self.arithmetic = arithmetic = schedule.engines[engine]
        self.sum_shape = schedule.sum_shape(engine)
        columns = schedule.images * schedule.columns
        super().__init__({
            "psums": In(arithmetic.psum_shape(schedule.rows)).array(columns),
            **{name: per_image(port, schedule.images)
               for name, port in correction_port(In, arithmetic, schedule.rows).items()},
            "tags": In(Tags),
            "sums": Out(self.sum_shape).array(columns),
            "emit": Out(Tags),
        })

    def elaborate(self, platform):
        m = Module()
        schedule, arithmetic = self.schedule, self.arithmetic
        latency = arithmetic.column_latency_cycles
        # Tags with the psum, and with the value.
        tags = delayed_tags(m, self.tags, EARLY_CYCLES, "tags")
        position = self._position(m, latency)
        corrections = (of_images(self.correction, schedule.images)
                       if hasattr(self, "correction") else None)
        for group in range(schedule.groups):
            if group:
                tags = delayed_tags(m, tags, 1, f"tags_group{group}")
                if corrections is not None:
                    corrections = [
                        delayed(m, value, 1, f"correction{image or ''}_group{group}")
                        for image, value in enumerate(corrections)]
                if position is not None:
                    position = delayed(m, position, 1, f"position_group{group}")
            late = delayed_tags(m, tags, latency, f"late_group{group}")
            take = Signal(name=f"take_group{group}")
            finish = Signal(name=f"finish_group{group}")
            if schedule.images == 1:
                m.d.comb += [take.eq(late.valid & late.last_phase),
                             finish.eq(take & late.last_tile)]
            else:
                # Decided beforehand: they reach the columns of all images.
                taken = tags.valid & tags.last_phase
                m.d.comb += [
                    take.eq(delayed(m, taken, latency, f"take_group{group}", reset=True)),
                    finish.eq(delayed(m, taken & tags.last_tile, latency,
                                      f"finish_group{group}", reset=True))]
            if group == 0:
                emit = m.d.comb if schedule.emit_lead_cycles else m.d.sync
                emit += [self.emit.eq(late), self.emit.valid.eq(finish)]
            columns = range(group * schedule.hop,
                            min((group + 1) * schedule.hop, schedule.columns))
            for image, place in product(range(schedule.images), columns):
                column = image * schedule.columns + place
                unit = arithmetic.create_column_unit(schedule.rows)
                m.submodules[f"column_unit{column}"] = unit
                following = Signal(self.sum_shape, name=f"following{column}")
                total = self._total(m, column, position, take, following)
                m.d.comb += [
                    unit.psum.eq(self.psums[column]),
                    unit.first.eq(tags.first_phase), unit.last.eq(tags.last_phase),
                    following.eq(Mux(late.first_tile, 0, total) + unit.value),
                ]
                if corrections is not None:
                    m.d.comb += unit.correction.eq(corrections[image])
                with m.If(finish):
                    m.d.sync += self.sums[column].eq(following)
        return m

    def _position(self, m: Module, latency: int):
        """Which sum in memory the value after next belongs to; None if there is no memory."""
        count = self.schedule.positions_held(self.engine)
        if not count:
            return None
        early = delayed_tags(m, self.tags, latency, "early")
        position = Signal(range(max(count, 2)))
        with m.If(early.valid & early.last_phase):
            m.d.sync += position.eq(Mux(early.tile_end & early.window_last, 0, position + 1))
        return position

    def _total(self, m: Module, column: int, position, take, following):
        """What has been summed up so far."""
        total = Signal(self.sum_shape, name=f"total{column}", reset_less=True)
        if position is None:
            with m.If(take):
                m.d.sync += total.eq(following)
            return total
        m.submodules[f"sums{column}"] = memory = Memory(
            shape=self.sum_shape, depth=self.schedule.positions_held(self.engine), init=[],
            attrs={"ram_style": "block"})
        read, write = memory.read_port(), memory.write_port()
        kept = Signal(self.sum_shape, name=f"kept{column}", reset_less=True)
        m.d.sync += [total.eq(read.data), kept.eq(following)]
        m.d.comb += [read.en.eq(1), read.addr.eq(position),
                     write.en.eq(delayed(m, take, 1, f"write{column}", reset=True)),
                     write.addr.eq(delayed(m, position, EARLY_CYCLES + 1, f"back{column}")),
                     write.data.eq(kept)]
        return total
