"""Carry chains with open ends compute what they computed before, whatever an open CIN reads."""

import itertools

import pytest

from nmahw.devices._ecp5_chains import open_chain_ends

INPUTS = [f"{pin}{half}" for half in (0, 1) for pin in "ABCD"] + ["CIN"]


def adder(bits, subtract, read_carry=False, free_carry=False):
    """A module as Yosys maps ``a + b`` or ``a - b``: two bits a cell, constant carry in.

    Nets 100.. and 200.. are the operands, 300.. the result, 400.. carries, 500.. unused.
    """
    cells, carry = {}, 600 if free_carry else str(int(subtract))
    for index in range(-(-bits // 2)):
        nets = {"CIN": [carry], "COUT": [carry := 400 + index]}
        for half in (0, 1):
            bit = 2 * index + half
            there = bit < bits
            nets |= {f"A{half}": [100 + bit if there else "0"],
                     f"B{half}": [200 + bit if there else "0"],
                     f"C{half}": [str(int(subtract))], f"D{half}": ["1"],
                     f"S{half}": [300 + bit if there else 500 + bit]}
        cells[f"cell{index}"] = {
            "type": "CCU2C", "connections": nets,
            "parameters": {"INIT0": format(0x96AA, "016b"), "INIT1": format(0x96AA, "016b"),
                           "INJECT1_0": "NO", "INJECT1_1": "NO"},
            "port_directions": {name: "input" if name in INPUTS else "output" for name in nets}}
    out = [300 + bit for bit in range(bits)] + ([carry] if read_carry else [])
    return {"cells": cells, "ports": {"y": {"direction": "output", "bits": out}}}


def evaluate(module, values, unknown):
    """Values of the output's nets, cell after cell, after FPGA-TN-02200's CCU2C."""
    values = {**values, "0": 0, "1": 1, "x": unknown}
    for cell in module["cells"].values():
        nets, carry = cell["connections"], values[cell["connections"]["CIN"][0]]
        for half in (0, 1):
            init = int(cell["parameters"][f"INIT{half}"], 2)
            a, b, c, d = (values[nets[f"{pin}{half}"][0]] for pin in "ABCD")
            lut4, lut2 = init >> (a + 2 * b + 4 * c + 8 * d) & 1, init >> (a + 2 * b) & 1
            values[nets[f"S{half}"][0]] = lut4 ^ carry
            carry = carry if lut4 else lut2
        values[nets["COUT"][0]] = carry
        values["x"] = unknown
    return [values[bit] for bit in module["ports"]["y"]["bits"]]


def operands(bits):
    for a, b in itertools.product(range(2**bits), repeat=2):
        yield {600: 1, **{100 + i: a >> i & 1 for i in range(bits)},
               **{200 + i: b >> i & 1 for i in range(bits)}}, a, b


@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize("bits, opened", [(1, 2), (2, 1), (3, 2), (4, 1), (5, 2)])
def test_sums_stay_what_they_are(bits, opened, subtract):
    module = adder(bits, subtract)
    assert open_chain_ends(module) == opened
    cells = list(module["cells"].values())
    assert cells[-1]["connections"]["COUT"] == ["x"]
    # Only an odd chain has half a cell to spare for the carry.
    assert (cells[0]["connections"]["CIN"] == ["x"]) == (bits % 2 == 1)
    for values, a, b in operands(bits):
        total = a - b if subtract else a + b
        for unknown in (0, 1):
            result = evaluate(module, values, unknown)
            assert result == [total >> bit & 1 for bit in range(bits)]
    assert open_chain_ends(module) == 0


def test_a_carry_that_is_read_stays():
    module = adder(3, False, read_carry=True)
    assert open_chain_ends(module) == 0
    for values, a, b in operands(3):
        assert evaluate(module, values, 1)[:3] == [a + b >> bit & 1 for bit in range(3)]


def test_a_carry_inside_that_is_read_stays_where_it_is():
    module = adder(3, False)
    module["ports"]["y"]["bits"].append(400)
    assert open_chain_ends(module) == 1
    for values, a, b in operands(3):
        carry = (a % 4 + b % 4) >> 2
        assert evaluate(module, values, 0) == [a + b >> bit & 1 for bit in range(3)] + [carry]


def test_a_carry_from_a_signal_stays():
    module = adder(3, False, free_carry=True)
    assert open_chain_ends(module) == 1
    assert module["cells"]["cell0"]["connections"]["CIN"] == [600]


def test_a_first_half_that_generates_needs_no_carry():
    """As `nmahw.devices.ecp5` builds gated additions: the first half carries A & B."""
    module = adder(2, False)
    first = module["cells"]["cell0"]
    first["parameters"]["INIT0"] = format(0x0008, "016b")
    assert open_chain_ends(module) == 2
    assert first["connections"]["CIN"] == ["x"] and first["connections"]["A0"] == [100]
