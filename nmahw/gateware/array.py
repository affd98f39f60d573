"""The systolic array: a grid of elements, whatever the arithmetic.

Symbols move right, from one group of `hop` columns to the next, a cycle each; psums move down,
a cycle a row. Weights come anew with every symbol, or are held in place (weight stationary): then
a row's elements load together, group by group, while the row is not active.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Member, Out

from ..arith import Arithmetic, Element
from .common import delayed

__all__ = ["SystolicArray", "correction_port"]


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
    held : bool
        Whether weights are held.
    weights : int64 array (rows, columns, taps), optional
        Weights that never change, instead of those that come by a port.

    Attributes
    ----------
    symbols : In
        Symbol of each row; row r's a cycle later than row r-1's.
    codes : In
        Weight code of each element, in step with the symbol where it stands; not if held.
    loads : In
        Whether each row loads, in step with its symbol; this and the following if held.
    load_step : In
        In which cycle of its loading.
    load_data : In
        What each column loads, of whatever row; group g's is g cycles late.
    psums : Out
        Psum below each column; a column's group g is g cycles late.
    correction : Out
        Psum of the correction column, in step with the first group; only if the arithmetic has
        one.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int, columns: int, hop: int,
                 held: bool = False, weights: np.ndarray | None = None):
        assert held or weights is not None or not arithmetic.holds_weights
        self.weights = weights
        self.arithmetic, self.rows, self.columns, self.hop = arithmetic, rows, columns, hop
        self.held = held
        if weights is not None:
            ports = {}
        elif held:
            ports = {"loads": In(1).array(rows),
                     "load_step": In(range(max(arithmetic.load_cycles, 2))),
                     "load_data": In(arithmetic.load_shape).array(columns)}
        else:
            ports = {"codes": In(unsigned(arithmetic.weight_code_bits)).array(rows, columns)}
        super().__init__({
            "symbols": In(arithmetic.symbol_shape).array(rows),
            **ports,
            "psums": Out(arithmetic.psum_shape(rows)).array(columns),
            **correction_port(Out, arithmetic, rows),
        })

    def elaborate(self, platform):
        m = Module()
        above = [None] * self.columns
        steps = self._load_steps(m) if self.held else None
        for row in range(self.rows):
            symbol = self.symbols[row]
            load = self.loads[row] if self.held else None
            for column in range(self.columns):
                if column and column % self.hop == 0:
                    # Bit by bit: Yosys stumbles over a register with bits that are constant, as
                    # an arithmetic's idle bit is where rows are always active.
                    symbol = Cat(*(delayed(m, value, 1, f"symbol{bit}_row{row}_column{column}")
                                   for bit, value in enumerate(Value.cast(symbol))))
                    if self.held:
                        load = delayed(m, load, 1, f"load_row{row}_column{column}")
                element = self._create(row, column)
                m.submodules[f"element{row}_{column}"] = element
                m.d.comb += element.symbol.eq(symbol)
                if self.weights is not None:
                    self._fix(m, element, row, column)
                elif not self.held:
                    m.d.comb += element.weight.eq(self.codes[row][column])
                elif self.arithmetic.holds_weights:
                    m.d.comb += [element.load.eq(load), element.load_step.eq(steps[column]),
                                 element.load_data.eq(self.load_data[column])]
                else:
                    weight = Signal(self.arithmetic.weight_code_bits, reset_less=True,
                                    name=f"weight{row}_{column}")
                    with m.If(load):
                        m.d.sync += weight.eq(self.load_data[column])
                    m.d.comb += element.weight.eq(weight)
                if row:
                    m.d.comb += element.psum_i.eq(above[column])
                above[column] = element.psum_o
        for column in range(self.columns):
            m.d.comb += self.psums[column].eq(above[column])
        if hasattr(self, "correction"):
            self._correct(m)
        return m

    def _create(self, row: int, column: int) -> Element:
        if self.weights is not None and self.arithmetic.holds_weights:
            return self.arithmetic.create_constant(row, self.weights[row, column])
        return self.arithmetic.create(row)

    def _fix(self, m: Module, element: Element, row: int, column: int) -> None:
        if not self.arithmetic.holds_weights:
            code = self.arithmetic.encode_weights(self.weights[row, column])
            m.d.comb += element.weight.eq(int(code))

    def _load_steps(self, m: Module) -> list[Value]:
        """The loading step as each column sees it."""
        steps, step = [], self.load_step
        for column in range(self.columns):
            if column and column % self.hop == 0:
                step = delayed(m, step, 1, f"load_step_column{column}")
            steps.append(step)
        return steps

    def _correct(self, m: Module) -> None:
        above = None
        for row in range(self.rows):
            m.submodules[f"correction{row}"] = element = self.arithmetic.create_correction(row)
            m.d.comb += element.symbol.eq(self.symbols[row])
            if row:
                m.d.comb += element.psum_i.eq(above)
            above = element.psum_o
        m.d.comb += self.correction.eq(above)
