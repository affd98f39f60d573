"""Area of the parallel AdderNet kernel (16x16 channels, 8 bits), beside the same with products.

    python benchmarks/l1_kernel.py [--seeds N] [--json F]

``xcup`` is the kernel mapped by ``synth_xilinx -family xcup -nodsp`` (LUTs of every size are
counted alike); ``ecp5`` is placed and routed behind a serial harness: operands come from a shift
register (no logic), accumulators are captured into another one, one LUT a bit. The kernel of
products is only mapped for ECP5, through Yosys's `booth` and by default.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from nmahw.devices import FlowOptions, device
from nmahw.files import write_atomically
from nmahw.gateware.l1_kernel import L1Kernel, ParallelKernel, ProductKernel
from nmahw.place import fmax_median, place_and_route, utilisation_median
from nmahw.synthesise import synthesise
from nmahw.toolchain import find
from nmahw.workbench import Workbench

_LUT = re.compile(r"^\s+(\d+)\s+(LUT[1-6]|CARRY4|CARRY8|FDRE)$", re.MULTILINE)


class Serial(wiring.Component):
    """A kernel behind four pins."""

    def __init__(self, kernel: ParallelKernel):
        self.kernel = kernel
        super().__init__({"si": In(1), "so": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.kernel = dut = self.kernel.create()
        inputs = [*dut.x, *(w for row in dut.w for w in row), dut.valid, dut.first]
        shifted = Signal(sum(len(signal) for signal in inputs) + 1, reset_less=True)
        m.d.sync += shifted.eq(Cat(self.si, shifted))
        at = 1
        for signal in inputs:
            m.d.comb += signal.eq(shifted[at:at + len(signal)])
            at += len(signal)
        outputs = Cat(*dut.sums)
        captured = Signal(len(outputs), reset_less=True)
        m.d.sync += [captured.eq(Mux(shifted[0], outputs, captured >> 1)), self.so.eq(captured[0])]
        return m


def xcup(kernel: ParallelKernel, bench: Workbench) -> dict:
    """Cells of the bare kernel, by Yosys's statistics."""
    yosys = find("yosys")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "kernel.il").write_text(rtlil.convert(kernel.create(), name="top",
                                                        emit_src=False))
        bench.run(yosys, ["-q", "-l", "yosys.log", "-p",
                          "read_rtlil kernel.il; synth_xilinx -family xcup -nodsp -noiopad "
                          "-flatten -top top; tee -o stat.txt stat"],
                  folder, folder / "screen.log", "mapping onto xcup")
        cells = {kind: int(number)
                 for number, kind in _LUT.findall((folder / "stat.txt").read_text())}
    luts = {kind: number for kind, number in cells.items() if kind.startswith("LUT")}
    return {"lut": sum(luts.values()), "cells": cells, "yosys": yosys.version}


def ecp5_mapped(kernel: ParallelKernel, options: FlowOptions, bench: Workbench) -> dict:
    """Cells of the kernel behind its harness."""
    netlist = synthesise(rtlil.convert(Serial(kernel), name="top", emit_src=False),
                         device("ecp5-85k"), options, bench)
    return {"lut": netlist.needs["lut"], "ff": netlist.needs["ff"], "yosys": netlist.tool_version}


def ecp5_placed(kernel: ParallelKernel, seeds: int, bench: Workbench) -> dict:
    """The kernel behind its harness, placed and routed."""
    results = place_and_route(rtlil.convert(Serial(kernel), name="top", emit_src=False),
                              device("ecp5-45k"), FlowOptions(), range(1, seeds + 1), bench=bench)
    path = results[0].critical_path
    return {"device": "ecp5-45k", "utilisation": dict(utilisation_median(results)),
            "fmax_mhz": fmax_median(results), "fmax_mhz_by_seed": [r.fmax_mhz for r in results],
            "critical_path": {"start": path.start, "end": path.end, "logic_ns": path.logic_ns,
                              "routing_ns": path.routing_ns},
            "tool_versions": dict(results[0].tool_versions)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/l1_kernel.json"))
    arguments = parser.parse_args()
    bench = Workbench(jobs=1, say=print)
    l1, product = L1Kernel(), ProductKernel()
    results = {
        "differences_per_cycle": l1.inputs * l1.outputs,
        "reference": {"source": "github.com/mqhuangGit/AdderNet-FPGA",
                      "lut, Vivado, l1": 7065, "lut, Vivado, products": 20493,
                      "lut, synth_xilinx -family xcup, l1": 6866,
                      "remark": "its box also holds image address counters and output gates"},
        "l1": {"xcup": xcup(l1, bench), "ecp5": ecp5_placed(l1, arguments.seeds, bench)},
        "products": {"xcup": xcup(product, bench),
                     "ecp5, booth, mapped only": ecp5_mapped(
                         product, FlowOptions(yosys_passes=("booth",)), bench),
                     "ecp5, default, mapped only": ecp5_mapped(product, FlowOptions(), bench)},
    }
    write_atomically(arguments.json, (json.dumps(results, indent=2) + "\n").encode())
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
