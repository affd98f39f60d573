"""Registers moved into multipliers: the same design, and only where nothing can differ."""

import copy
import json

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from cxxrtl_designs import run_designs
from small_designs import shared_bench

from nmahw.devices import FlowOptions, device
from nmahw.devices._ecp5_registers import use_multiplier_registers
from nmahw.gateware.common import MULTIPLIER_REGISTER
from nmahw.synthesise import synthesise

ECP5 = device("ecp5-25k")
CYCLES = 300
PRODUCTS = ("plain", "mixed", "shared", "resettable", "held", "read_twice")
MOVED = {"plain": (True, True), "mixed": (True, True), "shared": (True, True),
         "resettable": (False, False), "held": (True, False), "read_twice": (True, False)}

_A, _B, _P = (", ".join(f"{operand}{bit}" for bit in reversed(range(bits)))
              for operand, bits in (("A", 18), ("B", 18), ("P", 36)))
#: A behavioural MULT18X18D, from its documentation (FPGA-TN-02205): what is in use here.
MODEL = f"""
module MULT18X18D(input {_A}, {_B}, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
                  output {_P});
  parameter REG_INPUTA_CLK = "NONE", REG_INPUTB_CLK = "NONE", REG_OUTPUT_CLK = "NONE";
  parameter GSR = "ENABLED";
  reg [17:0] a = 0, b = 0;
  reg [35:0] p = 0;
  wire [17:0] ina = REG_INPUTA_CLK == "CLK0" ? a : {{{_A}}};
  wire [17:0] inb = REG_INPUTB_CLK == "CLK0" ? b : {{{_B}}};
  wire signed [36:0] product = $signed({{SIGNEDA & ina[17], ina}})
                             * $signed({{SIGNEDB & inb[17], inb}});
  always @(posedge CLK0)
    if (RST0) begin a <= 0; b <= 0; p <= 0; end
    else if (CE0) begin a <= {{{_A}}}; b <= {{{_B}}}; p <= product[35:0]; end
  assign {{{_P}}} = REG_OUTPUT_CLK == "CLK0" ? p : product[35:0];
endmodule
"""


class Products(wiring.Component):
    """Products of all kinds that feed themselves, so that a clock is all it takes."""

    def __init__(self):
        super().__init__({name: Out(24) for name in PRODUCTS})

    def elaborate(self, platform):
        m = Module()
        noise = Signal(48, init=0x15A3C96E1B7)
        m.d.sync += noise.eq(Cat(noise[47] ^ noise[46] ^ noise[20] ^ noise[19], noise))
        common = Signal(8, reset_less=True, attrs={MULTIPLIER_REGISTER: 1})
        m.d.sync += common.eq(noise[1:9])
        for index, name in enumerate(PRODUCTS):
            x = Signal(8 if name != "mixed" else signed(11), name=f"{name}_x", reset_less=True)
            w = Signal(signed(8), name=f"{name}_w", reset_less=True)
            product = Signal(signed(20), name=f"{name}_product", reset_less=True)
            m.d.sync += [x.eq(noise[index:]), w.eq(noise[index + 13:])]
            if name == "resettable":
                with m.If(noise[40]):
                    m.d.sync += x.eq(0)
            with m.If(noise[30] if name == "held" else 1):
                m.d.sync += product.eq((common if name == "shared" else x) * w)
            if name == "read_twice":
                m.d.comb += self.read_twice.eq((x * w) ^ product)
            else:
                m.d.comb += getattr(self, name).eq(product ^ (x if name == "shared" else 0))
        return m


@pytest.fixture(scope="module")
def texts():
    text = rtlil.convert(Products(), name="top", emit_src=False)
    plain = "\n".join(line for line in text.splitlines() if MULTIPLIER_REGISTER not in line)
    return plain + "\n", text


@pytest.fixture(scope="module")
def netlists(texts, tmp_path_factory):
    bench = shared_bench(tmp_path_factory)
    return [synthesise(text, ECP5, FlowOptions(hard_multiplier=True), bench) for text in texts]


def multipliers(netlist) -> dict:
    cells = json.loads(netlist.path.read_text())["modules"]["top"]["cells"].values()
    return [cell for cell in cells if cell["type"] == "MULT18X18D"]


def test_only_designs_that_ask_for_it_are_changed(netlists):
    without, with_them = netlists
    assert len(multipliers(without)) == len(multipliers(with_them)) == len(PRODUCTS)
    assert not any("REG_INPUTA_CLK" in cell["parameters"] for cell in multipliers(without))
    found = sorted(tuple(cell["parameters"].get(f"REG_{which}_CLK") == "CLK0"
                         for which in ("INPUTA", "OUTPUT")) for cell in multipliers(with_them))
    assert found == sorted(MOVED.values())
    assert with_them.cells["TRELLIS_FF"] < without.cells["TRELLIS_FF"]


@pytest.mark.long
def test_the_netlist_computes_the_same(texts, netlists, tmp_path):
    values = run_designs(texts[0], netlists, ECP5, MODEL, PRODUCTS, CYCLES, tmp_path)
    gold, *others = values
    for name, column in zip(PRODUCTS, gold.T, strict=True):
        assert len(set(column)) >= 16, name
    for other in others:
        assert (np.asarray(other) == gold).all()


def module(**changes) -> dict:
    """A multiplier between flip-flops: operands from nets 10 and 11, product to net 13."""
    parameters = {"CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET",
                  "GSR": "DISABLED"}

    def flip_flop(d, q, **others):
        return {"type": "TRELLIS_FF", "attributes": {}, "parameters": parameters | others,
                "connections": {"CLK": [2], "DI": [d], "LSR": ["0"], "Q": [q]},
                "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"}}

    pins = {f"{o}{bit}": ["0"] for o in "AB" for bit in range(18)} | {
        "A0": [20], "B0": [21], "P0": [12], "P1": [99], "SOURCEA": ["0"], "SOURCEB": ["0"]}
    multiplier = {"type": "MULT18X18D", "attributes": {}, "parameters": {}, "connections": pins,
                  "port_directions": {pin: "output" if pin[0] == "P" else "input"
                                      for pin in pins}}
    return {"ports": {"clk": {"direction": "input", "bits": [2]},
                      "i": {"direction": "input", "bits": [10, 11]},
                      "o": {"direction": "output", "bits": [13]}},
            "cells": {"product": multiplier, "a": flip_flop(10, 20), "b": flip_flop(11, 21),
                      "p": flip_flop(12, 13)},
            "netnames": {"x": {"bits": [20]}, "o": {"bits": [13]}}}


def test_all_three_registers_move():
    design = module()
    assert use_multiplier_registers(design) == 1
    assert list(design["cells"]) == ["product"] and list(design["netnames"]) == ["o"]
    multiplier = design["cells"]["product"]
    assert {pin: multiplier["connections"][pin] for pin in ("A0", "B0", "P0", "CLK0", "CE0",
                                                            "RST0")} == {
        "A0": [10], "B0": [11], "P0": [13], "CLK0": [2], "CE0": ["1"], "RST0": ["0"]}
    assert multiplier["parameters"] == {
        "REG_INPUTA_CLK": "CLK0", "REG_INPUTB_CLK": "CLK0", "REG_OUTPUT_CLK": "CLK0",
        "GSR": "DISABLED"}


def test_an_operand_that_is_read_elsewhere_keeps_its_flip_flop():
    design = module()
    design["ports"]["also"] = {"direction": "output", "bits": [20]}
    assert use_multiplier_registers(design) == 1
    assert list(design["cells"]) == ["product", "a"]


def cells_of(design):
    return design["cells"]["product"], design["cells"]["a"], design["cells"]["p"]


@pytest.mark.parametrize("change", [
    lambda m, a, p: a["parameters"].update(CLKMUX="INV"),
    lambda m, a, p: a["parameters"].update(REGSET="SET"),
    lambda m, a, p: (a["parameters"].update(CEMUX="CE"), a["connections"].update(CE=[7])),
    lambda m, a, p: a["connections"].update(LSR=[7]),
    lambda m, a, p: a["connections"].update(CLK=[3]),
    lambda m, a, p: a["attributes"].update(keep=f"{1:032b}"),
    lambda m, a, p: m["connections"].update(A0=[10]),
    lambda m, a, p: m["connections"].update(A1=["1"]),
    lambda m, a, p: m["connections"].update(SOURCEA=["1"]),
    lambda m, a, p: m["connections"].update(SOURCEB=["1"]),
    lambda m, a, p: m["connections"].update(SIGNEDA=[7]),
    *(lambda m, a, p, which=which: m["parameters"].update({f"REG_{which}_CLK": "CLK0"})
      for which in ("INPUTA", "INPUTB", "INPUTC", "PIPELINE", "OUTPUT")),
])
def test_what_could_be_told_apart_stays(change):
    design = module()
    change(*cells_of(design))
    before = copy.deepcopy(design)
    assert use_multiplier_registers(design) == 0
    assert design == before


def look_up_table(*nets):
    pins = {pin: [net] for pin, net in zip("ABCD", nets, strict=False)}
    return {"type": "LUT4", "attributes": {}, "parameters": {}, "connections": pins,
            "port_directions": dict.fromkeys(pins, "input")}


@pytest.mark.parametrize("change", [
    lambda d, m, p: p["parameters"].update(REGSET="SET"),
    lambda d, m, p: p["connections"].update(CLK=[3]),
    lambda d, m, p: m["connections"].update(P0=[12], P1=[13]),  # a bit straight to a port
    lambda d, m, p: d["cells"].update(also=look_up_table(12)),  # and read elsewhere
    lambda d, m, p: p["connections"].update(DI=["0"], CE=[12]),  # no data, and not looked at
])
def test_a_product_that_is_not_registered_stays(change):
    design = module()
    change(design, design["cells"]["product"], design["cells"]["p"])
    assert use_multiplier_registers(design) == 1
    assert "p" in design["cells"] and "a" not in design["cells"]
    assert "REG_OUTPUT_CLK" not in design["cells"]["product"]["parameters"]


def test_a_product_that_is_an_operand_of_another():
    # The flip-flop between them can be in one of them only.
    design = module()
    second = copy.deepcopy(design["cells"]["product"])
    second["connections"] |= {"A0": [13], "B0": [21], "P0": [30]}
    design["cells"]["second"] = second
    design["ports"]["o"]["bits"] = [30]
    assert use_multiplier_registers(design) == 2
    first, second = (design["cells"][name] for name in ("product", "second"))
    assert second["connections"]["A0"] == first["connections"]["P0"] == [12]
    assert "p" not in design["cells"]
    assert "REG_OUTPUT_CLK" not in first["parameters"]
    assert second["parameters"]["REG_INPUTA_CLK"] == "CLK0"
