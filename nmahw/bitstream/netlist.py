"""A configured device as gates, registers and memories: what a bitstream or a routed netlist holds.

Values are texts: names of nets, ``ZERO``, ``ONE``, and Verilog expressions of them with
``~ & | ^``, which act on all bits of a word alike. So the same netlist simulates one device, or one
in each bit of a word (`nmahw.bitstream.lanes`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from ..errors import BuildError

__all__ = ["ONE", "ZERO", "FlipFlop", "Memory", "Netlist", "invert", "lut", "mux", "nets_in"]

ZERO, ONE = "ZERO", "ONE"
_NET = re.compile(r"[A-Za-z_]\w*")


def invert(value: str) -> str:
    """``~value``."""
    if value in (ZERO, ONE):
        return ONE if value == ZERO else ZERO
    return value[1:] if value.startswith("~") else f"~{value}"


def mux(select: str, high: str, low: str) -> str:
    """`high` where `select` is 1, `low` where it is 0."""
    if select in (ZERO, ONE):
        return high if select == ONE else low
    if high == low:
        return high
    if (high, low) == (ONE, ZERO):
        return select
    if (high, low) == (ZERO, ONE):
        return invert(select)
    if high in (ZERO, ONE):
        return f"({select} | {low})" if high == ONE else f"({invert(select)} & {low})"
    if low in (ZERO, ONE):
        return f"({invert(select)} | {high})" if low == ONE else f"({select} & {high})"
    if high == invert(low):
        return f"({select} ^ {low})"
    return f"(({select} & {high}) | ({invert(select)} & {low}))"


def lut(table: int, inputs: Sequence[str]) -> str:
    """A look-up table: bit ``i`` of `table` where the inputs are the bits of ``i``, lowest first.

    Parameters
    ----------
    table : int
        2 ** len(inputs) bits.
    inputs : sequence of str
    """
    if not inputs:
        return ONE if table & 1 else ZERO
    half = 1 << (len(inputs) - 1)
    low, high = table & ((1 << half) - 1), table >> half
    *rest, last = inputs
    return mux(last, lut(high, rest), lut(low, rest))


def nets_in(expression: str) -> set[str]:
    """Names of the nets that an expression reads."""
    return set(_NET.findall(expression)) - {ZERO, ONE}


@dataclass
class FlipFlop:
    """One register bit.

    Attributes
    ----------
    q : str
        Net it drives.
    d, enable, reset : str
        Values at the clock's edge; `reset` comes before `enable` unless `enable_first`.
    clock : str
        Net.
    initial, reset_value : bool
    asynchronous : bool
        The reset acts at once.
    falling : bool
        Taken over at the falling edge.
    """

    q: str
    d: str
    clock: str
    enable: str = ONE
    reset: str = ZERO
    initial: bool = False
    reset_value: bool = False
    asynchronous: bool = False
    falling: bool = False
    enable_first: bool = False

    @property
    def following(self) -> str:
        """Value after the clock's edge."""
        value = ONE if self.reset_value else ZERO
        if self.asynchronous or not self.enable_first:
            return mux(self.reset, value, mux(self.enable, self.d, self.q))
        return mux(self.enable, mux(self.reset, value, self.d), self.q)


@dataclass
class Memory:
    """An instance of one of the netlist's `models`.

    Attributes
    ----------
    name, model : str
    parameters : dict of str to str
        Verilog constants.
    inputs : dict of str to str
        Pin to value; pins that are left out are ``ZERO``.
    outputs : dict of str to str
        Pin to net.
    clocks : tuple of str
        Nets; the model has one clock, so all of them have to be the same one.
    """

    name: str
    model: str
    parameters: dict[str, str]
    inputs: dict[str, str]
    outputs: dict[str, str]
    clocks: tuple[str, ...]


@dataclass
class Netlist:
    """All of a device's design.

    Attributes
    ----------
    inputs : list of str
        Ports, which are nets.
    outputs : dict of str to str
        Port to value.
    gates : dict of str to str
        Net to value.
    flip_flops : list of FlipFlop
    memories : list of Memory
    models : dict of str to str
        Name to Verilog of a module with the parameter ``L`` (bits of a word) and the port ``clk``.
    generated : dict of str to str
        Clocks from PLLs, each with the net it is made of.
    ratios : dict of str to Fraction
        By how much each of them is faster than that.
    """

    inputs: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    gates: dict[str, str] = field(default_factory=dict)
    flip_flops: list[FlipFlop] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    generated: dict[str, str] = field(default_factory=dict)
    ratios: dict[str, Fraction] = field(default_factory=dict)

    def driver(self, value: str) -> str:
        """`value`, or what drives it where it is a net that only passes something on."""
        seen = set()
        while value in self.gates and value not in seen:
            seen.add(value)
            value = self.gates[value]
        return value

    def root(self, net: str) -> str:
        """What drives a clock net, buffers left out: an input, a PLL's output, ``ZERO``, ``ONE``.

        Raises
        ------
        BuildError
            Logic drives it.
        """
        net = self.driver(net)
        if net in self.inputs or net in self.generated or net in (ZERO, ONE):
            return net
        raise BuildError(f"clocks must come from pins or PLLs, but logic drives {net}")

    def clock(self) -> str:
        """The one clock of all registers and memories.

        Raises
        ------
        BuildError
            There is none, or more than one.
        """
        used = {self.root(register.clock) for register in self.flip_flops}
        used |= {self.root(net) for memory in self.memories for net in memory.clocks}
        used -= {ZERO, ONE}
        if len(used) != 1:
            raise BuildError(f"the design must have one clock, not {len(used)}"
                             + (f": {', '.join(sorted(used))}" if used else ""))
        return used.pop()

    def buffers_of(self, clock: str) -> set[str]:
        """`clock` and the nets that only pass it, or what a PLL makes it of, on."""
        found = {clock} | ({self.generated[clock]} if clock in self.generated else set())
        aliases: dict[str, list[str]] = {}
        for net, value in self.gates.items():
            aliases.setdefault(value, []).append(net)
        if clock in self.generated:
            # The reference's own way from the pin.
            net = self.generated[clock]
            while net in self.gates:
                net = self.gates[net]
                found.add(net)
        waiting = list(found)
        while waiting:
            for net in aliases.get(waiting.pop(), ()):
                if net not in found:
                    found.add(net)
                    waiting.append(net)
        return found
