"""Proof of load units that make a table one entry after the other, of whatever length.

An entry is a sum of weights, each taken -1, 0 or 1 times (`Arithmetic.entry_weights`), and each is
made from the one before. Induction over the steps: whatever state the unit is in and whatever it
gets before and behind, one step changes the entry by exactly what the two sums differ by, and the
first step makes its sum from nothing. All operations wrap around, and the entry is wide enough for
every sum, so its entries are the sums. No step needs more than one addition, however long the
table is.
"""

from ..arith import Arithmetic
from ..errors import ModelError
from .aig import FALSE, TRUE, Graph, Machine, Word
from .encoding import Encoding
from .machine import machine_of
from .solve import satisfy

__all__ = ["wrong_entry"]

#: Steps that one question to the solver is about.
_STEPS_AT_ONCE = 4


def wrong_entry(arithmetic: Arithmetic, timeout_s: float | None = None) -> int | None:
    """First step of loading whose entry may be wrong; None when all are proved right.

    Parameters
    ----------
    arithmetic : Arithmetic
        One that holds its weights, and says what its tables' entries are.
    timeout_s : float, optional
        For each question to the solver.

    Raises
    ------
    ModelError
        An entry is too narrow for some sum of weights.
    BuildError, EnvironmentProblem
        See `nmahw.formal.proof.prove`.
    """
    shape, weight = arithmetic.load_shape, arithmetic.weight
    rows = [arithmetic.entry_weights(step) for step in range(arithmetic.load_cycles)]
    for row in rows:
        ends = [sum(count * (weight.low if (count < 0) == high else weight.high) for count in row)
                for high in (False, True)]
        low, high = (-(1 << shape.width - 1), (1 << shape.width - 1) - 1) if shape.signed else (
            0, (1 << shape.width) - 1)
        if not low <= min(ends) <= max(ends) <= high:
            raise ModelError(f"{arithmetic} must have entries that hold {min(ends)}..{max(ends)}, "
                             f"not {low}..{high}")
    unit = arithmetic.create_load_unit()
    machine = machine_of(unit, {"code": unit.code, "step": unit.step, "data": unit.data})
    encoding = Encoding(arithmetic)
    for first in range(0, len(rows), _STEPS_AT_ONCE):
        graph = Graph()
        weights = [graph.word(weight.bits) for _ in range(arithmetic.taps)]
        code = encoding.code(graph, weights, [TRUE] * arithmetic.taps)
        wide = [[*word, *([word[-1] if weight.signed else FALSE] * shape.width)][:shape.width]
                for word in weights]
        state = [graph.input() for _ in machine.latches]
        wrong = []
        for step in range(first, min(first + _STEPS_AT_ONCE, len(rows))):
            before, entry = _entries(machine, graph, arithmetic, state, code, step)
            change = rows[step] if step == 0 else [
                a - b for a, b in zip(rows[step], rows[step - 1], strict=True)]
            expected = graph.constant(0, shape.width) if step == 0 else before
            for count, word in zip(change, wide, strict=True):
                for _ in range(abs(count)):
                    expected = graph.add(expected, word) if count > 0 else _less(
                        graph, expected, word)
            wrong.append(graph.equal(entry, expected) ^ 1)
        model = satisfy(graph, graph.all([literal ^ 1 for literal in wrong]) ^ 1, timeout_s)
        if model is not None:
            return first + graph.evaluate(wrong, model).index(True)
    return None


def _entries(machine: Machine, graph: Graph, arithmetic: Arithmetic, state: list[int],
             code: Word, step: int) -> tuple[Word, Word]:
    """Entry of a step and what was there the cycle before; all other cycles are arbitrary."""
    shown = []
    for cycle in range(arithmetic.load_latency_cycles + 1):
        inputs = {"rst": [FALSE]}
        if cycle == 0:
            inputs["step"] = graph.constant(step, len(machine.inputs["step"]))
        if cycle == arithmetic.load_code_latency_cycles:
            inputs["code"] = code
        for name, word in machine.inputs.items():
            if name not in inputs:
                inputs[name] = graph.word(len(word))
        outputs, state = machine.unroll(graph, state, inputs)
        shown.append(outputs["data"])
    return shown[-2], shown[-1]


def _less(graph: Graph, a: Word, b: Word) -> Word:
    """``a - b``, as ``~(~a + b)``."""
    return [bit ^ 1 for bit in graph.add([bit ^ 1 for bit in a], b)]
