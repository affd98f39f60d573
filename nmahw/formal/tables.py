"""Proof of load units that make a table one entry after the other, of whatever length.

An entry is a sum of weights, each taken -1, 0 or 1 times, or half of that (`Arithmetic.tables`),
and each is made from the one before. Induction over the steps: whatever state the unit is in and
whatever it gets before and behind, one step changes the entry by exactly what the two sums differ
by, and the first step makes its sum from nothing, or takes it from the code. All operations wrap
around, and the entry is wide enough for every sum, so its entries are the sums. No step needs more
than one addition, however long the table is.

What is not a question for a solver is computed: that codes hold what the definition says, and that
the entries a pattern of bits reads add up to the weights of its bits.
"""

import numpy as np
from amaranth.hdl import Value

from ..arith import Arithmetic
from ..errors import MismatchError, ModelError
from .aig import FALSE, Graph, Machine, Word
from .machine import machine_of
from .solve import satisfy

__all__ = ["check_tables", "entry_range", "wrong_entry"]

#: Steps that one question to the solver is about.
_STEPS_AT_ONCE = 4
#: Sets of weights whose codes are looked at: all, or so many drawn at random.
_MOST_SETS = 1 << 16


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


def check_tables(arithmetic: Arithmetic) -> None:
    """Hold codes, offsets and what is read to the definition of the tables.

    Raises
    ------
    MismatchError
        What some pattern of bits reads is not the sum of its weights; or, for some weights (all of
        them up to 16 bits, otherwise drawn at random), code or offset is another.
    """
    tables, taps = arithmetic.tables, arithmetic.taps
    for pattern, (step, negated) in enumerate(tables.reads):
        read = [-count if negated else count for count in tables.entries[step]]
        bits = [pattern >> tap & 1 for tap in range(taps)]
        if read != [2 * bit - 1 if tables.is_halved else bit for bit in bits]:
            raise MismatchError(f"{arithmetic}: activation bits {bits} must read the sum of their "
                                f"weights, not one with {read}")
    weights, used = _weights(arithmetic)
    kept = np.where(used, weights, 0)
    codes = arithmetic.encode_weights(kept, used)
    total = (kept * np.array(tables.entries[0])).sum(axis=-1)
    expected = np.zeros(len(kept), dtype=object)
    for tap in reversed(range(tables.coded_taps)):
        mask = (1 << arithmetic.weight.bits) - 1
        expected = (expected << arithmetic.weight.bits) | (kept[:, tap].astype(object) & mask)
    width = arithmetic.entry_shape.width
    if _has_first(arithmetic):
        first = (total // 2).astype(object) & (1 << width) - 1
        first = first | ((1 - total % 2).astype(object) << width)
        expected = expected | (first << tables.coded_taps * arithmetic.weight.bits)
    offset = arithmetic.step_offset(kept.T, arithmetic.activation)
    # Bits that count as 1 and -1 leave half of the weights' sum in every plane.
    planes = -1 if arithmetic.activation.signed else (1 << arithmetic.activation.bits) - 1
    whole = kept.sum(axis=-1)
    meant = -planes * ((whole + whole % 2) // 2) if tables.is_halved else np.zeros_like(whole)
    # A column has more than one of them: the offsets add up.
    two = arithmetic.step_offset(np.hstack([kept, kept[::-1]]).T, arithmetic.activation)
    wrong = np.flatnonzero((codes != expected) | (offset != meant) | (two != meant + meant[::-1]))
    if len(wrong):
        raise MismatchError(f"{arithmetic}: code and offset of the weights "
                            f"{kept[wrong[0]].tolist()} must be those of the tables' definition")


def _weights(arithmetic: Arithmetic) -> tuple[np.ndarray, np.ndarray]:
    """Sets of weights, and which of them are used, (sets, taps)."""
    values = np.array(arithmetic.weight.values, dtype=np.int64)
    taps, rng = arithmetic.taps, np.random.default_rng(0)
    if len(values) ** taps <= _MOST_SETS:
        index = np.arange(len(values) ** taps)
        weights = np.stack([values[index // len(values) ** tap % len(values)]
                            for tap in range(taps)], axis=1)
    else:
        weights = rng.choice(values, (_MOST_SETS, taps))
        corners = np.arange(_MOST_SETS)[:1 << taps, None] >> np.arange(taps) & 1
        weights[:len(corners)] = np.where(corners, values[-1], values[0])
    # The first half with all of them, the second with some.
    used = rng.random(weights.shape) < 0.8
    ones = np.ones_like(used)
    return np.concatenate([weights, weights]), np.concatenate([ones, used])


def _has_first(arithmetic: Arithmetic) -> bool:
    return arithmetic.weight_code_bits > arithmetic.tables.coded_taps * arithmetic.weight.bits


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
