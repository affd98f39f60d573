"""Registers moved into block RAMs: the same design, and only where nothing can differ."""

import copy
import json

import pytest
from amaranth.back import rtlil
from amaranth.hdl import C, Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Out
from block_ram_models import DP16KD
from cxxrtl_designs import run_designs
from small_designs import shared_bench

from nmahw.devices import FlowOptions, device
from nmahw.devices._ecp5_registers import use_output_registers
from nmahw.netlist import netlist_cells
from nmahw.synthesise import synthesise

ECP5 = device("ecp5-25k")
CYCLES = 400
# Width, depth, what is behind the read port.
MEMORIES = {
    "wide": (36, 512, "register"), "half": (18, 1024, "register"),
    "nine": (9, 2048, "register"), "narrow": (4, 4096, "register"),
    "twisted": (16, 1024, "crossed"), "direct": (18, 1024, "nothing"),
    "resettable": (9, 2048, "reset"), "held": (9, 2048, "enable"),
    "set": (9, 2048, "ones"), "shared": (9, 2048, "also"),
}
OUTPUTS = [*MEMORIES, "also", "rom"]
ABSORBED = {"wide", "half", "nine", "narrow", "twisted", "rom"}


class Memories(wiring.Component):
    """Memories of many shapes that feed themselves, so that a clock is all it takes."""

    def __init__(self):
        super().__init__({**{name: Out(width) for name, (width, _, _) in MEMORIES.items()},
                          "also": Out(9), "rom": Out(32)})

    def elaborate(self, platform):
        m = Module()
        noise = Signal(40, init=0x5A3C96E1B7)
        m.d.sync += noise.eq(Cat(noise[39] ^ noise[37] ^ noise[20] ^ noise[18], noise))
        for index, (name, (width, depth, behind)) in enumerate(MEMORIES.items()):
            m.submodules[name] = memory = Memory(
                shape=unsigned(width), depth=depth,
                init=[(7 * address + index) % (1 << width) for address in range(depth)])
            read, write = memory.read_port(), memory.write_port()
            # Few addresses, so that most that is read was written; never one of both at once.
            where = Cat(noise[index:index + 4], C(0, len(read.addr) - 6), noise[21])
            m.d.sync += [write.addr.eq(Cat(noise[30], where)),
                         read.addr.eq(Cat(~noise[30], where)),
                         write.data.eq(Cat(noise, noise[::-1])), write.en.eq(noise[index + 9])]
            m.d.comb += read.en.eq(1)
            result = Signal(width, name=f"{name}_result", reset_less=behind != "reset",
                            init=0x1FF if behind == "ones" else 0)
            o = getattr(self, name)
            if behind == "nothing":
                m.d.sync += o.eq(o ^ read.data)
            else:
                m.d.comb += o.eq(result)
                with m.If(noise[25] if behind == "enable" else 1):
                    m.d.sync += result.eq(read.data[::-1] if behind == "crossed" else read.data)
            if behind == "also":
                m.d.sync += self.also.eq(self.also + read.data)
        m.submodules.rom = rom = Memory(shape=unsigned(16), depth=1024,
                                        init=[n * n % 65521 for n in range(1024)])
        words = []
        for index in range(2):
            port = rom.read_port()
            word = Signal(16, name=f"word{index}", reset_less=True)
            m.d.comb += [port.en.eq(1), port.addr.eq(noise[11 * index:11 * index + 10])]
            m.d.sync += word.eq(port.data)
            words.append(word)
        m.d.comb += self.rom.eq(Cat(words))
        return m


@pytest.fixture(scope="module")
def netlists(tmp_path_factory):
    text = rtlil.convert(Memories(), name="top", emit_src=False)
    bench = shared_bench(tmp_path_factory)
    return text, [synthesise(text, ECP5, FlowOptions(block_ram_registers=on), bench)
                  for on in (False, True)]


@pytest.mark.long
def test_the_netlist_computes_the_same(netlists, tmp_path):
    text, mapped = netlists
    gold, *others = run_designs(text, mapped, ECP5, DP16KD, OUTPUTS, CYCLES, tmp_path)
    for name, column in zip(OUTPUTS, gold.T, strict=True):
        assert len(set(column)) >= 16, name
    for other in others:
        assert (other == gold).all()


def test_what_is_absorbed_and_counted(netlists):
    without, with_them = netlists[1]
    assert without.key != with_them.key
    bits = sum(MEMORIES[name][0] for name in ABSORBED if name in MEMORIES) + 32
    assert without.cells["TRELLIS_FF"] - with_them.cells["TRELLIS_FF"] == bits
    assert with_them.cells["DP16KD"] == without.cells["DP16KD"] == len(MEMORIES) + 1
    assert sum(kind == "TRELLIS_FF" for _, kind, _ in netlist_cells(with_them.path)) == \
        with_them.cells["TRELLIS_FF"]
    cells = json.loads(with_them.path.read_text())["modules"]["top"]["cells"]
    modes = {name.partition("$")[0].partition(".")[0]:
             {cell["parameters"][f"REGMODE_{half}"] for half in "AB"}
             for name, cell in cells.items() if cell["type"] == "DP16KD"}
    assert {name for name, found in modes.items() if "OUTREG" in found} == ABSORBED
    assert modes["wide"] == modes["rom"] == {"OUTREG"}


def block(half="B", used=3, wide=False) -> dict:
    """A module of one block RAM with flip-flops behind half `half`: nets 10.. and 50.. ."""
    clocks = {"CLKA": [2], "CLKB": [2]}
    memory = {
        "type": "DP16KD", "attributes": {},
        "parameters": {"REGMODE_A": "NOREG", "REGMODE_B": "NOREG", "GSR": "DISABLED",
                       "CLKAMUX": "CLKA", "CLKBMUX": "CLKB",
                       **{f"DATA_WIDTH_{h}": f"{36 if wide else 18:032b}" for h in "AB"}},
        "connections": {**clocks, "WEA": ["1" if wide else "0"], "WEB": ["0"],
                        **{f"{pin}{h}": [value] for h in "AB"
                           for pin, value in (("CE", "1"), ("RST", "0"), ("OCE", "0"))},
                        "DIA0": ["x"], "DOA17": ["x"],
                        **{f"DO{half}{bit}": [10 + bit] for bit in range(used)}}}
    memory["port_directions"] = {pin: "output" if pin.startswith("DO") else "input"
                                 for pin in memory["connections"]}
    flip_flops = {f"ff{bit}": {
        "type": "TRELLIS_FF", "attributes": {},
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET",
                       "GSR": "DISABLED"},
        "connections": {"CLK": [2], "DI": [10 + bit], "LSR": ["0"], "Q": [50 + bit]},
        "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"},
    } for bit in range(used)}
    return {"ports": {"clk": {"direction": "input", "bits": [2]},
                      "o": {"direction": "output", "bits": [50, 51]}},
            "cells": {"ram": memory, **flip_flops},
            "netnames": {"read": {"bits": [10, 11, 12]}, "o": {"bits": [50, 51]}}}


@pytest.mark.parametrize("half", "AB")
def test_a_port_with_plain_registers(half):
    module = block(half)
    # Unused outputs, and a register that nobody reads, do not matter.
    module["cells"]["ram"]["connections"][f"DO{half}9"] = [77]
    module["cells"]["ram"]["port_directions"][f"DO{half}9"] = "output"
    assert use_output_registers(module) == 3
    assert list(module["cells"]) == ["ram"] and list(module["netnames"]) == ["o"]
    ram = module["cells"]["ram"]
    other = "A" if half == "B" else "B"
    assert ram["parameters"][f"REGMODE_{half}"] == "OUTREG"
    assert ram["parameters"][f"REGMODE_{other}"] == "NOREG"
    assert ram["connections"][f"OCE{half}"] == ["1"]
    assert ram["connections"][f"OCE{other}"] == ["0"]
    assert [ram["connections"][f"DO{half}{bit}"] for bit in (0, 1, 2, 9)] == \
        [[50], [51], [52], [77]]
    again = copy.deepcopy(module)
    assert use_output_registers(again) == 0 and again == module


@pytest.mark.parametrize("half, modes", [("A", "AB"), ("B", "B")])
def test_a_36_bit_port_is_on_both_halves(half, modes):
    module = block(half, wide=True)
    assert use_output_registers(module) == 3
    assert [h for h in "AB" if module["cells"]["ram"]["parameters"][f"REGMODE_{h}"]
            == "OUTREG"] == list(modes)


@pytest.mark.parametrize("change", [
    {"CEMUX": "1"}, {"CEMUX": "CE", "pins": {"CE": ["1"]}}, {"CEMUX": "INV", "pins": {"CE": ["0"]}},
    {"LSRMUX": "INV", "pins": {"LSR": ["1"]}}, {"SRMODE": "ASYNC"}], ids=str)
def test_other_ways_of_being_plain(change):
    module = block()
    pins = change.get("pins", {})
    module["cells"]["ff1"]["connections"] |= pins
    module["cells"]["ff1"]["parameters"] |= {k: v for k, v in change.items() if k != "pins"}
    assert use_output_registers(module) == 3


def _ram(module, **pins):
    module["cells"]["ram"]["connections"] |= pins


def _parameter(module, cell="ff1", **values):
    module["cells"][cell]["parameters"] |= values


def _ff(module, **pins):
    module["cells"]["ff1"]["connections"] |= pins


REFUSALS = {
    "other clock": lambda m: _ff(m, CLK=[3]),
    "other edge": lambda m: _parameter(m, CLKMUX="INV"),
    "block's other edge": lambda m: _parameter(m, "ram", CLKBMUX="INV"),
    "no clock": lambda m: _ram(m, CLKB=["0"]),
    "enable": lambda m: (_parameter(m, CEMUX="CE"), _ff(m, CE=[4])),
    "never enabled": lambda m: (_parameter(m, CEMUX="CE"), _ff(m, CE=["0"])),
    "inverted enable": lambda m: (_parameter(m, CEMUX="INV"), _ff(m, CE=["1"])),
    "enable off": lambda m: _parameter(m, CEMUX="0 "),
    "reset": lambda m: _ff(m, LSR=[4]),
    "always reset": lambda m: _ff(m, LSR=["1"]),
    "inverted reset": lambda m: _parameter(m, LSRMUX="INV"),
    "starts as 1": lambda m: _parameter(m, REGSET="SET"),
    "preload": lambda m: _parameter(m, LSRMODE="PRLD"),
    "global reset": lambda m: _parameter(m, GSR="ENABLED"),
    "block's global reset": lambda m: _parameter(m, "ram", GSR="ENABLED"),
    "kept": lambda m: m["cells"]["ff1"].update(attributes={"keep": f"{1:032b}"}),
    "other input": lambda m: (_ff(m, M=[11], DI=["0"]),
                              m["cells"]["ff1"]["port_directions"].update(M="input")),
    "no register": lambda m: m["cells"].pop("ff1") and m["ports"]["o"]["bits"].append(11),
    "output as well": lambda m: m["ports"]["o"]["bits"].append(11),
    "two registers": lambda m: m["cells"].update(more=copy.deepcopy(m["cells"]["ff1"])),
    "logic as well": lambda m: m["cells"].update(lut={
        "type": "LUT4", "parameters": {}, "connections": {"A": [11], "Z": [90]},
        "port_directions": {"A": "input", "Z": "output"}}),
    "logic between": lambda m: m["cells"]["ff1"].update(type="LUT4"),
    "its own address": lambda m: (_ram(m, ADB5=[11]),
                                  m["cells"]["ram"]["port_directions"].update(ADB5="input")),
    "in use already": lambda m: _parameter(m, "ram", REGMODE_B="OUTREG"),
    "port enable": lambda m: _ram(m, CEB=[4]),
    "port off": lambda m: _ram(m, CEB=["0"]),
    "port reset": lambda m: _ram(m, RSTB=[4]),
    "port writes": lambda m: _ram(m, WEB=[4]),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_port_is_left_alone(name):
    module = block()
    REFUSALS[name](module)
    before = copy.deepcopy(module)
    assert use_output_registers(module) == 0
    assert module == before


@pytest.mark.parametrize("pins", [{"CLKA": [3]}, {"CEA": [4]}, {"RSTA": [4]}, {"WEB": [4]}],
                         ids=str)
def test_halves_of_a_36_bit_port_must_agree(pins):
    module = block("A", wide=True)
    _ram(module, **pins)
    before = copy.deepcopy(module)
    assert use_output_registers(module) == 0 and module == before


def test_ports_of_a_block_are_independent():
    module, other = block("A"), block("B")
    ram, more = module["cells"]["ram"], other["cells"]["ram"]
    for bit in range(3):
        pin = f"DOB{bit}"
        ram["connections"][pin], ram["port_directions"][pin] = [20 + bit], "output"
        flip_flop = other["cells"][f"ff{bit}"]
        flip_flop["connections"] |= {"DI": [20 + bit], "Q": [60 + bit]}
        module["cells"][f"b{bit}"] = flip_flop
    assert more["type"] == "DP16KD"
    module["cells"]["b2"]["parameters"]["REGSET"] = "SET"
    assert use_output_registers(module) == 3
    assert ram["parameters"]["REGMODE_A"] == "OUTREG" and ram["parameters"]["REGMODE_B"] == "NOREG"
    module["cells"]["b2"]["parameters"]["REGSET"] = "RESET"
    assert use_output_registers(module) == 3 and list(module["cells"]) == ["ram"]
