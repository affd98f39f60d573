"""Proof of load units that make a table one entry after the other, of whatever length.

An entry is a sum of weights, each taken -1, 0 or 1 times, or half of that (`Arithmetic.tables`),
and each is made from the one before. Induction over the steps: whatever state the unit is in and
whatever it gets before and behind, one step changes the entry by exactly what the two sums differ
by, and the first step makes its sum from nothing, or takes it from the code. All operations wrap
around, and the entry is wide enough for every sum, so its entries are the sums. No step needs more
than one addition, however long the table is.

What is not a question for a solver is computed: that codes hold what the definition says, that the
entries a pattern of bits reads add up to the weights of its bits, that these, weighed, and the
offset are the sum of products, and that psums and values are wide enough.
"""

import numpy as np
from amaranth.hdl import Value

from ..arith import Arithmetic, Operand
from ..errors import MismatchError, ModelError
from .aig import FALSE, Graph, Machine, Word
from .machine import machine_of
from .solve import satisfy

__all__ = ["check_tables", "entry_range", "wrong_entry"]

#: Steps that one question to the solver is about.
_STEPS_AT_ONCE = 4
#: Sets of weights whose codes are looked at: all, or so many drawn at random.
_MOST_SETS = 1 << 16
#: Those of them that are multiplied with activations.
_MOST_SUMS = 1 << 12


def entry_range(arithmetic: Arithmetic) -> tuple[int, int]:
    """Smallest and largest entry that a table may hold.

    Raises
    ------
    ModelError
        An entry is too narrow for some sum of weights.
    """
    tables, weight, shape = arithmetic.tables, arithmetic.weight, arithmetic.entry_shape
    sums = [sum(count * (weight.low if (count < 0) == high else weight.high) for count in row)
            for row in tables.entries for high in (False, True)]
    found = tuple(end // (2 if tables.is_halved else 1) for end in (min(sums), max(sums)))
    low, high = (-(1 << shape.width - 1), (1 << shape.width - 1) - 1) if shape.signed else (
        0, (1 << shape.width) - 1)
    if not low <= found[0] <= found[1] <= high:
        raise ModelError(f"{arithmetic} must have entries that hold {found[0]}..{found[1]}, "
                         f"not {low}..{high}")
    return found


def check_tables(arithmetic: Arithmetic, rows: int = 1) -> None:
    """Hold codes, offsets, what is read and widths to the definition of the tables.

    Raises
    ------
    MismatchError
        What some pattern of bits reads is not the sum of its weights; or, for some weights (all of
        them up to 16 bits, otherwise drawn at random), code or offset is another.
    ModelError
        The psums or values of so many rows are too narrow.
    """
    tables, taps = arithmetic.tables, arithmetic.taps
    for pattern, (step, negated) in enumerate(tables.reads):
        read = [-count if negated else count for count in tables.entries[step]]
        bits = [pattern >> tap & 1 for tap in range(taps)]
        if read != [2 * bit - 1 if tables.is_halved else bit for bit in bits]:
            raise MismatchError(f"{arithmetic}: activation bits {bits} must read the sum of their "
                                f"weights, not one with {read}")
    weights = _weights(arithmetic)
    wrong = np.flatnonzero(arithmetic.encode_weights(weights) != _codes(arithmetic, weights))
    if len(wrong):
        raise MismatchError(f"{arithmetic}: the code of the weights {weights[wrong[0]].tolist()} "
                            f"must be that of the tables' definition")
    some = weights[np.linspace(0, len(weights) - 1, min(len(weights), _MOST_SUMS), dtype=int)]
    for bits in range(1, arithmetic.activation.bits + 1):
        _check_sums(arithmetic, some, Operand(bits, arithmetic.activation.signed))
    _check_widths(arithmetic, rows)


def _check_sums(arithmetic: Arithmetic, weights: np.ndarray, activation: Operand) -> None:
    """What random activations read, weighed plane by plane, is their product and the offset."""
    tables, rng = arithmetic.tables, np.random.default_rng(1)
    x = rng.choice(np.array(activation.values, dtype=np.int64), weights.shape)
    sums = weights @ np.array(tables.entries).T
    step, negated = (np.array(part) for part in zip(*tables.reads, strict=True))
    total = np.zeros(len(weights), dtype=np.int64)
    for plane in range(activation.bits):
        pattern = ((x >> plane & 1) << np.arange(arithmetic.taps)).sum(axis=1)
        read = np.take_along_axis(sums, step[pattern][:, None], axis=1)[:, 0]
        read = np.where(negated[pattern], -read, read) // (2 if tables.is_halved else 1)
        is_sign = activation.signed and plane == activation.bits - 1
        total += (read << plane) * (-1 if is_sign else 1)
    # A column has more than one of them: their offsets add up.
    both = arithmetic.step_offset(np.hstack([weights, weights[::-1]]).T, activation)
    one = arithmetic.step_offset(weights.T, activation)
    wrong = np.flatnonzero((total != (x * weights).sum(axis=1) + one)
                           | (both != one + one[::-1]))
    if len(wrong):
        raise MismatchError(
            f"{arithmetic}: the offset of the weights {weights[wrong[0]].tolist()}, for "
            f"activations of {activation.bits} bits, must be what tables give too much")


def _check_widths(arithmetic: Arithmetic, rows: int) -> None:
    """Psums hold what rows read in a plane, values the sum of products and the offset."""
    tables, weight, activation = arithmetic.tables, arithmetic.weight, arithmetic.activation
    low, high = entry_range(arithmetic)
    if tables.is_halved:
        low, high = min(low, -high - 1), max(high, -low)
    # Halves of the planes' weights are taken from each activation, and one where a sum is odd.
    planes = (-1 if activation.signed else (1 << activation.bits) - 1) * tables.is_halved
    ends = [(2 * x - planes) * w for x in (activation.low, activation.high)
            for w in (weight.low, weight.high)]
    odd = (0, -planes)
    value = [rows * (arithmetic.taps * end + part) // 2
             for end in (min(ends), max(ends)) for part in odd]
    for name, shape, least, most in (
            ("psums", arithmetic.psum_shape(rows), rows * low, rows * high),
            ("values", arithmetic.value_shape(rows), min(value), max(value))):
        held = (-(1 << shape.width - 1), (1 << shape.width - 1) - 1) if shape.signed else (
            0, (1 << shape.width) - 1)
        if not held[0] <= least <= most <= held[1]:
            raise ModelError(f"{arithmetic} must have {name} that hold {least}..{most} with {rows} "
                             f"rows, not {held[0]}..{held[1]}")


def _codes(arithmetic: Arithmetic, weights: np.ndarray) -> np.ndarray:
    """Codes by definition, of weights (sets, taps)."""
    tables, bits = arithmetic.tables, arithmetic.weight.bits
    codes = np.zeros(len(weights), dtype=object)
    for tap in reversed(range(tables.coded_taps)):
        codes = (codes << bits) | (weights[:, tap].astype(object) & (1 << bits) - 1)
    if arithmetic.weight_code_bits == tables.coded_taps * bits:
        return codes
    if not tables.is_halved:
        raise ModelError(f"{arithmetic} must have halved sums, or a first entry that is empty")
    total, width = weights @ np.array(tables.entries[0]), arithmetic.entry_shape.width
    first = (total // 2).astype(object) & (1 << width) - 1
    first = first | ((1 - total % 2).astype(object) << width)
    return codes | (first << tables.coded_taps * bits)


def _weights(arithmetic: Arithmetic) -> np.ndarray:
    """Sets of weights, (sets, taps); unused ones are 0."""
    values = np.array(arithmetic.weight.values, dtype=np.int64)
    taps = arithmetic.taps
    if len(values) ** taps <= _MOST_SETS:
        index = np.arange(len(values) ** taps)
        return np.stack([values[index // len(values) ** tap % len(values)]
                         for tap in range(taps)], axis=1)
    weights = np.random.default_rng(0).choice(values, (_MOST_SETS, taps))
    corners = np.arange(_MOST_SETS)[:1 << taps, None] >> np.arange(taps) & 1
    weights[:len(corners)] = np.where(corners, values[-1], values[0])
    return weights


def wrong_entry(arithmetic: Arithmetic, timeout_s: float | None = None) -> int | None:
    """First step of loading that induction does not prove; None when all are proved right.

    What a step is made from may be anything, so a fault that shows in one step only may be found
    in another one.

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
    entry_range(arithmetic)
    tables, width, weight = arithmetic.tables, arithmetic.entry_shape.width, arithmetic.weight
    scale = 2 if tables.is_halved else 1
    unit = arithmetic.create_load_unit()
    machine = machine_of(unit, {"code": unit.code, "step": unit.step,
                                "data": Value.cast(unit.data)})
    for start in range(0, len(tables.entries), _STEPS_AT_ONCE):
        graph = Graph()
        weights = [graph.word(weight.bits) for _ in range(tables.coded_taps)]
        first = graph.word(arithmetic.weight_code_bits - weight.bits * tables.coded_taps)
        code = [bit for word in (*weights, first) for bit in word]
        wide = [[*word, *([word[-1] if weight.signed else FALSE] * width)][:width]
                for word in weights]
        state = [graph.input() for _ in machine.latches]
        wrong = []
        for step in range(start, min(start + _STEPS_AT_ONCE, len(tables.entries))):
            before, data = _entries(machine, graph, arithmetic, state, code, step)
            # Behind the entry, whether it is exact, which is the same for all of a table.
            wrong.append(graph.equal(data[width:], first[width:]) ^ 1)
            if step == 0:
                expected = first[:width] if first else graph.constant(0, width)
            else:
                expected = before[:width]
                for tap, counts in enumerate(zip(tables.entries[step], tables.entries[step - 1],
                                                 strict=True)):
                    expected = _changed(graph, expected, wide, tap, counts[0] - counts[1], scale)
            wrong.append(graph.equal(data[:width], expected) ^ 1)
        if not first and any(tables.entries[0]):
            return 0
        model = satisfy(graph, graph.all([literal ^ 1 for literal in wrong]) ^ 1, timeout_s)
        if model is not None:
            return start + graph.evaluate(wrong, model).index(True) // 2
    return None


def _changed(graph: Graph, entry: Word, weights: list[Word], tap: int, change: int,
             scale: int) -> Word:
    """`entry` with `change` times a tap's weight more, or half of that."""
    if not change:
        return entry
    times, rest = divmod(abs(change), scale)
    if rest or tap >= len(weights):
        raise ModelError(f"tables must change by whole weights that are in the code, not by "
                         f"{change} times that of tap {tap}")
    for _ in range(times):
        entry = graph.add(entry, weights[tap]) if change > 0 else _less(graph, entry, weights[tap])
    return entry


def _entries(machine: Machine, graph: Graph, arithmetic: Arithmetic, state: list[int],
             code: Word, step: int) -> tuple[Word, Word]:
    """Data of a step and of the cycle before; all other steps and codes are arbitrary."""
    shown = []
    behind = arithmetic.load_code_latency_cycles
    for cycle in range(arithmetic.load_latency_cycles + 1):
        inputs = {"rst": [FALSE]}
        if cycle == 0:
            inputs["step"] = graph.constant(step, len(machine.inputs["step"]))
        if behind <= cycle < behind + arithmetic.load_cycles - step:
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
