"""Weight codes from memory that is loaded at start: one bank per row, read in one cycle or several.

Timing is `WeightMemory`'s: an element has its code in the cycle in which the symbol reaches it.
A tile of n words is read in the n cycles up to the one in which a tile of one word would be, so a
step takes n cycles at least (`PassSchedule.tile_idle_cycles`). Where the array looks at the codes
in a single cycle, each word goes straight into its part of the register in front of the array; the
words come one after the other, and the array looks when the last one is there, before the first
one of the next tile. A step of several phases needs all its codes until the last phase: then words
wait for the last one.

Passes whose weights are constants have memories of their own; the program says which pass it is.
"""

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..schedule import FEED_CYCLES, Schedule
from ..weight_store import BankLayout, RowBits
from .common import delayed
from .memory import SinglePortMemory

__all__ = ["LoadedWeights", "loading_signature"]

# Constants are cut into words of the width that small block RAMs have (iCE40: 256 x 16); a few
# bits that are left over, and few words, are cheaper in look-up tables.
_SLICE_BITS = 16
_LEAST_WORDS = 64


def loading_signature(layout: BankLayout) -> wiring.Signature:
    """How the banks are filled and read back, seen by who does it.

    ``enable``: the banks belong to the loader. ``write``: the byte ``data`` goes to ``address``
    (as in `BankLayout.image`). ``read`` is the byte at ``address`` two cycles ago.
    """
    return wiring.Signature({
        "enable": Out(1), "write": Out(1), "data": Out(8), "read": In(8),
        "address": Out(range(max(len(layout.image), 2)))})


class LoadedWeights(wiring.Component):
    """See the module's text.

    Attributes
    ----------
    tile : In
        Weight tile of the step the sequencer shows, among the loaded ones or the constants.
    step : In
        Its first cycle.
    loaded : In
        Whether the pass's weights are loaded.
    codes : Out
        Code of element (row, column), in step with the symbol it gets.
    loading : In
        See `loading_signature`.
    """

    def __init__(self, schedule: Schedule, sequencer_signature):
        self.schedule, self.layout = schedule, schedule.layout
        self.arithmetic = schedule.engines[0]
        super().__init__({
            "tile": In(sequencer_signature.members["weight"].shape),
            "step": In(1), "loaded": In(1),
            "codes": Out(unsigned(self.arithmetic.weight_code_bits))
            .array(schedule.rows, schedule.columns),
            "loading": In(loading_signature(self.layout)),
        })

    def elaborate(self, platform):
        m = Module()
        schedule, layout = self.schedule, self.layout
        # To the address of the last word; memory and register are two more.
        last = schedule.lead_cycles + FEED_CYCLES + self.arithmetic.row_latency_cycles - 2
        first = last - (layout.cycles - 1)
        tiles, steps = [self.tile], [self.step]
        for cycle in range(1, last + layout.cycles + schedule.rows + 1):
            tiles.append(delayed(m, tiles[-1], 1, f"tile{cycle}"))
            steps.append(delayed(m, steps[-1], 1, f"step{cycle}", reset=True))
        read = []
        for row, bits in enumerate(layout.rows):
            bank = SinglePortMemory(layout.bank_bits, layout.words, schedule.store.style)
            m.submodules[f"bank{row}"] = bank
            self._address(m, bank, row, tiles[first + row], steps[first + row])
            read.append(bank.read)
            arrivals = steps[first + row + 1:first + row + 1 + layout.cycles]
            codes = self._selected(bits, self._words(m, row, bank.read, arrivals))
            enables = self._enables(bits, arrivals)
            if layout.constant_rows:
                constant = self._constant(m, row, layout.constant_rows[row], tiles[last + row])
                codes = [Mux(self.loaded, *pair) for pair in zip(codes, constant, strict=True)]
                enables = [enable | ~self.loaded for enable in enables]
            self._registers(m, row, codes, enables)
        self._read_back(m, read)
        return m

    def _address(self, m: Module, bank: SinglePortMemory, row: int, tile: Value, step: Value
                 ) -> None:
        """The bank's port: the tile's words one after the other, or the loader's byte."""
        layout = self.layout
        in_word, in_line = layout.byte_address_bits
        low = layout.word_address_bits
        word = Signal(max(low, 1), name=f"word{row}")
        if low:
            following = Signal(low, name=f"following{row}", reset_less=True)
            m.d.comb += word.eq(Mux(step, 0, following))
            m.d.sync += following.eq(word + 1)
        byte = self.loading.address
        here = Const(1) if not in_line else byte[in_word:in_word + in_line] == row
        with m.If(self.loading.enable):
            m.d.comb += bank.address.eq(byte[in_word + in_line:])
        with m.Else():
            m.d.comb += bank.address.eq(Cat(word[:low], tile))
        writes = self.loading.enable & self.loading.write & here
        for index in range(layout.bank_bits // 8):
            this = Const(1) if not in_word else byte[:in_word] == index
            m.d.comb += [bank.write[index].eq(writes & this),
                         bank.data[8 * index:8 * index + 8].eq(self.loading.data)]

    def _words(self, m: Module, row: int, read: Value, arrivals: list[Value]) -> list[Value]:
        """Words of a tile, each as it is when its codes are taken."""
        words = [read] * len(arrivals)
        if self._waits:
            for index, arrival in enumerate(arrivals[:-1]):
                words[index] = kept = Signal(len(read), name=f"kept{row}_{index}",
                                             reset_less=True)
                with m.If(arrival):
                    m.d.sync += kept.eq(read)
        return words

    @property
    def _waits(self) -> bool:
        """Whether words wait until all of a tile are there."""
        return self.layout.cycles > 1 and any(p.phases > 1 for p in self.schedule.passes)

    def _selected(self, bits: RowBits, words: list[Value]) -> list[Value]:
        """Every bit of a row's codes, from the words it lies in."""
        width = len(words[0])
        return [Const(-1 - source, 1) if source < 0 else words[source // width][source % width]
                for source in bits.sources]

    def _enables(self, bits: RowBits, arrivals: list[Value]) -> Iterable[Value]:
        """When each bit of a row's codes is taken."""
        if len(arrivals) == 1:
            return [Const(1)] * len(bits.sources)
        return [arrivals[-1] if self._waits else arrivals[max(source, 0) // self.layout.bank_bits]
                for source in bits.sources]

    def _constant(self, m: Module, row: int, bits: RowBits, tile: Value) -> list[Value]:
        """The same of a pass whose weights are constants."""
        width = bits.stored.shape[1]
        if not width:
            return self._selected(bits, [Const(0, 1)])
        parts = []
        for low in range(0, width, _SLICE_BITS):
            part = bits.stored[:, low:low + _SLICE_BITS]
            wide = part.shape[1] > _SLICE_BITS // 4 and len(part) > _LEAST_WORDS
            m.submodules[f"constants{row}_{low}"] = memory = Memory(
                shape=unsigned(part.shape[1]), depth=len(part),
                init=[sum(1 << index for index, bit in enumerate(line) if bit) for line in part],
                attrs={"ram_style": "block", "rom_style": "block"} if wide else {})
            port = memory.read_port()
            m.d.comb += [port.en.eq(1), port.addr.eq(tile)]
            parts.append(port.data)
        return self._selected(bits, [Cat(parts)])

    def _registers(self, m: Module, row: int, bits: list[Value], enables: list[Value]) -> None:
        """In front of the array; later for groups of columns that see their symbols later."""
        width = self.arithmetic.weight_code_bits
        taken = []
        for index, (bit, enable) in enumerate(zip(bits, enables, strict=True)):
            kept = Signal(name=f"code{row}_bit{index}", reset_less=True)
            with m.If(enable):
                m.d.sync += kept.eq(bit)
            taken.append(kept)
        for column in range(self.schedule.columns):
            code = Cat(taken[column * width:(column + 1) * width])
            m.d.comb += self.codes[row][column].eq(
                delayed(m, code, column // self.schedule.hop, f"code{row}_{column}"))

    def _read_back(self, m: Module, read: list[Value]) -> None:
        """The byte at the loader's address, of all rows' words."""
        in_word, in_line = self.layout.byte_address_bits
        chosen = delayed(m, self.loading.address[:in_word + in_line], 1, "chosen") \
            if in_word + in_line else Const(0, 1)
        with m.Switch(chosen):
            for row, word in enumerate(read):
                for index in range(self.layout.bank_bits // 8):
                    with m.Case(index | row << in_word):
                        m.d.sync += self.loading.read.eq(word[8 * index:8 * index + 8])
            with m.Default():
                m.d.sync += self.loading.read.eq(0)
