"""From RTLIL to a placed and routed design: Yosys once per design, nextpnr once per seed.

Utilisation, frequency and critical path come from nextpnr's JSON report, cell counts from the
netlist; logs are only read to explain a failure. Finished steps are kept in the build cache
under a key of RTLIL (without source locations, which change nothing), options and tool
versions.
"""

import gzip
import json
import os
import re
import shutil
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .cache import Cache
from .carry_chain import replace_carry_chains
from .devices import RESOURCES, Device, FlowOptions
from .errors import BuildError, DoesNotFit, UsageError
from .toolchain import Cancelled, find
from .workbench import Say, Workbench

if TYPE_CHECKING:
    from .boards import Pin

__all__ = ["CriticalPath", "Netlist", "PlacedResult", "check_fit", "check_seeds", "fmax_median",
           "netlist_cells", "place_and_route", "synthesise", "utilisation_median"]

# Lines that change nothing: where a cell comes from, and empty ones.
_IDLE_LINE = re.compile(r"^[ \t]*(?:attribute \\src .*)?\n", re.MULTILINE)
_UTILISATION_LINE = re.compile(r"Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%")
# What nextpnr's placers say when there is no room (common/place/*.cc).
_NO_ROOM = re.compile(r"no B[Ee][Ll]s remaining|design is probably at utilisation limit|"
                      r"Unable to find (?:a )?(?:legal )?placement|[Ff]ailed to place|"
                      r"Unable to place cell|[Ff]ailed to find .*(?:location|placement)")


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


@dataclass(frozen=True)
class CriticalPath:
    """The longest path from a flip-flop to a flip-flop; `start` and `end` are cell names."""

    start: str
    end: str
    logic_ns: float
    routing_ns: float
    steps: int


@dataclass(frozen=True)
class PlacedResult:
    """One place-and-route run.

    Attributes
    ----------
    seed : int
    fmax_mhz : float
        Highest clock frequency, the least over all clocks.
    utilisation : mapping of str to int
        Used, in `nmahw.devices.RESOURCES` and ``distributed_ram``, ``carry`` where known.
    raw_utilisation : mapping of str to int
        Used, by nextpnr's own cell types.
    limits : mapping of str to int
        What the device has.
    cells, placed_cells : mapping of str to int
        Cell types of the netlist before and after nextpnr.
    critical_path : CriticalPath or None
        None when no path starts and ends at the same clock.
    tool_versions : mapping of str to str
    report, log, netlist, placed_netlist : Path
        nextpnr's JSON report, its log, what went in and (compressed) what came out.
    """

    seed: int
    fmax_mhz: float
    utilisation: Mapping[str, int]
    raw_utilisation: Mapping[str, int]
    limits: Mapping[str, int]
    cells: Mapping[str, int]
    placed_cells: Mapping[str, int]
    critical_path: CriticalPath | None
    tool_versions: Mapping[str, str]
    report: Path
    log: Path
    netlist: Path
    placed_netlist: Path


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
    BuildError
        Yosys refuses the design.
    EnvironmentProblem
        Yosys is missing, or the cache cannot be used.
    """
    bench = bench or Workbench()
    yosys = find("yosys")
    rtlil = _IDLE_LINE.sub("", rtlil)
    rtlil, chains = (replace_carry_chains(rtlil, device.rules.carry_chain)
                     if options.carry_primitive else (rtlil, ""))
    script = _script(device, options, bool(chains))
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
        _finish(folder, device, options)

    entry = bench.cache.get_or_build("netlist", parts, build)
    cells, unmapped = (json.loads((entry / name).read_text())["design"]["num_cells_by_type"]
                       for name in ("stat.json", "unmapped.json"))
    return Netlist(device, options, entry / "netlist.json", entry / "yosys.log", cells, unmapped,
                   device.rules.at_least(cells), yosys.version, entry.name)


def _finish(folder: Path, device: Device, options: FlowOptions) -> None:
    """Let the family change the netlist in `folder`, and count its cells again if it does."""
    if not device.rules.finish_version:
        return
    path, counts = folder / "netlist.json", folder / "stat.json"
    netlist, stat = (json.loads(file.read_text()) for file in (path, counts))
    module = _top_module(netlist)
    if device.rules.finish_netlist(module, options):
        path.write_text(json.dumps(netlist))
        stat["design"]["num_cells_by_type"] = _count(module)
        counts.write_text(json.dumps(stat))


# Amaranth asks for the old value where a word is read and written in the same cycle, which block
# RAMs do not give: Yosys would build comparators and multiplexers around every one. No such value
# is ever used here (see nmahw.gateware.memory), so any will do.
_ANY_VALUE_ON_COLLISION = ("setparam -set COLLISION_X_MASK 1'1 "
                           "t:$memrd_v2 r:COLLISION_X_MASK=1'0 %i r:CLK_ENABLE>=1 %i")


def _script(device: Device, options: FlowOptions, has_chains: bool) -> str:
    chains = [f"read_verilog -lib {device.rules.cell_models}", "read_verilog chains.v"]
    return "\n".join([
        "read_rtlil design.il", *(chains if has_chains else []), "hierarchy -check -top top",
        "proc", _ANY_VALUE_ON_COLLISION, "flatten", "opt",
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
        raise _does_not_fit(netlist.device, lacking)


def _does_not_fit(device: Device, lacking: dict[str, tuple[int, int]]) -> DoesNotFit:
    words = {"lut": device.rules.lut_name, "ff": "FF", "dsp": "DSP", "block_ram": "block RAM"}
    needs = ", ".join(f"{need} {words.get(name, name)} of {has}"
                      for name, (need, has) in lacking.items())
    return DoesNotFit(f"the design does not fit {device.name}: it needs {needs}", lacking)


def place_and_route(rtlil: str, device: Device, options: FlowOptions, seeds: Sequence[int],
                    jobs: int = 2, cache: Cache | None = None, progress: Say | None = None,
                    bench: Workbench | None = None, label: str = "design",
                    pins: "Mapping[str, Pin] | None" = None) -> list[PlacedResult]:
    """Map, place and route a design, once per seed.

    Parameters
    ----------
    rtlil : str
        With a module ``top`` of few ports (such as a serial harness).
    device : Device
    options : FlowOptions
    seeds : sequence of int
        At least one, none twice.
    jobs, cache, progress
        See `Workbench`; ignored when `bench` is given.
    bench : Workbench, optional
    label : str
        What progress messages call the design.
    pins : mapping of str to Pin, optional
        Where ports have to be, e.g. on a board; the others are placed anywhere.

    Returns
    -------
    list of PlacedResult
        In the order of `seeds`.

    Raises
    ------
    DoesNotFit
        Names what the device lacks.
    BuildError
        A tool refuses the design.
    """
    seeds = check_seeds(seeds)
    if bench is None:
        bench = Workbench(cache or Cache(), jobs, progress or (lambda text: None))
    netlist = synthesise(rtlil, device, options, bench, label)
    check_fit(netlist)
    return bench.parallel([lambda seed=seed: _place(netlist, seed, bench, label, pins or {})
                           for seed in seeds])


def check_seeds(seeds: Sequence[int]) -> list[int]:
    """The seeds, if place and route can take them.

    Raises
    ------
    UsageError
        None, one twice, or one out of range.
    """
    seeds = list(seeds)
    if not seeds or len(set(seeds)) != len(seeds) or any(
            isinstance(s, bool) or not isinstance(s, int) or not 0 <= s < 2**31 for s in seeds):
        raise UsageError(f"seeds must be one or more different integers of 0..2^31-1, "
                         f"not {seeds!r}")
    return seeds


def _place(netlist: Netlist, seed: int, bench: Workbench, label: str,
           pins: "Mapping[str, Pin]") -> PlacedResult:
    device, rules = netlist.device, netlist.device.rules
    tool = find(rules.place_tool)
    constraints = rules.constraint_files(device, _port_bits(netlist.path), pins)
    arguments = [*rules.place_arguments(device), "--json", "netlist.json",
                 "--write", "placed.json", "--report", "report.json", "--seed", str(seed),
                 "--freq", f"{netlist.options.target_mhz:g}", "--timing-allow-fail", "-q",
                 "-l", "nextpnr.log"]
    parts = {"netlist": netlist.key, "arguments": arguments, "constraints": constraints,
             "nextpnr": tool.version}

    def build(folder: Path) -> None:
        for name, text in constraints.items():
            (folder / name).write_text(text)
        _link(netlist.path, folder / "netlist.json")
        try:
            bench.run(tool, arguments, folder, folder / "screen.log",
                      f"{label}: placing and routing, seed {seed}")
            json.loads((folder / "report.json").read_text())["fmax"]
            cells = _count_cells(folder / "placed.json")
        except (OSError, ValueError, KeyError):
            raise BuildError(f"{tool.name} ended without a readable report (log: "
                             f"{folder / 'nextpnr.log'})") from None
        except BuildError as error:
            if isinstance(error, Cancelled) or not (lacking := _no_room(folder, device)):
                raise
            (folder / "lacking.json").write_text(json.dumps(lacking))
            cells = {}
        else:
            _compress(folder / "placed.json")
        (folder / "cells.json").write_text(json.dumps(cells))
        (folder / "netlist.json").unlink()

    entry = bench.cache.get_or_build("placed", parts, build)
    if (entry / "lacking.json").is_file():
        raise _does_not_fit(device, {name: (need, has) for name, (need, has) in
                                     json.loads((entry / "lacking.json").read_text()).items()})
    report = json.loads((entry / "report.json").read_text())
    if not report["fmax"]:
        raise BuildError(f"{tool.name} found no clock in the design (log: "
                         f"{entry / 'nextpnr.log'})")
    raw = {name: item["used"] for name, item in report["utilization"].items()}
    return PlacedResult(
        seed=seed, fmax_mhz=min(item["achieved"] for item in report["fmax"].values()),
        utilisation=rules.utilisation(raw, netlist.cells), raw_utilisation=raw,
        limits=device.limits, cells=netlist.cells,
        placed_cells=json.loads((entry / "cells.json").read_text()),
        critical_path=_critical_path(report),
        tool_versions={"yosys": netlist.tool_version, tool.name: tool.version},
        report=entry / "report.json", log=entry / "nextpnr.log", netlist=netlist.path,
        placed_netlist=entry / "placed.json.gz")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _compress(path: Path) -> None:
    with open(path, "rb") as source, gzip.open(f"{path}.gz", "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target)
    path.unlink()


def _top(netlist: Path) -> dict:
    data = netlist.read_bytes()
    return _top_module(json.loads(gzip.decompress(data) if netlist.suffix == ".gz" else data))


def _top_module(netlist: dict) -> dict:
    modules = netlist["modules"]
    tops = [module for module in modules.values() if "top" in module.get("attributes", {})]
    return tops[0] if tops else modules["top"]


def _port_bits(netlist: Path) -> list[str]:
    """Names of the top module's port bits, as nextpnr makes them."""
    names = []
    for name, port in _top(netlist)["ports"].items():
        width = len(port["bits"])
        names += [name] if width == 1 else [f"{name}[{bit}]" for bit in range(width)]
    return names


def _count_cells(netlist: Path) -> dict[str, int]:
    return _count(_top(netlist))


def _count(module: dict) -> dict[str, int]:
    return dict(Counter(cell["type"] for cell in module["cells"].values()))


def netlist_cells(netlist: Path) -> list[tuple[str, str, str]]:
    """Name, type and source location of every cell of a JSON netlist (compressed or not)."""
    return [(name, cell["type"], cell.get("attributes", {}).get("src", ""))
            for name, cell in _top(netlist)["cells"].items()]


def _no_room(folder: Path, device: Device) -> dict[str, tuple[int, int]]:
    """What was lacking, if that is why nextpnr failed in `folder`; empty otherwise."""
    try:
        log = (folder / "nextpnr.log").read_text(errors="replace")
    except OSError:
        return {}
    cells = {kind: (int(used), int(has)) for kind, used, has in _UTILISATION_LINE.findall(log)}
    vendor = device.rules.vendor_cells()
    lacking = {kind: counts for kind, counts in cells.items() if counts[0] > counts[1]}
    if not lacking and _NO_ROOM.search(log):
        # Enough in number, but no legal arrangement: name what is fullest.
        known = {kind: counts for kind, counts in cells.items() if kind in vendor and counts[1]}
        if known:
            fullest = max(known, key=lambda kind: known[kind][0] / known[kind][1])
            lacking = {fullest: known[fullest]}
    return {vendor.get(kind, kind): counts for kind, counts in lacking.items()}


def _critical_path(report: dict) -> CriticalPath | None:
    inside = [path for path in report["critical_paths"]
              if path["from"] == path["to"] and path["from"] != "<async>" and path["path"]]
    if not inside:
        return None
    path = max(inside, key=lambda path: sum(step["delay"] for step in path["path"]))["path"]
    routing = sum(step["delay"] for step in path if step["type"] == "routing")
    return CriticalPath(path[0]["from"]["cell"], path[-1]["to"]["cell"],
                        sum(step["delay"] for step in path) - routing, routing, len(path))


def fmax_median(results: Sequence[PlacedResult]) -> float:
    """Median of the highest clock frequency over the seeds, MHz."""
    return statistics.median(result.fmax_mhz for result in results)


def utilisation_median(results: Sequence[PlacedResult]) -> dict[str, int]:
    """Median of each resource used over the seeds (which barely change it)."""
    return {name: round(statistics.median(r.utilisation[name] for r in results))
            for name in (*RESOURCES, *sorted(set(results[0].utilisation) - set(RESOURCES)))}
