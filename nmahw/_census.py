"""What a component is made of, counted from its parts: flip-flops, logic, carry chains, memories.

Every kind of part is elaborated once, without its sub-modules, and counted as often as it occurs;
nothing is ever written out. That takes milliseconds where RTLIL of the whole takes many seconds.
What synthesis would remove inside a part is left out: constants are folded, equal gates shared,
what nothing reads is not there. What it would remove from one part to the next is not seen.
"""

import gc
from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from functools import lru_cache

from amaranth.hdl import Shape, Value
from amaranth.hdl._ast import SignalSet
from amaranth.hdl._ir import Fragment, PortDirection, _emit_netlist
from amaranth.hdl._mem import MemoryInstance
from amaranth.hdl._nir import Netlist
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ._census_netlist import MOST_LOGIC_BITS, SUM, SYMBOL, Part, count_part
from .arith import Arithmetic, ColumnUnit, CorrectionElement, Element, LoadUnit, RowUnit
from .gateware.array import SystolicArray
from .gateware.gated_add import GatedAdd
from .gateware.memory import SlicedMemory

__all__ = ["census"]

# Parts that are alike when their parameters are.
_ALIKE = (Element, CorrectionElement, RowUnit, LoadUnit, ColumnUnit, GatedAdd)
# Parts that are counted as a piece of the one they are in: registers behind memories are told
# from others.
_INLINE = (Memory, SlicedMemory)


def census(component: wiring.Component) -> Counter:
    """Parts of a component: `Part` (without its sub-modules) to how many of it there are."""
    # Nothing that is made here is garbage before the end: to look for it takes a third of the time.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _count(component, {})
    finally:
        if was_enabled:
            gc.enable()


def _count(component: wiring.Component, known: dict[Hashable, Counter]) -> Counter:
    _leave_unbuilt(component)
    if isinstance(component, SystolicArray) and component.weights is None:
        return _array(component.arithmetic, component.rows, component.columns, component.hop,
                      component.held)
    key = _key(component)
    if key is not None and key in known:
        return known[key]
    part, children = _part(component)
    parts = Counter({part: 1})
    for child in children:
        for name, number in _count(child, known).items():
            parts[name] += number
    if key is not None:
        known[key] = parts
    return parts


@lru_cache(maxsize=64)
def _array(arithmetic: Arithmetic, rows: int, columns: int, hop: int, held: bool) -> Counter:
    """Parts of an array, from three narrow ones: columns are alike, and so are their groups."""
    known: dict[Hashable, Counter] = {}
    (own, one), (own_wide, wide), (own_far, far) = (
        _narrow_array(SystolicArray(arithmetic, rows, *shape, held), known)
        for shape in ((1, 1), (2, 2), (2, 1)))
    groups = -(-columns // hop)

    def grown(a: int, b: int, c: int) -> int:
        return a + (columns - 1) * (b - a) + (groups - 1) * (c - b)

    parts = Counter({part: grown(one[part], wide[part], far[part])
                     for part in {**one, **wide, **far}})
    parts[replace(own, **{name: grown(*(getattr(part, name) for part in
                                        (own, own_wide, own_far)))
                          for name in ("ff", "shared_ff", "lone_ff", "luts")})] += 1
    shared, marked = (sum(part_ff(part) * number for part, number in parts.items()) // columns
                      for part_ff in (lambda part: part.shared_ff,
                                      lambda part: min(part.shared_ff, part.marked_ff)))
    for is_marked, number in ((1, marked), (0, shared - marked)):
        # They take the symbol as it is: no look-up table is in front of them.
        parts[Part("SharedRegisters", ff=-1, lone_ff=-1, marked_ff=-is_marked)] = (
            number * (columns - groups))
    return parts


def _narrow_array(array: SystolicArray, known: dict[Hashable, Counter]) -> tuple[Part, Counter]:
    """An array without its sub-modules, and the parts of these."""
    _leave_unbuilt(array)
    own, children = _part(array)
    parts = Counter()
    for child in children:
        parts.update(_count(child, known))
    return own, parts


def _key(component: wiring.Component) -> Hashable:
    """What makes parts alike; None for those that are never compared."""
    if not isinstance(component, _ALIKE):
        return None
    return (type(component), getattr(component, "arithmetic", None),
            tuple((name, repr(member)) for name, member in component.signature.members.items()))


def _leave_unbuilt(component: wiring.Component) -> None:
    """Keep Amaranth from warning that this was never built, which is the point."""
    component._MustUse__used = True


def _part(component: wiring.Component) -> tuple[Part, list[wiring.Component]]:
    """A component's own counts, and what it consists of besides."""
    if isinstance(component, GatedAdd):
        return _chain(component), []
    module = component.elaborate(None)
    children = []
    # A module as it is before it is built: its sub-modules can still be taken out.
    for name, (child, _) in list(module._named_submodules.items()):
        if isinstance(child, wiring.Component) and not isinstance(child, _INLINE):
            children.append(child)
            del module._named_submodules[name]
        elif isinstance(child, SlicedMemory):
            child.forget_large_contents(MOST_LOGIC_BITS)
    fragment = Fragment.get(module, None)
    driven, read = SignalSet(), SignalSet()
    _signals(fragment, driven, read)
    outside = SignalSet()
    for child in (component, *children):
        for _, member, value in child.signature.flatten(child):
            if (member.flow == In) == (child is component):
                continue
            outside |= Value.cast(value)._rhs_signals()
    symbol = (Value.cast(component.symbol)._rhs_signals() if isinstance(component, Element)
              else SignalSet())
    made = SignalSet()
    for child in children:
        if isinstance(child, GatedAdd):
            made |= child.total._rhs_signals()
    ports = []
    for signal in read:
        if signal not in driven and not _is_start(component, signal):
            kind = SYMBOL if signal in symbol else SUM if signal in made else "i"
            ports.append((f"{kind}{len(ports)}", signal, PortDirection.Input))
    for signal in driven:
        if signal not in read or signal in outside:
            ports.append((f"o{len(ports)}", signal, PortDirection.Output))
    netlist = Netlist()
    # Without the checks and port directions that text output needs.
    _emit_netlist(netlist, fragment.prepare(ports=ports))
    netlist.resolve_all_nets()
    return count_part(netlist, type(component).__name__), children


def _is_start(component: wiring.Component, signal) -> bool:
    """Whether nothing is connected: to the first element of a column."""
    return (isinstance(component, (Element, CorrectionElement)) and len(component.psum_i) == 1
            and signal is component.psum_i)


def _signals(fragment: Fragment, driven: SignalSet, read: SignalSet) -> None:
    for statements in fragment.statements.values():
        for statement in statements:
            driven.update(statement._lhs_signals())
            read.update(statement._rhs_signals())
    if isinstance(fragment, MemoryInstance):
        for port in fragment._read_ports:
            driven.update(port._data._lhs_signals())
            read.update(port._addr._rhs_signals() | port._en._rhs_signals())
        for port in fragment._write_ports:
            for value in (port._addr, port._data, port._en):
                read.update(value._rhs_signals())
    for child, *_ in fragment.subfragments:
        _signals(child, driven, read)


def _chain(adder: GatedAdd) -> Part:
    shapes = [Shape.cast(getattr(adder, name).shape()) for name in ("augend", "total")]
    options = tuple(name for name in adder.signature.members
                    if name not in ("augend", "addend", "total"))
    # The first element of a column has nothing to add to.
    if shapes[0].width == 1 and not {"subtract", "carry"} & set(options):
        return Part("GatedAdd")
    return Part("GatedAdd", chains=((shapes[1].width, options),))
