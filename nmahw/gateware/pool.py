"""Max and average over a window of positions that arrive one after the other.

One running value per column of the array. A window's average is its sum plus a half, shifted.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..arith import range_shape
from ..schedule import Schedule
from .common import choose, delayed
from .configuration import Configuration

__all__ = ["PoolUnit", "pool_fields"]


def pool_fields(schedule: Schedule) -> dict[str, list[int]]:
    """Program fields of the pool."""
    pools = [p.work.pool for p in schedule.passes]
    shifts = sorted({p.shift for p in pools})
    return {
        "pool_average": [int(p.kind == "average") for p in pools],
        "pool_half": [(1 << p.shift) >> 1 for p in pools],
        "pool_shift": [shifts.index(p.shift) for p in pools],
    }


class PoolUnit(wiring.Component):
    """Reduces windows; `schedule.pool_cycles` of latency.

    Attributes
    ----------
    i : In
        Value of the position, `channel` its place in the array's columns.
    valid, window_first : In
    o : Out
        Result so far; of use when the input was the window's last position.
    """

    def __init__(self, schedule: Schedule, configuration: Configuration,
                 input_range: tuple[int, int], total_range: tuple[int, int]):
        self._schedule = schedule
        self._configuration = configuration
        self._total_shape = range_shape(*total_range)
        # What is kept of a window: other passes go through without memory, however wide they are.
        pooled = [p.work.ranges() for p in schedule.passes if p.work.pool.size > 1]
        self._kept_shape = range_shape(min(min(r["before"][0], r["total"][0]) for r in pooled),
                                       max(max(r["before"][1], r["total"][1]) for r in pooled))
        super().__init__({
            "i": In(range_shape(*input_range)), "channel": In(range(max(schedule.columns, 2))),
            "valid": In(1), "window_first": In(1), "o": Out(range_shape(*input_range)),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self._configuration
        shifts = sorted({p.work.pool.shift for p in self._schedule.passes})
        m.submodules.running = memory = Memory(
            shape=self._kept_shape, depth=max(self._schedule.columns, 2), init=[])
        read, write = memory.read_port(), memory.write_port()
        # Read, merge, write back: a channel comes again three cycles later at the earliest.
        value = delayed(m, self.i, 1, "value")
        first = delayed(m, self.window_first, 1, "first")
        total = Signal(self._total_shape)
        pooled, merged = Signal(self._kept_shape), Signal(self._kept_shape)
        kept = Signal(self._total_shape, reset_less=True)
        m.d.comb += [
            read.en.eq(1), read.addr.eq(self.channel),
            write.addr.eq(delayed(m, self.channel, 2, "channel")),
            write.en.eq(delayed(m, self.valid, 2, "valid", reset=True)),
            pooled.eq(value),
            merged.eq(Mux(cfg["pool_average"], read.data + pooled,
                          Mux(pooled > read.data, pooled, read.data))),
            total.eq(Mux(first, value + cfg["pool_half"], merged)),
            write.data.eq(kept),
        ]
        m.d.sync += kept.eq(total)
        if any(shifts):
            m.d.sync += self.o.eq(choose(m, cfg["pool_shift"], [kept >> s for s in shifts],
                                         "mean"))
        else:
            m.d.comb += self.o.eq(kept)
        return m
