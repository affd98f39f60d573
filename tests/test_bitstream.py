"""What is taken back of placed designs and of bitstreams, against RTL and networks."""

import ast
import itertools
import random
import shutil
from functools import partial

import pytest
from amaranth.back import rtlil
from readback import LANES, OUTPUTS, Carries, Logic, Memories, side_by_side
from small_designs import shared_bench

from nmahw.bitstream import READBACKS
from nmahw.bitstream._icebox import read_icebox
from nmahw.bitstream.ecp5 import read_routed
from nmahw.bitstream.lanes import lanes_verilog
from nmahw.bitstream.netlist import ONE, ZERO, FlipFlop, Netlist, invert, lut, nets_in
from nmahw.boards import Pin
from nmahw.devices import FAMILIES, FlowOptions, device
from nmahw.errors import BuildError, EnvironmentProblem
from nmahw.place import place_and_route
from nmahw.toolchain import find, run

DESIGNS = {
    "logic": Logic, "carries": Carries,
    "distributed": partial(Memories, (4, 16, 0), (7, 32, 0), (1, 16, 0), combinational=True),
    "blocks-narrow": partial(Memories, (1, 4096, 0), (2, 4096, 0), (4, 2048, 0)),
    "blocks-wide": partial(Memories, (9, 2048, 0), (18, 1024, 0), (36, 512, 0), (16, 256, 8)),
    "blocks-enables": partial(Memories, (18, 1024, 9), (36, 512, 9), registered=True),
    "ice40-blocks": partial(Memories, (16, 256, 0), (8, 512, 0), (4, 1024, 0), (2, 2048, 0),
                            (16, 256, 1)),
}


@pytest.fixture
def bench(tmp_path_factory):
    return shared_bench(tmp_path_factory)


def taken_back(name, family, bench, folder, options=None):
    """RTLIL and netlist of one of `DESIGNS`."""
    text = rtlil.convert(DESIGNS[name](), name="top", emit_src=False)
    chosen = device({"ecp5": "ecp5-25k", "ice40": "ice40-hx1k"}[family])
    readback = READBACKS.get(family)
    placed, = place_and_route(text, chosen, options or FlowOptions(), [1], bench=bench,
                              bitstream=readback.reads_bitstream,
                              pins=ICE40_PINS if family == "ice40" else None)
    path = placed.placed_netlist
    if readback.reads_bitstream:
        path = folder / "design.bin"
        source = placed.report.parent / FAMILIES.get(family).packed_from
        (folder / "design.asc").write_bytes(source.read_bytes())
        run(find("icepack"), ["design.asc", "design.bin"], cwd=folder)
    return text, readback.take(path, ICE40_PINS if family == "ice40" else {}, bench)


ICE40_PINS = {name: Pin(location) for name, location in zip(
    ("clk", "rst", "si", "so[0]", "so[1]", "so[2]", "so[3]"),
    ("21", "112", "113", "99", "98", "97", "96"), strict=True)}


def assert_same(text, netlist, folder):
    different, seen = side_by_side(text, netlist, folder)
    assert (different, seen) == (0, (1 << LANES * OUTPUTS) - 1)


# What the designs are there for: found in the netlist that is compared.
ECP5_USES = {
    "logic": {"asynchronous", "preset"}, "carries": {"carry"}, "distributed": {"DPR16X1"},
    "blocks-narrow": {"DP16KD 1", "DP16KD 2", "DP16KD 4"},
    "blocks-wide": {"DP16KD 9", "DP16KD 18", "DP16KD 36"},
    "blocks-enables": {"DP16KD 18", "DP16KD 36", "output register"}}


def uses(netlist):
    found = {"asynchronous" for register in netlist.flip_flops if register.asynchronous}
    found |= {"preset" for register in netlist.flip_flops if register.initial}
    found |= {"carry" for net in netlist.gates if net.endswith("_lut")}
    for memory in netlist.memories:
        if memory.model == "DP16KD":
            found |= {f"DP16KD {memory.parameters[f'WIDTH_{port}']}" for port in "AB"}
            found |= {"output register" for port in "AB"
                      if memory.parameters[f"OUTREG_{port}"] == "1"}
        else:
            found.add(memory.model)
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", list(ECP5_USES))
def test_ecp5_models_do_what_the_rtl_does(name, bench, tmp_path):
    options = FlowOptions(wide_lut=True) if name == "logic" else None
    text, netlist = taken_back(name, "ecp5", bench, tmp_path, options)
    assert ECP5_USES[name] <= uses(netlist)
    assert_same(text, netlist, tmp_path)


needs_icebox = pytest.mark.skipif(not shutil.which("icebox_vlog"),
                                  reason="fpga-icestorm is not installed")


@needs_icebox
def test_an_ice40_bitstream_does_what_the_rtl_does_and_a_flipped_bit_shows(bench, tmp_path):
    text, netlist = taken_back("logic", "ice40", bench, tmp_path)
    assert_same(text, netlist, tmp_path)
    asc = tmp_path / "design.asc"
    lines = asc.read_text().splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith(".logic_tile")
              and used_table(lines[index + 1:index + 17]))
    row, column = used_table(lines[at + 1:at + 17])
    changed = lines[at + 1 + row]
    lines[at + 1 + row] = (changed[:column] + str(1 - int(changed[column]))
                           + changed[column + 1:])
    asc.write_text("\n".join(lines) + "\n")
    run(find("icepack"), ["design.asc", "design.bin"], cwd=tmp_path)
    faulty = READBACKS.get("ice40").take(tmp_path / "design.bin", ICE40_PINS, bench)
    different, _ = side_by_side(text, faulty, tmp_path)
    assert different > 0


def used_table(tile):
    """Row and column of one bit of a tile's first look-up table that depends on four inputs.

    A cell's table is in columns 36 to 43 of its two rows (icestorm's logic_tile.html).
    """
    for cell in range(8):
        bits = tile[2 * cell][36:44] + tile[2 * cell + 1][36:44]
        if bits.count("1") in range(5, 12):
            return 2 * cell, 40
    return None


@needs_icebox
@pytest.mark.long
@pytest.mark.parametrize("name", ["carries", "ice40-blocks"])
def test_other_ice40_bitstreams_do_what_the_rtl_does(name, bench, tmp_path):
    text, netlist = taken_back(name, "ice40", bench, tmp_path)
    for mode in ("READ_MODE", "WRITE_MODE") if name == "ice40-blocks" else ():
        assert {memory.parameters[mode] for memory in netlist.memories} == set("0123")
    assert_same(text, netlist, tmp_path)


@pytest.mark.long
def test_a_flipped_bit_of_an_ecp5_table_shows(bench, tmp_path):
    text, netlist = taken_back("carries", "ecp5", bench, tmp_path)
    # Sums: half a bit of every one of them is in such a table.
    net = next(net for net in netlist.gates if net.endswith("_lut")
               and len(nets_in(netlist.gates[net])) == 2)
    netlist.gates[net] = invert(netlist.gates[net])
    different, _ = side_by_side(text, netlist, tmp_path)
    assert different > 0


def test_a_missing_icebox_vlog_names_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="apt install --no-install-recommends fpga-ices"):
        find("icebox_vlog")
    # It is a Python script, which for other tools would mean a wheel's.
    script = tmp_path / "icebox_vlog"
    script.write_text("#!/usr/bin/env python3\n")
    script.chmod(0o755)
    assert find("icebox_vlog").argv == (str(script),)


def test_a_product_in_a_hard_multiplier_is_refused():
    with pytest.raises(BuildError, match="is a MULT18X18D"):
        read_routed({"ports": {}, "cells": {"product": {
            "type": "MULT18X18D", "parameters": {}, "connections": {}}}})


def comb(**parameters):
    pins = {pin: [index + 2] for index, pin in enumerate("ABCD")}
    return {"type": "TRELLIS_COMB", "parameters": parameters,
            "connections": pins | {"F": [9], "FCI": [6], "FCO": [8]}}


def routed(**cells):
    return read_routed({"ports": {}, "cells": cells})


@pytest.mark.parametrize("table", [0x96AA, 0x0008, 0x1234])
@pytest.mark.parametrize("inject", ["YES", "NO"])
def test_half_a_carry_cell_is_the_data_sheets(table, inject):
    netlist = routed(half=comb(MODE="CCU2", INITVAL=f"{table:016b}", CCU2_INJECT1=inject))
    for values in itertools.product((0, 1), repeat=5):
        known = dict(zip(("n2", "n3", "n4", "n5", "n6"), values, strict=True))
        a, b, c, d, carry = values
        four = table >> (8 * d + 4 * c + 2 * b + a) & 1
        two = 0 if inject == "YES" else table >> (2 * b + a) & 1
        assert value_of("n9", netlist, known) == four ^ (carry if inject == "NO" else 0)
        assert value_of("n8", netlist, known) == (carry if four else two)


def test_a_pin_without_a_net_reads_1():
    cell = comb(INITVAL=f"{0x8000:016b}")
    cell["connections"] |= {"A": [], "D": []}
    netlist = routed(cell=cell)
    assert [value_of("n9", netlist, {"n3": b, "n4": c}) for b in (0, 1) for c in (0, 1)] \
        == [0, 0, 0, 1]


@pytest.mark.parametrize("parameters, expected", [
    ({"SD": "1 ", "CEMUX": "CE", "SRMODE": "LSR_OVER_CE", "REGSET": "SET"},
     lambda di, m, ce, lsr, q: 1 if lsr else di if ce else q),
    ({"SD": "0 ", "CEMUX": "INV", "SRMODE": "CE_OVER_LSR", "LSRMUX": "INV"},
     lambda di, m, ce, lsr, q: q if ce else m if lsr else 0),
    ({"SD": "0 ", "CEMUX": "1 ", "SRMODE": "LSR_OVER_CE"},
     lambda di, m, ce, lsr, q: 0 if lsr else m),
    ({"SD": "1 ", "CEMUX": "0 ", "SRMODE": "LSR_OVER_CE"},
     lambda di, m, ce, lsr, q: 0 if lsr else q)])
def test_registers_do_what_their_settings_say(parameters, expected):
    netlist = routed(register={"type": "TRELLIS_FF", "parameters": parameters, "connections": {
        "DI": [1], "M": [2], "CE": [3], "LSR": [4], "Q": [5], "CLK": [6]}})
    register, = netlist.flip_flops
    assert register.initial == (parameters.get("REGSET") == "SET")
    for values in itertools.product((0, 1), repeat=5):
        netlist.gates["next"] = register.following
        known = dict(zip(("n1", "n2", "n3", "n4", "n5"), values, strict=True))
        assert value_of("next", netlist, known) == expected(*values)


@pytest.mark.parametrize("cell", [
    comb(MODE="ODD"), {"type": "TRELLIS_FF", "parameters": {"LSRMODE": "PRLD"}, "connections": {}},
    {"type": "EHXPLLL", "parameters": {"FEEDBK_PATH": "USERCLOCK"}, "connections": {}},
    {"type": "DP16KD", "parameters": {"DATA_WIDTH_A": "111"}, "connections": {}},
    {"type": "DCCA", "parameters": {}, "connections": {"CE": [3], "CLKI": [4], "CLKO": [5]}}])
def test_what_is_not_modelled_is_refused(cell):
    with pytest.raises(BuildError, match="must be"):
        routed(cell=cell)


def value_of(net, netlist, known):
    """Value of a net, from those of the inputs."""
    def walk(node):
        match node:
            case ast.Name(id=name):
                if name in (ZERO, ONE):
                    return int(name == ONE)
                return known[name] if name in known else value_of(name, netlist, known)
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return 1 - walk(operand)
            case ast.BinOp(left=left, op=operator, right=right):
                a, b = walk(left), walk(right)
                return {ast.BitAnd: a & b, ast.BitOr: a | b, ast.BitXor: a ^ b}[type(operator)]
        raise AssertionError(ast.dump(node))
    return walk(ast.parse(netlist.gates[net], mode="eval").body)


def test_look_up_tables_are_what_their_bits_say():
    names, rng = ("n0", "n1", "n2", "n3"), random.Random(1)
    for table in [*range(0, 1 << 16, 257), *(rng.randrange(1 << 16) for _ in range(200))]:
        inputs = [rng.choice((name, name, name, ZERO, ONE, "n0")) for name in names]
        netlist = Netlist(gates={"f": lut(table, inputs)})
        for values in itertools.product((0, 1), repeat=4):
            known = dict(zip(names, values, strict=True)) | {ZERO: 0, ONE: 1}
            index = sum(known[name] << at for at, name in enumerate(inputs))
            assert value_of("f", netlist, known) == table >> index & 1


CHIP = """
module chip (input clk, output tx, input rx);
wire n1, tx, rx, clk;
reg n2 = 0, n3 = 0;
assign n1 = clk;
assign n4 = 0;
{}
endmodule
"""


def test_icebox_vlogs_forms_are_read():
    netlist = read_icebox(CHIP.format(
        "/* FF 1 1 0 */ always @(posedge n1) if (1'b1) n2 <= n9 ? 1'b1 : n5;\n"
        "/* FF 1 1 1 */ always @(negedge n1, posedge n9) if (n9) n3 <= 1'b0; else if (n6) n3 <= n5;"
        "\n/* FF 1 1 2 */ assign tx = n7;\n"
        "assign n5 = /* LUT 1 1 0 */ (n2 ? (rx ? 1'b0 : n3) : !rx);\n"
        "assign n8 = /* CARRY 1 1 0 */ (n2 & n3) | ((n2 | n3) & 1'b0);\n"
        "assign n7 = /* LUT 1 1 2 */ n8;"))
    assert netlist.inputs == ["clk", "rx"] and netlist.outputs == {"tx": "tx_net"}
    assert netlist.gates["tx_net"] == "n7" and netlist.gates["n7"] == "n8"
    first, second = netlist.flip_flops
    assert (first.reset_value, first.asynchronous, first.falling) == (True, False, False)
    assert (second.reset_value, second.asynchronous, second.falling) == (False, True, True)
    for n2, n3, rx in itertools.product((0, 1), repeat=3):
        known = {"n2": n2, "n3": n3, "rx": rx}
        assert value_of("n5", netlist, known) == ((0 if rx else n3) if n2 else 1 - rx)
        assert value_of("n8", netlist, known) == (n2 & n3)
    assert netlist.clock() == "clk" and netlist.buffers_of("clk") == {"clk", "n1"}


@pytest.mark.parametrize("line", [
    "initial n2 = 1;", "assign n5 = n2 + n3;", "SB_MAC16 #(\n  .A(1)\n) x (\n  .CLK(n1)\n);",
    "assign dsp0_0_5_clk = n1;", "assign n5 = (n2 ? n3);",
    "SB_RAM40_4KNR #(\n  .READ_MODE(0)\n) x (\n  .RCLKN(n1)\n);"])
def test_what_icebox_vlog_should_not_write_is_refused(line):
    with pytest.raises(BuildError):
        read_icebox(CHIP.format(line))


def test_a_clock_that_logic_makes_is_refused():
    netlist = Netlist(inputs=["clk", "rx"], gates={"n1": "(clk & rx)"},
                      flip_flops=[FlipFlop("q", "rx", "n1")])
    with pytest.raises(BuildError, match="must come from pins or PLLs"):
        lanes_verilog(netlist, 1)
    netlist = Netlist(inputs=["clk", "rx"], gates={"n1": "(clk & rx)"}, outputs={"tx": "n1"},
                      flip_flops=[FlipFlop("q", "rx", "clk")])
    with pytest.raises(BuildError, match="only be a clock"):
        lanes_verilog(netlist, 1)


def test_what_a_block_drives_that_is_not_modelled_is_refused():
    netlist = Netlist(inputs=["clk", "rx"], outputs={"tx": "q"},
                      flip_flops=[FlipFlop("q", "(rx & n7)", "clk")])
    with pytest.raises(BuildError, match="nothing drives n7"):
        lanes_verilog(netlist, 1)
    netlist.flip_flops[0].q = "rx"
    with pytest.raises(BuildError, match="one driver"):
        lanes_verilog(netlist, 1)
