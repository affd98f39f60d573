"""Weight codes for the array: one memory bank per row and group of columns.

The tile address flows down the rows and across the groups with the steps, so that every element
has its code in the cycle in which the symbol reaches it.
"""

from functools import reduce

from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..schedule import FEED_CYCLES, Schedule
from .common import delayed
from .memory import SlicedMemory

__all__ = ["WeightMemory"]


class WeightMemory(wiring.Component):
    """Tile address to weight codes.

    Attributes
    ----------
    tile : In
        Weight tile of the step the sequencer shows.
    codes : Out
        Code of element (row, column), in step with the symbol it gets.
    """

    def __init__(self, schedule: Schedule, sequencer_signature):
        self.schedule = schedule
        super().__init__({
            "tile": In(sequencer_signature.members["weight"].shape),
            "codes": Out(unsigned(schedule.arithmetic.weight_code_bits))
            .array(schedule.rows, schedule.columns),
        })

    def elaborate(self, platform):
        m = Module()
        schedule = self.schedule
        bits = schedule.arithmetic.weight_code_bits
        codes = schedule.weight_codes()
        # The memory and the register behind it are the last two of the cycles to the symbol.
        cycles = FEED_CYCLES + schedule.arithmetic.row_latency_cycles - 2
        row_tile = delayed(m, self.tile, cycles, "tile")
        for row in range(schedule.rows):
            if row:
                row_tile = delayed(m, row_tile, 1, f"tile_row{row}")
            tile = row_tile
            for group in range(schedule.groups):
                if group:
                    tile = delayed(m, tile, 1, f"tile_row{row}_group{group}")
                columns = range(group * schedule.hop,
                                min((group + 1) * schedule.hop, schedule.columns))
                words = [reduce(lambda word, code: (word << bits) | int(code),
                                reversed(codes[index, row, columns.start:columns.stop]), 0)
                         for index in range(len(codes))]
                m.submodules[f"bank_row{row}_group{group}"] = bank = SlicedMemory(
                    bits * len(columns), len(words), words)
                word = delayed(m, bank.r_data, 1, f"word_row{row}_group{group}")
                m.d.comb += bank.r_addr.eq(tile)
                for index, column in enumerate(columns):
                    m.d.comb += self.codes[row][column].eq(word[index * bits:(index + 1) * bits])
        return m
