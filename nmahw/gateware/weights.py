"""Weight codes for the array: one memory bank per row and group of columns.

The tile address flows down the rows and across the groups with the steps, so that every element
has its code in the cycle in which the symbol reaches it.
"""

from functools import reduce

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith import Arithmetic
from ..schedule import Schedule
from .common import delayed
from .memory import SlicedMemory

__all__ = ["WeightMemory", "HeldWeights", "bank_shapes"]

# Rows of which codes may lie in one word: more save little and cost a register a code and row.
_MOST_ROWS = 9


def bank_shapes(schedule: Schedule, engine: int) -> list[tuple[int, int]]:
    """Width and depth of each of an engine's memories of weight codes."""
    arithmetic = schedule.engines[engine]
    words = sum(p.weight_words for p in schedule.passes_of(engine))
    if arithmetic.holds_weights:
        heights, depth = [1], words * schedule.rows
    else:
        most, depth = _rows_per_bank(schedule, arithmetic, words), words
        heights = [min(most, schedule.rows - row) for row in range(0, schedule.rows, most)]
    return [(arithmetic.weight_code_bits * height * len(columns), depth)
            for height in heights for columns in _column_groups(schedule)]


def _column_groups(schedule: Schedule) -> list[range]:
    return [range(first, min(first + schedule.hop, schedule.columns))
            for first in range(0, schedule.columns, schedule.hop)]


def _rows_per_bank(schedule: Schedule, arithmetic: Arithmetic, depth: int) -> int:
    """How many rows' codes lie in one word, so that few bits of block RAMs are left over.

    Codes are narrow where they are digits; a lower row's wait in registers.
    """
    if not arithmetic.takes_digits:
        return 1
    width = arithmetic.weight_code_bits * min(schedule.columns, schedule.hop)

    def slices(height: int) -> int:
        full, rest = divmod(schedule.rows, height)
        return (full * len(SlicedMemory.slices(height * width, depth))
                + len(SlicedMemory.slices(rest * width, depth)))

    return min(range(1, _MOST_ROWS + 1), key=lambda height: (slices(height), height))


class WeightMemory(wiring.Component):
    """Tile address to weight codes.

    Attributes
    ----------
    tile : In
        Weight tile of the step the sequencer shows, among the engine's.
    codes : Out
        Code of element (row, column), in step with the symbol it gets.
    """

    def __init__(self, schedule: Schedule, engine: int, sequencer_signature):
        self.schedule, self.engine = schedule, engine
        self.arithmetic = schedule.engines[engine]
        super().__init__({
            "tile": In(sequencer_signature.members["weight"].shape),
            "codes": Out(unsigned(self.arithmetic.weight_code_bits))
            .array(schedule.rows, schedule.columns),
        })

    def elaborate(self, platform):
        m = Module()
        schedule = self.schedule
        bits = self.arithmetic.weight_code_bits
        codes = schedule.weight_codes(self.engine)
        height = _rows_per_bank(schedule, self.arithmetic, len(codes))
        # The memory and the register behind it are the last two of the cycles to the symbol.
        cycles = schedule.feed_cycles + self.arithmetic.row_latency_cycles - 2
        row_tile = delayed(m, self.tile, cycles, "tile")
        for row in range(schedule.rows):
            if row:
                row_tile = delayed(m, row_tile, 1, f"tile_row{row}")
            if row % height:
                continue
            tile = row_tile
            rows = range(row, min(row + height, schedule.rows))
            for group, columns in enumerate(_column_groups(schedule)):
                if group:
                    tile = delayed(m, tile, 1, f"tile_row{row}_group{group}")
                words = [reduce(lambda word, code: (word << bits) | int(code), reversed(
                    codes[index, row:rows.stop, columns.start:columns.stop].ravel()), 0)
                         for index in range(len(codes))]
                m.submodules[f"bank_row{row}_group{group}"] = bank = SlicedMemory(
                    bits * len(columns) * len(rows), len(words), words)
                word = delayed(m, bank.r_data, 1, f"word_row{row}_group{group}")
                m.d.comb += bank.r_addr.eq(tile)
                for place, lower in enumerate(rows):
                    if place:
                        word = delayed(m, word[bits * len(columns):], 1,
                                       f"word_row{lower}_group{group}")
                    for index, column in enumerate(columns):
                        m.d.comb += self.codes[lower][column].eq(
                            word[index * bits:(index + 1) * bits])
        return m


class HeldWeights(wiring.Component):
    """Loads a tile's weights into an array that holds them, row by row, from one memory.

    Attributes
    ----------
    load : In
        Pulse, with the sequencer's timing: the next tile is wanted.
    start, base : In
        A pass begins; its first word.
    loads, step, data : Out
        For `HeldArray`.
    """

    def __init__(self, schedule: Schedule, engine: int):
        self.schedule, self.engine = schedule, engine
        self.arithmetic = arithmetic = schedule.engines[engine]
        self._words = schedule.weight_codes(engine).reshape(-1, schedule.columns)
        super().__init__({
            "load": In(1), "start": In(1), "base": In(range(max(len(self._words), 2))),
            "loads": Out(1).array(schedule.rows),
            "step": Out(range(max(arithmetic.load_cycles, 2))),
            "data": Out(arithmetic.load_shape).array(schedule.columns),
        })

    def elaborate(self, platform):
        m = Module()
        schedule, arithmetic = self.schedule, self.arithmetic
        address = Signal(self.base.shape())
        step = Signal(range(max(arithmetic.load_cycles, 2)))
        row = Signal(schedule.rows)  # one-hot; 0: nothing to load
        last = Signal()
        m.d.comb += last.eq(step == arithmetic.load_cycles - 1)
        begin = delayed(m, self.load, schedule.load_start_cycles(arithmetic) - 1, "begin",
                        reset=True)
        with m.If(begin):
            m.d.sync += [row.eq(1), step.eq(0)]
        with m.Elif(row != 0):
            m.d.sync += step.eq(Mux(last, 0, step + 1))
            with m.If(last):
                m.d.sync += [row.eq(row << 1), address.eq(address + 1)]
        with m.If(self.start):
            m.d.sync += address.eq(self.base)

        # Memory and register, then the load units.
        latency = arithmetic.load_latency_cycles
        ahead = 2 - arithmetic.load_code_latency_cycles
        read_step = delayed(m, step, ahead, "read_step")
        rows = delayed(m, row, ahead + latency, "row", reset=True)
        m.d.comb += self.step.eq(delayed(m, read_step, latency, "load_step"))
        for index in range(schedule.rows):
            m.d.comb += self.loads[index].eq(rows[index])
        bits = arithmetic.weight_code_bits
        for group, columns in enumerate(_column_groups(schedule)):
            if group:
                address = delayed(m, address, 1, f"address_group{group}")
                read_step = delayed(m, read_step, 1, f"read_step_group{group}")
            words = [reduce(lambda word, code: (word << bits) | int(code),
                            reversed(line[columns.start:columns.stop]), 0)
                     for line in self._words]
            m.submodules[f"bank{group}"] = bank = SlicedMemory(
                bits * len(columns), len(words), words)
            word = delayed(m, bank.r_data, 1, f"word{group}")
            m.d.comb += bank.r_addr.eq(address)
            for index, column in enumerate(columns):
                m.submodules[f"load_unit{column}"] = unit = arithmetic.create_load_unit()
                m.d.comb += [unit.code.eq(word[index * bits:(index + 1) * bits]),
                             unit.step.eq(read_step), self.data[column].eq(unit.data)]
        return m
