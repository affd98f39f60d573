"""Boolean networks small enough to be counted: what a technology mapper would need for them.

Nets are *literals*: twice a node's number, plus one where it is inverted; 0 and 1 are the
constants. Gates are made with the constants folded and equal ones shared, so that a network is
about as large as synthesis leaves it. `Logic.luts` covers it with look-up tables of four inputs,
greedily: a gate that only one other gate uses joins it where the inputs are few enough. That is
not optimal, but off by nearly the same factor everywhere, which a fit takes care of.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["Logic"]

_LUT_INPUTS = 4
# However it is written, a function that depends on so many signals takes about so many look-up
# tables at most: of five signals, three where it has no structure at all.
_MOST_LUTS = (0, 1, 1, 1, 1, 2)


class Logic:
    """Gates over leaves."""

    def __init__(self):
        # Fan-ins (literals) of every node; None for a leaf. Node 0 is the constant.
        self._fanins: list[tuple[int, ...] | None] = [None]
        self._kinds = [""]
        self._known: dict[tuple, int] = {}

    def leaf(self) -> int:
        """A new signal from elsewhere."""
        self._fanins.append(None)
        self._kinds.append("")
        return 2 * (len(self._fanins) - 1)

    def fanins(self, literal: int) -> tuple[int, ...] | None:
        """What the literal's gate looks at; None for a leaf or a constant."""
        return self._fanins[literal >> 1]

    def _gate(self, kind: str, fanins: tuple[int, ...]) -> int:
        key = (kind, *fanins)
        if key not in self._known:
            self._fanins.append(fanins)
            self._kinds.append(kind)
            self._known[key] = 2 * (len(self._fanins) - 1)
        return self._known[key]

    def conjunction(self, a: int, b: int) -> int:
        """``a & b``."""
        if a > b:
            a, b = b, a
        if a == 0 or a ^ b == 1:
            return 0
        return b if a in (1, b) else self._gate("and", (a, b))

    def disjunction(self, a: int, b: int) -> int:
        """``a | b``."""
        return self.conjunction(a ^ 1, b ^ 1) ^ 1

    def difference(self, a: int, b: int) -> int:
        """``a ^ b``."""
        inverted = (a ^ b) & 1
        a, b = sorted((a & ~1, b & ~1))
        if a == b or a == 0:
            return inverted if a == b else b ^ inverted
        return self._gate("xor", (a, b)) ^ inverted

    def choice(self, select: int, a: int, b: int) -> int:
        """``a`` where `select`, otherwise ``b``."""
        if select & 1:
            select, a, b = select ^ 1, b, a
        if select == 0 or a == b:
            return b
        if a == 1:
            return self.disjunction(select, b)
        if a == 0:
            return self.conjunction(select ^ 1, b)
        if b == 0:
            return self.conjunction(select, a)
        if b == 1:
            return self.disjunction(select ^ 1, a)
        if a ^ b == 1:
            return self.difference(select, b)
        return self._gate("mux", (select, a, b))

    def tree(self, gate: str, literals: Iterable[int]) -> int:
        """All literals joined by ``"conjunction"``, ``"disjunction"`` or ``"difference"``."""
        join = getattr(self, gate)
        level = list(literals) or [1 if gate == "conjunction" else 0]
        while len(level) > 1:
            level = [join(*level[i:i + 2]) if i + 1 < len(level) else level[i]
                     for i in range(0, len(level), 2)]
        return level[0]

    def reached(self, roots: Iterable[int]) -> set[int]:
        """Nodes that the literals `roots` depend on, themselves included."""
        seen, stack = {0}, [root >> 1 for root in roots]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack += [fanin >> 1 for fanin in self._fanins[node] or ()]
        return seen

    def uses(self, roots: Iterable[int]) -> Counter:
        """How often every node is looked at: by gates that `roots` depend on, and by these."""
        roots = list(roots)
        found = Counter(root >> 1 for root in roots)
        for node in self.reached(roots):
            found.update(fanin >> 1 for fanin in self._fanins[node] or ())
        return found

    def luts(self, roots: Sequence[int]) -> int:
        """Look-up tables that make all of `roots`."""
        # A gate is made after its fan-ins, so numbers are in topological order.
        gates = sorted(node for node in self.reached(roots) if self._fanins[node])
        uses = dict.fromkeys(gates, 0)
        for node in gates:
            for fanin in {fanin >> 1 for fanin in self._fanins[node]}:
                if fanin in uses:
                    uses[fanin] += 1
        for root in {root >> 1 for root in roots}:
            if root in uses:
                uses[root] += 2  # has to be there whoever else uses it
        inputs: dict[int, frozenset[int]] = {}
        support: dict[int, frozenset[int] | None] = {}
        for node in gates:
            own = frozenset(fanin >> 1 for fanin in self._fanins[node]) - {0}
            support[node] = _joined([support.get(fanin, frozenset({fanin})) for fanin in own])
            for fanin in sorted(own, key=lambda f: len(inputs.get(f, ()))):
                if uses.get(fanin) == 1 or len(inputs.get(fanin, (0, 0, 0))) <= 2:
                    wider = (own - {fanin}) | inputs.get(fanin, frozenset({fanin}))
                    if fanin in inputs and len(wider) <= _LUT_INPUTS:
                        own = wider
                        # One that others use as well is copied, not moved.
                        if uses[fanin] > 1:
                            uses[fanin] -= 1
            inputs[node] = own
        made: set[int] = set()
        done: set[int] = set()
        small = 0
        for root in sorted({root >> 1 for root in roots} & set(gates)):
            cone = _cone(root, inputs)
            if len(cone) > 1 and support[root] is not None:
                most = _MOST_LUTS[self._essential(root, sorted(support[root]))]
                if len(cone) > most:
                    small += most
                    inputs[root] = frozenset()  # others take it as it is
                    made.discard(root)
                    done.add(root)
                    continue
            made |= cone - done
        return len(made) + small

    def _essential(self, root: int, leaves: Sequence[int]) -> int:
        """How many of the leaves below it the gate `root` really depends on."""
        size = 1 << len(leaves)
        ones = (1 << size) - 1
        # Truth tables as integers: bit p is the value where leaf i has bit i of p.
        tables = {0: 0} | {leaf: sum(1 << p for p in range(size) if p >> bit & 1)
                           for bit, leaf in enumerate(leaves)}

        def of(literal: int) -> int:
            return tables[literal >> 1] ^ (ones if literal & 1 else 0)

        for node in sorted(self.reached([2 * root])):
            if node not in tables:
                values = [of(fanin) for fanin in self._fanins[node]]
                match self._kinds[node]:
                    case "and":
                        tables[node] = values[0] & values[1]
                    case "xor":
                        tables[node] = values[0] ^ values[1]
                    case "mux":
                        tables[node] = values[0] & values[1] | ~values[0] & values[2]
        found = tables[root]
        return sum((found >> (1 << bit) ^ found) & ~tables[leaf] & ones >> (1 << bit) != 0
                   for bit, leaf in enumerate(leaves))


def _joined(supports: list[frozenset[int] | None]) -> frozenset[int] | None:
    """The leaves of all; None if they are too many to be looked up in a small table."""
    found = frozenset()
    for support in supports:
        if support is None or len(found := found | support) >= len(_MOST_LUTS):
            return None
    return found


def _cone(root: int, inputs: dict[int, frozenset[int]]) -> set[int]:
    """Look-up tables that make the gate `root`, by the gate at their output."""
    seen, stack = set(), [root]
    while stack:
        node = stack.pop()
        if node in inputs and node not in seen:
            seen.add(node)
            stack += inputs[node]
    return seen
