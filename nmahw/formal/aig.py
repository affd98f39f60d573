"""And-inverter graphs: sequential ones read from AIGER, and one to unroll them into.

A. Biere, "The AIGER And-Inverter Graph (AIG) Format", 2007, and its extension 1.9. A *literal* is
an integer: twice the number of a variable, plus one when inverted; 0 is false and 1 is true. A
word is a list of literals, lowest bit first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["FALSE", "TRUE", "Graph", "Latch", "Machine", "Word", "read_aiger"]

FALSE, TRUE = 0, 1

#: Literals of a value's bits, lowest first.
Word = list[int]


@dataclass(frozen=True)
class Latch:
    """A register's bit; `initial` is 0, 1, or None where anything may be at the beginning."""

    literal: int
    next: int
    initial: int | None


@dataclass
class Machine:
    """A synchronous circuit of AND gates, inverters and registers.

    Attributes
    ----------
    inputs, outputs : dict of str to list of int
        Literals of every port.
    latches : list of Latch
    gates : list of (int, int, int)
        Literals of output and operands, every gate after its operands.
    bad, constraints : list of int
        Literals of what must never hold, and of what always does (assertions, assumptions).
    """

    inputs: dict[str, Word] = field(default_factory=dict)
    outputs: dict[str, Word] = field(default_factory=dict)
    latches: list[Latch] = field(default_factory=list)
    gates: list[tuple[int, int, int]] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    constraints: list[int] = field(default_factory=list)

    def unroll(self, graph: "Graph", state: Sequence[int], inputs: Mapping[str, Word]) \
            -> tuple[dict[str, Word], list[int]]:
        """One cycle, added to a graph.

        Parameters
        ----------
        graph : Graph
        state : sequence of int
            The graph's literals for the latches in this cycle.
        inputs : mapping of str to word
            Of this cycle; inputs that are left out are free.

        Returns
        -------
        dict of str to word
            The outputs; assertions that fail as ``"$bad"``, assumptions as ``"$constraints"``.
        list of int
            The latches in the next cycle.
        """
        value = {FALSE: FALSE}
        for latch, literal in zip(self.latches, state, strict=True):
            value[latch.literal] = literal
        for name, word in self.inputs.items():
            given = inputs.get(name)
            if given is None:
                given = graph.word(len(word))
            for literal, bit in zip(word, given, strict=True):
                value[literal] = bit
        and_ = graph.and_
        for output, a, b in self.gates:
            value[output] = and_(value[a & ~1] ^ (a & 1), value[b & ~1] ^ (b & 1))

        def word(literals: Word) -> Word:
            return [value[literal & ~1] ^ (literal & 1) for literal in literals]

        outputs = {name: word(literals) for name, literals in self.outputs.items()}
        outputs |= {"$bad": word(self.bad), "$constraints": word(self.constraints)}
        return outputs, word([latch.next for latch in self.latches])


def read_aiger(text: str) -> Machine:
    """Machine of an ASCII AIGER file with a symbol table, as Yosys writes it."""
    lines = iter(text.splitlines())
    counts = [int(count) for count in next(lines).split()[1:]]
    _, n_in, n_latch, n_out, n_gate, n_bad, n_constraint = (counts + [0, 0])[:7]
    machine = Machine()
    inputs = [int(next(lines)) for _ in range(n_in)]
    for _ in range(n_latch):
        literal, following, *rest = (int(part) for part in next(lines).split())
        initial = rest[0] if rest else 0
        machine.latches.append(Latch(literal, following, initial if initial < 2 else None))
    outputs = [int(next(lines)) for _ in range(n_out)]
    machine.bad = [int(next(lines)) for _ in range(n_bad)]
    machine.constraints = [int(next(lines)) for _ in range(n_constraint)]
    unsorted = {}
    for _ in range(n_gate):
        output, a, b = (int(part) for part in next(lines).split())
        unsorted[output] = (a, b)
    machine.gates = _sorted_gates(unsorted)
    for line in lines:
        if line.startswith("c"):
            break
        place, _, name = line.partition(" ")
        if place[0] in "io":
            ports, literals = ((machine.inputs, inputs) if place[0] == "i"
                               else (machine.outputs, outputs))
            name, _, bit = name.partition("[")
            word = ports.setdefault(name, [])
            index = int(bit.rstrip("]")) if bit else 0
            word.extend([FALSE] * (index + 1 - len(word)))
            word[index] = literals[int(place[1:])]
    # What Yosys leaves undefined, for example words behind a memory's end, may be anything.
    known = {literal for word in machine.inputs.values() for literal in word}
    machine.inputs |= {f"$undefined{literal}": [literal]
                       for literal in inputs if literal not in known}
    return machine


def _sorted_gates(gates: dict[int, tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Gates in an order in which operands come first (the ASCII format need not have one)."""
    done: set[int] = set()
    order = []
    for root in gates:
        stack = [root]
        while stack:
            gate = stack[-1]
            if gate in done:
                stack.pop()
                continue
            waiting = [literal & ~1 for literal in gates[gate]
                       if literal & ~1 in gates and literal & ~1 not in done]
            if waiting:
                stack.extend(waiting)
                continue
            done.add(gate)
            order.append((gate, *gates[gate]))
            stack.pop()
    return order


class Graph:
    """A combinational graph in which equal gates are one, and constants are folded."""

    def __init__(self):
        #: Operands of every variable's gate; None for an input. Variable 0 is the constant.
        self.operands: list[tuple[int, int] | None] = [None]
        self._gates: dict[tuple[int, int], int] = {}

    def input(self) -> int:
        """A new free variable's literal."""
        self.operands.append(None)
        return 2 * (len(self.operands) - 1)

    def word(self, width: int) -> Word:
        """New free variables."""
        return [self.input() for _ in range(width)]

    def and_(self, a: int, b: int) -> int:
        """Literal of ``a & b``."""
        if a > b:
            a, b = b, a
        if a == FALSE or a == b ^ 1:
            return FALSE
        if a == TRUE or a == b:
            return b
        found = self._gates.get((a, b))
        if found is None:
            self.operands.append((a, b))
            found = self._gates[a, b] = 2 * (len(self.operands) - 1)
        return found

    def all(self, literals: Sequence[int]) -> int:
        """Literal that holds when all do."""
        result = TRUE
        for literal in literals:
            result = self.and_(result, literal)
        return result

    def xor(self, a: int, b: int) -> int:
        """Literal of ``a ^ b``."""
        return self.and_(self.and_(a, b ^ 1) ^ 1, self.and_(a ^ 1, b) ^ 1) ^ 1

    def or_(self, a: int, b: int) -> int:
        """Literal of ``a | b``."""
        return self.and_(a ^ 1, b ^ 1) ^ 1

    def mux(self, select: int, a: int, b: int) -> int:
        """Literal of ``a if select else b``."""
        if a == b:
            return a
        return self.and_(self.and_(select, a) ^ 1, self.and_(select ^ 1, b) ^ 1) ^ 1

    def add(self, a: Word, b: Word) -> Word:
        """Sum of two words of one width, cut to it."""
        total, carry = [], FALSE
        for p, q in zip(a, b, strict=True):
            half = self.xor(p, q)
            total.append(self.xor(half, carry))
            carry = self.or_(self.and_(p, q), self.and_(half, carry))
        return total

    def table(self, index: Word, entries: Sequence[int] | np.ndarray, width: int) -> Word:
        """Low `width` bits of ``entries[index]``; one entry for every index.

        What comes out is as small as a binary decision diagram of each bit, so large tables of
        simple functions stay small.
        """
        entries = np.asarray(entries)
        if width > 63:
            entries = entries.astype(object)
        return [self._decided(index, (entries >> bit & 1).astype(np.int64))
                for bit in range(width)]

    def _decided(self, index: Word, kinds: np.ndarray) -> int:
        """Literal that is ``kinds[index]``; each of `kinds` stands for a literal of the list."""
        literals = [FALSE, TRUE]
        for bit in index:
            pairs = kinds[0::2] * len(literals) + kinds[1::2]
            present = np.zeros(len(literals) ** 2, dtype=bool)
            present[pairs] = True
            numbers = np.cumsum(present) - 1
            literals = [self.mux(bit, literals[pair % len(literals)],
                                 literals[pair // len(literals)])
                        for pair in np.flatnonzero(present).tolist()]
            kinds = numbers[pairs]
        return literals[kinds[0]]

    def equal(self, a: Word, b: Word) -> int:
        """Literal that holds when two words of one width are equal."""
        return self.all([self.xor(p, q) ^ 1 for p, q in zip(a, b, strict=True)])

    def constant(self, value: int, width: int) -> Word:
        """A number's low bits."""
        return [value >> bit & 1 for bit in range(width)]

    def evaluate(self, roots: Sequence[int], inputs: Mapping[int, bool]) -> list[bool]:
        """Values of `roots` for values of the inputs by variable; False where none is given."""
        value = {0: False}
        for variable in self.cone(roots):
            operands = self.operands[variable]
            value[variable] = all(value[literal >> 1] != bool(literal & 1) for literal in operands
                                  ) if operands else bool(inputs.get(variable, False))
        return [value[root >> 1] != bool(root & 1) for root in roots]

    def cone(self, roots: Sequence[int]) -> list[int]:
        """Variables that `roots` depend on, operands first."""
        needed, stack = set(), [root >> 1 for root in roots]
        while stack:
            variable = stack.pop()
            if variable in needed or not variable:
                continue
            needed.add(variable)
            if self.operands[variable]:
                stack.extend(literal >> 1 for literal in self.operands[variable])
        # A gate is always made after its operands.
        return sorted(needed)

