"""Mutation testing: do the tests' operands show every mistake that a netlist can have?

A *mutant* is an arithmetic's step circuit, as gates, with one pin changed: inverted, stuck at 0 or
1, or wired to another signal. All mutants run at once, one in each bit of wide integers, over the
stimulus of the default tests; one whose value is ever wrong is *killed*. For every survivor z3
decides whether any operands, state or neighbouring steps could tell it from the original: if none
can, it is *equivalent* and does not count.

R. A. DeMillo, R. J. Lipton, F. G. Sayward, "Hints on test data selection", IEEE Computer 1978.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .arith import Arithmetic
from .errors import BuildError, ModelError
from .formal.aig import FALSE, TRUE, Graph, Machine
from .formal.solve import satisfy
from .formal.step import Step
from .formal.stimulus import Stimulus, stimulus

__all__ = ["Mutant", "MutationScore", "mutants", "run_mutants", "score"]


@dataclass(frozen=True)
class Mutant:
    """One changed pin.

    Attributes
    ----------
    kind : str
        ``"invert"``, ``"zero"``, ``"one"`` or ``"wire"``.
    gate : int
        Index of a gate, or, counted on, of a register.
    pin : int
        Which operand.
    literal : int
        What the pin is wired to.
    """

    kind: str
    gate: int
    pin: int
    literal: int

    def __str__(self) -> str:
        return f"{self.kind}: pin {self.pin} of gate {self.gate} to {self.literal}"

    def of(self, machine: Machine) -> Machine:
        """`machine` with this change."""
        if self.gate < len(machine.gates):
            gates = list(machine.gates)
            gate = list(gates[self.gate])
            gate[1 + self.pin] = self.literal
            gates[self.gate] = tuple(gate)
            return replace(machine, gates=gates)
        latches = list(machine.latches)
        index = self.gate - len(machine.gates)
        latches[index] = replace(latches[index], next=self.literal)
        return replace(machine, latches=latches)


@dataclass(frozen=True)
class MutationScore:
    """What became of an arithmetic's mutants.

    Attributes
    ----------
    arithmetic : Arithmetic
    mutants, killed, equivalent : int
    survivors : tuple of str
        Those neither killed nor equivalent.
    steps : int
        Length of the stimulus.
    """

    arithmetic: Arithmetic
    mutants: int
    killed: int
    equivalent: int
    survivors: tuple[str, ...]
    steps: int

    @property
    def ratio(self) -> float:
        """Killed ones of those that are not equivalent."""
        return self.killed / max(self.mutants - self.equivalent, 1)


def mutants(machine: Machine, count: int, seed: int = 0) -> list[Mutant]:
    """Up to `count` different mutants of a machine, drawn at random from all of its pins."""
    rng = random.Random(seed)
    sources = [literal for word in machine.inputs.values() for literal in word]
    sources += [latch.literal for latch in machine.latches]
    candidates = []
    for index, (_, *operands) in enumerate(machine.gates):
        for pin, literal in enumerate(operands):
            candidates += _changes(index, pin, literal, rng.choice(sources))
        # A later gate may be wired to this one: operands still come first.
        sources.append(machine.gates[index][0])
    for index, latch in enumerate(machine.latches):
        candidates += _changes(len(machine.gates) + index, 0, latch.next, rng.choice(sources))
    return rng.sample(candidates, min(count, len(candidates)))


def _changes(gate: int, pin: int, literal: int, other: int) -> list[Mutant]:
    changes = {"invert": literal ^ 1, "zero": FALSE, "one": TRUE, "wire": other}
    return [Mutant(kind, gate, pin, new) for kind, new in changes.items() if new != literal]


def run_mutants(machine: Machine, changed: Sequence[Mutant], given: Stimulus) -> list[int | None]:
    """Run the original and all mutants side by side.

    Returns
    -------
    list of (int or None)
        For each mutant, the first step whose value is wrong, or None.

    Raises
    ------
    ModelError
        The original itself is wrong.
    """
    masks = _masks(changed)
    lanes = (1 << (len(changed) + 1)) - 1
    state = [0] * len(machine.latches)
    expected = given.values()
    first: list[int | None] = [None] * len(changed)
    alive = lanes
    for inputs, shown in given.cycles():
        bits = {literal: lanes if inputs.get(name, 0) >> index & 1 else 0
                for name, word in machine.inputs.items() for index, literal in enumerate(word)}
        value, state = _cycle(machine, masks, bits, state, lanes)
        if shown is None:
            continue
        wrong = 0
        for index, bit in enumerate(value):
            wrong |= bit ^ (lanes if expected[shown] >> index & 1 else 0)
        if wrong & 1:
            raise ModelError(f"{given.arithmetic}: the step circuit itself must be right, but is "
                             f"wrong in step {shown}")
        wrong &= alive
        alive ^= wrong
        while wrong:
            lane = wrong.bit_length() - 1
            first[lane - 1] = shown
            wrong ^= 1 << lane
        if changed and alive == 1:
            break
    return first


#: Lanes in which a pin is wired to a literal, by gate, pin and literal.
_Masks = dict[int, list[dict[int, int]]]


def _masks(changed: Sequence[Mutant]) -> _Masks:
    """Lane 0 is the original, lane n is mutant n - 1."""
    masks: _Masks = {}
    for lane, mutant in enumerate(changed, 1):
        pins = masks.setdefault(mutant.gate, [{}, {}])
        pins[mutant.pin][mutant.literal] = pins[mutant.pin].get(mutant.literal, 0) | 1 << lane
    return masks


def _cycle(machine: Machine, masks: _Masks, inputs: dict[int, int], state: Sequence[int],
           lanes: int) -> tuple[list[int], list[int]]:
    """Value and next state of one cycle, a lane a bit."""
    bits = {FALSE: 0, **inputs, **{latch.literal: now for latch, now in
                                   zip(machine.latches, state, strict=True)}}
    # Both polarities are kept: looking one up is cheaper than inverting it.
    bits |= {literal ^ 1: bit ^ lanes for literal, bit in bits.items()}

    def pin(literal: int, changes: dict[int, int]) -> int:
        bit = bits[literal]
        for new, mask in changes.items():
            bit = bit & ~mask | bits[new] & mask
        return bit

    for index, (output, a, b) in enumerate(machine.gates):
        if index in masks:
            first, second = masks[index]
            bit = pin(a, first) & pin(b, second)
        else:
            bit = bits[a] & bits[b]
        bits[output] = bit
        bits[output ^ 1] = bit ^ lanes
    following = [pin(latch.next, masks.get(len(machine.gates) + index, ({},))[0])
                 for index, latch in enumerate(machine.latches)]
    return [bits[literal] for literal in machine.outputs["value"]], following


def score(arithmetic: Arithmetic, count: int, seed: int = 0, rows: int = 2,
          timeout_s: float | None = None) -> MutationScore:
    """Mutation score of the default tests' stimulus for one arithmetic.

    Parameters
    ----------
    arithmetic : Arithmetic
    count : int
        Mutants to draw.
    seed : int
    rows : int
    timeout_s : float, optional
        For each question about a survivor; one that stays undecided counts as not equivalent.

    Where weights are held, load unit and table are part of the circuit; of an arithmetic with large
    tables, `Arithmetic.provable` is mutated.

    Raises
    ------
    ModelError
        See `Step`.
    BuildError, EnvironmentProblem
        See `Step`.
    """
    arithmetic = arithmetic.provable
    step = Step(arithmetic, rows)
    drawn = mutants(step.machine, count, seed)
    given = stimulus(arithmetic, rows)
    first = run_mutants(step.machine, drawn, given)
    alive = [mutant for mutant, killed in zip(drawn, first, strict=True) if killed is None]
    survivors = [mutant for mutant in alive if not is_equivalent(step, mutant, timeout_s)]
    return MutationScore(arithmetic, len(drawn), len(drawn) - len(alive),
                         len(alive) - len(survivors), tuple(map(str, survivors)), len(given.x))


def is_equivalent(step: Step, mutant: Mutant, timeout_s: float | None = None) -> bool:
    """Whether a mutant's value is the original's, whatever operands, state and other steps."""
    graph, free = Graph(), {}
    given = step.free(graph)
    original = step.values(graph, given, free=free)[-1]
    mutated = step.values(graph, given, mutant.of(step.machine), free)[-1]
    different = graph.and_(step.admissible(graph, given), graph.equal(original, mutated) ^ 1)
    try:
        return satisfy(graph, different, timeout_s) is None
    except BuildError:
        return False
