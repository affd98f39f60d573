"""Runs the passes of a program one after the other: the loop nest, as counters that add.

For each pass the sequencer waits until its input is there and its output has room, fetches the
pass's program word, then shows one step a cycle: where the position begins in the activation
memory, which row of the tap table, which weight tile, which phase. Nothing downstream ever
stalls, so a pass takes a number of cycles that is known beforehand.

A schedule that skips tap tiles whose weights are all zero adds two tables: how far it is to the
next tile, by weight tile; and how many tiles a sum has and how long to wait behind it, by channel
tile.
"""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..schedule import Schedule
from .common import Loop, Tags, delayed
from .configuration import Configuration
from .memory import SlicedMemory

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
        "loaded": of(lambda p: int(p.loaded)),
        "held": of(lambda p: int(p.is_held)),
        "phases": of(lambda p: p.phases - 1),
        "tap_tiles": of(lambda p: p.tiles[0] - 1),
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
        **(_skip_fields(schedule) if schedule.skipping else {}),
        **({"digits": of(lambda p: int(p.arithmetic.takes_digits))}
           if any(p.arithmetic.takes_digits for p in schedule.passes) else {}),
    }


def _skip_fields(schedule: Schedule) -> dict[str, list[int]]:
    """More fields, of a schedule that skips tap tiles."""
    passes = schedule.passes
    following = [1]
    for p in passes[:-1]:
        following.append(following[-1] + p.channel_tiles)
    return {
        "skips": [int(p.live is not None) for p in [*passes, passes[0]]],
        "first_idle": [p.idle(0, schedule.columns) for p in [*passes, passes[0]]],
        "next_channel_tile": [*following, 1],
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
            "weight": Out(range(max(2, *(p.weight_base + p.weight_words
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
            cycles for p in passes for cycles in (
                p.idle_cycles, p.last_load_cycles,
                *(p.idle(tile, self.schedule.columns) for tile in range(p.channel_tiles)))))))
        held = cfg["held"]
        turns, wait = cfg["tap_tiles"], Mux(channels.last, cfg["last_idle"], cfg["idle"])
        tap_step, address_step = cfg["tap_step"], cfg["address_step"]
        skip = None
        if self.schedule.skipping:
            skip = _Skip(m, self.schedule, cfg, tile, weight)
            wait = skip.idle
            tap_step = Mux(skip.chosen & cfg["tap_step"], skip.step, cfg["tap_step"])
            address_step = Mux(skip.chosen & ~cfg["tap_step"], skip.step, cfg["address_step"])

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
                             tile_weight.eq(cfg["weight_base"]), idling.eq(0),
                             *(skip.begin() if skip else ())]
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
                if "digits" in cfg:
                    with m.If(cfg["digits"]):
                        m.d.sync += weight.eq(weight + 1)
            with m.Else():
                m.d.sync += [*phase.restart(cfg["phases"]), weight.eq(weight + 1)]
                with m.If(~tile.last & ~held):
                    m.d.sync += [*tile.advance(), tap.eq(tap + tap_step),
                                 address.eq(address + address_step),
                                 *(skip.advance() if skip else ())]
                    if any(p.tile_idle_cycles and not p.is_held for p in passes):
                        m.d.sync += [idle.eq(cfg["tile_idle"]), idling.eq(cfg["tile_idle"] != 0)]
                with m.Else():
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
                    if skip:
                        turns = skip.turns_after(grid_last)
                        with m.If(grid_last & tile.last):
                            m.d.sync += skip.next_channel_tile()
                    with m.If(~held | (grid_last & tile.last)):
                        m.d.sync += [*tile.restart(turns), tap.eq(cfg["tap_base"]),
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


class _Skip:
    """Registers and tables of a schedule that skips tap tiles.

    Attributes
    ----------
    step : Value
        From the tap tile at hand to the next one, if `chosen`.
    chosen : Value
        The pass skips, and the table's entry has arrived.
    idle : Value
        Wait after a sum of the channel tile at hand.
    """

    def __init__(self, m: Module, schedule: Schedule, cfg: Configuration, tile: Loop,
                 weight: Value):
        self._cfg, self._tile = cfg, tile
        steps = schedule.steps()
        m.submodules.steps = memory = SlicedMemory(
            max(max(steps).bit_length(), 1), len(steps), steps)
        m.d.comb += memory.r_addr.eq(weight)
        self.step = delayed(m, memory.r_data, 1, "step")
        self._second = Signal()
        self.chosen = cfg["skips"] & ~tile.first & ~self._second

        entries = [(count - 1, p.idle(index, schedule.columns)) for p in schedule.passes
                   for index, count in enumerate(p.tiles)]
        entries.append(entries[0])
        layout = data.StructLayout({name: range(max(2, *(1 + entry[at] for entry in entries)))
                                    for at, name in enumerate(("turns", "idle"))})
        m.submodules.channel_tiles = table = Memory(
            shape=layout, depth=len(entries),
            init=[{"turns": turns, "idle": idle} for turns, idle in entries],
            attrs={"rom_style": "logic", "ram_style": "logic"})
        port = table.read_port()
        self._index = Signal(range(len(entries)))
        m.d.comb += [port.en.eq(1), port.addr.eq(self._index)]
        self._following = port.data
        self._turns, self.idle = (Signal.like(self._following[name], name=f"tile_{name}")
                                  for name in ("turns", "idle"))

    def begin(self) -> list:
        """Statements that begin a pass."""
        return [self._index.eq(self._cfg["next_channel_tile"]), self._second.eq(0),
                self._turns.eq(self._cfg["tap_tiles"]), self.idle.eq(self._cfg["first_idle"])]

    def advance(self) -> list:
        """Statements that go from one tap tile to the next."""
        return [self._second.eq(self._tile.first)]

    def turns_after(self, grid_last: Value) -> Value:
        """How many tap tiles, less one, the next sum has."""
        return Mux(grid_last, self._following["turns"], self._turns)

    def next_channel_tile(self) -> list:
        """Statements that begin the next channel tile."""
        return [self._index.eq(self._index + 1), self._turns.eq(self._following["turns"]),
                self.idle.eq(self._following["idle"])]
