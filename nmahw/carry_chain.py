"""Puts a device family's own carry chains in the place of `GatedAdd`s in RTLIL text.

A module whose wires carry the attribute `ROLE` computes what `GatedAdd` says and nothing else.
Its cells are exchanged for one instance of a module that the family writes in Verilog; ports,
wires and connections stay, so that it does not matter what the ports look like (Amaranth leaves
out constants and names a port after any of its wires).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .gateware.gated_add import ROLE

__all__ = ["CarryChain", "replace_carry_chains"]

_MODULE = re.compile(r"^module \S+\n.*?^end$", re.MULTILINE | re.DOTALL)
_ROLE_WIRE = re.compile(rf'^ *attribute \\{ROLE} "(\w+)"\n(?: *attribute .*\n)*'
                        r" *wire (.*?)(\\\S+)$", re.MULTILINE)
_WIDTH = re.compile(r"\bwidth (\d+)")
_CELL = re.compile(r"(?:^  attribute [^\n]*\n)*^  cell .*?^  end\n", re.MULTILINE | re.DOTALL)
_CONSTANT = re.compile(r"\d+'[01x]+")
_OPTIONS = ("gate", "negate", "subtract", "twos", "carry")


@dataclass(frozen=True)
class CarryChain:
    """What a family is asked to build.

    Attributes
    ----------
    bits : int
        Width of `augend`, `addend` and `total`.
    gate, negate, subtract, twos, carry : bool
        Which of the inputs of one bit there are.
    """

    bits: int
    gate: bool = False
    negate: bool = False
    subtract: bool = False
    twos: bool = False
    carry: bool = False

    @property
    def options(self) -> list[str]:
        """Names of the inputs of one bit."""
        return [name for name in _OPTIONS if getattr(self, name)]

    @property
    def name(self) -> str:
        """Name of the module."""
        return "_".join(["carry_chain", str(self.bits), *self.options])

    def module(self, body: str) -> str:
        """Verilog of a module with the chain's name and ports."""
        ports = [f"input [{self.bits - 1}:0] augend", f"input [{self.bits - 1}:0] addend",
                 *(f"input {name}" for name in self.options),
                 f"output [{self.bits - 1}:0] total"]
        return f"module {self.name}({', '.join(ports)});\n{body}endmodule\n"


def replace_carry_chains(rtlil: str, build: Callable[[CarryChain], str | None]) -> tuple[str, str]:
    """Exchange the adders that `build` has a better form of.

    Adders that constants reduce to less are left alone: those whose addend is constant, or is
    neither gated nor inverted by a signal, and those of a constant augend without a carry.

    Parameters
    ----------
    rtlil : str
    build : callable
        Verilog of the body of a chain's module (`nmahw.devices.Family.carry_chain`), or None
        when the generic form is best.

    Returns
    -------
    rtlil, verilog : str
        Text with the adders exchanged, and the modules it needs; without any, the text as it was
        and nothing.
    """
    built: dict[CarryChain, str | None] = {}

    def exchange(match: re.Match) -> str:
        text = match[0]
        roles, widths = {}, {}
        for role, options, name in _ROLE_WIRE.findall(text):
            width = _WIDTH.search(options)
            roles[role], widths[role] = name, int(width[1]) if width else 1
        if not {"augend", "addend", "total"} <= roles.keys():
            return text
        constant = {role for role, name in roles.items() if re.search(
            rf"^ *connect {re.escape(name)} {_CONSTANT.pattern}$", text, re.MULTILINE)}
        variable = roles.keys() - constant
        if "addend" in constant or not variable & {"gate", "negate", "subtract"} or not variable & {
                "augend", "subtract", "carry"}:
            return text
        chain = CarryChain(widths["total"], **{name: name in roles for name in _OPTIONS})
        if chain not in built:
            body = build(chain)
            built[chain] = body and chain.module(body)
        if built[chain] is None:
            return text
        cell = "".join([f"  cell \\{chain.name} \\chain\n",
                        *(f"    connect \\{role} {name}\n" for role, name in roles.items()),
                        "  end\n"])
        return _CELL.sub("", text)[:-len("end")] + cell + "end"

    if f"\\{ROLE} " not in rtlil:
        return rtlil, ""
    rtlil = _MODULE.sub(exchange, rtlil)
    return rtlil, "\n".join(text for text in built.values() if text)
