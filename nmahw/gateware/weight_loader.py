"""Loads weights that come in a code at a time into an array that holds them."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith import Arithmetic
from .common import delayed

__all__ = ["WeightLoader"]


class WeightLoader(wiring.Component):
    """Weight codes, one an element, to what the columns load.

    A row's codes come one after the other, the last column's first, and shift from column to
    column. If loading takes a single cycle, `take` copies them once all are in their places, and
    the next row's may follow; load units that take longer read them where they are, and the next
    row's follow then.

    Attributes
    ----------
    code, shift : In
        A code, and whether it is taken.
    take : In
        Pulse: the codes are complete.
    begin : In
        Pulse, after `take` and before the next one: they are loaded in `load_cycles` cycles, the
        first of them ``1 + load_latency_cycles`` later.
    free : Out
        Pulse: codes may be shifted again.
    complete : Out
        As `shift`, when the code has gone as far as it will: group by group it is a cycle later.
    load_next, step : Out
        For the array: a row will be loading in the next cycle; in which cycle of it this one is.
    data : Out
        For the array: group g's is g cycles late.
    """

    def __init__(self, arithmetic: Arithmetic, columns: int, hop: int = 8):
        self.arithmetic, self.columns, self.hop = arithmetic, columns, hop
        super().__init__({
            "code": In(unsigned(arithmetic.weight_code_bits)), "shift": In(1),
            "take": In(1), "begin": In(1), "free": Out(1),
            "complete": Out(1),
            "load_next": Out(1), "step": Out(range(max(arithmetic.load_cycles, 2))),
            "data": Out(arithmetic.load_shape).array(columns),
        })

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        cycles = arithmetic.load_cycles
        step = Signal(range(max(cycles, 2)))
        busy = Signal()
        last, done = Signal(), Signal()
        with m.If(self.begin):
            m.d.sync += [busy.eq(1), step.eq(0), last.eq(cycles == 1)]
        with m.Elif(busy):
            m.d.sync += [step.eq(step + 1), last.eq(step == cycles - 2)]
            with m.If(last):
                m.d.sync += busy.eq(0)
        m.d.sync += done.eq(busy & last)
        latency = arithmetic.load_latency_cycles
        soon = delayed(m, busy, latency - 1, "load", reset=True) if latency else (
            self.begin | (busy & ~last))
        m.d.comb += [self.load_next.eq(soon),
                     self.step.eq(delayed(m, step, latency, "step"))]
        take, code, shift = self.take, self.code, self.shift
        copies = cycles == 1
        groups = -(-self.columns // self.hop)
        m.d.comb += self.free.eq(delayed(m, take if copies else done, groups, "free", reset=True))
        for column in range(self.columns):
            if column % self.hop == 0:
                # An enable of so many registers has a register of its own.
                code = delayed(m, code, 1, f"code_in{column}")
                shift = delayed(m, shift, 1, f"shift{column}", reset=True)
            if column and column % self.hop == 0:
                take = delayed(m, take, 1, f"take_column{column}", reset=True)
                step = delayed(m, step, 1, f"step_column{column}")
            shifted = Signal(arithmetic.weight_code_bits, name=f"code{column}", reset_less=True)
            with m.If(shift):
                m.d.sync += shifted.eq(code)
            code = kept = shifted
            if copies:
                kept = Signal.like(shifted, name=f"kept{column}", reset_less=True)
                with m.If(take):
                    m.d.sync += kept.eq(shifted)
            m.submodules[f"load_unit{column}"] = unit = arithmetic.create_load_unit()
            m.d.comb += [unit.code.eq(kept), unit.step.eq(step), self.data[column].eq(unit.data)]
        m.d.comb += self.complete.eq(delayed(m, shift, 1, "complete", reset=True))
        return m


