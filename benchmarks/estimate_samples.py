"""Designs the resource estimator is fitted to and tested on, mapped by Yosys (nothing is placed).

    python benchmarks/estimate_samples.py [FAMILY ...]

Adds what is not yet there to benchmarks/results/estimate_samples.json, one sample at a time.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from nmahw.bundled import load_model
from nmahw.design import Design
from nmahw.devices import FAMILIES
from nmahw.devices import device as find_device
from nmahw.errors import NmahwError
from nmahw.files import write_atomically
from nmahw.kernel import Kernel
from nmahw.measure import operands, rtlil_behind_pins
from nmahw.netlist import read_top
from nmahw.result import flow_options
from nmahw.synthesise import synthesise

__all__ = ["DEVICES", "RESULTS", "Sample", "samples"]

RESULTS = Path(__file__).parent / "results" / "estimate_samples.json"
#: The device that stands for its family, of all families that say how memories are mapped.
DEVICES = {family.name: max(family.devices, key=lambda device: device.limits["lut"]).name
           for family in FAMILIES if family.mapping}


@dataclass(frozen=True)
class Sample:
    """A kernel (`network` empty) or a network's accelerator, behind four pins.

    Attributes
    ----------
    arithmetic : str
        Name, or a choice by layer.
    rows, columns : int
    network : str
        A bundled one.
    weight_bits, activation_bits, positions : int
        Of a kernel.
    held_out : bool
        Not for fitting.
    """

    arithmetic: str
    rows: int
    columns: int
    network: str = ""
    weight_bits: int = 8
    activation_bits: int = 8
    positions: int = 512
    held_out: bool = False

    @property
    def key(self) -> str:
        """Its name in the results."""
        what = self.network or (f"kernel w{self.weight_bits}a{self.activation_bits} "
                                f"p{self.positions}")
        return f"{what} {self.arithmetic} {self.rows}x{self.columns}"

    def subject(self) -> Kernel | Design:
        """What is estimated."""
        if self.network:
            return Design.of(load_model(self.network), self.arithmetic, self.rows, self.columns)
        return Kernel.of(self.arithmetic, self.rows, self.columns,
                         *operands(self.weight_bits, self.activation_bits),
                         positions=self.positions)

    def measure(self, device: str) -> dict[str, object]:
        """What Yosys makes of it."""
        subject = self.subject()
        text = subject.rtlil("serial") if self.network else rtlil_behind_pins(subject.create())
        part = find_device(device)
        netlist = synthesise(text, part, flow_options(subject.arithmetic))
        needs = {**netlist.needs, "lut": part.rules.packed_luts(read_top(netlist.path))}
        return {**asdict(self), "device": device, "needs": needs,
                "cells": dict(netlist.cells), "yosys": netlist.tool_version}


def samples(family: str) -> list[Sample]:
    """What is measured of a family, what matters most first."""
    has_distributed_ram = FAMILIES.get(family).mapping.has_distributed_ram
    table = "distributed" if has_distributed_ram else "distributed_block_ram"
    names = ("bit_serial", table, "booth", "dsp", "quarter_square", "fabric", "fair_square")
    found = []
    for name in names:
        found += [Sample(name, 2, 2), Sample(name, 4, 3),
                  Sample(name, 3, 2, weight_bits=4, activation_bits=4),
                  Sample(name, 2, 2, "digits-w4a4")]
    # Weights in logic: so few tiles that block RAMs would be wasted on them.
    found += [Sample("bit_serial", 5, 4, "digits-w4a4"),
              Sample("bit_serial", 10, 6, "digits-w8a8"),
              Sample("bit_serial", 8, 8, held_out=True),
              Sample(table, 8, 8, held_out=True),
              Sample("bit_serial", 8, 8, "digits-w8a8", held_out=True),
              Sample("bit_serial", 2, 10), Sample(table, 2, 10),
              Sample(table, 8, 8, "digits-w8a8", held_out=True),
              Sample("quarter_square", 8, 8, held_out=True),
              Sample(f"conv2d={table},dense=bit_serial", 4, 4, "lenet5-w4a4", held_out=True),
              Sample("booth", 6, 6, held_out=True)]
    for name in names:
        found += [Sample(name, 2, 4, "digits-w8a8"),
                  Sample(name, 2, 4, weight_bits=6, activation_bits=5),
                  Sample(name, 4, 4, weight_bits=5, activation_bits=7, held_out=True),
                  Sample(name, 4, 4, "digits-w8a8", held_out=True)]
    for name in names:
        found += [Sample(name, 4, 2, "mlp-w4a4")]
    return found


def main(families: list[str]) -> None:
    """Measure what is missing."""
    for family in families or DEVICES:
        for sample in samples(family):
            known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            key = f"{family}: {sample.key}"
            if key in known:
                continue
            try:
                known[key] = sample.measure(DEVICES[family])
            except NmahwError as error:
                known[key] = {**asdict(sample), "device": DEVICES[family], "problem": str(error)}
            print(key, known[key].get("needs", known[key].get("problem")), flush=True)
            write_atomically(RESULTS, json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
