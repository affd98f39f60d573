# amaranth: UnusedElaboratable=no
"""Gated adders: against Python integers, and every family's cells proved equal to them."""

import itertools
import json
import re

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Shape, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from small_designs import shared_bench

from nmahw.carry_chain import CarryChain, replace_carry_chains
from nmahw.devices import FAMILIES, FlowOptions
from nmahw.errors import BuildError
from nmahw.gateware.gated_add import GatedAdd
from nmahw.synthesise import synthesise
from nmahw.toolchain import find, prewarm, run

OPTIONS = [(), ("gate",), ("negate",), ("carry",), ("gate", "negate"), ("gate", "carry"),
           ("negate", "carry"), ("gate", "negate", "carry"), ("subtract",), ("gate", "subtract"),
           ("subtract", "twos"), ("gate", "subtract", "twos")]
SHAPES = [(unsigned(3), unsigned(2)), (signed(3), signed(2)), (signed(2), unsigned(3)),
          (unsigned(1), signed(3))]
BUILDERS = [family for family in FAMILIES if "carry_chain" in vars(family)]


def create(augend, addend, total, options) -> GatedAdd:
    return GatedAdd(augend, addend, total, **dict.fromkeys(options, True))


def values(shape: Shape) -> range:
    return (range(-(1 << (shape.width - 1)), 1 << (shape.width - 1)) if shape.signed
            else range(1 << shape.width))


@pytest.mark.parametrize("options", OPTIONS, ids="-".join)
@pytest.mark.parametrize("total", [signed(5), unsigned(4), signed(2)], ids=repr)
@pytest.mark.parametrize("augend, addend", SHAPES, ids=repr)
def test_sums_are_those_of_integers(augend, addend, total, options):
    dut = create(augend, addend, total, options)

    async def bench(ctx):
        for a, b, *bits in itertools.product(values(augend), values(addend),
                                             *[(0, 1)] * len(options)):
            given = dict(zip(options, bits, strict=True))
            for name, value in {"augend": a, "addend": b, **given}.items():
                ctx.set(getattr(dut, name), value)
            await ctx.delay(1e-9)
            term = ~b if given.get("negate") or given.get("subtract") else b
            brought = given.get("subtract", 0) & given.get("twos", given.get("gate", 1))
            expected = a + term * given.get("gate", 1) + given.get("carry", 0) + brought
            assert (ctx.get(dut.total) - expected) % (1 << total.width) == 0
            assert ctx.get(dut.total) in values(total)

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


def test_there_are_no_ports_that_are_not_asked_for():
    for options in OPTIONS:
        dut = create(4, 4, 5, options)
        assert set(dut.signature.members) == {"augend", "addend", "total", *options}
        text = rtlil.convert(dut, emit_src=False)
        assert set(re.findall(r"wire width \d+ input \d+ .*\\(\w+)", text)) == {
            "augend", "addend", *options}


@pytest.mark.parametrize("shapes, options, message", [
    ((0, 4, 4), (), "augend shape must have at least one bit, not 0"),
    ((4, 4, unsigned(0)), (), "total shape must have at least one bit, not unsigned"),
    ((4, 4, 4), ("subtract", "carry"), "must be subtract or negate and carry, not both"),
    ((4, 4, 4), ("subtract", "negate"), "must be subtract or negate and carry, not both")])
def test_what_makes_no_sense_is_refused(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        create(*shapes, options)


# Proof: the text with a family's cells against the text without, by Yosys's SAT solver.

def prove(pairs, family, folder) -> None:
    """Raise BuildError unless the two RTLIL texts of each pair compute the same.

    Inputs that nothing drives, such as a first carry cell's, may have any value.
    """
    steps = []
    for index, (gold, text, verilog) in enumerate(pairs):
        (folder / f"gold{index}.il").write_text(gold)
        (folder / f"gate{index}.il").write_text(text)
        (folder / f"chains{index}.v").write_text(verilog)
        steps += comparison(f"gold{index}.il", family, [f"read_verilog chains{index}.v",
                                                        f"read_rtlil gate{index}.il"])
    run_yosys(steps, folder)


def comparison(gold, family, commands) -> list[str]:
    """Commands that fail unless the RTLIL file and what `commands` read compute the same."""
    prepare = ["prep -flatten -top top"]
    return ["design -reset", f"read_rtlil {gold}", *prepare, "rename top gold",
            "design -stash gold", *commands,
            # With EQUIV, iCE40's big memories have no model, which takes minutes to read.
            f"read_verilog -DEQUIV -overwrite {family.cell_models}",
            *prepare, "rename top gate", "design -copy-from gold gold",
            "miter -equiv -flatten -make_assert gold gate miter",
            "sat -verify -prove-asserts miter"]


def run_yosys(steps, folder) -> None:
    (folder / "prove.ys").write_text("\n".join([*steps, "tee -o done.txt stat", ""]))
    yosys = find("yosys")
    prewarm([yosys])
    run(yosys, ["-q", "-s", "prove.ys"], folder)
    assert (folder / "done.txt").stat().st_size


def texts(family, augend, addend, total, options, build=None) -> tuple[str, str, str]:
    gold = rtlil.convert(create(augend, addend, total, options), name="top", emit_src=False)
    return gold, *replace_carry_chains(gold, build or family.carry_chain)


@pytest.mark.parametrize("family", BUILDERS, ids=lambda family: family.name)
@pytest.mark.parametrize("widths", [(1, 2, 2), (3, 1, 1), (2, 4, 3), (5, 4, 6), (10, 8, 11)],
                         ids=str)
def test_a_familys_cells_are_the_adder(family, widths, tmp_path):
    pairs, built = [], []
    for options in OPTIONS:
        for signs in ((True, True), (False, False), (True, False)):
            shapes = [Shape(width, sign) for width, sign in zip(widths, (*signs, True),
                                                               strict=True)]
            pair = texts(family, *shapes, options)
            if pair[2]:
                pairs.append(pair)
                built.append(options)
    inverting = {"negate", "subtract"}
    assert {o for o in OPTIONS if {"gate", *inverting} & set(o)} - set(built) == {
        "gowin": {o for o in OPTIONS if "twos" in o or ("gate" in o and inverting & set(o))},
        "ice40": {o for o in OPTIONS if "gate" not in o or {"negate", "twos", "carry"} & set(o)}
        & {o for o in OPTIONS if {"gate", *inverting} & set(o)}}.get(family.name, set())
    prove(pairs, family, tmp_path)


MUTATIONS = {"ecp5": [("16'h96AA", "16'h96A9"), ("16'h96AA", "16'h69AA"),
                      ("16'h0008", "16'h000A"), (".D0(gate)", ".D0(1'b1)"),
                      (".CIN(carried[1])", ".CIN(carried[0])")],
             "gowin": [(".ALU_MODE(9)", ".ALU_MODE(0)"), (".I1(gate)", ".I1(1'b1)"),
                       (".CIN(carried[2])", ".CIN(carried[1])"), ("1'b0;", "1'b1;")],
             "ice40": [("16'hC66C", "16'hC66E"), (".I0(gate)", ".I0(1'b1)"),
                       (".CI(carried[2])", ".CI(carried[1])")]}


@pytest.mark.parametrize("family, old, new", [
    pytest.param(family, *mutation, id=f"{family.name}-{mutation[0]}-{mutation[1]}")
    for family in BUILDERS for mutation in MUTATIONS.get(family.name, ())])
def test_wrong_cells_are_found_out(family, old, new, tmp_path):
    options = ("gate", "subtract") if family.name == "ecp5" else ("gate",)
    body = family.carry_chain(CarryChain(5, **dict.fromkeys(options, True)))
    at = body.rindex(old) if old.startswith((".CI", ".D0", "1'b0")) else body.index(old)
    mutant = body[:at] + body[at:].replace(old, new, 1)
    pair = texts(family, signed(4), signed(4), signed(5), options, lambda chain: mutant)
    with pytest.raises(BuildError, match="(?s)failed with exit code 1.*proof did fail"):
        prove([pair], family, tmp_path)


class Tangle(wiring.Component):
    """Adders among slices, constants and equal names, each of which changes a module's ports."""

    def __init__(self):
        super().__init__({"augend": In(signed(6)), "gate": In(3), "addend": In(4),
                          "total": Out(signed(7)), "upper": Out(4), "first": Out(signed(6)),
                          "plain": Out(7), "sign": Out(2), "both": Out(6)})

    def elaborate(self, platform):
        m = Module()
        adders = {name: create(*arguments) for name, *arguments in (
            ("direct", signed(6), signed(4), signed(7), ("gate",)),
            ("sliced", unsigned(5), signed(3), unsigned(6), ("negate", "carry")),
            ("first", unsigned(1), signed(4), signed(6), ("gate", "subtract")),
            ("empty", unsigned(1), signed(4), signed(6), ("gate",)),
            ("fixed", signed(6), unsigned(4), signed(7), ("gate",)),
            ("signs", signed(3), signed(3), unsigned(6), ("gate", "subtract")))}
        for name, adder in adders.items():
            m.submodules[name] = inner = Module()
            inner.submodules.gated_add = adder
            inner.d.comb += adder.addend.eq(self.addend)
            if name not in ("first", "empty"):
                inner.d.comb += adder.augend.eq(self.augend[1:4] if name == "sliced"
                                                else self.augend)
        direct, sliced, first, empty, fixed, signs = adders.values()
        m.d.comb += [
            direct.gate.eq(self.gate[0]), sliced.negate.eq(self.gate[1]),
            sliced.carry.eq(self.gate.xor()), first.gate.eq(self.gate[2]),
            first.subtract.eq(1), empty.gate.eq(self.gate[0]), fixed.gate.eq(1),
            signs.gate.eq(self.augend[5]), signs.subtract.eq(self.gate[0] & self.gate[1]),
            self.total.eq(direct.total), self.upper.eq(sliced.total[2:]),
            self.first.eq(first.total ^ empty.total), self.plain.eq(fixed.total),
            self.sign.eq(Cat(signs.total[-1], direct.total[0])), self.both.eq(signs.total)]
        return m


@pytest.mark.parametrize("family", BUILDERS, ids=lambda family: family.name)
def test_the_mapped_netlist_is_the_design(family, tmp_path, tmp_path_factory):
    gold = rtlil.convert(Tangle(), name="top", emit_src=False)
    bench = shared_bench(tmp_path_factory)
    with_cells, without = (synthesise(gold, family.devices[0], FlowOptions(carry_primitive=on),
                                      bench) for on in (True, False))
    assert with_cells.key != without.key
    (tmp_path / "gold.il").write_text(gold)
    netlist = json.loads(with_cells.path.read_text())
    for cell in netlist["modules"]["top"]["cells"].values():
        # Nobody is a constant "x" to nextpnr, which Yosys does not take for an output.
        cell["connections"] = {port: bits for port, bits in cell["connections"].items()
                               if set(bits) != {"x"}}
    (tmp_path / "netlist.json").write_text(json.dumps(netlist))
    run_yosys(comparison("gold.il", family, ["read_json netlist.json", "delete =A:blackbox"]),
              tmp_path)


def test_only_worthwhile_adders_are_exchanged():
    text, verilog = replace_carry_chains(rtlil.convert(Tangle(), name="top", emit_src=False),
                                         lambda chain: "  // " + chain.name + "\n")
    exchanged = {module for module, body in re.findall(r"^module \\(\S+)\n(.*?)^end$", text,
                                                       re.M | re.S) if "carry_chain_" in
                 re.findall(r"cell \\(\S+)", body + "cell \\none")[0]}
    assert exchanged == {f"top.{name}.gated_add" for name in ("direct", "sliced", "signs")}
    assert sorted(re.findall("// (.*)", verilog)) == [
        "carry_chain_6_gate_subtract", "carry_chain_6_negate_carry", "carry_chain_7_gate"]


def test_source_locations_do_not_matter():
    text, verilog = replace_carry_chains(rtlil.convert(Tangle(), name="top", emit_src=True),
                                         lambda chain: "\n")
    assert text.count("  cell \\carry_chain_") == 3 and verilog.count("endmodule") == 3
    assert "wire width 6 \\chain_augend" in text


def test_without_a_form_of_the_familys_nothing_changes():
    text = rtlil.convert(Tangle(), name="top", emit_src=False)
    assert replace_carry_chains(text, lambda chain: None) == (text, "")
    assert FlowOptions(carry_primitive=False).describe()["carry_primitive"] is False
    assert FlowOptions().describe() != FlowOptions(carry_primitive=False).describe()
