"""The array with weights held in place (weight stationary), and what loads them.

Symbols and psums move as in `SystolicArray`. A row's elements load together, column group by
column group, while the row is not active; the other rows go on.
"""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith import Arithmetic
from .array import correction_port
from .common import delayed

__all__ = ["HeldArray", "WeightLoader"]


class HeldArray(wiring.Component):
    """Elements that keep their weights, and psum chains.

    Parameters
    ----------
    arithmetic : Arithmetic
    rows, columns : int
    hop : int
        Columns that see a symbol in the same cycle.

    Attributes
    ----------
    symbols : In
        Symbol of each row; row r's a cycle later than row r-1's.
    loads : In
        Whether each row loads, in step with its symbol.
    load_step : In
        In which cycle of its loading.
    load_data : In
        What each column loads, of whatever row; group g's is g cycles late.
    psums : Out
        Psum below each column; group g's is g cycles late.
    correction : Out
        Psum of the correction column, in step with the first group; only if the arithmetic has
        one.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int, columns: int, hop: int = 8):
        self.arithmetic, self.rows, self.columns, self.hop = arithmetic, rows, columns, hop
        super().__init__({
            "symbols": In(arithmetic.symbol_shape).array(rows),
            "loads": In(1).array(rows),
            "load_step": In(range(max(arithmetic.load_cycles, 2))),
            "load_data": In(arithmetic.load_shape).array(columns),
            "psums": Out(arithmetic.psum_shape(rows)).array(columns),
            **correction_port(Out, arithmetic, rows),
        })

    def elaborate(self, platform):
        m = Module()
        load_step = self.load_step
        steps = []
        for group in range(-(-self.columns // self.hop)):
            if group:
                load_step = delayed(m, load_step, 1, f"load_step_group{group}")
            steps.append(load_step)
        above = [None] * self.columns
        for row in range(self.rows):
            symbol, load = self.symbols[row], self.loads[row]
            for column in range(self.columns):
                if column and column % self.hop == 0:
                    symbol = _delayed_symbol(m, symbol, f"symbol_row{row}_column{column}")
                    load = delayed(m, load, 1, f"load_row{row}_column{column}")
                element = self.arithmetic.create(row)
                m.submodules[f"element{row}_{column}"] = element
                m.d.comb += element.symbol.eq(symbol)
                data = self.load_data[column]
                if self.arithmetic.holds_weights:
                    m.d.comb += [element.load.eq(load), element.load_data.eq(data),
                                 element.load_step.eq(steps[column // self.hop])]
                else:
                    weight = Signal(self.arithmetic.weight_code_bits, reset_less=True,
                                    name=f"weight{row}_{column}")
                    with m.If(load):
                        m.d.sync += weight.eq(data)
                    m.d.comb += element.weight.eq(weight)
                if row:
                    m.d.comb += element.psum_i.eq(above[column])
                above[column] = element.psum_o
        for column in range(self.columns):
            m.d.comb += self.psums[column].eq(above[column])
        if hasattr(self, "correction"):
            self._correct(m)
        return m

    def _correct(self, m: Module) -> None:
        above = None
        for row in range(self.rows):
            m.submodules[f"correction{row}"] = element = self.arithmetic.create_correction(row)
            m.d.comb += element.symbol.eq(self.symbols[row])
            if row:
                m.d.comb += element.psum_i.eq(above)
            above = element.psum_o
        m.d.comb += self.correction.eq(above)


def _delayed_symbol(m: Module, symbol, name: str):
    kept = Signal(symbol.shape(), name=name, reset_less=True)
    m.d.sync += kept.eq(symbol)
    return kept


class WeightLoader(wiring.Component):
    """Weight codes, one an element, to what the columns load.

    A row's codes come one after the other, the last column's first, and shift from column to
    column. When all are in their places, `take` copies them for the load units, and the next
    row's may follow, as soon as the last group has its copy.

    Attributes
    ----------
    code, shift : In
        A code, and whether it is taken.
    take : In
        Pulse: the codes are copied, group by group.
    begin : In
        Pulse, after `take` and before the next one: the copies are loaded in the `load_cycles`
        that follow.
    load, step : Out
        For the array: a row is loading, in which cycle; `lead_cycles` after `begin`.
    data : Out
        For the array: group g's is g cycles late.
    """

    def __init__(self, arithmetic: Arithmetic, columns: int, hop: int = 8):
        self.arithmetic, self.columns, self.hop = arithmetic, columns, hop
        super().__init__({
            "code": In(unsigned(arithmetic.weight_code_bits)), "shift": In(1),
            "take": In(1), "begin": In(1),
            "load": Out(1), "step": Out(range(max(arithmetic.load_cycles, 2))),
            "data": Out(arithmetic.load_shape).array(columns),
        })

    @property
    def lead_cycles(self) -> int:
        """Cycles from `begin` to `load`."""
        return 1 + self.arithmetic.load_latency_cycles

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        cycles = arithmetic.load_cycles
        step = Signal(range(max(cycles, 2)))
        busy = Signal()
        with m.If(self.begin):
            m.d.sync += [busy.eq(1), step.eq(0)]
        with m.Elif(busy):
            m.d.sync += step.eq(step + 1)
            with m.If(step == cycles - 1):
                m.d.sync += busy.eq(0)
        latency = arithmetic.load_latency_cycles
        m.d.comb += [self.load.eq(delayed(m, busy, latency, "load", reset=True)),
                     self.step.eq(delayed(m, step, latency, "step"))]
        take, code = self.take, self.code
        for column in range(self.columns):
            if column and column % self.hop == 0:
                take = delayed(m, take, 1, f"take_column{column}", reset=True)
                step = delayed(m, step, 1, f"step_column{column}")
            shifted = Signal(arithmetic.weight_code_bits, name=f"code{column}", reset_less=True)
            kept = Signal.like(shifted, name=f"kept{column}", reset_less=True)
            with m.If(self.shift):
                m.d.sync += shifted.eq(code)
            with m.If(take):
                m.d.sync += kept.eq(shifted)
            code = shifted
            m.submodules[f"load_unit{column}"] = unit = arithmetic.create_load_unit()
            m.d.comb += [unit.code.eq(kept), unit.step.eq(step), self.data[column].eq(unit.data)]
        return m


