"""One step of a column as a circuit: what is proved about an arithmetic.

The circuit is what the array is made of: a row unit and an element for each of a few rows, the
column unit below. `Step.run` unrolls it over one step from an *arbitrary* state. Whatever does not
belong to the step (operands and phases of other steps, before, behind and between) is a new
variable in every cycle, so what holds for this step holds for every step of every run.

Each of the `taps` of a row may be unused, and each row inactive. The value must be the sum of the
operation over the taps that count, plus the `step_offset` of their weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Elaboratable, Module, Signal

from ..arith import Arithmetic
from ..errors import ModelError
from ..operations import operation
from .aig import FALSE, Graph, Machine, Word
from .machine import machine_of

__all__ = ["Operands", "Step", "StepCircuit"]


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

    Attributes
    ----------
    ports : dict of str to Value
        ``activations<row>``, ``active<row>``, ``phase<row>``, ``code<row>``, ``first``, ``last``,
        ``value``.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int):
        self.arithmetic, self.rows = arithmetic, rows
        self.units = [arithmetic.create_row_unit() for _ in range(rows)]
        self.elements = [arithmetic.create(row) for row in range(rows)]
        self.column_unit = arithmetic.create_column_unit(rows)
        self.ports = {"first": self.column_unit.first, "last": self.column_unit.last,
                      "value": self.column_unit.value}
        for row, (unit, element) in enumerate(zip(self.units, self.elements, strict=True)):
            self.ports |= {f"activations{row}": unit.activations, f"active{row}": unit.active,
                           f"phase{row}": unit.phase, f"code{row}": element.weight}

    def elaborate(self, platform):
        m = Module()
        above = None
        for row, (unit, element) in enumerate(zip(self.units, self.elements, strict=True)):
            m.submodules[f"row{row}"] = unit
            m.submodules[f"element{row}"] = element
            m.d.comb += element.symbol.eq(unit.symbol)
            if row:
                m.d.comb += element.psum_i.eq(above)
            above = element.psum_o
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
        The weight codes of several taps are not separate fields, or offsets do not add up.
    BuildError, EnvironmentProblem
        Yosys refuses the circuit, or is missing.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int = 2):
        self.arithmetic, self.rows = arithmetic, rows
        self.weights = np.array(arithmetic.weight.values, dtype=np.int64)
        self.has_code = arithmetic.project(self.weights) == self.weights
        self.codes, self.unused_code = self._codes()
        self.offsets = self._offsets()
        circuit = StepCircuit(arithmetic, rows)
        self.machine = machine_of(circuit, circuit.ports)
        if arithmetic.exact and arithmetic.operation == "product":
            product = ProductCircuit(arithmetic)
            self._product = machine_of(product, product.ports)

    # Tables of the arithmetic's own encoding.

    def _codes(self) -> tuple[np.ndarray, int]:
        """What each tap's weights change in an unused code (taps, weights), and that code."""
        taps, count = self.arithmetic.taps, len(self.weights)
        known = np.where(self.has_code, self.weights, 0)
        none = np.zeros((1, taps), dtype=np.int64)
        unused = int(self.arithmetic.encode_weights(none, none.astype(bool))[0])
        codes = np.zeros((taps, count), dtype=object)
        for tap in range(taps):
            weights, used = np.zeros((2, count, taps), dtype=np.int64)
            weights[:, tap], used[:, tap] = known, 1
            codes[tap] = [int(code) ^ unused
                          for code in self.arithmetic.encode_weights(weights, used.astype(bool))]
        if taps > 1:
            rng = np.random.default_rng(0)
            picked = rng.integers(0, count, (4096, taps))
            used = rng.random((4096, taps)) < 0.8
            joint = self.arithmetic.encode_weights(np.where(used, known[picked], 0), used)
            for row, code in enumerate(joint):
                fields = [codes[tap][picked[row, tap]] for tap in range(taps) if used[row, tap]]
                for field in fields:
                    code = int(code) ^ field
                if code != unused:
                    raise ModelError(f"{self.arithmetic.name} must give every tap's weight a "
                                     "field of its own in the weight code to be proved")
        return codes, unused

    def _offsets(self) -> np.ndarray:
        """`step_offset` of every single weight (weights,)."""
        a = self.arithmetic
        known = np.where(self.has_code, self.weights, 0)
        offsets = np.asarray(a.step_offset(known[None], a.activation))
        picked = np.random.default_rng(0).integers(0, len(known), (2, 4096))
        if (a.step_offset(known[picked], a.activation) != offsets[picked].sum(axis=0)).any():
            raise ModelError(f"{a.name} must have step offsets that add up over the taps to be "
                             "proved")
        return offsets

    # Unrolling.

    def free(self, graph: Graph) -> Operands:
        """Operands of which nothing is known."""
        a, rows, taps = self.arithmetic, range(self.rows), range(self.arithmetic.taps)
        return Operands([[graph.word(a.activation.bits) for _ in taps] for _ in rows],
                        [[graph.word(a.weight.bits) for _ in taps] for _ in rows],
                        [[graph.input() for _ in taps] for _ in rows],
                        [graph.input() for _ in rows])

    def admissible(self, graph: Graph, given: Operands) -> int:
        """Literal that holds when every weight that is used has a code."""
        return graph.all([graph.or_(used ^ 1, self._by_weight(graph, w, self.has_code, 1)[0])
                          for ws, useds in zip(given.w, given.used, strict=True)
                          for w, used in zip(ws, useds, strict=True)])

    def _by_weight(self, graph: Graph, w: Word, entries: Sequence[int], width: int) -> Word:
        """Table of entries by weight, lowest weight first."""
        # By bit patterns: rolling brings the negative weights behind the others.
        rolled = np.roll(np.asarray(entries, dtype=object), self.arithmetic.weight.low)
        return graph.table(w, [int(entry) for entry in rolled], width)

    def _code(self, graph: Graph, given: Operands, row: int) -> Word:
        width = self.arithmetic.weight_code_bits
        code = graph.constant(self.unused_code, width)
        for tap, (w, used) in enumerate(zip(given.w[row], given.used[row], strict=True)):
            field = self._by_weight(graph, w, self.codes[tap], width)
            code = [graph.xor(c, graph.and_(f, used)) for c, f in zip(code, field, strict=True)]
        return code

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
        codes = [self._code(graph, given, row) for row in range(self.rows)]
        to_psum = a.row_latency_cycles + self.rows - 1 + a.latency_cycles
        shown = []
        for cycle in range(to_psum + phases + a.column_latency_cycles):
            inputs = {"rst": [FALSE]}
            for row in range(self.rows):
                if 0 <= cycle - row < phases:
                    left = phases - 1 - (cycle - row)
                    inputs |= {
                        f"activations{row}": [bit for x in given.x[row] for bit in x],
                        f"active{row}": [given.active[row]],
                        f"phase{row}": graph.constant(left, (phases - 1).bit_length() or 1)}
                if 0 <= cycle - row - a.row_latency_cycles < phases:
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

    def expected(self, graph: Graph, given: Operands, width: int) -> Word:
        """What the value must be, by definition."""
        total = graph.constant(0, width)
        for row in range(self.rows):
            for x, w, used in zip(given.x[row], given.w[row], given.used[row], strict=True):
                counts = graph.and_(used, given.active[row])
                for term in (self.definition(graph, x, w, width),
                             self._by_weight(graph, w, self.offsets, width)):
                    total = graph.add(total, [graph.and_(bit, counts) for bit in term])
        return total

    def definition(self, graph: Graph, x: Word, w: Word, width: int) -> Word:
        """What one tap contributes, by definition, cut or extended to `width` bits."""
        a = self.arithmetic
        if a.exact and a.operation == "product":
            product = self._product.unroll(graph, [], {"x": x, "w": w})[0]["product"]
            sign = product[-1] if a.activation.signed or a.weight.signed else 0
            return (product + [sign] * width)[:width]
        function = operation(a.operation).apply if a.exact else a.compute
        table = np.asarray(function(np.array(a.activation.values)[None, :],
                                    np.where(self.has_code, self.weights, 0)[:, None]))
        table = np.roll(table, (a.weight.low, a.activation.low), axis=(0, 1))
        return graph.table([*x, *w], [int(entry) for entry in table.ravel()], width)
