"""The systolic array: a grid of elements, whatever the arithmetic.

Symbols move right, from one group of `hop` columns to the next, a cycle each; psums move down,
a cycle a row. At a column's end the arithmetic's column unit makes values of psums, and an
accumulator makes the sum; a finished sum waits in a holding register for the way out.
"""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Member, Out

from ..arith import Arithmetic, range_shape
from ..schedule import Schedule
from .common import Tags, delayed, delayed_tags

__all__ = ["SystolicArray", "Accumulators"]


def correction_port(flow: Flow, arithmetic: Arithmetic, rows: int) -> dict[str, Member]:
    """The port ``correction``, if the arithmetic has such a column."""
    shape = arithmetic.correction_shape(rows)
    return {} if shape is None else {"correction": flow(shape)}


class SystolicArray(wiring.Component):
    """Elements and psum chains.

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
    codes : In
        Weight code of each element, in step with the symbol where it stands.
    psums : Out
        Psum below each column; a column's group g is g cycles late.
    correction : Out
        Psum of the correction column, in step with the first group; only if the arithmetic has
        one.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int, columns: int, hop: int):
        self.arithmetic, self.rows, self.columns, self.hop = arithmetic, rows, columns, hop
        super().__init__({
            "symbols": In(arithmetic.symbol_shape).array(rows),
            "codes": In(unsigned(arithmetic.weight_code_bits)).array(rows, columns),
            "psums": Out(arithmetic.psum_shape(rows)).array(columns),
            **correction_port(Out, arithmetic, rows),
        })

    def elaborate(self, platform):
        m = Module()
        above = [None] * self.columns
        for row in range(self.rows):
            symbol = self.symbols[row]
            for column in range(self.columns):
                if column and column % self.hop == 0:
                    symbol = delayed(m, symbol, 1, f"symbol_row{row}_column{column}")
                element = self.arithmetic.create(row)
                m.submodules[f"element{row}_{column}"] = element
                m.d.comb += [element.symbol.eq(symbol),
                             element.weight.eq(self.codes[row][column])]
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


class Accumulators(wiring.Component):
    """Psums to finished sums.

    Attributes
    ----------
    psums : In
    correction : In
        In step with the first group; only if the arithmetic has a correction column.
    tags : In
        Tags of the step whose psum the first group shows.
    sums : Out
        Last finished sum of each column; group g's appears g cycles after the first group's.
    emit : Out
        Tags of the step that finished the first group's sum, `valid` for one cycle: the first
        in which the holding register shows it.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        arithmetic = schedule.arithmetic
        self.sum_shape = range_shape(min(low for low, _ in schedule.sum_ranges),
                                     max(high for _, high in schedule.sum_ranges))
        super().__init__({
            "psums": In(arithmetic.psum_shape(schedule.rows)).array(schedule.columns),
            **correction_port(In, arithmetic, schedule.rows),
            "tags": In(Tags),
            "sums": Out(self.sum_shape).array(schedule.columns),
            "emit": Out(Tags),
        })

    def elaborate(self, platform):
        m = Module()
        schedule = self.schedule
        latency = schedule.arithmetic.column_latency_cycles
        tags = self.tags
        correction = getattr(self, "correction", None)
        for group in range(schedule.groups):
            if group:
                tags = delayed_tags(m, tags, 1, f"tags_group{group}")
                if correction is not None:
                    correction = delayed(m, correction, 1, f"correction_group{group}")
            late = delayed_tags(m, tags, latency, f"late_group{group}")
            take = Signal(name=f"take_group{group}")
            finish = Signal(name=f"finish_group{group}")
            m.d.comb += [take.eq(late.valid & late.last_phase),
                         finish.eq(take & late.last_tile)]
            if group == 0:
                m.d.sync += [self.emit.eq(late), self.emit.valid.eq(finish)]
            for column in range(group * schedule.hop,
                                min((group + 1) * schedule.hop, schedule.columns)):
                unit = schedule.arithmetic.create_column_unit(schedule.rows)
                m.submodules[f"column_unit{column}"] = unit
                total = Signal(self.sum_shape, name=f"total{column}", reset_less=True)
                following = Signal(self.sum_shape, name=f"following{column}")
                m.d.comb += [
                    unit.psum.eq(self.psums[column]),
                    unit.first.eq(tags.first_phase), unit.last.eq(tags.last_phase),
                    following.eq(Mux(late.first_tile, 0, total) + unit.value),
                ]
                if correction is not None:
                    m.d.comb += unit.correction.eq(correction)
                with m.If(take):
                    m.d.sync += total.eq(following)
                with m.If(finish):
                    m.d.sync += self.sums[column].eq(following)
        return m
