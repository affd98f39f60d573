"""A weight-stationary matrix kernel: loading, skewed feeding, array, accumulators, control.

See `nmahw.kernel` for the order of things. Slots follow one another every `phases` cycles; one
whose activations or weights are not there yet is a bubble, in which no row is active and nothing
is accumulated. Behind the slots nothing stalls.
"""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..kernel import Kernel
from .array import SystolicArray
from .common import delayed
from .gated_add import GatedAdd
from .kernel_control import KernelControl, SlotTags
from .skew import SkewFeeder
from .weight_loader import WeightLoader

__all__ = ["MatrixKernel"]

# A memory of sums, its output register (part of a block RAM that may be far away), and one at
# the adder.
_READ_CYCLES = 3


class MatrixKernel(wiring.Component):
    """The kernel.

    Attributes
    ----------
    weights : In stream
        Codes, see `Kernel.weight_words`.
    activations : In stream
        One word a slot, see `Kernel.activation_words`.
    rounds : In
        Rounds of the next block, less one.
    start : In
        A block may begin: `rounds` is right, and whoever takes the sums has room for all those
        of the block before. Where it is not there when a block ends, that block's sums come on
        their own, whether there is room or not.
    started : Out
        Pulse: it has begun.
    idle : Out
        No block is being computed and no slot is left that brings sums out; the last sums may
        still be on their way.
    sums : Out
        Sums of one position, `Kernel.offsets` included; group g's are g cycles late.
    sums_valid, sums_position : Out
        Whether the first group's sums are there in this cycle, and of which position.
    """

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        arithmetic = kernel.arithmetic
        self._position = range(kernel.positions)
        super().__init__({
            "weights": In(stream.Signature(unsigned(arithmetic.weight_code_bits))),
            "activations": In(stream.Signature(
                unsigned(kernel.lanes * arithmetic.activation.bits))),
            "rounds": In(8), "start": In(1), "started": Out(1), "idle": Out(1),
            "sums": Out(signed(kernel.sum_bits)).array(kernel.columns),
            "sums_valid": Out(1), "sums_position": Out(self._position),
        })

    def elaborate(self, platform):
        m = Module()
        kernel, arithmetic = self.kernel, self.kernel.arithmetic
        rows, phases = kernel.rows, kernel.phases
        m.submodules.array = array = SystolicArray(
            arithmetic, rows, kernel.columns, kernel.hop, held=True)
        m.submodules.loader = loader = WeightLoader(arithmetic, kernel.columns, kernel.hop)

        # A slot begins with a strobe, whether it is a bubble or not.
        phase = Signal(range(max(phases, 2)), init=phases - 1)
        strobe = Signal(init=1)
        m.d.sync += [phase.eq(Mux(phase == 0, phases - 1, phase - 1)),
                     strobe.eq((phase == 0) if phases > 1 else 1)]

        m.submodules.control = control = KernelControl(kernel)
        wiring.connect(m, wiring.flipped(self.weights), control.weights)
        m.d.comb += [
            control.strobe.eq(strobe),
            control.rounds.eq(self.rounds), control.start.eq(self.start),
            self.started.eq(control.started), self.idle.eq(control.idle),
            loader.code.eq(control.code), loader.shift.eq(control.shift),
            loader.take.eq(control.take), loader.begin.eq(control.begin),
            control.free.eq(loader.free), control.complete.eq(loader.complete),
        ]
        for row in range(rows):
            load = Signal(name=f"load_row{row}")
            m.d.sync += load.eq(loader.load_next & control.turn[row])
            m.d.comb += array.loads[row].eq(load)
        m.d.comb += array.load_step.eq(loader.step)
        for column in range(kernel.columns):
            m.d.comb += array.load_data[column].eq(loader.data[column])
        slot_phase = delayed(m, phase, 1, "slot_phase") if phases > 1 else phase
        m.submodules.feeder = feeder = SkewFeeder(arithmetic, rows)
        self._take_words(m, control, feeder)
        m.d.comb += [
            feeder.strobe.eq(control.slot_strobe), feeder.phase.eq(slot_phase),
            feeder.valid.eq(control.going),
            feeder.active.eq(control.active),
            *(array.symbols[row].eq(feeder.symbols[row]) for row in range(rows)),
        ]
        self._accumulate(m, control.slot_strobe, control.tags, control.position, array)
        return m

    def _take_words(self, m, control: KernelControl, feeder: SkewFeeder) -> None:
        """Words of activations, and a cycle before each whether it will be there.

        In slots of several cycles a word waits for its slot anyway. In those of one cycle it
        gets a register, in front of which the next one is seen.
        """
        words = self.activations
        if self.kernel.phases > 1:
            m.d.comb += [control.words_valid.eq(words.valid), feeder.word.eq(words.payload),
                         words.ready.eq(feeder.taken)]
            return
        word = Signal(len(words.payload), reset_less=True)
        # Ready: the word's register is free, or emptied in this cycle. It is the enable of many
        # flip-flops, therefore a register itself.
        taken = Signal(name="word_taken", init=1)
        m.d.comb += [
            words.ready.eq(taken), feeder.word.eq(word),
            control.words_valid.eq(words.valid | ~taken),
        ]
        m.d.sync += taken.eq(~control.words_valid | control.going_next)
        with m.If(taken):
            m.d.sync += word.eq(words.payload)

    def _accumulate(self, m, strobe, tags, position, array) -> None:
        """One memory of sums a column: read, add, write back."""
        kernel, arithmetic = self.kernel, self.kernel.arithmetic
        rows, phases = kernel.rows, kernel.phases
        to_psum, column_latency = kernel.psum_cycles, arithmetic.column_latency_cycles
        # Not before the memory can be read: no arithmetic is that fast, even in one row.
        to_value = to_psum + phases - 1 + column_latency
        assert to_value >= _READ_CYCLES, f"{arithmetic} is too fast for the memories of sums"
        first = delayed(m, strobe, to_psum, "first_phase")
        last = delayed(m, first, phases - 1, "last_phase")
        read_at = delayed(m, position, to_value - _READ_CYCLES, "position")
        write_at = delayed(m, read_at, _READ_CYCLES + 1, "position_back")
        early = _delayed_tags(m, tags, to_value, "tags")
        correction = getattr(array, "correction", None)
        m.d.comb += [self.sums_valid.eq(early.valid & early.emit),
                     self.sums_position.eq(delayed(m, read_at, _READ_CYCLES, "position_sums"))]
        for group in range(kernel.groups):
            if group:
                first, last, read_at, write_at = (
                    delayed(m, signal, 1, f"{name}_group{group}") for name, signal in (
                        ("first", first), ("last", last), ("read_at", read_at),
                        ("write_at", write_at)))
                early = _delayed_tags(m, early, 1, f"tags_group{group}")
                if correction is not None:
                    correction = delayed(m, correction, 1, f"correction_group{group}")
            write = delayed(m, early.valid, 1, f"write_group{group}", reset=True)
            for column in range(group * kernel.hop,
                                min((group + 1) * kernel.hop, kernel.columns)):
                m.submodules[f"column_unit{column}"] = unit = arithmetic.create_column_unit(rows)
                m.submodules[f"sums{column}"] = memory = Memory(
                    shape=signed(kernel.sum_bits), depth=kernel.positions, init=[],
                    attrs={"ram_style": "block"})
                m.submodules[f"accumulator{column}"] = adder = GatedAdd(
                    unit.value.shape(), signed(kernel.sum_bits), signed(kernel.sum_bits),
                    gate=True)
                read, back = memory.read_port(), memory.write_port()
                fetched, before = (Signal(signed(kernel.sum_bits), name=f"{name}{column}",
                                          reset_less=True) for name in ("fetched", "before"))
                total = Signal(signed(kernel.sum_bits), name=f"total{column}", reset_less=True)
                m.d.sync += [fetched.eq(read.data), before.eq(fetched), total.eq(adder.total)]
                m.d.comb += [
                    unit.psum.eq(array.psums[column]), unit.first.eq(first), unit.last.eq(last),
                    adder.augend.eq(unit.value), adder.addend.eq(before), adder.gate.eq(early.keep),
                    read.en.eq(1), read.addr.eq(read_at), back.en.eq(write),
                    back.addr.eq(write_at), back.data.eq(total), self.sums[column].eq(before),
                ]
                if correction is not None:
                    m.d.comb += unit.correction.eq(correction)


def _delayed_tags(m: Module, tags, cycles: int, name: str):
    for stage in range(cycles):
        kept = Signal(SlotTags, name=f"{name}_d{stage + 1}")
        m.d.sync += kept.eq(tags)
        tags = kept
    return tags
