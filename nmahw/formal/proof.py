"""Proof that an arithmetic's hardware carries out its operation, for all operands.

A step's value must be the sum over its taps of what each contributes. Three obligations, each
decided by z3, make a proof of it; all states, and all operands of other steps, are arbitrary:

- *alone*: the first tap's value, all others unused, is its definition (serial arithmetics: phase by
  phase, see `serial`);
- *alike*: every other tap alone gives the same value for the same operands;
- *together*: with all taps, used and active or not, the value is the sum of what they give alone,
  shown for halves of the taps, and halves of these.

A product of all operands at once is what SAT solvers find hardest; here the hard part (*alone*)
has one pair of operands, and in the other two both sides share most of their gates. *Together*
also goes from phase to phase, each with what was proved of the one before.

Arithmetics that hold tables of sums of their weights are proved in two parts instead: that every
entry is made right (`tables`), and that what is read and added up is right whatever the tables
hold (`reads`). Where loading takes too many cycles to be unrolled, the second part is about the
same hardware with smaller tables (`Arithmetic.provable`).

What is not a question for a solver is exhausted: that the golden model is the operation, or
within its error bound, for every activation and every weight that has a code.
"""

import time
from dataclasses import dataclass

import numpy as np

from ..arith import Arithmetic
from ..errors import MismatchError, ModelError
from ..operations import operation
from .aig import FALSE, TRUE, Graph, Word
from .reads import wrong_phase
from .serial import chains, equals_product, matching
from .solve import satisfy
from .step import Operands, Step
from .tables import check_tables, wrong_entry

__all__ = ["MOST_OPERAND_BITS", "Counterexample", "Proof", "check_golden", "prove", "prove_step",
           "require_tabulated"]

#: Of activation and weight together: their definition is exhausted, or made a table.
MOST_OPERAND_BITS = 18


@dataclass(frozen=True)
class Counterexample:
    """Operands for which the hardware is wrong.

    Attributes
    ----------
    x, w : tuple of tuple of (int or None)
        By row and tap; None where the tap is unused or its row not active.
    value, expected : int
        What the step gives and what it must give, its offset included.
    """

    x: tuple[tuple[int | None, ...], ...]
    w: tuple[tuple[int | None, ...], ...]
    value: int
    expected: int

    def __str__(self) -> str:
        taps = [f"x={x} w={w}" for xs, ws in zip(self.x, self.w, strict=True)
                for x, w in zip(xs, ws, strict=True) if x is not None]
        return (f"{' and '.join(taps) or 'no tap in use'}: the value must be {self.expected} "
                f"(0x{self.expected & 0xFFFFFFFF:x}), not {self.value} "
                f"(0x{self.value & 0xFFFFFFFF:x})")


@dataclass(frozen=True)
class Proof:
    """What was proved, or why not.

    Attributes
    ----------
    arithmetic : Arithmetic
    rows : int
    statement : str
    seconds : float
    counterexample : Counterexample or None
    """

    arithmetic: Arithmetic
    rows: int
    statement: str
    seconds: float
    counterexample: Counterexample | None = None

    @property
    def holds(self) -> bool:
        """Whether it is a proof."""
        return self.counterexample is None


def check_golden(arithmetic: Arithmetic) -> None:
    """Hold the golden model to its operation, for all activations and weights with a code.

    Raises
    ------
    MismatchError
        It differs, or by more than its error bound; the message holds the operands.
    """
    require_tabulated(arithmetic)
    x = np.array(arithmetic.activation.values, dtype=np.int64)[:, None]
    w = np.array(arithmetic.weight.values, dtype=np.int64)
    w = w[arithmetic.project(w) == w][None, :]
    computed = np.asarray(arithmetic.compute(x, w))
    meant = operation(arithmetic.operation).apply(x, w)
    wrong = np.argwhere(np.abs(computed - meant) > arithmetic.error_bound)
    if len(wrong):
        row, column = wrong[0]
        raise MismatchError(
            f"{arithmetic}: the golden model must be within {arithmetic.error_bound:g} of "
            f"{arithmetic.operation}, but for x={x[row, 0]} w={w[0, column]} it is "
            f"{computed[row, column]}, not {meant[row, column]}")


def require_tabulated(arithmetic: Arithmetic) -> None:
    """Make sure that a table of all pairs of operands is small enough to be made.

    Raises
    ------
    ModelError
        It is not.
    """
    bits = arithmetic.activation.bits + arithmetic.weight.bits
    if bits > MOST_OPERAND_BITS:
        raise ModelError(f"{arithmetic} must have operands of at most {MOST_OPERAND_BITS} bits "
                         f"together to be proved, not {bits}")


def prove(arithmetic: Arithmetic, rows: int = 2, timeout_s: float | None = None) -> Proof:
    """Prove the golden model and a column of `rows` rows.

    Parameters
    ----------
    arithmetic : Arithmetic
    rows : int
    timeout_s : float, optional
        For each question to the solver.

    Raises
    ------
    MismatchError
        The golden model is wrong; or, of an arithmetic with tables, an entry or what is read.
    ModelError
        The arithmetic's encoding is beyond what `Step` can state.
    BuildError
        The solver or Yosys failed, or did not answer in time.
    EnvironmentProblem
        One of them is missing.
    """
    begun = time.monotonic()
    check_golden(arithmetic)
    if arithmetic.holds_weights:
        statement = _prove_tables(arithmetic, rows, timeout_s)
        return Proof(arithmetic, rows, statement, time.monotonic() - begun)
    found = prove_step(Step(arithmetic, rows), timeout_s)
    meaning = (f"sum of {arithmetic.operation}" if arithmetic.exact else
               f"golden model, within {arithmetic.error_bound:g} of {arithmetic.operation}")
    return Proof(arithmetic, rows, f"value = {meaning}", time.monotonic() - begun, found)


def _prove_tables(arithmetic: Arithmetic, rows: int, timeout_s: float | None) -> str:
    small = arithmetic.provable
    for one in dict.fromkeys((small, arithmetic)):
        check_tables(one, rows)
        if (entry := wrong_entry(one, timeout_s)) is not None:
            raise MismatchError(f"{one}: what step {entry} of loading makes of the entry before "
                                f"must be the sum of its weights")
    if (phase := wrong_phase(small, rows, timeout_s)) is not None:
        raise MismatchError(f"{arithmetic}: the value after phase {phase} of a step must be twice "
                            f"the one before and what the tables hold for the activations' bits")
    meaning = f"value = sum of {arithmetic.operation}"
    return meaning if small == arithmetic else (
        f"{meaning}, with {small.taps} taps a table; every entry with {arithmetic.taps} taps = "
        f"its sum of weights")


def prove_step(step: Step, timeout_s: float | None = None,
               together: bool = True) -> Counterexample | None:
    """Decide a step: None when it is proved.

    Parameters
    ----------
    step : Step
    timeout_s : float, optional
        For each question to the solver.
    together : bool
        Whether sums over the taps are asked about.

    Raises
    ------
    BuildError, EnvironmentProblem
        See `prove`.
    """
    graph = Graph()
    given = step.free(graph)
    taps = [(row, tap) for row in range(step.rows) for tap in range(step.arithmetic.taps)]
    values = {place: step.values(graph, _only(step, given, place)) for place in taps}
    admissible = step.admissible(graph, given)

    def decide(wrong: int, operands: Operands, value: Word) -> Counterexample | None:
        model = satisfy(graph, graph.and_(admissible, wrong), timeout_s)
        return None if model is None else _read(step, graph, operands, value, model)

    # The first tap alone.
    first = taps[0]
    alone = _only(step, given, first)
    value = values[first][-1]
    expected, known = _stepping_stones(step, graph, alone, values[first], admissible, timeout_s)
    if found := decide(graph.and_(known, graph.equal(value, expected) ^ 1), alone, value):
        return found
    # The others alone, given the first one's operands.
    for place in taps[1:]:
        moved = _only(step, _moved(given, first, place), place)
        value = step.values(graph, moved)[-1]
        if found := decide(graph.equal(value, values[first][-1]) ^ 1, moved, value):
            return found
    if not together:
        return None

    # Together: halves of the taps, halves of these, ...
    def join(places: list[tuple[int, int]]) -> Counterexample | list[Word]:
        if len(places) == 1:
            return values[places[0]]
        parts = join(places[:len(places) // 2]), join(places[len(places) // 2:])
        for part in parts:
            if isinstance(part, Counterexample):
                return part
        operands = _only(step, given, *places)
        both, known = step.values(graph, operands), TRUE
        halves = [_only(step, given, *places[:len(places) // 2]),
                  _only(step, given, *places[len(places) // 2:])]
        for phase, words in enumerate(zip(both, *parts, strict=True)):
            # Offsets that are no sums over the taps are put where they belong.
            offsets = [step.joint_offset(graph, part, phase, len(words[0]))
                       for part in (*halves, operands)]
            if None in offsets:
                known = TRUE
                continue
            equal = graph.equal(graph.add(graph.add(words[0], offsets[0]), offsets[1]),
                                graph.add(graph.add(*words[1:]), offsets[2]))
            found = decide(graph.and_(known, equal ^ 1), operands, words[0])
            if not found:
                known = equal
            elif phase == len(both) - 1:
                # What was assumed of earlier phases is proved, so the values are real.
                return found
        return both

    result = join(taps)
    return result if isinstance(result, Counterexample) else None


def _stepping_stones(step: Step, graph: Graph, alone: Operands, values: list[Word],
                     admissible: int, timeout_s: float | None) -> tuple[Word, int]:
    """What the first tap's value must be, and what was proved of the phase before the last.

    See `serial`: without stepping stones, the definition as it is and nothing.
    """
    a, width = step.arithmetic, len(values[-1])
    x, w, used = alone.x[0][0], alone.w[0][0], alone.used[0][0]
    counts = graph.and_(used, alone.active[0])
    offset = step.encoding.offset(graph, alone.w[0], alone.used[0], width)
    if a.exact and a.operation == "product" and len(values) > 1 and not step.encoding.joint:
        guesses = [[[graph.and_(bit, counts) for bit in word] for word in chain]
                   for chain in chains(graph, a, x, w, width)
                   if equals_product(graph, a, x, w, chain[-1])]
        # Offsets are not known between phases: stones are only laid where there is none.
        guess = matching(graph, admissible, values, guesses) if not any(offset) else None
        if guess is not None:
            known = TRUE
            for value, word in zip(values[:-1], guess[:-1], strict=True):
                equal = graph.equal(value, word)
                wrong = graph.all([admissible, known, equal ^ 1])
                known = equal if satisfy(graph, wrong, timeout_s) is None else TRUE
            return guess[-1], known
    return step.expected(graph, alone, width), TRUE


def _only(step: Step, given: Operands, *places: tuple[int, int]) -> Operands:
    """`given` at some taps; the others unused, their rows not active."""
    rows, taps = range(step.rows), range(step.arithmetic.taps)
    zero_x = [FALSE] * step.arithmetic.activation.bits
    zero_w = [FALSE] * step.arithmetic.weight.bits
    return Operands(
        [[given.x[r][t] if (r, t) in places else zero_x for t in taps] for r in rows],
        [[given.w[r][t] if (r, t) in places else zero_w for t in taps] for r in rows],
        [[given.used[r][t] if (r, t) in places else FALSE for t in taps] for r in rows],
        [given.active[r] if any(row == r for row, _ in places) else FALSE for r in rows])


def _moved(given: Operands, source: tuple[int, int], place: tuple[int, int]) -> Operands:
    """`given` with the operands of tap `source` at tap `place`."""
    (r, t), (row, tap) = source, place
    x, w, used = ([list(items) for items in part] for part in (given.x, given.w, given.used))
    active = list(given.active)
    x[row][tap], w[row][tap], used[row][tap] = given.x[r][t], given.w[r][t], given.used[r][t]
    active[row] = given.active[r]
    return Operands(x, w, used, active)


def _read(step: Step, graph: Graph, given: Operands, value: Word,
          model: dict[int, bool]) -> Counterexample:
    a = step.arithmetic

    def number(word: Word, signed: bool) -> int:
        bits = graph.evaluate(word, model)
        result = sum(bit << index for index, bit in enumerate(bits))
        return result - (1 << len(bits)) if signed and bits[-1] else result

    counts = [[all(graph.evaluate([used, active], model)) for used in useds]
              for useds, active in zip(given.used, given.active, strict=True)]

    def operands(words: list[list[Word]], signed: bool) -> tuple[tuple[int | None, ...], ...]:
        return tuple(tuple(number(word, signed) if used else None
                           for word, used in zip(row, useds, strict=True))
                     for row, useds in zip(words, counts, strict=True))

    signed = a.value_shape(step.rows).signed
    return Counterexample(operands(given.x, a.activation.signed),
                          operands(given.w, a.weight.signed), number(value, signed),
                          number(step.expected(graph, given, len(value)), signed))


