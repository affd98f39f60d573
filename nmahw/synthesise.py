"""From RTLIL to a device's cells: Yosys, once per design.

Cell counts come from the netlist; logs are only read to explain a failure. Finished netlists are
kept in the build cache under a key of RTLIL (without source locations, which change nothing),
options and Yosys's version.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .carry_chain import replace_carry_chains
from .devices import Device, FlowOptions
from .errors import BuildError, DoesNotFit
from .gateware.common import MULTIPLIER_REGISTER
from .netlist import count_cells, top_module
from .toolchain import find
from .workbench import Workbench

__all__ = ["Netlist", "check_fit", "does_not_fit", "synthesise"]

# Lines that change nothing: where a cell comes from, and empty ones.
_IDLE_LINE = re.compile(r"^[ \t]*(?:attribute \\src .*)?\n", re.MULTILINE)


@dataclass(frozen=True)
class Netlist:
    """A design mapped onto a device's cells.

    Attributes
    ----------
    device : Device
    options : FlowOptions
    path : Path
        Yosys's JSON netlist.
    log : Path
    cells : mapping of str to int
        Cell types and how many of each.
    unmapped_cells : mapping of str to int
        The same before mapping, after the passes of `options`.
    needs : mapping of str to int
        Least amount of each resource that placing it can take.
    tool_version : str
        Of Yosys.
    key : str
        Identity: equal keys are equal netlists.
    """

    device: Device
    options: FlowOptions
    path: Path
    log: Path
    cells: Mapping[str, int]
    unmapped_cells: Mapping[str, int]
    needs: Mapping[str, int]
    tool_version: str
    key: str


def synthesise(rtlil: str, device: Device, options: FlowOptions,
               bench: Workbench | None = None, label: str = "design") -> Netlist:
    """Map a design onto a device's cells.

    Parameters
    ----------
    rtlil : str
        With a module ``top``.
    device : Device
    options : FlowOptions
    bench : Workbench, optional
    label : str
        What progress messages call the design.

    Raises
    ------
    DoesNotFit
        The design has memories in distributed RAM, the device none.
    BuildError
        Yosys refuses the design.
    EnvironmentProblem
        Yosys is missing, or the cache cannot be used.
    """
    bench = bench or Workbench()
    yosys = find("yosys")
    rtlil = _IDLE_LINE.sub("", rtlil)
    small_memories = rtlil.count('attribute \\ram_style "distributed"')
    if small_memories and not device.rules.has_distributed_ram():
        raise does_not_fit(device, {"distributed_ram": (small_memories, 0)})
    plain = rtlil
    rtlil, chains = (replace_carry_chains(rtlil, device.rules.carry_chain)
                     if options.carry_primitive else (rtlil, ""))
    script = _script(device, options, plain, bool(chains))
    parts = {"rtlil": rtlil.encode(), "script": script, "yosys": yosys.version,
             **({"chains": chains} if chains else {}),
             **({"finished": [device.rules.finish_version, options.block_ram_registers]}
                if device.rules.finish_version else {})}

    def build(folder: Path) -> None:
        (folder / "design.il").write_text(rtlil)
        (folder / "chains.v").write_text(chains)
        (folder / "synth.ys").write_text(script)
        log = folder / "yosys.log"
        # Yosys writes its own log: YoWASP's can lose what it prints once ABC has run.
        bench.run(yosys, ["-q", "-l", "yosys.log", "-s", "synth.ys"], folder,
                  folder / "screen.log", f"{label}: mapping onto {device.name}")
        for name in ("netlist.json", "stat.json", "unmapped.json"):
            if not (folder / name).is_file() or not (folder / name).stat().st_size:
                raise BuildError(f"yosys ended without writing {name} (log: {log})")
        (folder / "design.il").unlink()
        _finish(folder, device, options,
                f"attribute \\{MULTIPLIER_REGISTER} " in rtlil)

    entry = bench.cache.get_or_build("netlist", parts, build)
    cells, unmapped = (json.loads((entry / name).read_text())["design"]["num_cells_by_type"]
                       for name in ("stat.json", "unmapped.json"))
    return Netlist(device, options, entry / "netlist.json", entry / "yosys.log", cells, unmapped,
                   device.rules.at_least(cells), yosys.version, entry.name)


def _finish(folder: Path, device: Device, options: FlowOptions,
            multiplier_registers: bool) -> None:
    """Let the family change the netlist in `folder`, and count its cells again if it does."""
    if not device.rules.finish_version:
        return
    path, counts = folder / "netlist.json", folder / "stat.json"
    netlist, stat = (json.loads(file.read_text()) for file in (path, counts))
    module = top_module(netlist)
    if device.rules.finish_netlist(module, options, multiplier_registers):
        path.write_text(json.dumps(netlist))
        stat["design"]["num_cells_by_type"] = count_cells(module)
        counts.write_text(json.dumps(stat))


# Amaranth asks for the old value where a word is read and written in the same cycle, which block
# RAMs do not give: Yosys would build comparators and multiplexers around every one. No such value
# is ever used here (see nmahw.gateware.memory), so any will do.
_ANY_VALUE_ON_COLLISION = ("setparam -set COLLISION_X_MASK 1'1 "
                           "t:$memrd_v2 r:COLLISION_X_MASK=1'0 %i r:CLK_ENABLE>=1 %i")


def _has_primitives(rtlil: str) -> bool:
    """Whether there are instances of modules that are none of the design's (a PLL)."""
    modules = set(re.findall(r"^module \\(\S+)", rtlil, re.MULTILINE))
    return not set(re.findall(r"^  cell \\(\S+)", rtlil, re.MULTILINE)) <= modules


def _empty_memories(device: Device, rtlil: str) -> list[str]:
    """Commands that take the contents from memories that the device cannot give any.

    Amaranth's memories begin with zeros; these are written before they are read.
    """
    store = device.weight_store
    if store is None or f'attribute \\ram_style "{store.style}"' not in rtlil:
        return []
    return ["memory_collect", f"setparam -set INIT 1'x t:$mem_v2 a:ram_style={store.style} %i"]


def _script(device: Device, options: FlowOptions, rtlil: str, has_chains: bool) -> str:
    chains = [f"read_verilog -lib {device.rules.cell_models}", "read_verilog chains.v"]
    return "\n".join([
        "read_rtlil design.il", *(chains if has_chains else []),
        # The family's synthesis reads its primitives, and checks again.
        "hierarchy -top top" if _has_primitives(rtlil) else "hierarchy -check -top top",
        "proc", _ANY_VALUE_ON_COLLISION, "flatten", "opt", *_empty_memories(device, rtlil),
        *options.yosys_passes, "tee -o unmapped.json stat -json",
        *device.rules.map_commands(device, options),
        "write_json netlist.json", "tee -o stat.json stat -json", ""])


def check_fit(netlist: Netlist) -> None:
    """Refuse a netlist that cannot fit, before time is spent on placing it.

    Raises
    ------
    DoesNotFit
        Names every resource that is lacking, needed and available.
    """
    limits = netlist.device.limits
    lacking = {name: (need, limits[name]) for name, need in netlist.needs.items()
               if name in limits and need > limits[name]}
    if lacking:
        raise does_not_fit(netlist.device, lacking)


def does_not_fit(device: Device, lacking: dict[str, tuple[int, int]]) -> DoesNotFit:
    """The error that names what a device lacks: needed and there, by resource."""
    needs = ", ".join(f"{need} {device.rules.resource_title(name)} of {has}"
                      for name, (need, has) in lacking.items())
    if all(need <= has for need, has in lacking.values()):
        needs = f"no legal placement was found at {needs}"
    else:
        needs = f"it needs {needs}"
    if "distributed_ram" in lacking:
        needs += " (take an arithmetic without such tables, or with them in block RAM)"
    return DoesNotFit(f"the design does not fit {device.name}: {needs}", lacking)
