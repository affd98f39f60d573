"""Lattice ECP5 from nextpnr's routed netlist, with models of its cells (Lattice FPGA-DS-02012).

What nextpnr writes are the cells that it configures: half-slices (``TRELLIS_COMB``), registers,
memories, pins, clock buffers, PLLs. A pin that nothing is connected to reads 1, as the device's
fabric does, but for a register's reset.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BuildError
from ..netlist import top_module
from . import Readback
from ._ecp5_memories import BLOCK_RAM, DISTRIBUTED_RAM, INPUT_PINS, MODES, WIDTHS
from .netlist import ONE, ZERO, FlipFlop, Memory, Netlist, invert, lut, mux

if TYPE_CHECKING:
    from ..boards import Pin
    from ..workbench import Workbench

__all__ = ["Ecp5Readback", "read_routed"]


class Ecp5Readback(Readback):
    """ECP5 without hard multipliers, DDR pins and serial transceivers."""

    name = "ecp5"
    source = "routed netlist"
    reads_bitstream = False

    @classmethod
    def take(cls, path: Path, pins: Mapping[str, Pin], bench: Workbench) -> Netlist:
        try:
            data = path.read_bytes()
            module = top_module(json.loads(gzip.decompress(data) if path.suffix == ".gz" else data))
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise BuildError(f"the routed netlist must be whole: {path}: {error}") from None
        return read_routed(module)


def read_routed(module: dict) -> Netlist:
    """The netlist in the top module of what nextpnr-ecp5 writes.

    Raises
    ------
    BuildError
        A cell is of a kind, or in a mode, that is not modelled.
    """
    netlist = Netlist(models={"DP16KD": BLOCK_RAM, "DPR16X1": DISTRIBUTED_RAM})
    ports = {}
    for name, port in module["ports"].items():
        for index, bit in enumerate(port["bits"]):
            ports[bit] = name if len(port["bits"]) == 1 else f"{name}_{index}"
    for name, cell in module["cells"].items():
        kind = cell["type"]
        if kind not in _KINDS:
            raise BuildError(f"cells must be of kinds that are modelled ({', '.join(_KINDS)}), but "
                             f"{name} is a {kind}")
        _KINDS[kind](netlist, _Cell(name, cell, ports))
    return netlist


class _Cell:
    """A cell's pins and settings, multiplexers in front of the pins included."""

    def __init__(self, name: str, cell: dict, ports: dict[object, str]):
        self.name = name
        self.ports = ports
        # nextpnr marks texts that look like numbers with a space behind.
        self._settings = {key: str(value).strip() for key, value in cell["parameters"].items()}
        self._pins = {pin: bits[0] for pin, bits in cell["connections"].items() if bits}

    def setting(self, key: str, default: str, *allowed: str) -> str:
        """A setting, which has to be one of `allowed` where those are given."""
        value = self._settings.get(key, default)
        if allowed and value not in allowed:
            raise BuildError(f"{key} of {self.name} must be {' or '.join(allowed)}, not {value!r}")
        return value

    def number(self, key: str, default: int = 0) -> int:
        """A setting in binary digits; undefined ones are 0."""
        return int(self._settings.get(key, f"{default:b}").replace("x", "0"), 2)

    def decimal(self, key: str) -> int:
        """A number that may stand in decimal or, of 32 digits, in binary."""
        text = self._settings[key]
        return int(text, 2 if len(text) == 32 else 10)

    def has(self, pin: str) -> bool:
        return pin in self._pins

    def net(self, pin: str) -> str:
        """Net at a pin; one of its own when there is none."""
        if pin in self._pins:
            return f"n{self._pins[pin]}"
        return f"open_{re.sub(r'[^A-Za-z0-9_]', '_', self.name)}_{pin}"

    def value(self, pin: str, unconnected: str = ONE) -> str:
        """What a pin reads behind its multiplexer."""
        bit = self._pins.get(pin)
        plain = (unconnected if bit is None else {"0": ZERO, "1": ONE, "x": ZERO}[bit]
                 if isinstance(bit, str) else f"n{bit}")
        way = self.setting(f"{pin}MUX", pin, pin, "0", "1", "INV")
        return {pin: plain, "0": ZERO, "1": ONE}.get(way) or invert(plain)

    def refuse(self, *pins: str) -> None:
        """None of these may be connected."""
        for pin in pins:
            if self.has(pin):
                raise BuildError(f"{pin} of {self.name} must be unconnected: it is not modelled")


def _comb(netlist: Netlist, cell: _Cell) -> None:
    mode = cell.setting("MODE", "LOGIC", "LOGIC", "CCU2", "DPRAM", "RAMW_BLOCK")
    table, inputs = cell.number("INITVAL"), [cell.value(pin) for pin in "ABCD"]
    out = cell.net("F")
    if mode == "DPRAM":
        clock = cell.setting("WCKMUX", "WCK", "WCK")
        write = {f"W{pin}": cell.value(f"WAD{bit}") for bit, pin in enumerate("DBCA")}
        netlist.memories.append(Memory(
            f"memory_{len(netlist.memories)}", "DPR16X1", {"INIT": f"16'd{table}"},
            dict(zip("ABCD", inputs, strict=True)) | write
            | {"WRITE": cell.value("WRE"), "DATA": cell.value("WD")}, {"F": out},
            (cell.net(clock),)))
    elif mode == "CCU2":
        inject = cell.setting("CCU2_INJECT1", "YES", "YES", "NO") == "YES"
        # A chain's first cell has nothing in front: no carry.
        carry = cell.value("FCI", ZERO)
        generate = f"{out}_lut"
        netlist.gates[generate] = lut(table, inputs)
        netlist.gates[out] = generate if inject else f"({generate} ^ {carry})"
        if cell.has("FCO"):
            own = ZERO if inject else lut(table & 15, inputs[:2])
            netlist.gates[cell.net("FCO")] = mux(generate, carry, own)
    elif mode == "LOGIC":
        netlist.gates[out] = lut(table, inputs)
    if cell.has("OFX"):
        if cell.has("FXA") or cell.has("FXB"):
            high, low = cell.value("FXB"), cell.value("FXA")
        else:
            high, low = cell.value("F1"), out
        netlist.gates[cell.net("OFX")] = mux(cell.value("M"), high, low)


def _flip_flop(netlist: Netlist, cell: _Cell) -> None:
    cell.setting("LSRMODE", "LSR", "LSR")
    cell.setting("CLKMUX", "CLK", "CLK", "INV")
    mode = cell.setting("SRMODE", "LSR_OVER_CE", "LSR_OVER_CE", "CE_OVER_LSR", "ASYNC")
    preset = cell.setting("REGSET", "RESET", "SET", "RESET") == "SET"
    data = "DI" if cell.setting("SD", "0", "0", "1") == "1" else "M"
    reset = cell.value("LSR", ZERO) if cell.has("LSR") else ZERO
    netlist.flip_flops.append(FlipFlop(
        cell.net("Q"), cell.value(data), cell.net("CLK"), cell.value("CE"), reset, initial=preset,
        reset_value=preset, asynchronous=mode == "ASYNC",
        falling=cell.setting("CLKMUX", "CLK") == "INV", enable_first=mode == "CE_OVER_LSR"))


def _ramw(netlist: Netlist, cell: _Cell) -> None:
    """The write port of distributed RAM only passes its inputs on."""
    for out, pin in zip([*(f"WADO{bit}" for bit in range(4)), *(f"WDO{bit}" for bit in range(4))],
                        ("D0", "B0", "C0", "A0", "C1", "A1", "D1", "B1"), strict=True):
        if cell.has(out):
            netlist.gates[cell.net(out)] = cell.value(pin)


def _block_ram(netlist: Netlist, cell: _Cell) -> None:
    inputs, clocks, parameters = {}, [], {}
    for port in "AB":
        width = cell.number(f"DATA_WIDTH_{port}", 18)
        if width not in WIDTHS:
            raise BuildError(f"DATA_WIDTH_{port} of {cell.name} must be one of {WIDTHS}, not "
                             f"{width}")
        selected = [cell.value(f"CS{port}{bit}") for bit in range(3)]
        if selected != [ZERO] * 3 or cell.setting(f"CSDECODE_{port}", "0b000") != "0b000":
            raise BuildError(f"{cell.name} must always be selected: chip selects are not modelled")
        clock = cell.value(f"CLK{port}")
        if clock not in (ZERO, ONE):
            cell.setting(f"CLK{port}MUX", f"CLK{port}", f"CLK{port}")
            clocks.append(clock)
        inputs |= {pin: cell.value(pin) if clock not in (ZERO, ONE) else ZERO
                   for pin in INPUT_PINS
                   # Data of the upper half may come through a port that has no clock.
                   if port in pin.rstrip("0123456789")[-1]}
        if width == 36:
            inputs |= {f"DI{port}{bit}": cell.value(f"DI{port}{bit}") for bit in range(18)}
        mode = cell.setting(f"WRITEMODE_{port}", "NORMAL", *MODES)
        register = cell.setting(f"REGMODE_{port}", "NOREG", "NOREG", "OUTREG") == "OUTREG"
        parameters |= {f"WIDTH_{port}": str(width), f"OUTREG_{port}": str(int(register)),
                       f"MODE_{port}": str(MODES.index(mode))}
        if cell.value(f"RST{port}") != ZERO:
            raise BuildError(f"RST{port} of {cell.name} must be 0: it is not modelled")
    if (parameters["WIDTH_A"] == "36") != (parameters["WIDTH_B"] == "36"):
        raise BuildError(f"both ports of {cell.name} must be 36 bits wide, or none")
    contents = sum(cell.number(f"INITVAL_{row:02X}") << 320 * row for row in range(64))
    parameters["INIT"] = f"20480'h{contents:x}"
    outputs = {f"DO{port}{bit}": cell.net(f"DO{port}{bit}") for port in "AB" for bit in range(18)
               if cell.has(f"DO{port}{bit}")}
    netlist.memories.append(Memory(f"memory_{len(netlist.memories)}", "DP16KD", parameters, inputs,
                                   outputs, tuple(clocks)))


def _pin(netlist: Netlist, cell: _Cell) -> None:
    port = cell.ports[int(cell.net("B")[1:])]
    if cell.setting("DIR", "INPUT", "INPUT", "OUTPUT") == "INPUT":
        netlist.inputs.append(port)
        if cell.has("O"):
            netlist.gates[cell.net("O")] = port
    else:
        cell.refuse("T", "IOLDO", "IOLTO")
        netlist.outputs[port] = cell.value("I")


def _clock_buffer(netlist: Netlist, cell: _Cell) -> None:
    cell.refuse("CE")
    netlist.gates[cell.net("CLKO")] = cell.net("CLKI")


def _pll(netlist: Netlist, cell: _Cell) -> None:
    cell.setting("FEEDBK_PATH", "CLKOP", "CLKOP")
    cell.refuse("CLKOS", "CLKOS2", "CLKOS3", "INTLOCK")
    made = cell.net("CLKOP")
    netlist.generated[made] = cell.net("CLKI")
    netlist.ratios[made] = Fraction(cell.decimal("CLKFB_DIV"), cell.decimal("CLKI_DIV"))
    if cell.has("LOCK"):
        netlist.gates[cell.net("LOCK")] = ONE


_KINDS: dict[str, Callable[[Netlist, _Cell], None]] = {
    "TRELLIS_COMB": _comb, "TRELLIS_FF": _flip_flop, "TRELLIS_RAMW": _ramw, "DP16KD": _block_ram,
    "TRELLIS_IO": _pin, "DCCA": _clock_buffer, "EHXPLLL": _pll}
