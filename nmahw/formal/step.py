"""One step of a column as a circuit: what is proved about an arithmetic.

The circuit is what the array is made of: a row unit and an element for each of a few rows, the
column unit below. `Step.run` unrolls it over one step from an *arbitrary* state. Whatever does not
belong to the step (operands and phases of other steps, before, behind and between) is a new
variable in every cycle, so what holds for this step holds for every step of every run.

Each of the `taps` of a row may be unused, and each row inactive. The value must be the sum of the
operation over the taps that count, plus the `step_offset` of their weights.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Elaboratable, Module, Signal, Value

from ..arith import Arithmetic, Operand
from ..errors import ModelError
from ..operations import operation
from .aig import FALSE, Graph, Machine, Word
from .encoding import Encoding
from .machine import machine_of

__all__ = ["MOST_LOAD_CYCLES", "Operands", "Step", "StepCircuit"]

#: Every cycle of loading is unrolled, with the table in registers.
MOST_LOAD_CYCLES = 32


class ProductCircuit(Elaboratable):
    """A behavioural product, for the definition."""

    def __init__(self, arithmetic: Arithmetic):
        self.x, self.w = Signal(arithmetic.activation.shape), Signal(arithmetic.weight.shape)
        self.product = Signal((self.x * self.w).shape())
        self.ports = {"x": self.x, "w": self.w, "product": self.product}

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.product.eq(self.x * self.w)
        return m


class StepCircuit(Elaboratable):
    """Row units, elements, column unit.

    Parameters
    ----------
    arithmetic : Arithmetic
    rows : int
    makes_entries : bool
        Where weights are held: whether there is a load unit.

    Attributes
    ----------
    ports : dict of str to Value
        ``activations<row>``, ``active<row>``, ``phase<row>``, ``code<row>``, ``first``, ``last``,
        ``value``; where weights are held, ``load<row>``, ``element_load_step`` and, for the load
        unit, ``load_code`` and ``load_step`` instead of the codes; without it, ``load_data``.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int, makes_entries: bool = True):
        self.arithmetic, self.rows = arithmetic, rows
        self.load_unit = None
        self.units = [arithmetic.create_row_unit() for _ in range(rows)]
        self.elements = [arithmetic.create(row) for row in range(rows)]
        self.column_unit = arithmetic.create_column_unit(rows)
        self.ports = {"first": self.column_unit.first, "last": self.column_unit.last,
                      "value": self.column_unit.value}
        for row, (unit, element) in enumerate(zip(self.units, self.elements, strict=True)):
            self.ports |= {f"activations{row}": unit.activations, f"active{row}": unit.active,
                           f"phase{row}": unit.phase}
            if arithmetic.holds_weights:
                self.ports[f"load{row}"] = element.load
            else:
                self.ports[f"code{row}"] = element.weight
        if arithmetic.holds_weights:
            self.element_load_step = Signal.like(self.elements[0].load_step)
            self.ports["element_load_step"] = self.element_load_step
            if makes_entries:
                self.load_unit = arithmetic.create_load_unit()
                self.load_data = self.load_unit.data
                self.ports |= {"load_code": self.load_unit.code, "load_step": self.load_unit.step}
            else:
                self.load_data = Signal(arithmetic.load_shape)
                self.ports["load_data"] = Value.cast(self.load_data)

    def elaborate(self, platform):
        m = Module()
        above = None
        for row, (unit, element) in enumerate(zip(self.units, self.elements, strict=True)):
            m.submodules[f"row{row}"] = unit
            m.submodules[f"element{row}"] = element
            m.d.comb += element.symbol.eq(unit.symbol)
            if row:
                m.d.comb += element.psum_i.eq(above)
            if self.arithmetic.holds_weights:
                m.d.comb += [element.load_step.eq(self.element_load_step),
                             element.load_data.eq(self.load_data)]
            above = element.psum_o
        if self.load_unit is not None:
            m.submodules.load_unit = self.load_unit
        m.submodules.column_unit = self.column_unit
        m.d.comb += self.column_unit.psum.eq(above)
        if self.arithmetic.correction_shape(self.rows) is not None:
            self._correct(m)
        return m

    def _correct(self, m: Module) -> None:
        above = None
        for row, unit in enumerate(self.units):
            m.submodules[f"correction{row}"] = element = self.arithmetic.create_correction(row)
            m.d.comb += element.symbol.eq(unit.symbol)
            if row:
                m.d.comb += element.psum_i.eq(above)
            above = element.psum_o
        m.d.comb += self.column_unit.correction.eq(above)


@dataclass(frozen=True)
class Operands:
    """A step's operands, as words of a graph.

    Attributes
    ----------
    x, w : list of list of word
        By row and tap.
    used : list of list of int
        Literal that holds when the tap is used, by row and tap.
    active : list of int
        By row.
    """

    x: list[list[Word]]
    w: list[list[Word]]
    used: list[list[int]]
    active: list[int]


class Step:
    """The step of one arithmetic, ready to be unrolled into graphs.

    Parameters
    ----------
    arithmetic : Arithmetic
    rows : int

    Raises
    ------
    ModelError
        Loading takes too many cycles, or see `Encoding`.
    BuildError, EnvironmentProblem
        Yosys refuses the circuit, or is missing.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int = 2):
        self.arithmetic, self.rows = arithmetic, rows
        if arithmetic.load_cycles > MOST_LOAD_CYCLES:
            raise ModelError(f"{arithmetic} must load its weights within {MOST_LOAD_CYCLES} cycles "
                             f"to be proved, not {arithmetic.load_cycles}")
        self.encoding = Encoding(arithmetic)
        circuit = StepCircuit(arithmetic, rows)
        self.machine = machine_of(circuit, circuit.ports)
        if arithmetic.exact and arithmetic.operation == "product":
            product = ProductCircuit(arithmetic)
            self._product = machine_of(product, product.ports)

    def free(self, graph: Graph) -> Operands:
        """Operands of which nothing is known."""
        a, rows, taps = self.arithmetic, range(self.rows), range(self.arithmetic.taps)
        return Operands([[graph.word(a.activation.bits) for _ in taps] for _ in rows],
                        [[graph.word(a.weight.bits) for _ in taps] for _ in rows],
                        [[graph.input() for _ in taps] for _ in rows],
                        [graph.input() for _ in rows])

    def admissible(self, graph: Graph, given: Operands) -> int:
        """Literal that holds when every weight that is used has a code."""
        return graph.all([graph.or_(used ^ 1, self.encoding.admissible(graph, w))
                          for ws, useds in zip(given.w, given.used, strict=True)
                          for w, used in zip(ws, useds, strict=True)])

    def values(self, graph: Graph, given: Operands, machine: Machine | None = None,
               free: dict[object, Word] | None = None) -> list[Word]:
        """What the circuit shows as value after each phase, the last one being the step's value.

        Parameters
        ----------
        graph : Graph
        given : Operands
        machine : Machine, optional
            What stands for the circuit, for example a mutant.
        free : dict, optional
            The state at the beginning, and all inputs that do not belong to the step, are
            variables: those found here, otherwise new ones, which are added.
        """
        a, machine = self.arithmetic, machine or self.machine
        free = {} if free is None else free

        def anything(what: object, width: int) -> Word:
            if what not in free:
                free[what] = graph.word(width)
            return free[what]

        phases = a.phases(a.activation)
        state = anything("state", len(machine.latches))
        codes = [self.encoding.code(graph, *element)
                 for element in zip(given.w, given.used, strict=True)]
        to_psum = a.row_latency_cycles + self.rows - 1 + a.latency_cycles
        shown = []
        # Weights that are held are loaded before cycle 0.
        for cycle in range(-self.load_cycles, to_psum + phases + a.column_latency_cycles):
            inputs = {"rst": [FALSE], **self._load(graph, codes, cycle)}
            for row in range(self.rows):
                if 0 <= cycle - row < phases:
                    left = phases - 1 - (cycle - row)
                    inputs |= {
                        f"activations{row}": [bit for x in given.x[row] for bit in x],
                        f"active{row}": [given.active[row]],
                        f"phase{row}": graph.constant(left, (phases - 1).bit_length() or 1)}
                if 0 <= cycle - row - a.row_latency_cycles < phases and not a.holds_weights:
                    inputs[f"code{row}"] = codes[row]
            if 0 <= (phase := cycle - to_psum) < phases:
                inputs |= {"first": [int(phase == 0)], "last": [int(phase == phases - 1)]}
            for name, word in machine.inputs.items():
                if name not in inputs:
                    inputs[name] = anything((cycle, name), len(word))
            outputs, state = machine.unroll(graph, state, inputs)
            if cycle >= to_psum + a.column_latency_cycles:
                shown.append(outputs["value"])
        return shown

    @property
    def load_cycles(self) -> int:
        """Cycles that loading all rows' weights takes, 0 where they are not held."""
        a = self.arithmetic
        return (self.rows * a.load_cycles + a.load_latency_cycles) * a.holds_weights

    def _load(self, graph: Graph, codes: list[Word], cycle: int) -> dict[str, Word]:
        """What the load unit and the elements get, one row after the other."""
        a = self.arithmetic
        if not a.holds_weights:
            return {}
        width = (a.load_cycles - 1).bit_length() or 1
        row, step = divmod(cycle + self.load_cycles, a.load_cycles)
        inputs = {}
        if row < self.rows:
            inputs["load_step"] = graph.constant(step, width)
        row = (cycle + self.load_cycles - a.load_code_latency_cycles) // a.load_cycles
        if 0 <= row < self.rows:
            inputs["load_code"] = codes[row]
        row, step = divmod(cycle + self.load_cycles - a.load_latency_cycles, a.load_cycles)
        inputs |= {f"load{number}": [int(number == row)] for number in range(self.rows)}
        if 0 <= row < self.rows:
            inputs["element_load_step"] = graph.constant(step, width)
        return inputs

    def joint_offset(self, graph: Graph, given: Operands, phase: int, width: int) -> Word | None:
        """Sum of the step offsets after `phase`, where they are not sums over the taps.

        None where nothing is known of that phase: no narrower activation ends with it.
        """
        a = self.arithmetic
        total = graph.constant(0, width)
        if not self.encoding.joint:
            return total
        spans = [Operand(bits, a.activation.signed) for bits in range(1, a.activation.bits + 1)]
        span = next((span for span in reversed(spans) if a.phases(span) == phase + 1), None)
        if span is None:
            return None
        for w, used, active in zip(given.w, given.used, given.active, strict=True):
            part = self.encoding.offset(graph, w, used, width, span)
            total = graph.add(total, [graph.and_(bit, active) for bit in part])
        return total

    def expected(self, graph: Graph, given: Operands, width: int) -> Word:
        """What the value must be, by definition."""
        total = graph.constant(0, width)
        for xs, ws, useds, active in zip(given.x, given.w, given.used, given.active, strict=True):
            terms = [[graph.and_(bit, used) for bit in self.definition(graph, x, w, width)]
                     for x, w, used in zip(xs, ws, useds, strict=True)]
            for term in (*terms, self.encoding.offset(graph, ws, useds, width)):
                total = graph.add(total, [graph.and_(bit, active) for bit in term])
        return total

    def definition(self, graph: Graph, x: Word, w: Word, width: int) -> Word:
        """What one tap contributes, by definition, cut or extended to `width` bits."""
        a = self.arithmetic
        if a.exact and a.operation == "product":
            product = self._product.unroll(graph, [], {"x": x, "w": w})[0]["product"]
            sign = product[-1] if a.activation.signed or a.weight.signed else 0
            return (product + [sign] * width)[:width]
        function = operation(a.operation).apply if a.exact else a.compute
        weights = np.where(self.encoding.has_code, self.encoding.weights, 0)
        table = np.asarray(function(np.array(a.activation.values)[None, :], weights[:, None]))
        # By bit patterns: rolling brings the negative values behind the others.
        table = np.roll(table, (a.weight.low, a.activation.low), axis=(0, 1))
        return graph.table([*x, *w], table.ravel(), width)
