"""Skewed feeding of an array from words that hold the activations of all rows."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith import Arithmetic
from .common import delayed

__all__ = ["SkewFeeder"]


class SkewFeeder(wiring.Component):
    """Row r sees a word r cycles after row 0, for all phases of its step.

    A word is taken a cycle before its slot ends, so that whoever decides about the next slot can
    look at the next word: as many rows as a slot has phases, less one, find it where it comes
    from; later ones keep it for as many slots as go by until their turn. In slots of one cycle it
    is taken in that cycle, and row 0 finds it where it comes from.

    Parameters
    ----------
    arithmetic : Arithmetic
    rows : int

    Attributes
    ----------
    word : In
        Activations of all rows, row 0 lowest; held until taken.
    strobe, phase : In
        First cycle of a slot, whether it has a word or not; the slot's phase, counting down.
    valid, active : In
        With the strobe: there is a word; the rows that take part.
    taken : Out
        The word is no longer needed.
    symbols : Out
        Symbol of row r, ``1 + r + row_latency_cycles`` cycles after its phase.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int):
        self.arithmetic, self.rows = arithmetic, rows
        self.phases = arithmetic.phases(arithmetic.activation)
        self.width = arithmetic.taps * arithmetic.activation.bits
        super().__init__({
            "word": In(unsigned(rows * self.width)), "strobe": In(1),
            "phase": In(range(max(self.phases, 2))), "valid": In(1), "active": In(rows),
            "taken": Out(1), "symbols": Out(arithmetic.symbol_shape).array(rows),
        })

    def elaborate(self, platform):
        m = Module()
        phases, width = self.phases, self.width
        begun, end = Signal(), Signal()
        if phases > 1:
            m.d.sync += begun.eq(Mux(self.strobe, self.valid, begun))
            # With two phases, the first cycle is the last but one.
            m.d.comb += [end.eq(self.phase == 1),
                         self.taken.eq(end & Mux(self.strobe, self.valid, begun))]
        else:
            m.d.comb += self.taken.eq(self.valid)
        row_strobe, row_phase = self.strobe, delayed(m, self.phase, 1, "phase")
        for row in range(self.rows):
            if row:
                row_strobe = delayed(m, row_strobe, 1, f"strobe_row{row}") if phases > 1 else 1
                row_phase = delayed(m, row_phase, 1, f"phase_row{row}")
            takes_part = self.active[row] & self.valid
            if row and phases > 2:  # with two, it is kept at once
                takes_part = self._captured(m, takes_part, self.strobe, f"takes_part{row}")
            word = Cat(self.word[row * width:(row + 1) * width], takes_part)
            for stage in range((row + 1) // phases if phases > 1 else row):
                word = self._captured(m, word, end, f"word{row}_{stage}")
            word = self._captured(m, word, row_strobe, f"word{row}")
            m.submodules[f"row_unit{row}"] = unit = self.arithmetic.create_row_unit()
            m.d.comb += [unit.activations.eq(word[:width]), unit.active.eq(word[width]),
                         unit.phase.eq(row_phase), self.symbols[row].eq(unit.symbol)]
        return m

    def _captured(self, m, word, strobe, name):
        kept = Signal(len(word), name=name, reset_less=True)
        if self.phases == 1:
            m.d.sync += kept.eq(word)
        else:
            with m.If(strobe):
                m.d.sync += kept.eq(word)
        return kept
