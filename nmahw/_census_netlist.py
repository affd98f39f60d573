"""One part's netlist (Amaranth's own, before any text) turned into counts.

Works backwards from what is read: a flip-flop, an adder or a gate that nothing depends on is never
met. A register's condition to keep its value becomes a clock enable and a constant it is set to
becomes a reset, as in Yosys' `opt_dff`, so that neither costs logic in front of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import _nir as nir

from ._logic import Logic
from ._mapping_rules import MemoryShape
from .gateware.common import MULTIPLIER_REGISTER

__all__ = ["MOST_LOGIC_BITS", "SUM", "SYMBOL", "Part", "count_part"]

#: How ports that carry a row's symbol begin.
SYMBOL = "symbol"
#: How ports that carry what a gated adder made begin.
SUM = "sum"
# Comparisons with a constant become a look-up table instead of a chain up to this width.
_LUT_COMPARISON = 4
# Larger memories that are only read never become logic by themselves.
MOST_LOGIC_BITS = 4096


@dataclass(frozen=True)
class Part:
    """What one kind of part is made of.

    Attributes
    ----------
    name : str
        Class of the component.
    ff : int
        Flip-flops, those behind memories included.
    shared_ff : int
        Those among them that only repeat the row's symbol: elements that see the same one share
        them.
    lone_ff : int
        Those that no look-up table is in front of that does nothing else: they take a logic cell
        of their own where cells are of one look-up table and one flip-flop.
    marked_ff : int
        Those among them that are marked to be a hard multiplier's registers of operands.
    luts : int
        Look-up tables of four inputs.
    inverted : int
        Bits of what is subtracted or compared with.
    adders : tuple of int
        Widths of additions, subtractions and comparisons.
    chains : tuple of (int, tuple of str)
        Gated adders: bits and options.
    products : tuple of (int, int, int, int)
        Widths of the factors, and the same as signed numbers.
    memories : tuple of MemoryShape
    """

    name: str
    ff: int = 0
    shared_ff: int = 0
    lone_ff: int = 0
    marked_ff: int = 0
    luts: int = 0
    inverted: int = 0
    adders: tuple[int, ...] = ()
    chains: tuple[tuple[int, tuple[str, ...]], ...] = ()
    products: tuple[tuple[int, int, int, int], ...] = ()
    memories: tuple[MemoryShape, ...] = ()


def count_part(netlist: nir.Netlist, name: str) -> Part:
    """Counts of a netlist whose outputs are all read."""
    constant: dict[nir.Net, int] = {}
    while True:
        counter = _Counter(netlist, constant)
        counter.run()
        found = counter.constant_flip_flops()
        if not found:
            return counter.part(name)
        constant |= found


class _Counter:
    def __init__(self, netlist: nir.Netlist, constant: dict[nir.Net, int]):
        self._cells = netlist.cells
        self._constant = constant
        self._logic = Logic()
        self._literals: dict[nir.Net, int] = {}
        self._words: dict[int, list[int]] = {}
        self._roots: list[int] = []
        self._todo: list[nir.Net] = []
        self._flip_flops: dict[nir.Net, tuple[int, int, int]] = {}
        self._adders: dict[tuple, set[int]] = {}
        self._adder_from: dict[tuple, int] = {}
        self._inverted: dict[tuple, int] = {}
        self._sums: dict[tuple, int] = {}
        self._products: dict[int, tuple[int, int, int, int]] = {}
        self._reads: dict[int, set[int]] = {}
        self._roms: dict[int, bool] = {}
        self._reset = {net for cell in netlist.cells[:1] for port, (start, width) in
                       cell.ports_i.items() if port == "rst"
                       for net in (nir.Net.from_cell(0, start),)}

        self._symbol, self._made = (
            {bit for port, (start, width) in netlist.cells[0].ports_i.items()
             if port.startswith(kind) for bit in range(start, start + width)}
            for kind in (SYMBOL, SUM))

    def run(self) -> None:
        for value in self._cells[0].ports_o.values():
            self._roots += [self.literal(net) for net in value]
        while self._todo:
            net = self._todo.pop()
            self._flip_flop(net)

    def constant_flip_flops(self) -> dict[nir.Net, int]:
        """Flip-flops that never leave their first value."""
        result = {}
        for net, (data, enable, _) in self._flip_flops.items():
            first = (self._cells[net.cell].init >> net.bit) & 1
            if data == first or enable == 0:
                result[net] = first
        return result

    def part(self, name: str) -> Part:
        roots = [*self._roots]
        for data, enable, reset in self._flip_flops.values():
            roots += [data, enable, reset]
        memories = tuple(self._memory(memory) for memory in dict.fromkeys(
            self._cells[index].memory for index in self._reads))
        # Equal flip-flops are one.
        kept, marked = set(), set()
        for net, (data, enable, reset) in self._flip_flops.items():
            cell = self._cells[net.cell]
            kept.add(found := (self._literals[net] if data >> 1 == 0 else 0, data, enable, reset,
                               (cell.init >> net.bit) & 1))
            if MULTIPLIER_REGISTER in cell.attributes:
                marked.add(found)
        adders = tuple(sorted(max(bits) + 1 - self._adder_from.get(key, 0)
                              for key, bits in self._adders.items()))
        return Part(name, ff=len(kept), shared_ff=self._shared(),
                    lone_ff=self._lone([data for _, data, *_ in kept], roots),
                    marked_ff=len(marked),
                    luts=self._logic.luts(roots), inverted=sum(self._inverted.values()),
                    adders=adders,
                    products=tuple(self._products.values()), memories=memories)

    def _lone(self, datas: list[int], roots: list[int]) -> int:
        uses = self._logic.uses(roots)
        made = {literal >> 1 for literal in self._sums.values()}
        made |= {literal >> 1 for net, literal in self._literals.items()
                 if net.cell == 0 and net.bit in self._made}
        return sum(data > 1 and uses[data >> 1] > 1 or
                   self._logic.fanins(data) is None and data >> 1 not in made and not data & 1
                   for data in datas)

    def _shared(self) -> int:
        """Flip-flops that take a bit of the symbol or of another such flip-flop."""
        same = {self._literals[net] >> 1 for net in self._literals
                if net.cell == 0 and net.bit in self._symbol}
        count, before = 0, -1
        while count != before:
            before = count
            found = [self._literals[net] >> 1 for net, (data, enable, reset)
                     in self._flip_flops.items()
                     if data >> 1 in same and enable == 1 and reset == 0]
            count = len(found)
            same.update(found)
        return count

    # Nets.

    def literal(self, net: nir.Net) -> int:
        if net.is_const:
            return net.const
        if net not in self._literals:
            if net in self._constant:
                self._literals[net] = self._constant[net]
            else:
                self._literals[net] = self._make(net)
        return self._literals[net]

    def _make(self, net: nir.Net) -> int:
        cell = self._cells[net.cell]
        if isinstance(cell, nir.Operator):
            return self._operator(net, cell)
        if isinstance(cell, nir.FlipFlop):
            self._todo.append(net)
            return self._logic.leaf()
        if isinstance(cell, nir.AssignmentList):
            value = self.literal(cell.default[net.bit])
            for cond, bit in _assignments(cell, net.bit):
                value = self._logic.choice(self.literal(cond), self.literal(bit), value)
            return value
        if isinstance(cell, nir.PriorityMatch):
            return self._priority(cell, net.bit)
        if isinstance(cell, nir.Matches):
            return self._logic.tree("disjunction", [self._equal(cell.value, pattern)
                                                    for pattern in cell.patterns])
        if isinstance(cell, (nir.SyncReadPort, nir.AsyncReadPort)):
            memory = self._cells[cell.memory]
            if memory.depth == 1 and self._is_rom(cell.memory):
                return (memory.init[0] >> net.bit) & 1
            if net.cell not in self._reads:
                self._reads[net.cell] = set()
                self._port_inputs(cell)
            self._reads[net.cell].add(net.bit)
            return self._logic.leaf()
        if isinstance(cell, nir.Part):
            return self._part(net, cell)
        return self._logic.leaf()

    def _operator(self, net: nir.Net, cell: nir.Operator) -> int:
        kind, inputs = cell.operator, cell.inputs
        logic, bit = self._logic, net.bit
        simple = {"&": "conjunction", "|": "disjunction", "^": "difference",
                  "r&": "conjunction", "r|": "disjunction", "b": "disjunction",
                  "r^": "difference"}
        if kind in ("&", "|", "^"):
            return getattr(logic, simple[kind])(*(self.literal(v[bit]) for v in inputs))
        if kind in simple:
            return logic.tree(simple[kind], [self.literal(n) for n in inputs[0]])
        if kind == "~":
            return self.literal(inputs[0][bit]) ^ 1
        if kind == "m":
            return logic.choice(*(self.literal(n) for n in
                                  (inputs[0][0], inputs[1][bit], inputs[2][bit])))
        if kind in ("==", "!="):
            unequal = logic.tree("disjunction", [
                logic.difference(self.literal(a), self.literal(b))
                for a, b in zip(*inputs, strict=True)])
            return unequal ^ (kind == "==")
        if kind in ("<<", "u>>", "s>>"):
            return self._shifted(net, cell)
        if kind == "*":
            if net.cell not in self._products:
                used = [_used_bits(value) for value in inputs]
                # One more where it never is negative: hard multipliers take signed factors.
                self._products[net.cell] = (*used, *(
                    bits + (value[bits:] != () and value[-1] == 0)
                    for bits, value in zip(used, inputs, strict=True)))
                self._need(*inputs)
            return logic.leaf()
        if kind[1:] in ("<", ">", "<=", ">=") and any(
                n.is_const for n in inputs[1]) and len(inputs[0]) <= _LUT_COMPARISON:
            return logic.tree("conjunction", [self.literal(n) for n in inputs[0]])
        return self._adder(net, cell)

    def _adder(self, net: nir.Net, cell: nir.Operator) -> int:
        """A bit of a sum, a difference, or a comparison's result."""
        width = len(cell.inputs[0])
        # Equal ones are one.
        key = cell.operator, *(tuple(self.literal(n) for n in v) for v in cell.inputs)
        if cell.operator in ("+", "-") and len(cell.inputs) == 2:
            low = self._pass_through(cell)
            if net.bit < low:
                return self.literal(cell.inputs[0][net.bit]) if all(
                    n == 0 for n in cell.inputs[1][:low]) else self.literal(
                    cell.inputs[1][net.bit])
            self._adder_from[key] = low
        if key not in self._adders:
            self._adders[key] = set()
            self._need(*cell.inputs)
            if cell.operator != "+":
                self._inverted[key] = sum(self.literal(n) > 1 for n in cell.inputs[-1])
        compared = cell.operator not in ("+", "-")
        bit = 0 if compared else net.bit
        self._adders[key].add(width - 1 if compared else bit)
        return self._sums.setdefault((key, bit), self._logic.leaf())

    def _pass_through(self, cell: nir.Operator) -> int:
        """Lowest bits to which nothing is added."""
        counts = []
        for value in cell.inputs[::1 if cell.operator == "+" else -1][:2 if cell.operator == "+"
                                                                      else 1]:
            counts.append(next((i for i, n in enumerate(value) if self.literal(n)),
                               len(value) - 1))
        return max(counts)

    def _shifted(self, net: nir.Net, cell: nir.Operator) -> int:
        key = net.cell
        if key not in self._words:
            word = [self.literal(n) for n in cell.inputs[0]]
            fill = word[-1] if cell.operator == "s>>" else 0
            for stage, select in enumerate(cell.inputs[1]):
                by = min(1 << stage, len(word))
                moved = ([0] * by + word[:-by] if cell.operator == "<<"
                         else word[by:] + [fill] * by)
                word = [self._logic.choice(self.literal(select), a, b)
                        for a, b in zip(moved, word, strict=True)]
            self._words[key] = word
        return self._words[key][net.bit]

    def _part(self, net: nir.Net, cell: nir.Part) -> int:
        if net.cell not in self._words:
            word = [self.literal(n) for n in cell.value]
            fill = word[-1] if cell.value_signed else 0
            for stage, select in enumerate(cell.offset):
                by = min(cell.stride << stage, len(word))
                moved = word[by:] + [fill] * by
                word = [self._logic.choice(self.literal(select), a, b)
                        for a, b in zip(moved, word, strict=True)]
            self._words[net.cell] = word + [fill] * cell.width
        return self._words[net.cell][net.bit]

    def _equal(self, value: Sequence[nir.Net], pattern: str) -> int:
        # Patterns have the highest bit first.
        return self._logic.tree("conjunction", [
            self.literal(n) ^ (digit == "0")
            for n, digit in zip(value, reversed(pattern), strict=True) if digit != "-"])

    def _priority(self, cell: nir.PriorityMatch, bit: int) -> int:
        terms = [self.literal(cell.en), self.literal(cell.inputs[bit])]
        mine = self._match(cell.inputs[bit])
        for other in cell.inputs[:bit]:
            theirs = self._match(other)
            if mine is None or theirs is None or not _exclude(mine, theirs):
                terms.append(self.literal(other) ^ 1)
        return self._logic.tree("conjunction", terms)

    def _match(self, net: nir.Net) -> "nir.Matches | None":
        cell = None if net.is_const else self._cells[net.cell]
        return cell if isinstance(cell, nir.Matches) else None

    # Registers and memories.

    def _flip_flop(self, net: nir.Net) -> None:
        if net in self._flip_flops:
            return
        cell = self._cells[net.cell]
        data = cell.data[net.bit]
        source = None if data.is_const else self._cells[data.cell]
        enable, reset = 1, 0
        if isinstance(source, nir.AssignmentList):
            logic = self._logic
            steps = list(_assignments(source, data.bit))
            value = source.default[data.bit]
            cleared = None
            while steps and steps[-1][1].is_const and cleared in (None, steps[-1][1]):
                cond, cleared = steps.pop()
                if cond not in self._reset:
                    reset = logic.disjunction(reset, self.literal(cond))
            if value == net and steps:
                enable = logic.tree("disjunction", [self.literal(cond) for cond, _ in steps])
                value = steps.pop(0)[1]
            elif value == net:
                enable = reset
                value, reset = cleared, 0
            literal = self.literal(value)
            for cond, bit in steps:
                literal = logic.choice(self.literal(cond), self.literal(bit), literal)
        else:
            literal = self.literal(data)
        self._flip_flops[net] = literal, enable, reset

    def _port_inputs(self, cell: "nir.SyncReadPort | nir.AsyncReadPort") -> None:
        self._need(cell.addr)
        for other in self._cells:
            if isinstance(other, nir.SyncWritePort) and other.memory == cell.memory:
                self._need(other.addr, other.data, other.en)

    def _need(self, *values: Sequence[nir.Net]) -> None:
        self._roots += [self.literal(net) for value in values for net in value]

    def _is_rom(self, index: int) -> bool:
        if index not in self._roms:
            self._roms[index] = not any(isinstance(cell, nir.SyncWritePort)
                                        and cell.memory == index for cell in self._cells)
        return self._roms[index]

    def _memory(self, index: int) -> MemoryShape:
        memory = self._cells[index]
        ports = [port for port in self._reads if self._cells[port].memory == index]
        is_rom = self._is_rom(index)
        used = {self._literals[nir.Net.from_cell(port, bit)]
                for port in ports for bit in self._reads[port]}
        behind = {data for data, enable, reset in self._flip_flops.values()
                  if data in used and enable == 1 and reset == 0}
        width = max(len(self._reads[port]) for port in ports)
        style = next((str(memory.attributes[key]) for key in ("rom_style", "ram_style")
                      if key in memory.attributes), "")
        may_be_logic = is_rom and (style == "logic" or width * memory.depth <= MOST_LOGIC_BITS)
        return MemoryShape(width, memory.depth, style, len(ports), is_rom,
                           isinstance(self._cells[ports[0]], nir.SyncReadPort), behind == used,
                           tuple(memory.init) if may_be_logic else ())


def _assignments(cell: nir.AssignmentList, bit: int):
    """Condition and value of what is assigned to one bit, in order."""
    for assignment in cell.assignments:
        if 0 <= bit - assignment.start < len(assignment.value):
            yield assignment.cond, assignment.value[bit - assignment.start]


def _exclude(a: nir.Matches, b: nir.Matches) -> bool:
    """Whether two matches can never hold at once."""
    return a.value == b.value and all(
        any({x, y} == {"0", "1"} for x, y in zip(p, q, strict=True))
        for p in a.patterns for q in b.patterns)


def _used_bits(value: Sequence[nir.Net]) -> int:
    """Bits of a factor without what extends its sign or fills it up."""
    bits = len(value)
    while bits > 1 and value[bits - 1] in (0, value[bits - 2]):
        bits -= 1
    return bits
