"""The resource estimator: rules by hand, figures against designs that Yosys mapped, `auto`."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from nmahw._census import _narrow_array, census
from nmahw._logic import Logic
from nmahw._mapping_rules import MemoryShape
from nmahw.arith import ARITHMETICS
from nmahw.bundled import load_model, sample_for
from nmahw.choose import best, choices, cost, resolve
from nmahw.cli import run
from nmahw.design import Design
from nmahw.devices import FAMILIES, Device, FlowOptions, device
from nmahw.errors import DoesNotFit, UsageError
from nmahw.estimate import (
    _chain_luts,
    _model,
    at_least,
    clock_mhz,
    estimate,
    features,
    fitted_arithmetics,
)
from nmahw.gateware.array import SystolicArray
from nmahw.gateware.gated_add import GatedAdd
from nmahw.kernel import Kernel
from nmahw.measure import operands, rtlil_behind_pins
from nmahw.netlist import read_top
from nmahw.place import place_and_route
from nmahw.result import flow_options
from nmahw.synthesise import synthesise

STORED = Path(__file__).parents[1] / "benchmarks" / "results" / "estimate_samples.json"


def memory(width, depth, *, style="", ports=1, rom=False, registered=False):
    return MemoryShape(width, depth, style, ports, rom, True, registered,
                       (0,) * depth if rom else ())


# What Yosys 0.70 made of these memories.
@pytest.mark.parametrize("family, shape, blocks", [
    ("ecp5", memory(24, 512, style="block"), 1),
    ("ecp5", memory(24, 1024, style="block"), 2),
    ("ecp5", memory(18, 1024, rom=True), 1),
    # Several narrow words of a ROM are read at once, with a choice behind.
    ("ecp5", memory(1, 17000, rom=True), 1), ("ecp5", memory(1, 50816, rom=True), 3),
    ("ecp5", memory(3, 5000, rom=True), 1), ("ice40", memory(1, 3000, rom=True), 1),
    ("ice40", memory(1, 15369, rom=True), 4), ("ice40", memory(2, 5000, rom=True), 3),
    ("ice40", memory(3, 3000, rom=True), 3),
    ("ecp5", memory(8, 4096, rom=True), 2),
    ("ecp5", memory(16, 512, ports=2, rom=True), 1),
    ("ecp5", memory(4, 160), 0),
    ("ecp5", memory(8, 160), 0),
    ("ecp5", memory(8, 168), 1),
    ("ecp5", memory(7, 42, rom=True), 0),
    ("ice40", memory(24, 512, style="block"), 3),
    ("ice40", memory(16, 256, ports=2, rom=True), 2),
])
def test_block_rams_by_rule(family, shape, blocks):
    assert FAMILIES.get(family).mapping.memory(shape).block_ram == blocks


def test_registers_move_into_block_rams_unless_they_are_wide_roms():
    rules = FAMILIES.get("ecp5").mapping
    assert rules.memory(memory(18, 512, rom=True, registered=True)).ff == -18
    assert rules.memory(memory(32, 512, rom=True, registered=True)).ff == 0
    assert rules.memory(memory(24, 512, style="block", registered=True)).ff == -24
    assert rules.memory(memory(24, 512, style="block")).ff == 0


def test_logic_folds_constants_and_shares_gates():
    logic = Logic()
    a, b, s = logic.leaf(), logic.leaf(), logic.leaf()
    assert logic.conjunction(a, 0) == 0 and logic.conjunction(a, 1) == a
    assert logic.conjunction(a, a ^ 1) == 0 and logic.disjunction(a, a ^ 1) == 1
    assert logic.difference(a, a) == 0 and logic.difference(a, 1) == a ^ 1
    assert logic.difference(a, b) == logic.difference(b ^ 1, a ^ 1)
    assert logic.choice(s, a, b) == logic.choice(s ^ 1, b, a)
    assert logic.choice(s, 1, 0) == s and logic.choice(s, a, a) == a


@pytest.mark.parametrize("inputs, luts", [(1, 0), (2, 1), (4, 1), (5, 2), (7, 2), (16, 5)])
def test_a_conjunction_takes_as_few_luts_as_there_can_be_or_one_more(inputs, luts):
    logic = Logic()
    root = logic.tree("conjunction", [logic.leaf() for _ in range(inputs)])
    assert luts <= logic.luts([root]) <= luts + (inputs > 4)


class Registers(wiring.Component):
    """One register that is read, one that is not, one that never changes, two that are equal."""

    i: In(4)
    o: Out(4)
    p: Out(4)

    def elaborate(self, platform):
        m = Module()
        read, same, unread, still = (Signal(4, name=f"r{n}", reset_less=True) for n in range(4))
        m.d.sync += [read.eq(self.i), same.eq(self.i), unread.eq(self.i & unread),
                     still.eq(0)]
        m.d.comb += [self.o.eq(read), self.p.eq(same ^ still)]
        return m


def test_a_function_of_few_signals_takes_few_tables_however_it_is_written():
    logic = Logic()
    signals = [logic.leaf() for _ in range(6)]

    def parity_of_conjunctions(inputs):
        return logic.tree("difference", [
            logic.tree("conjunction", [signal ^ (pattern >> bit & 1)
                                       for bit, signal in enumerate(inputs)])
            for pattern in range(0, 1 << len(inputs), 3)])

    assert logic.luts([parity_of_conjunctions(signals[:4])]) == 1
    five = parity_of_conjunctions(signals[:5])
    assert logic.luts([five]) == 2 and logic.luts([five, five ^ 1]) == 2
    assert logic.luts([parity_of_conjunctions(signals)]) > 7


def test_a_small_function_is_not_counted_again_in_what_reads_it():
    logic = Logic()
    signals = [logic.leaf() for _ in range(12)]
    small = logic.tree("difference", [
        logic.tree("conjunction", [signal ^ (pattern >> bit & 1)
                                   for bit, signal in enumerate(signals[:5])])
        for pattern in range(0, 32, 3)])
    large = logic.tree("difference", [small, *signals[5:]])
    assert logic.luts([small]) == 2
    assert logic.luts([small, large]) <= 2 + 3


def test_a_function_does_not_depend_on_what_makes_no_difference():
    logic = Logic()
    x, y, *others = (logic.leaf() for _ in range(5))
    # Every pattern of the others gives x and y, written so that nothing folds.
    cases = [logic.tree("conjunction", [x, y, *(signal ^ (pattern >> bit & 1)
                                               for bit, signal in enumerate(others))])
             for pattern in range(8)]
    assert logic.luts([logic.tree("disjunction", cases)]) == 1


def test_census_counts_what_synthesis_leaves():
    (part, number), = census(Registers()).items()
    assert (part.name, number, part.ff) == ("Registers", 1, 4)


@pytest.mark.parametrize("name, hop", [
    ("dsp_registered", 2), ("bit_serial", 2), ("distributed", 3), ("fair_square", 4), ("dsp", 1)])
def test_an_array_is_counted_from_narrow_ones(name, hop):
    arithmetic = ARITHMETICS.get(name).nearest(*operands(5, 6))
    array = SystolicArray(arithmetic, 3, 7, hop, arithmetic.holds_weights)
    own, rest = _narrow_array(array, {})
    shared = Counter()
    found = {}
    for part, number in census(array).items():
        if part.name == "SharedRegisters":
            shared[part.marked_ff] += number
        else:
            found[part] = number
    # Of columns that see the same symbol, one has its registers.
    groups = -(-7 // hop)
    same = sum(part.shared_ff * number for part, number in rest.items()) // 7
    assert sum(shared.values()) == same * (7 - groups)
    assert shared[-1] == (same * (7 - groups) if name == "dsp_registered" else 0)
    assert amounts(found) == amounts({own: 1, **rest})


def amounts(parts):
    """Of flip-flops and LUTs, and of everything that parts list."""
    found = Counter()
    for part, number in parts.items():
        for name, value in vars(part).items():
            if isinstance(value, int):
                found[name] += number * value
            elif isinstance(value, tuple):
                found.update({(name, item): number * n for item, n in Counter(value).items()})
    return found


def stored(held_out_only=False):
    samples = json.loads(STORED.read_text())
    return [pytest.param(sample, id=key) for key, sample in samples.items()
            if "needs" in sample and (sample["held_out"] or not held_out_only)]


def subject_of(sample):
    if sample["network"]:
        return Design.of(load_model(sample["network"]), sample["arithmetic"], sample["rows"],
                         sample["columns"])
    return Kernel.of(sample["arithmetic"], sample["rows"], sample["columns"],
                     *operands(sample["weight_bits"], sample["activation_bits"]),
                     positions=sample["positions"])


@pytest.mark.parametrize("sample", stored(held_out_only=True))
def test_estimates_of_designs_not_fitted_to(sample):
    needs = sample["needs"]
    found = estimate(subject_of(sample), sample["device"])
    assert found.is_fitted
    assert found.resources["lut"] == pytest.approx(needs["lut"], rel=0.1)
    assert found.resources["ff"] == pytest.approx(needs["ff"], rel=0.1)
    assert found.resources["dsp"] == needs["dsp"]
    assert found.resources["block_ram"] == needs["block_ram"]


@pytest.mark.long
@pytest.mark.parametrize("family, name, rows, columns, bits", [
    (family, *kernel) for family in ("ecp5", "gowin", "ice40") for kernel in [
        ("bit_serial", 5, 3, (7, 6)), ("distributed", 3, 5, (4, 8)), ("dsp", 5, 5, (8, 8)),
        ("dsp_registered", 3, 4, (8, 8)), ("quarter_square", 3, 5, (5, 5)), ("booth", 3, 3, (6, 6))]
    # iCE40 has no distributed RAM, and HX none of the multipliers.
    if family != "ice40" or not kernel[0].startswith(("distributed", "dsp"))])
def test_estimates_against_yosys(family, name, rows, columns, bits):
    kernel = Kernel.of(name, rows, columns, *operands(*bits), positions=256)
    part = device({"ecp5": "ecp5-45k", "gowin": "gw2ar-18", "ice40": "ice40-hx8k"}[family])
    netlist = synthesise(rtlil_behind_pins(kernel.create()), part,
                         flow_options(kernel.arithmetic))
    needs = {**netlist.needs, "lut": part.rules.packed_luts(read_top(netlist.path))}
    found = estimate(kernel, part).resources
    assert found["lut"] == pytest.approx(needs["lut"], rel=0.1)
    assert found["ff"] == pytest.approx(needs["ff"], rel=0.1)
    assert (found["dsp"], found["block_ram"]) == (needs["dsp"], needs["block_ram"])


# What Yosys 0.70 made of these kernels and designs.
@pytest.mark.parametrize("name, bits, blocks", [
    ("gw1nr-9", (8, 8), 4), ("gw1nr-9", (12, 12), 8), ("gw1nr-9", (3, 8), 0),
    ("gw1nr-9", (8, 3), 4), ("gw1nr-9", (8, 9), 8), ("gw1nr-9", (9, 8), 4),
    ("gw1nr-9", (4, 4), 4), ("ecp5-45k", (12, 12), 4)])
def test_hard_multipliers_by_width(name, bits, blocks):
    kernel = Kernel.of("dsp", 2, 2, *operands(*bits), positions=256)
    assert estimate(kernel, name).resources["dsp"] == blocks


# A factor of 17 bits: the last one is logic beside a multiplier of 16, half of one of 18.
@pytest.mark.parametrize("name, bits, blocks", [
    ("ice40-up5k", (5, 5), 4), ("ice40-up5k", (3, 5), 4), ("gw1nr-9", (5, 5), 8),
    ("gw1nr-9", (2, 2), 4)])
def test_hard_multipliers_of_pairs(name, bits, blocks):
    kernel = Kernel.of("dsp_pair", 2, 2, *operands(*bits), positions=64)
    assert estimate(kernel, name).resources["dsp"] == blocks


@pytest.mark.parametrize("choice, blocks", [
    ("0=dsp,4=bit_serial", 6), ("0=dsp,4=fabric", 12), ("0=dsp,4=booth", 0)])
def test_hard_multipliers_of_a_choice_by_layer(choice, blocks):
    design = Design.of(load_model("digits-w8a8"), choice, 3, 2)
    assert estimate(design, "ecp5-45k").resources["dsp"] == blocks


def test_registers_inside_multipliers_are_not_counted():
    part, operand = device("ecp5-45k"), operands(8, 8)
    own, plain = (features(Kernel.of(name, 3, 4, *operand, positions=256), part)["exact"]
                  for name in ("dsp_registered", "dsp"))
    # Mapped: 1,206 flip-flops. Twelve weights and products, and three activations once a group.
    assert own["dsp"] == plain["dsp"] == 12
    assert round(own["ff"]) == pytest.approx(1206, abs=40)


@pytest.mark.parametrize("family, options", [
    (family, options) for family in ("ecp5", "gowin", "ice40") for options in [
        ("gate",), ("subtract",), ("negate",), ("negate", "carry"), ("gate", "negate"),
        ("gate", "subtract"), ("gate", "carry"), ("gate", "subtract", "twos")]
    # Alone, without the register that follows in elements, Yosys makes three tables a bit of it.
    if (family, options) != ("ice40", ("gate", "subtract"))])
@pytest.mark.long
def test_look_up_tables_of_chains_are_those_mapped(family, options):
    part = device({"ecp5": "ecp5-45k", "gowin": "gw1nr-9", "ice40": "ice40-hx8k"}[family])
    def mapped_luts(**chosen):
        text = rtlil_behind_pins(GatedAdd(12, 12, 12, **chosen))
        return part.rules.packed_luts(read_top(synthesise(text, part, FlowOptions()).path))

    more = mapped_luts(**dict.fromkeys(options, True)) - mapped_luts(gate=True)
    expected = _chain_luts(part, 12, options) - _chain_luts(part, 12, ("gate",))
    assert more == pytest.approx(expected, abs=4)


OUTPUTS = ("O", "Q", "CO", "F", "SUM", "COUT")


def mapped(*cells):
    """Mapped module of (type, pins), of nets by number; net 99 is a port."""
    return {"ports": {"o": {"direction": "output", "bits": [99]}}, "cells": {
        str(index): {"type": kind, "connections": {pin: [net] for pin, net in pins.items()},
                     "port_directions": {pin: "output" if pin in OUTPUTS else "input"
                                         for pin in pins}}
        for index, (kind, pins) in enumerate(cells)}}


@pytest.mark.parametrize("cells, luts", [
    ([("SB_LUT4", {"I0": 1, "I1": 2, "I2": 3, "I3": 4, "O": 10}),
      ("SB_DFF", {"D": 10, "Q": 11})], 1),
    # A LUT that drives something else as well, or a port; a register behind a register.
    ([("SB_LUT4", {"I0": 1, "I1": 2, "I2": 3, "I3": 4, "O": 10}),
      ("SB_DFF", {"D": 10, "Q": 11}), ("SB_DFFE", {"D": 10, "Q": 12})], 3),
    ([("SB_LUT4", {"I0": 1, "I1": 2, "I2": 3, "I3": 4, "O": 99}),
      ("SB_DFF", {"D": 99, "Q": 11})], 2),
    ([("SB_DFF", {"D": 10, "Q": 11}), ("SB_DFF", {"D": 11, "Q": 12})], 2),
    # A carry with a LUT of its operands, one without, a chain that begins with a signal.
    ([("SB_CARRY", {"I0": 2, "I1": 3, "CI": "0", "CO": 20}),
      ("SB_LUT4", {"I0": "0", "I1": 2, "I2": 3, "I3": "0", "O": 10})], 1),
    ([("SB_CARRY", {"I0": 2, "I1": 3, "CI": "0", "CO": 20}),
      ("SB_CARRY", {"I0": 4, "I1": 5, "CI": 20, "CO": 21}),
      ("SB_LUT4", {"I0": "0", "I1": 4, "I2": 5, "I3": 20, "O": 10})], 2),
    ([("SB_CARRY", {"I0": 2, "I1": 3, "CI": 7, "CO": 20})], 2),
])
def test_ice40_cells_are_packed_as_nextpnr_does(cells, luts):
    assert FAMILIES.get("ice40").packed_luts(mapped(*cells)) == luts


@pytest.mark.parametrize("cells, luts", [
    ([("LUT2", {"I0": 1, "I1": 2, "F": 10}), ("DFF", {"D": 10, "Q": 11})], 1),
    # A LUT that drives something else as well, or a port; a register behind a register.
    ([("LUT2", {"I0": 1, "I1": 2, "F": 10}), ("DFF", {"D": 10, "Q": 11}),
      ("DFFE", {"D": 10, "Q": 12})], 3),
    ([("LUT2", {"I0": 1, "I1": 2, "F": 99}), ("DFF", {"D": 99, "Q": 11})], 2),
    ([("DFF", {"D": 10, "Q": 11}), ("DFF", {"D": 11, "Q": 12})], 2),
    # A chain has a cell in front and an even number of them; two of one beginning are two.
    ([("ALU", {"I0": 1, "I1": 2, "CIN": 5, "COUT": 20, "SUM": 10}), ("DFF", {"D": 10, "Q": 11})],
     2),
    ([("ALU", {"I0": 1, "I1": 2, "CIN": 5, "COUT": 20, "SUM": 10}),
      ("ALU", {"I0": 1, "I1": 2, "CIN": 20, "COUT": 21, "SUM": 12})], 4),
    ([("ALU", {"I0": 1, "I1": 2, "CIN": 5, "COUT": 20, "SUM": 10}),
      ("ALU", {"I0": 3, "I1": 2, "CIN": 5, "COUT": 21, "SUM": 12})], 4),
    # A carry that logic reads leaves through a cell; two chains from one carry begin anew.
    ([("ALU", {"I0": 1, "I1": 2, "CIN": 5, "COUT": 20, "SUM": 10}),
      ("LUT1", {"I0": 20, "F": 30})], 5),
    ([("ALU", {"I0": 1, "I1": 2, "CIN": 5, "COUT": 20, "SUM": 10}),
      ("ALU", {"I0": 1, "I1": 2, "CIN": 20, "COUT": 21, "SUM": 12}),
      ("ALU", {"I0": 1, "I1": 3, "CIN": 20, "COUT": 22, "SUM": 13})], 8),
    ([("ALU", {"I0": 1, "I1": 2, "CIN": 5, "COUT": "x", "SUM": 10}),
      ("ALU", {"I0": 1, "I1": 2, "CIN": "x", "COUT": "x", "SUM": 12})], 4),
    # What is left of a RAM's tile stays empty.
    ([("RAM16SDP4", {})], 8),
])
def test_gowin_cells_are_packed_as_nextpnr_does(cells, luts):
    assert FAMILIES.get("gowin").packed_luts(mapped(*cells)) == luts


@pytest.mark.long
@pytest.mark.parametrize("name, arithmetic, off", [
    ("ice40-hx8k", "bit_serial", 0.02),
    # Some flip-flops go through LUTs of their own though an adder is in front of them.
    ("gw1nr-9", "bit_serial", 0.06), ("gw1nr-9", "distributed", 0.06)])
def test_packed_cells_are_what_is_placed(name, arithmetic, off):
    text = Design.of(load_model("digits-w4a4"), arithmetic, 2, 2).rtlil("serial")
    part, options = device(name), FlowOptions()
    packed = part.rules.packed_luts(read_top(synthesise(text, part, options).path))
    placed, = place_and_route(text, part, options, [1])
    assert packed == pytest.approx(placed.utilisation["lut"], rel=off)


def test_what_was_not_fitted_is_said():
    kernel = Kernel.of("l1", 2, 2, *operands(4, 4))
    assert not estimate(kernel).is_fitted
    with pytest.raises(UsageError, match="family with a fitted model"):
        estimate(kernel, "gatemate-a1")


def test_limits_decide_what_fits():
    kernel = Kernel.of("dsp", 6, 6, *operands(8, 8))
    found = estimate(kernel, "ecp5-25k")
    assert not found.fits and found.lacking == {"dsp": (36, 28)}
    assert estimate(kernel, "ecp5-45k").fits


@pytest.fixture(scope="module")
def network():
    return load_model("digits-w4a4")


@pytest.fixture(scope="module")
def ranked(network):
    return choices(network, 2, 2)


def closed_form(design, found):
    """Cost by the documented formula, from what `nmahw estimate` shows."""
    area = found.resources["lut"] + found.resources["block_ram"] * 43848 / 108
    return design.cycles_per_image / found.clock_mhz * area


def test_auto_takes_the_cheapest_of_what_fits(network, ranked):
    assert len(ranked) >= 3 and all(c.estimate.fits for c in ranked)
    costs = []
    for choice in ranked:
        design = Design.of(network, choice.text, 2, 2)
        assert design.arithmetic.exact and not design.arithmetic.is_baseline
        assert {a.name for a in design.arithmetics} <= set(fitted_arithmetics("ecp5-45k"))
        costs.append(closed_form(design, estimate(design)))
        assert choice.cost == pytest.approx(costs[-1])
    assert costs == sorted(costs)
    assert best(network, 2, 2) == ranked[0]


def test_what_does_not_fit_comes_last_and_is_refused(network, monkeypatch):
    found = choices(network, 8, 8, "ice40-hx8k")
    fits = [choice.estimate.fits for choice in found]
    assert fits == sorted(fits, reverse=True) and True in fits and False in fits
    assert best(network, 8, 8, "ice40-hx8k") == found[0]
    small = Device("small", "", "ecp5", {"lut": 500, "ff": 500, "dsp": 0, "block_ram": 4})
    with pytest.raises(DoesNotFit, match="auto must find a choice of arithmetics that fits, but "
                                         "there is none; with the cheapest one, 1=.* does not "
                                         "fit small: it needs .* COMB of 500"):
        resolve(network, "auto", 2, 2, small)


@pytest.mark.parametrize("model, array, part", [
    # Narrow slices of memories become look-up tables; arrays of odd shapes have them.
    ("mlp64-int5", (13, 2), "ecp5-25k"), ("mlp64-int5", (13, 4), "ecp5-25k"),
    ("lenet5-w4a4", (13, 5), "ecp5-45k"), ("digits-w8a8", (3, 5), "ice40-hx8k")])
def test_the_bound_that_auto_relies_on_is_one(model, array, part):
    network, part = load_model(model), device(part)
    found = choices(network, *array, part)
    for choice in found:
        design = Design.of(network, choice.text, *array)
        bound = at_least(design, part)
        assert all(bound[name] <= choice.estimate.resources[name]
                   for name in ("dsp", "block_ram", "lut")), choice.text
    assert best(network, *array, part) == found[0]


def test_a_block_ram_costs_the_luts_it_comes_with():
    part = device("ecp5-45k")
    assert cost(part, {"lut": 594, "block_ram": 1}, 10, 2.0) == pytest.approx(5 * 1000)
    # Where clocks are not known they are equal.
    assert cost(part, {"lut": 100, "block_ram": 0}, 10, None) == 1000


def test_clocks_fall_with_the_slowest_arithmetic_and_with_size():
    part = device("ecp5-45k")
    alone = {name: clock_mhz([name], 16, part) for name in ("bit_serial", "booth")}
    assert clock_mhz(["bit_serial", "booth"], 16, part) == min(alone.values())
    assert clock_mhz(["bit_serial"], 256, part) < alone["bit_serial"]
    # As measured on placed accelerators, 4x4 arrays: benchmarks/results/lenet5-*.json.
    assert 90 < alone["booth"] < 120 < alone["bit_serial"] < 160
    assert min(alone.values()) < clock_mhz(["unheard of"], 16, part) < max(alone.values()) + 20


def test_auto_is_a_choice_like_others(network, ranked):
    assert resolve(network, "booth", 2, 2) == "booth"
    assert resolve(network, "auto", 2, 2) == ranked[0].text
    assert Design.of(network, "auto", 2, 2) == Design.of(network, ranked[0].text, 2, 2)


def test_every_choice_computes_the_same(network, ranked):
    images = sample_for(network).first(20).x
    expected = network.predict(images).reshape(len(images), -1)
    for choice in ranked:
        design = Design.of(network, choice.text, 2, 2)
        assert np.array_equal(design.predict(images), expected)


def test_command(tmp_path, capsys):
    path = tmp_path / "estimate.json"
    assert run(["estimate", "digits-w4a4", "--array", "2x2", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "auto: --arith 1=" in out and "fits ecp5-45k" in out
    found = json.loads(path.read_text())
    assert found["fits"] and found["cycles_per_image"] > 0
    assert run(["estimate", "--arith", "dsp", "--array", "6x6", "--device", "ecp5-25k"]) \
        == DoesNotFit.exit_code
    assert "does not fit ecp5-25k: 36 DSP of 28" in capsys.readouterr().out
    for wrong in (["digits-w4a4", "--bits", "8x8"], [], ["--arith", "dsp", "--positions", "0"],
                  ["--arith", "dsp", "--bits", ""]):
        assert run(["estimate", *wrong]) == UsageError.exit_code
    # Not as if its tables came for nothing.
    assert run(["estimate", "--arith", "distributed", "--array", "2x2",
                "--device", "ice40-hx8k"]) == DoesNotFit.exit_code
    assert ("does not fit ice40-hx8k: 4 memories in distributed RAM of 0"
            in capsys.readouterr().out)


def test_what_does_not_fit_is_told_with_its_figures(tmp_path, capsys):
    path = tmp_path / "estimate.json"
    assert run(["estimate", "lenet5-w8a8", "--array", "4x4", "--device", "ice40-hx1k",
                "--json", str(path)]) == DoesNotFit.exit_code
    out = capsys.readouterr().out
    assert "auto: --arith 0=" in out and "does not fit ice40-hx1k" in out
    found = json.loads(path.read_text())
    assert not found["fits"] and found["resources"]["lut"] > found["limits"]["lut"]


def test_a_clock_that_nobody_measured_is_called_a_guess(capsys):
    part = device("ecp5-45k")
    known = set(_model(part)["clock"]["arithmetics"])
    assert "booth" in known and "rows" not in known
    for name in ("booth", "rows"):
        assert estimate(Design.of(load_model("digits-w4a4"), name, 2, 2), part).clock_is_fitted \
            == (name in known)
        run(["estimate", "digits-w4a4", "--arith", name, "--array", "2x2"])
        assert ("a guess: no accelerator" in capsys.readouterr().out) == (name not in known)
