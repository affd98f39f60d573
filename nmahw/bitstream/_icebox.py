"""Reads the Verilog that icebox_vlog (Project IceStorm) writes of a bitstream.

Its text is a few forms of line, one or two for each cell of the device; anything else is refused.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ..errors import BuildError
from .netlist import ONE, ZERO, FlipFlop, Memory, Netlist, invert, mux

__all__ = ["read_icebox"]

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_TOKEN = re.compile(r"\s*(1'b[01]|[01]\b|\w+|[()!?:&|])")
_SIGNAL = r"(1'b[01]|\w+)"
_FLIP_FLOP = re.compile(rf"always @\((pos|neg)edge (\w+|1'b0)\) if \({_SIGNAL}\) (\w+) <= "
                        rf"{_SIGNAL} \? 1'b([01]) : {_SIGNAL};")
_ASYNCHRONOUS = re.compile(rf"always @\((pos|neg)edge (\w+), posedge {_SIGNAL}\) if \({_SIGNAL}\) "
                           rf"(\w+) <= 1'b([01]); else if \({_SIGNAL}\) \w+ <= {_SIGNAL};")
_ASSIGN = re.compile(r"assign (\w+)\s*= (.+);")
_INSTANCE = re.compile(r"(SB_\w+) #\((.*?)\) (\w+) \((.*?)\);", re.S)
_ARGUMENT = re.compile(r"\.(\w+)\((\{[^}]*\}|[^)]*)\)")
_DECLARATION = re.compile(r"(wire|reg) \w+( = 0)?(, \w+( = 0)?)*;")
_NET = re.compile(r"n\d+|open_\d+")
_PORT = re.compile(r"(input|output|inout) (\w+)")


def _signal(text: str) -> str:
    """A net or a constant."""
    return {"1'b0": ZERO, "0": ZERO, "1'b1": ONE, "1": ONE}.get(text, text)


class _Expression:
    """Recursive descent over ``( ) ! ? : & |``; fully bracketed but for one operator a level."""

    def __init__(self, text: str):
        self._tokens = _TOKEN.findall(text)
        if "".join(self._tokens) != re.sub(r"\s", "", text):
            raise BuildError(f"icebox_vlog must write expressions of known form, not {text!r}")
        self._at = 0

    def read(self) -> str:
        value = self._operand()
        while (operator := self._peek()) in ("?", "&", "|"):
            self._at += 1
            right = self._operand()
            if operator == "?":
                self._expect(":")
                value = mux(value, right, self._operand())
            elif operator == "&":
                value = mux(value, right, ZERO)
            else:
                value = mux(value, ONE, right)
        return value

    def whole(self) -> str:
        value = self.read()
        if self._at != len(self._tokens):
            raise BuildError(f"icebox_vlog must write expressions of known form, not "
                             f"{' '.join(self._tokens)!r}")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _expect(self, token: str) -> None:
        if self._peek() != token:
            raise BuildError(f"icebox_vlog must write {token!r}, not {self._peek()!r}, in "
                             f"{' '.join(self._tokens)!r}")
        self._at += 1

    def _operand(self) -> str:
        token = self._peek()
        self._at += 1
        if token == "!":
            return invert(self._operand())
        if token == "(":
            value = self.read()
            self._expect(")")
            return value
        return _signal(token)


def _bits(text: str) -> list[str]:
    """Signals of ``{a, b, c}`` or ``a``, lowest first."""
    return [_signal(part.strip()) for part in reversed(text.strip("{}").split(","))]


def _memory(netlist: Netlist, kind: str, name: str, parameters: dict[str, str],
            pins: dict[str, str]) -> None:
    if kind != "SB_RAM40_4K":
        raise BuildError(f"block RAMs must work at rising edges, but {name} is an {kind}")
    contents = "".join(parameters.get(f"INIT_{row:X}", "256'h0").partition("'h")[2].rjust(64, "0")
                       for row in reversed(range(16)))
    inputs = {}
    for pin in ("WADDR", "RADDR", "MASK", "WDATA"):
        inputs |= {f"{pin}{bit}": value for bit, value in enumerate(_bits(pins[pin]))}
    write_clock, read_clock = _signal(pins["WCLK"]), _signal(pins["RCLK"])
    clocks = []
    for clock, enables in ((write_clock, ("WE", "WCLKE")), (read_clock, ("RE", "RCLKE"))):
        # A port that is not used has a constant for a clock.
        still = netlist.driver(clock) in (ZERO, ONE)
        inputs |= {pin: ZERO if still else _signal(pins[pin]) for pin in enables}
        clocks += [] if still else [clock]
    outputs = {f"RDATA{bit}": net for bit, net in enumerate(_bits(pins["RDATA"]))}
    netlist.memories.append(Memory(
        name, kind, {"READ_MODE": parameters["READ_MODE"], "WRITE_MODE": parameters["WRITE_MODE"],
                     "INIT": f"4096'h{contents}"}, inputs, outputs, tuple(clocks)))


def _pll(netlist: Netlist, name: str, parameters: dict[str, str], pins: dict[str, str]) -> None:
    """A PLL that multiplies its reference, locked from the start."""
    values = {pin: netlist.driver(_signal(text)) for pin, text in pins.items()}
    if (parameters["FEEDBACK_PATH"], parameters["PLLOUT_SELECT"]) != ('"SIMPLE"', '"GENCLK"') \
            or (values["BYPASS"], values["RESETB"]) != (ZERO, ONE):
        raise BuildError(f"PLLs must run with simple feedback and without bypass or reset, but "
                         f"{name} does not")
    before, times, after = (int(parameters[field].partition("'b")[2], 2)
                            for field in ("DIVR", "DIVF", "DIVQ"))
    reference = _signal(pins.get("REFERENCECLK", pins.get("PACKAGEPIN", "")))
    netlist.generated[name] = reference
    netlist.ratios[name] = Fraction(times + 1, (before + 1) << after)
    netlist.gates |= {_signal(pins[pin]): name for pin in ("PLLOUTCORE", "PLLOUTGLOBAL")
                      if pin in pins}
    netlist.gates[_signal(pins["LOCK"])] = ONE


def read_icebox(verilog: str) -> Netlist:
    """The netlist in icebox_vlog's output.

    Block RAMs become instances of a model ``SB_RAM40_4K``, which is not in the netlist yet.

    Raises
    ------
    BuildError
        The device is used in a way that is not known here.
    """
    text = _COMMENT.sub("", verilog)
    netlist = Netlist()
    head, _, text = text.partition(");")
    ports = _PORT.findall(head)
    if not head.strip().startswith("module") or any(way == "inout" for way, _ in ports):
        raise BuildError("pins must be inputs or outputs, but the bitstream has others")
    netlist.inputs = [name for way, name in ports if way == "input"]
    # Logic may read what it drives an output with: port and net get names of their own.
    for way, name in ports:
        if way == "output":
            netlist.outputs[name] = f"{name}_net"
            text = re.sub(rf"\b{name}\b", f"{name}_net", text)
    found = _INSTANCE.findall(text)
    text = _INSTANCE.sub("", text)
    for line in map(str.strip, text.splitlines()):
        if match := _FLIP_FLOP.fullmatch(line):
            edge, clock, enable, q, reset, value, d = match.groups()
            netlist.flip_flops.append(FlipFlop(
                q, _signal(d), _signal(clock), _signal(enable), _signal(reset),
                reset_value=value == "1", falling=edge == "neg"))
        elif match := _ASYNCHRONOUS.fullmatch(line):
            edge, clock, reset, _, q, value, enable, d = match.groups()
            netlist.flip_flops.append(FlipFlop(
                q, _signal(d), _signal(clock), _signal(enable), _signal(reset),
                reset_value=value == "1", asynchronous=True, falling=edge == "neg"))
        elif match := _ASSIGN.fullmatch(line):
            if not _NET.fullmatch(match[1]) and match[1] not in netlist.outputs.values():
                # Hard blocks of an UltraPlus are only traced, with names of their own.
                raise BuildError(f"cells must be logic, block RAM or PLL, but the bitstream has "
                                 f"others: {match[1]}")
            netlist.gates[match[1]] = _Expression(match[2]).whole()
        elif line not in ("", "endmodule") and not _DECLARATION.fullmatch(line):
            raise BuildError(f"a bitstream must hold cells of known kinds, but icebox_vlog writes "
                             f"{line[:80]!r}")
    # After the gates: which nets are constant is known now.
    for kind, parameters, name, pins in found:
        pins, parameters = dict(_ARGUMENT.findall(pins)), dict(_ARGUMENT.findall(parameters))
        if kind.startswith("SB_RAM40"):
            _memory(netlist, kind, name, parameters, pins)
        elif kind.startswith("SB_PLL40"):
            _pll(netlist, name, parameters, pins)
        else:
            raise BuildError(f"cells must be logic, block RAM or PLL, not {kind}")
    return netlist
