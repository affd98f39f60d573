"""Runs the passes of a program one after the other: the loop nest, as counters that add.

For each pass the sequencer waits until its input is there and its output has room, fetches the
pass's program word, then shows one step a cycle: where the position begins in the activation
memory, which row of the tap table, which weight tile, which phase. Nothing downstream ever
stalls, so a pass takes a number of cycles that is known beforehand.
"""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..schedule import Schedule
from .common import Loop, Tags
from .configuration import Configuration

__all__ = ["Sequencer", "sequencer_fields"]


def sequencer_fields(schedule: Schedule) -> dict[str, list[int]]:
    """Program fields of the sequencer; the last entry is pass 0 reading the other input."""
    passes = [*schedule.passes, schedule.passes[0]]
    bases = [p.work.source.base for p in schedule.passes]
    bases.append(schedule.program.sources[1].base)

    def of(function) -> list[int]:
        return [function(p) for p in passes]

    return {
        "source_base": bases,
        "tap_base": of(lambda p: p.tap_base),
        "tap_step": of(lambda p: p.tap_step),
        "address_step": of(lambda p: p.address_step),
        "weight_base": of(lambda p: p.weight_base),
        "load_base": of(lambda p: p.weight_base * schedule.rows if p.is_held else 0),
        "engine": of(lambda p: p.engine),
        "held": of(lambda p: int(p.is_held)),
        "phases": of(lambda p: p.phases - 1),
        "tap_tiles": of(lambda p: p.tap_tiles - 1),
        "channel_tiles": of(lambda p: p.channel_tiles - 1),
        "window": of(lambda p: p.work.pool.size - 1),
        "grid_rows": of(lambda p: p.work.grid[0] - 1),
        "grid_columns": of(lambda p: p.work.grid[1] - 1),
        "window_column_step": of(lambda p: p.work.stride),
        "window_row_step": of(lambda p: p.work.stride * p.work.source.pitch),
        "column_step": of(lambda p: p.work.stride * p.work.pool.stride),
        "row_step": of(lambda p: p.work.stride * p.work.pool.stride * p.work.source.pitch),
        "idle": of(lambda p: p.idle_cycles),
        "last_idle": of(lambda p: p.last_idle_cycles),
        "tile_idle": of(lambda p: p.tile_idle_cycles),
        "load": of(lambda p: p.load_cycles),
        "last_load": of(lambda p: p.last_load_cycles if p.is_held else 0),
    }


class Sequencer(wiring.Component):
    """See the module's text.

    Attributes
    ----------
    input_full : In
        Which of the two inputs are complete.
    output_free : In
        The output buffer can take a whole result.
    done : In
        The pass's last result is being written.
    address, tap, weight, phase, tags : Out
        The step shown in this cycle.
    fetch : Out
        The program word is being fetched.
    entry : Out
        Which one.
    load : Out
        Pulse: the next weight tile is to be loaded, if the pass's engine holds weights.
    start : Out
        The program word is there: the pass begins.
    layer, busy : Out
        Index of the pass, and whether it runs.
    input_release : Out
        Pulse: the input used by pass 0 may be overwritten; `input_bank` says which.
    """

    def __init__(self, schedule: Schedule, configuration: Configuration):
        self.schedule = schedule
        self.configuration = configuration
        self.pass_count = len(schedule.passes)
        super().__init__({
            "input_full": In(2), "output_free": In(1), "done": In(1),
            "address": Out(range(schedule.memory_words)),
            "tap": Out(range(max(len(schedule.tap_table()), 2))),
            "weight": Out(range(max(2, *(p.weight_base + p.tap_tiles * p.channel_tiles
                                         for p in schedule.passes)))),
            "phase": Out(range(max(max(p.phases for p in schedule.passes), 2))),
            "tags": Out(Tags),
            "fetch": Out(1), "load": Out(1), "start": Out(1),
            "entry": Out(range(self.pass_count + 1)), "layer": Out(range(max(self.pass_count, 2))),
            "busy": Out(1), "input_release": Out(1), "input_bank": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.configuration
        passes = self.schedule.passes
        phase = Loop("phase", max(p.phases for p in passes))
        tile = Loop("tile", max(p.tap_tiles for p in passes))
        window_column = Loop("window_column", max(p.work.pool.size for p in passes))
        window_row = Loop("window_row", max(p.work.pool.size for p in passes))
        column = Loop("column", max(p.work.grid[1] for p in passes))
        row = Loop("row", max(p.work.grid[0] for p in passes))
        channels = Loop("channels", max(p.channel_tiles for p in passes))
        starts = [(phase, "phases"), (tile, "tap_tiles"), (window_column, "window"),
                  (window_row, "window"), (column, "grid_columns"), (row, "grid_rows"),
                  (channels, "channel_tiles")]

        address, row_start, column_start, window_start = (
            Signal.like(self.address, name=name)
            for name in ("next_address", "row_start", "column_start", "window_start"))
        position = Signal.like(self.address)
        tap = Signal.like(self.tap, name="next_tap")
        weight, tile_weight = (Signal.like(self.weight, name=name)
                               for name in ("next_weight", "tile_weight"))
        idle = Signal(range(1 + max(1, *(
            cycles for p in passes for cycles in (p.idle_cycles, p.last_idle_cycles,
                                                  p.last_load_cycles)))))
        held = cfg["held"]

        # What decides in every cycle comes from single registers, not from decoded states.
        running, idling = Signal(), Signal()
        final = Signal()
        waiting = Signal.like(idle)
        tile_start = Signal.like(self.address)
        first, last = self.layer == 0, self.layer == self.pass_count - 1
        m.d.comb += self.entry.eq(Mux(first & self.input_bank, self.pass_count, self.layer))
        grid_last = Signal()
        position_last = Signal()
        m.d.comb += [
            position_last.eq(window_column.last & window_row.last),
            grid_last.eq(position_last & column.last & row.last),
            final.eq(grid_last & channels.last & (tile.last | ~held)),
        ]

        # Where the next position begins: the start of the loop that will advance, plus its step.
        # A sum takes two cycles at least, so the adder has one to itself.
        levels = [(window_column, "window", position, "window_column_step"),
                  (window_row, "window", window_start, "window_row_step"),
                  (column, "grid_columns", column_start, "column_step"),
                  (row, "grid_rows", row_start, "row_step")]
        following = Signal.like(self.address, name="following", reset_less=True)
        m.d.sync += following.eq(cfg["source_base"])
        for loop, _, start, step in reversed(levels):
            with m.If(~loop.last):
                m.d.sync += following.eq(start + cfg[step])

        m.d.sync += [self.tags.valid.eq(0), self.load.eq(0)]
        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("WAIT"):
                m.d.comb += self.busy.eq(0)
                with m.If((~first | self.input_full.bit_select(self.input_bank, 1))
                          & (~last | self.output_free)):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += self.fetch.eq(1)
                m.next = "SETUP"
            with m.State("SETUP"):
                m.d.comb += self.start.eq(1)
                for loop, field in starts:
                    m.d.sync += loop.restart(cfg[field])
                for start in (address, row_start, column_start, window_start, position,
                              tile_start):
                    m.d.sync += start.eq(cfg["source_base"])
                m.d.sync += [tap.eq(cfg["tap_base"]), weight.eq(cfg["weight_base"]),
                             tile_weight.eq(cfg["weight_base"]), idling.eq(0)]
                m.next = "PRIME"
            with m.State("PRIME"):
                # Time for the first position's successor.
                m.d.sync += running.eq(1)
                with m.If(held):
                    m.d.sync += [self.load.eq(1), idle.eq(cfg["load"]), idling.eq(1)]
                m.next = "RUN"
            with m.State("RUN"):
                with m.If(~running):
                    m.next = "FLUSH"
            with m.State("FLUSH"):
                with m.If(self.done):
                    m.d.sync += self.layer.eq(Mux(last, 0, self.layer + 1))
                    with m.If(first):
                        m.d.comb += self.input_release.eq(1)
                        m.d.sync += self.input_bank.eq(~self.input_bank)
                    m.next = "WAIT"

        with m.If(running & idling):
            m.d.sync += [idle.eq(idle - 1), idling.eq(idle != 1)]
        with m.Elif(running):
            m.d.sync += [
                self.address.eq(address), self.tap.eq(tap), self.weight.eq(weight),
                self.phase.eq(phase.left),
                self.tags.valid.eq(1),
                self.tags.first_phase.eq(phase.first),
                self.tags.last_phase.eq(phase.last),
                self.tags.first_tile.eq(tile.first), self.tags.last_tile.eq(tile.last),
                self.tags.window_first.eq(window_column.first & window_row.first),
                self.tags.window_last.eq(position_last),
                self.tags.row_end.eq(column.last),
                self.tags.tile_end.eq(column.last & row.last),
                self.tags.last_channels.eq(channels.last),
                self.tags.pass_end.eq(grid_last & channels.last),
            ]
            with m.If(~phase.last):
                m.d.sync += phase.advance()
            with m.Else():
                m.d.sync += [*phase.restart(cfg["phases"]), weight.eq(weight + 1)]
                with m.If(~tile.last & ~held):
                    m.d.sync += [*tile.advance(), tap.eq(tap + cfg["tap_step"]),
                                 address.eq(address + cfg["address_step"])]
                with m.Else():
                    wait = Mux(channels.last, cfg["last_idle"], cfg["idle"])
                    with m.If(held & grid_last):
                        m.d.comb += waiting.eq(Mux(tile.last, cfg["last_load"], cfg["load"]))
                        m.d.sync += self.load.eq(~final)
                    with m.Elif(held & ~tile.last):
                        m.d.comb += waiting.eq(cfg["tile_idle"])
                    with m.Else():
                        m.d.comb += waiting.eq(wait)
                    m.d.sync += [idle.eq(waiting), idling.eq(waiting != 0)]
                    self._next_position(m, levels, following, address, channels, weight,
                                        tile_weight, grid_last & (tile.last | ~held))
                    with m.If(~held | (grid_last & tile.last)):
                        m.d.sync += [*tile.restart(cfg["tap_tiles"]), tap.eq(cfg["tap_base"]),
                                     tile_start.eq(cfg["source_base"])]
                    with m.Elif(grid_last):
                        # The next tile of held weights, from the first position on.
                        m.d.sync += [
                            *tile.advance(), tap.eq(tap + cfg["tap_step"]),
                            tile_start.eq(tile_start + cfg["address_step"]),
                            address.eq(tile_start + cfg["address_step"])]
                    with m.If(final):
                        m.d.sync += running.eq(0)
        return m

    def _next_position(self, m, levels, following, address, channels, weight, tile_weight,
                       channels_end):
        """Advance the innermost position loop that has turns left; restart those inside it."""
        cfg = self.configuration
        m.d.sync += address.eq(following)
        inner_last = Const(1)
        for depth, (loop, turns, _, _) in enumerate(levels):
            with m.If(inner_last & ~loop.last):
                m.d.sync += [*loop.advance(), *(level[2].eq(following)
                                               for level in levels[:depth + 1])]
            with m.If(inner_last & loop.last):
                m.d.sync += loop.restart(cfg[turns])
            inner_last = inner_last & loop.last
        # Another position of the same channel tile uses the same weight tiles again.
        m.d.sync += weight.eq(tile_weight)
        with m.If(inner_last):
            m.d.sync += [level[2].eq(following) for level in levels]
        with m.If(channels_end):
            m.d.sync += [*channels.advance(),
                         weight.eq(weight + 1), tile_weight.eq(weight + 1)]
