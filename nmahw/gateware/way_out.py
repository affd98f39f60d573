"""From finished sums to results in memory: scale, bias, rescale, pool, rescale, write address.

The sums of one position leave their holding registers one channel a cycle, at the same time for
all images in lockstep. The sequencer leaves enough time between positions, so nothing here ever
waits.
"""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..arith import range_shape
from ..schedule import Schedule
from .common import Tags, delayed, image_suffix, of_images, per_image
from .configuration import Configuration
from .pool import PoolUnit, pool_fields
from .rescale import RescaleUnit, rescale_fields
from .scale import ScaleUnit

__all__ = ["WayOut", "way_out_fields"]


def _union(ranges: list[tuple[int, int]]) -> tuple[int, int]:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def way_out_fields(schedule: Schedule) -> dict[str, list[int]]:
    """Program fields of the way out, one entry per pass."""
    passes = schedule.passes
    ranges = [p.work.ranges() for p in passes]
    bias_base, bases = 0, []
    for p in passes:
        bases.append(bias_base)
        bias_base += p.work.channels
    return {
        "bias_base": bases,
        "channels": [schedule.columns - 1] * len(passes),
        "last_channels": [p.last_channels - 1 for p in passes],
        "target_base": [p.work.target.origin for p in passes],
        "target_plane": [p.work.target.plane for p in passes],
        "target_tile": [p.work.target.plane * schedule.columns for p in passes],
        "target_row_end": [1 + p.work.target.pitch - p.work.grid[1] for p in passes],
        **rescale_fields("before", schedule.rescales("before"), [r["before"] for r in ranges]),
        **pool_fields(schedule),
        **rescale_fields("after", schedule.rescales("after"), [r["after"] for r in ranges]),
    }


class WayOut(wiring.Component):
    """See the module's text.

    Attributes
    ----------
    sums : In
        Holding registers of the columns; column c of image i in place ``i * columns + c``.
    emit : In
        Tags of a sum, `valid` `Schedule.emit_lead_cycles` before the first cycle in which the
        first group's registers show it.
    start : In
        A pass begins: take its target address.
    w_en, w_addr, w_data : Out
        A result, of each image, and where it goes.
    done : Out
        It is the pass's last.
    """

    def __init__(self, schedule: Schedule, configuration: Configuration, sum_shape):
        self.schedule = schedule
        self.configuration = configuration
        ranges = [p.work.ranges() for p in schedule.passes]
        self._ranges = {stage: _union([r[stage] for r in ranges]) for stage in ranges[0]}
        words = max([schedule.memory_words, schedule.passes[-1].work.target.words])
        super().__init__({
            "sums": In(sum_shape).array(schedule.images * schedule.columns),
            "emit": In(Tags), "start": In(1),
            "w_en": Out(1), "w_addr": Out(range(max(words, 2))),
            "w_data": per_image(Out(range_shape(*self._ranges["after"])), schedule.images),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        schedule, cfg, ranges = self.schedule, self.configuration, self._ranges
        columns = schedule.columns

        # One channel a cycle, from the cycle of `emit` on.
        channel = Signal(range(max(columns, 2)))
        following_channel = Signal.like(channel)
        running, held = Signal(), Signal(Tags, reset_less=True)
        tags = Signal(Tags)
        active, last_channel = Signal(), Signal()
        limit = Signal.like(channel)
        m.d.comb += [
            tags.eq(Mux(self.emit.valid, self.emit, held)),
            active.eq(self.emit.valid | running),
            channel.eq(Mux(self.emit.valid, 0, following_channel)),
            limit.eq(Mux(tags.last_channels, cfg["last_channels"], cfg["channels"])),
            last_channel.eq(channel == limit),
        ]
        m.d.sync += [following_channel.eq(channel + 1), held.eq(tags),
                     running.eq(active & ~last_channel)]

        # Bias of the tile's first channel, and of the channel at hand.
        biases = schedule.biases()
        bias_shape = range_shape(min(biases), max(biases))
        words = biases
        scales = []
        if schedule.scale_terms:
            for image in range(schedule.images):
                scales.append(ScaleUnit(
                    schedule.scale_terms, biases, bias_shape, self.sums[0].shape(),
                    range_shape(*ranges["biased"])))
                m.submodules[f"scale{image_suffix(image)}"] = scales[-1]
            words = scales[0].words
        m.submodules.biases = bias_memory = Memory(
            shape=scales[0].word.shape() if scales else bias_shape, depth=len(words), init=words)
        bias = bias_memory.read_port()
        tile_bias, bias_address = Signal.like(bias.addr), Signal.like(bias.addr)
        following_bias, after_bias = Signal.like(bias.addr), Signal.like(bias.addr)
        m.d.comb += [bias.en.eq(1), bias.addr.eq(bias_address),
                     bias_address.eq(Mux(self.emit.valid, tile_bias, following_bias)),
                     after_bias.eq(bias_address + 1)]
        m.d.sync += following_bias.eq(after_bias)
        with m.If(self.start):
            m.d.sync += tile_bias.eq(cfg["bias_base"])
        with m.Elif(active & last_channel & tags.tile_end & tags.window_last):
            m.d.sync += tile_bias.eq(after_bias)

        # The bias's memory has slow outputs, hence a register behind it and beside the value.
        lead = schedule.emit_lead_cycles
        results, word = [], None
        chosen = delayed(m, channel, lead, "chosen")
        for image in range(schedule.images):
            value = Signal.like(self.sums[0], name=f"sum{image_suffix(image)}", reset_less=True)
            arrived = delayed(m, value, 1, f"value{image_suffix(image)}")
            word = delayed(m, bias.data, 1 + lead, "bias") if word is None else word
            m.d.sync += value.eq(Array(self.sums[image * columns + column]
                                       for column in range(columns))[chosen])
            if scales:
                m.d.comb += [scales[image].value.eq(arrived), scales[image].word.eq(word)]
                biased = scales[image].o
            else:
                biased = Signal(range_shape(*ranges["biased"]), name=f"biased{image_suffix(image)}",
                                reset_less=True)
                m.d.sync += biased.eq(arrived + word)
            results.append(biased)

        def along(signal, cycles, name, reset=False):
            return delayed(m, signal, cycles, name, reset)

        # Tags keep step with the value.
        state = {
            "valid": active, "last_channel": last_channel, "channel": channel,
            "window_first": tags.window_first, "window_last": tags.window_last,
            "row_end": tags.row_end, "tile_end": tags.tile_end, "pass_end": tags.pass_end}

        def advance(cycles: int, stage: str) -> None:
            for name, signal in state.items():
                state[name] = along(signal, cycles, f"{stage}_{name}", reset=name == "valid")

        advance(3 + lead + schedule.scale_cycles, "bias")
        results = self._rescale(m, "before", results, "biased", "before")
        advance(schedule.rescale_cycles("before"), "before")
        if schedule.pool_cycles:
            for image, result in enumerate(results):
                pool = PoolUnit(schedule, cfg, ranges["before"], ranges["total"])
                m.submodules[f"pool{image_suffix(image)}"] = pool
                m.d.comb += [pool.i.eq(result), pool.channel.eq(state["channel"]),
                             pool.valid.eq(state["valid"]),
                             pool.window_first.eq(state["window_first"])]
                results[image] = pool.o
            advance(schedule.pool_cycles, "pool")
        results = self._rescale(m, "after", results, "pooled", "after")
        advance(schedule.rescale_cycles("after"), "after")

        # Where it goes: base of the channel tile, position in it, channel.
        tile, position, address = (Signal.like(self.w_addr, name=name)
                                   for name in ("tile_address", "position_address", "address"))
        write = Signal()
        m.d.comb += write.eq(state["valid"] & state["window_last"])
        next_tile = Signal.like(tile)
        next_position = Signal.like(position)
        m.d.comb += [
            next_tile.eq(tile + cfg["target_tile"]),
            next_position.eq(Mux(state["tile_end"], next_tile,
                                 position + Mux(state["row_end"], cfg["target_row_end"], 1))),
        ]
        with m.If(self.start):
            m.d.sync += [start.eq(cfg["target_base"]) for start in (tile, position, address)]
        with m.Elif(write):
            m.d.sync += address.eq(address + cfg["target_plane"])
            with m.If(state["last_channel"]):
                m.d.sync += [position.eq(next_position), address.eq(next_position)]
                with m.If(state["tile_end"]):
                    m.d.sync += tile.eq(next_tile)
        m.d.sync += [
            self.w_en.eq(write), self.w_addr.eq(address),
            *(port.eq(result) for port, result in
              zip(of_images(self.w_data, schedule.images), results, strict=True)),
            self.done.eq(write & state["last_channel"] & state["pass_end"]),
        ]
        return m

    def _rescale(self, m, slot, values, before, after):
        if not self.schedule.rescale_cycles(slot):
            return values
        units = []
        for image, value in enumerate(values):
            unit = RescaleUnit(self.configuration, slot, self.schedule.rescales(slot),
                               self._ranges[before], self._ranges[after])
            m.submodules[f"rescale_{slot}{image_suffix(image)}"] = unit
            m.d.comb += unit.i.eq(value)
            units.append(unit.o)
        return units
