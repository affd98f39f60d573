"""Max and average over a window of positions that arrive one after the other.

One running value per column of the array. A window's average is its sum plus a half, shifted.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..arith import range_shape
from ..schedule import Schedule
from .common import choose
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
        super().__init__({
            "i": In(range_shape(*input_range)), "channel": In(range(max(schedule.columns, 2))),
            "valid": In(1), "window_first": In(1), "o": Out(range_shape(*input_range)),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self._configuration
        shifts = sorted({p.work.pool.shift for p in self._schedule.passes})
        m.submodules.running = memory = Memory(
            shape=self._total_shape, depth=self._schedule.columns, init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        total = Signal(self._total_shape)
        merged = Signal(self._total_shape)
        m.d.comb += [
            read.addr.eq(self.channel), write.addr.eq(self.channel), write.en.eq(self.valid),
            merged.eq(Mux(cfg["pool_average"], read.data + self.i,
                          Mux(self.i > read.data, self.i, read.data))),
            total.eq(Mux(self.window_first, self.i + cfg["pool_half"], merged)),
            write.data.eq(total),
        ]
        if self._schedule.pool_cycles == 1:
            m.d.sync += self.o.eq(total)
        else:
            kept = Signal(self._total_shape)
            m.d.sync += [
                kept.eq(total),
                self.o.eq(choose(m, cfg["pool_shift"], [kept >> s for s in shifts], "mean")),
            ]
        return m
