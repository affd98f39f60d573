"""Area and clock of `int_add` beside true floating-point products with the same accumulators.

    python benchmarks/float_elements.py [--device D] [--seeds N] [--jobs J] [--elements-only]
                                        [--only NAME ...] [--json F]

``alone`` is one element mapped without any harness; ``element`` the same placed and routed behind
one: inputs come from a shift register (no logic), outputs are folded into a register, one LUT a
bit. ``array`` is 4x4 elements behind the same harness, with row units, weights loaded through a
chain, and an accumulator of 8 more bits per column.
"""

import argparse
import json
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from nmahw.arith import ARITHMETICS, Arithmetic, Operand
from nmahw.devices import FlowOptions, device
from nmahw.files import write_atomically
from nmahw.floats import FixedPoint
from nmahw.gateware.array import SystolicArray
from nmahw.gateware.gated_add import GatedAdd
from nmahw.place import fmax_median, place_and_route, utilisation_median
from nmahw.synthesise import synthesise
from nmahw.workbench import Workbench

#: Passes of the flow.
_BOOTH, _DEFAULT = FlowOptions(yosys_passes=("booth",)), FlowOptions()
_NARROW, _WIDE = {"window": FixedPoint(-14, 17)}, {"window": FixedPoint(-32, 49)}
#: Name of a row: arithmetic, its parameters, options of the flow, whether an array is built too.
DESIGNS = {
    "int_add_bf16": ("int_add_bf16", {}, _DEFAULT, True),
    "float_multiply_bf16, Booth": ("float_multiply_bf16", {}, _BOOTH, True),
    "float_multiply_bf16, Booth, two stages": ("float_multiply_bf16", {"product_stages": 2},
                                               _BOOTH, False),
    "float_multiply_bf16, default": ("float_multiply_bf16", {}, _DEFAULT, False),
    "float_multiply_bf16, DSP": ("float_multiply_bf16", {}, FlowOptions(hard_multiplier=True),
                                 False),
    "int_add_bf16, 17 bits": ("int_add_bf16", _NARROW, _DEFAULT, False),
    "float_multiply_bf16, Booth, 17 bits": ("float_multiply_bf16", _NARROW, _BOOTH, False),
    "int_add_bf16, 49 bits": ("int_add_bf16", _WIDE, _DEFAULT, False),
    "float_multiply_bf16, Booth, 49 bits": ("float_multiply_bf16", _WIDE, _BOOTH, False),
    "int_add_e4m3": ("int_add_e4m3", {}, _DEFAULT, False),
    "float_multiply_e4m3, Booth": ("float_multiply_e4m3", {}, _BOOTH, False),
    "int_add_e5m2": ("int_add_e5m2", {}, _DEFAULT, False),
    "float_multiply_e5m2, default": ("float_multiply_e5m2", {}, _DEFAULT, False),
    "int_add_fp32": ("int_add_fp32", {}, _DEFAULT, False),
    "float_multiply_fp32, Booth": ("float_multiply_fp32", {}, _BOOTH, False),
}
#: What is compared with what.
PAIRS = [("int_add_bf16", "float_multiply_bf16, Booth"),
         ("int_add_bf16", "float_multiply_bf16, Booth, two stages"),
         ("int_add_bf16", "float_multiply_bf16, default"),
         ("int_add_bf16, 17 bits", "float_multiply_bf16, Booth, 17 bits"),
         ("int_add_bf16, 49 bits", "float_multiply_bf16, Booth, 49 bits"),
         ("int_add_e4m3", "float_multiply_e4m3, Booth"),
         ("int_add_e5m2", "float_multiply_e5m2, default"),
         ("int_add_fp32", "float_multiply_fp32, Booth")]
_ROWS = _COLUMNS = 4
_ACCUMULATOR_EXTRA_BITS = 8


class Array(wiring.Component):
    """Row units, weights in a chain, elements, an accumulator per column."""

    def __init__(self, arithmetic: Arithmetic):
        self.arithmetic = arithmetic
        self.value_shape = arithmetic.value_shape(_ROWS)
        super().__init__({
            "activations": In(arithmetic.activation.bits * _ROWS), "first": In(1),
            "load": In(1), "code": In(arithmetic.weight_code_bits),
            "sums": Out((self.value_shape.width + _ACCUMULATOR_EXTRA_BITS) * _COLUMNS)})

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        m.submodules.array = array = SystolicArray(arithmetic, _ROWS, _COLUMNS, hop=8)
        code = self.code
        for row in range(_ROWS):
            unit = arithmetic.create_row_unit()
            m.submodules[f"row_unit{row}"] = unit
            m.d.comb += [unit.active.eq(1), unit.activations.eq(self.activations.word_select(
                row, arithmetic.activation.bits)), array.symbols[row].eq(unit.symbol)]
            for column in range(_COLUMNS):
                held = Signal(arithmetic.weight_code_bits, reset_less=True)
                with m.If(self.load):
                    m.d.sync += held.eq(code)
                m.d.comb += array.codes[row][column].eq(held)
                code = held
        totals = []
        for column in range(_COLUMNS):
            unit = arithmetic.create_column_unit(_ROWS)
            m.submodules[f"column_unit{column}"] = unit
            total = Signal(signed(self.value_shape.width + _ACCUMULATOR_EXTRA_BITS),
                           reset_less=True)
            go_on = Signal(name=f"go_on{column}", reset_less=True)
            m.submodules[f"accumulate{column}"] = adder = GatedAdd(
                unit.value.shape(), total.shape(), total.shape(), gate=True)
            m.d.comb += [unit.psum.eq(array.psums[column]), adder.augend.eq(unit.value),
                         adder.addend.eq(total), adder.gate.eq(go_on)]
            m.d.sync += [go_on.eq(~self.first), total.eq(adder.total)]
            totals.append(total)
        m.d.comb += self.sums.eq(Cat(*totals))
        return m


class Harness(wiring.Component):
    """Inputs from a shift register, outputs folded into one."""

    si: In(1)
    so: Out(1)

    def __init__(self, inside: wiring.Component, inputs: tuple[str, ...], output: str):
        self._inside, self._inputs, self._output = inside, inputs, output
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.inside = inside = self._inside
        inputs = Cat(*(getattr(inside, name) for name in self._inputs))
        output = getattr(inside, self._output)
        shifted = Signal(len(inputs), reset_less=True)
        folded = Signal(len(output), reset_less=True)
        m.d.comb += inputs.eq(shifted)
        m.d.sync += [shifted.eq(Cat(self.si, shifted)), self.so.eq(folded[-1]),
                     folded.eq(output.as_unsigned() ^ (folded << 1))]
        return m


def measure(name: str, device_name: str, seeds: list[int], bench: Workbench,
            arrays: bool = True) -> dict:
    """Figures of one row."""
    arithmetic_name, parameters, options, has_array = DESIGNS[name]
    kind = ARITHMETICS.get(arithmetic_name)
    operand = Operand(kind.activation_bits[0], False)
    arithmetic = kind(operand, operand, **parameters)
    target = device(device_name)
    result = {"arithmetic": str(arithmetic), "window": [arithmetic.window.lsb_exponent,
                                                        arithmetic.window.bits],
              "options": options.describe()}
    bare = synthesise(rtlil.convert(arithmetic.create(_ROWS - 1), name="top", emit_src=False),
                      target, options, bench, f"{name} alone")
    result["alone"] = {"comb": bare.needs["lut"], "ff": bare.needs["ff"],
                       "cells": dict(bare.cells)}
    tops = {"element": Harness(arithmetic.create(_ROWS - 1), ("symbol", "weight", "psum_i"),
                               "psum_o")}
    if has_array and arrays:
        tops["array"] = Harness(Array(arithmetic), ("activations", "first", "load", "code"), "sums")
    for what, top in tops.items():
        text = rtlil.convert(top, name="top", emit_src=False)
        placed = place_and_route(text, target, options, seeds, bench=bench,
                                 label=f"{name} {what}")
        used = utilisation_median(placed)
        median = fmax_median(placed)
        path = min(placed, key=lambda r: abs(r.fmax_mhz - median)).critical_path
        result[what] = {
            "comb": used["lut"], "ff": used["ff"], "dsp": used["dsp"], "carry": used["carry"],
            "fmax_mhz": round(median, 1),
            "fmax_by_seed": {str(r.seed): round(r.fmax_mhz, 1) for r in placed},
            "critical_path": {"start": path.start, "end": path.end,
                              "logic_ns": round(path.logic_ns, 2),
                              "routing_ns": round(path.routing_ns, 2)}}
        result["tools"] = placed[0].tool_versions
    return result


def ratios(rows: dict[str, dict]) -> list[dict]:
    """Every pair that was measured: first over second."""
    return [{"of": a, "over": b,
             "alone_comb": round(rows[a]["alone"]["comb"] / rows[b]["alone"]["comb"], 3),
             **{f"{what}_{figure}": round(rows[a][what][figure] / rows[b][what][figure], 3)
                for what in ("element", "array") if what in rows[a] and what in rows[b]
                for figure in ("comb", "ff", "fmax_mhz")}}
            for a, b in PAIRS if a in rows and b in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="ecp5-25k")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--elements-only", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(DESIGNS), metavar="NAME")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bench, seeds = Workbench(jobs=options.jobs), list(range(1, options.seeds + 1))
    rows = {}
    for name in options.only or DESIGNS:
        rows[name] = row = measure(name, options.device, seeds, bench,
                                   not options.elements_only)
        print(f"{name}: alone {row['alone']['comb']} COMB {row['alone']['ff']} FF; "
              + "; ".join(f"{what} {row[what]['comb']} COMB {row[what]['ff']} FF "
                          f"{row[what]['fmax_mhz']} MHz ({row[what]['critical_path']['start']} -> "
                          f"{row[what]['critical_path']['end']})"
                          for what in ("element", "array") if what in row), flush=True)
    document = {"schema": "nmahw-float-elements", "version": 1, "device": options.device,
                "seeds": seeds, "rows": rows, "ratios": ratios(rows)}
    for ratio in document["ratios"]:
        print(ratio)
    if options.json:
        write_atomically(options.json, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
