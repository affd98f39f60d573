"""Proof of what is read from tables and added up, whatever the tables hold.

Chains of additions that make a table, and those behind it, are together more than a solver can
regroup. So the tables are cut out: what the elements are given while they load is a new variable
in every step, within the range of entries. Then, whatever came before, the value after each phase
is twice the value before and, summed up over the rows that are active, what the activations' bits
in this plane must read (`Arithmetic.tables`); a plane that is a sign counts negative. Rows that are
not active may load meanwhile.

Every phase is a question of its own, about values that the hardware shows. With `tables`, which
proves the entries, the value is the sum of products. It is about steps of all phases, and rows that
have loaded once.
"""

from ..arith import Arithmetic
from ..errors import ModelError
from .aig import FALSE, Graph, Word
from .machine import machine_of
from .solve import satisfy
from .step import MOST_LOAD_CYCLES, StepCircuit
from .tables import entry_range

__all__ = ["wrong_phase"]


def wrong_phase(arithmetic: Arithmetic, rows: int = 2,
                timeout_s: float | None = None) -> int | None:
    """First phase after which the value may be wrong; None when all are proved right.

    Parameters
    ----------
    arithmetic : Arithmetic
        One that holds its weights, and goes through its activations a bit a phase.
    rows : int
    timeout_s : float, optional
        For each question to the solver.

    Raises
    ------
    ModelError
        Loading takes too many cycles, or see `nmahw.formal.tables.entry_range`.
    BuildError, EnvironmentProblem
        See `nmahw.formal.proof.prove`.
    """
    a, graph = arithmetic, Graph()
    if a.load_cycles > MOST_LOAD_CYCLES:
        raise ModelError(f"{a} must load its weights within {MOST_LOAD_CYCLES} cycles to be "
                         f"proved, not {a.load_cycles}")
    width, limits = a.entry_shape.width, entry_range(a)
    # An empty sum is nothing; all others may be anything.
    tables = [[graph.word(width) if any(counts) else graph.constant(0, width)
               for counts in a.tables.entries] for _ in range(rows)]
    exact = [graph.word(a.tables.is_halved) for _ in range(rows)]
    x = [[graph.word(a.activation.bits) for _ in range(a.taps)] for _ in range(rows)]
    active = graph.word(rows)
    possible = graph.all([_within(graph, entry, limits, a.entry_shape.signed)
                          for table in tables for entry in table])
    loads = [[[*entry, *bit] for entry in table]
             for table, bit in zip(tables, exact, strict=True)]
    values = _values(graph, a, rows, loads, x, active)
    before = graph.constant(0, len(values[0]))
    for phase, value in enumerate(values):
        expected = [FALSE, *before[:-1]]
        negative = a.activation.signed and phase == 0
        for row in range(rows):
            plane = [word[a.activation.bits - 1 - phase] for word in x[row]]
            read = _read(graph, a, tables[row], exact[row], plane, len(value))
            read = [graph.and_(bit, active[row]) for bit in read]
            if negative:
                read = graph.add([bit ^ 1 for bit in read], graph.constant(1, len(value)))
            expected = graph.add(expected, read)
        if satisfy(graph, graph.and_(possible, graph.equal(value, expected) ^ 1), timeout_s):
            return phase
        before = value
    return None


def _values(graph: Graph, a: Arithmetic, rows: int, loads: list[list[Word]],
            x: list[list[Word]], active: Word) -> list[Word]:
    """What the column shows after each phase, from any state and with anything beside the step."""
    circuit = StepCircuit(a, rows, makes_entries=False)
    machine = machine_of(circuit, circuit.ports)
    state = graph.word(len(machine.latches))
    phases, loading = a.phases(a.activation), rows * a.load_cycles
    to_psum = a.row_latency_cycles + rows - 1 + a.latency_cycles
    shown = []
    for cycle in range(-loading, to_psum + phases + a.column_latency_cycles):
        loaded, step = divmod(cycle + loading, a.load_cycles)
        inputs = {"rst": [FALSE]} | _load(graph, a, loads, loaded, step, active)
        for row in range(rows):
            if 0 <= (phase := cycle - row) < phases:
                inputs |= {
                    f"activations{row}": [bit for word in x[row] for bit in word],
                    f"active{row}": [active[row]],
                    f"phase{row}": graph.constant(phases - 1 - phase,
                                                  (phases - 1).bit_length() or 1)}
        if 0 <= (phase := cycle - to_psum) < phases:
            inputs |= {"first": [int(phase == 0)], "last": [int(phase == phases - 1)]}
        for name, word in machine.inputs.items():
            if name not in inputs:
                inputs[name] = graph.word(len(word))
        outputs, state = machine.unroll(graph, state, inputs)
        if cycle >= to_psum + a.column_latency_cycles:
            shown.append(outputs["value"])
    return shown


def _load(graph: Graph, a: Arithmetic, loads: list[list[Word]], loaded: int, step: int,
          active: Word) -> dict[str, Word]:
    """One row's turn to load; behind the last one's, any rows that are not active, anything."""
    width = (a.load_cycles - 1).bit_length()
    if loaded < len(loads):
        return {f"load{row}": [int(row == loaded)] for row in range(len(loads))} | {
            "load_data": loads[loaded][step], "element_load_step": graph.constant(step, width)}
    which, data = graph.word(width), graph.word(len(loads[0][0]))
    # Still, an empty sum is nothing.
    for number, counts in enumerate(a.tables.entries):
        if not any(counts):
            here = graph.equal(which, graph.constant(number, width))
            data = [graph.and_(bit, here ^ 1) for bit in data]
    return {f"load{row}": [graph.and_(used ^ 1, graph.input())]
            for row, used in enumerate(active)} | {"load_data": data, "element_load_step": which}


def _read(graph: Graph, a: Arithmetic, table: list[Word], exact: Word, plane: Word,
          width: int) -> Word:
    """What a plane's bits must read, extended to `width` bits."""
    words = [table[step] for step, _ in a.tables.reads]
    for bit in plane:
        words = [[graph.mux(bit, one, zero) for one, zero in zip(high, low, strict=True)]
                 for low, high in zip(words[0::2], words[1::2], strict=True)]
    entry, = words
    entry = [*entry, *[entry[-1] if a.entry_shape.signed else FALSE] * width][:width]
    negated = graph.table(plane, [int(negated) for _, negated in a.tables.reads], 1)[0]
    # Half of -V, rounded down, is ~floor(V / 2), and one more where V is even.
    carry = graph.and_(negated, exact[0] if exact else 1)
    return graph.add([graph.xor(bit, negated) for bit in entry],
                     [carry, *graph.constant(0, width - 1)])


def _within(graph: Graph, word: Word, limits: tuple[int, int], signed: bool) -> int:
    """Literal that holds when ``limits[0] <= word <= limits[1]``."""
    # With the sign bit turned over, signed numbers are in the order of unsigned ones.
    raised = [*word[:-1], word[-1] ^ signed]
    bias = (1 << len(word) - 1) * signed
    low = _at_least(graph, raised, limits[0] + bias)
    return graph.and_(low, _at_least(graph, raised, limits[1] + 1 + bias) ^ 1)


def _at_least(graph: Graph, word: Word, number: int) -> int:
    """Literal that holds when ``word >= number``, both unsigned."""
    if number >> len(word):
        return FALSE
    result = 1
    for index, bit in enumerate(word):
        result = graph.and_(bit, result) if number >> index & 1 else graph.or_(bit, result)
    return result
