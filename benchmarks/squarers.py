"""Squarers of eight-bit operands in an element: area and clock of each, registers after adders.

    python benchmarks/squarers.py [--device D ...] [--seeds N] [--json F]

An element is ``psum_o = psum_i + square(x + w)`` with an 18-bit psum. The squarers:

- ``triangular``: `nmahw.arith._squarer`, with tables of several sizes;
- ``folded``: |s|^2 from its bit products, each pair of them once; a gated adder a row;
- ``split``: T(16 a + b) = 128 a^2 + T(b) + 8 a (2 b + 1), two tables of four bits and a product of
  four by five bits in gated rows;
- ``table``: T(s) in one table of LUTs.
"""

import argparse
import json
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from rich.console import Console
from rich.table import Table

from nmahw.arith._squarer import TriangularSquares, triangular
from nmahw.devices import FlowOptions, device
from nmahw.gateware.gated_add import GatedAdd
from nmahw.gateware.harness import SerialHarness
from nmahw.place import fmax_median, place_and_route, utilisation_median
from nmahw.workbench import Workbench


def kept(m: Module, value: Value, name: str) -> Signal:
    """`value` in a register."""
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def added(m: Module, augend: Value, addend: Value, gate: Value, bits: int, name: str) -> Signal:
    """A gated sum of `bits` bits in a register."""
    m.submodules[name] = adder = GatedAdd(augend.shape(), addend.shape(), bits, gate=True)
    m.d.comb += [adder.augend.eq(augend), adder.addend.eq(addend), adder.gate.eq(gate)]
    return kept(m, adder.total, f"{name}_total")


def looked_up(m: Module, address: Value, entries: list[int], name: str) -> Signal:
    """A table's entry in a register."""
    shape = unsigned(max(entries).bit_length())
    return kept(m, Array(Const(entry, shape) for entry in entries)[address], name)


def triangular_squarer(most_in_table: int, invert_ahead: bool = False):
    """The package's own, with a table of so many levels."""
    def build(m: Module, s: Signal) -> Value:
        parameters = TriangularSquares(8, most_in_table, invert_ahead)
        m.submodules.squarer = squarer = parameters.create()
        m.d.comb += squarer.argument.eq(s)
        return squarer.o
    return build


def folded(m: Module, s: Signal) -> Value:
    """Rows of the bit products above the diagonal, twice, the diagonal beside them."""
    t = kept(m, Mux(s[-1], -s, s)[:9], "magnitude")
    total = Cat(t[0], Const(0, 2))
    for bit in range(1, 9):
        # t_i (4^i + 2^(i+1) (t mod 2^i)) without a carry: where bit i - 1 is set as well, their
        # product and the diagonal together are one bit further up.
        row = Cat(t[:bit - 1], ~t[bit - 1], t[bit - 1])
        high = added(m, total[bit + 1:], row, t[bit], bit + 1, f"row{bit}")
        total = Cat(kept(m, total[:bit + 1], f"low{bit}"), high)
        t = kept(m, t, f"magnitude{bit}")
    return total


def split(m: Module, s: Signal) -> Value:
    """Two tables and a small product."""
    t = kept(m, s[:8] ^ s[8].replicate(8), "magnitude")
    squares = Cat(looked_up(m, t[:4], [triangular(b) for b in range(16)], "low"),
                  looked_up(m, t[4:], [a * a for a in range(16)], "high"))
    total = t[4:]
    for bit in range(4):
        a, b = t[4:], t[bit]
        high = added(m, total[bit + 1:], a, b, 5, f"row{bit}")
        total = Cat(kept(m, total[:bit + 1], f"low{bit}"), high)
        t = kept(m, t, f"magnitude{bit}")
        if bit:
            squares = kept(m, squares, f"squares{bit}")
    return Cat(kept(m, squares[:3], "lowest"), kept(m, (squares[3:] + total)[:12], "sum"))


def table(m: Module, s: Signal) -> Value:
    """One table."""
    m.submodules.table = memory = Memory(shape=unsigned(15), depth=256, attrs={
        "rom_style": "logic", "ram_style": "logic"}, init=[triangular(v) for v in range(256)])
    port = memory.read_port()
    m.d.comb += [port.en.eq(1), port.addr.eq(kept(m, s[:8] ^ s[8].replicate(8), "magnitude"))]
    return port.data


SQUARERS = {"triangular": triangular_squarer(4), "triangular, 3 in table": triangular_squarer(3),
            "triangular, ahead": triangular_squarer(4, True), "folded": folded, "split": split,
            "table": table}


class Element(wiring.Component):
    """Sum, square, psum."""

    x: In(signed(8))
    w: In(signed(8))
    psum_i: In(18)
    psum_o: Out(18)

    def __init__(self, squarer):
        self._squarer = squarer
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        s = kept(m, self.x + self.w, "s")
        m.d.sync += self.psum_o.eq(self.psum_i + self._squarer(m, s))
        return m


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", nargs="+", default=["ecp5-25k", "ice40-hx8k"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bench, results = Workbench(), []
    for name in options.device:
        part = device(name)
        rows = Table("squarer", part.rules.lut_name, "FF", "MHz", title=name)
        for squarer, build in SQUARERS.items():
            text = rtlil.convert(SerialHarness(Element(build)), name="top", emit_src=False)
            placed = place_and_route(text, part, FlowOptions(), range(1, options.seeds + 1),
                                     bench=bench, label=squarer)
            used, fmax = utilisation_median(placed), fmax_median(placed)
            rows.add_row(squarer, str(used["lut"]), str(used["ff"]), f"{fmax:.0f}")
            results.append({"device": name, "squarer": squarer, "lut": used["lut"],
                            "ff": used["ff"], "fmax_mhz": fmax,
                            "fmax_by_seed": [p.fmax_mhz for p in placed],
                            "tools": dict(placed[0].tool_versions)})
        Console().print(rows)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
