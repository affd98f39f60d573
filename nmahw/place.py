"""From RTLIL to a placed and routed design: mapped once, nextpnr once per seed.

Utilisation, frequency and critical path come from nextpnr's JSON report; logs are only read to
explain a failure. Finished runs are kept in the build cache under a key of netlist, options,
seed and nextpnr's version.
"""

import gzip
import json
import os
import re
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .cache import Cache
from .devices import RESOURCES, Device, FlowOptions
from .errors import BuildError, UsageError
from .netlist import count_cells, port_bits, read_top
from .synthesise import Netlist, check_fit, does_not_fit, synthesise
from .toolchain import Cancelled, find
from .workbench import Say, Workbench

if TYPE_CHECKING:
    from .boards import Pin

__all__ = ["CriticalPath", "PlacedResult", "check_seeds", "fmax_median", "place_and_route",
           "utilisation_median"]

_UTILISATION_LINE = re.compile(r"Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%")
# What nextpnr's placers say when there is no room (common/place/*.cc).
_NO_ROOM = re.compile(r"no B[Ee][Ll]s remaining|design is probably at utilisation limit|"
                      r"Unable to find (?:a )?(?:legal )?placement|[Ff]ailed to place|"
                      r"Unable to place cell|[Ff]ailed to find .*(?:location|placement)")


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


def place_and_route(rtlil: str, device: Device, options: FlowOptions, seeds: Sequence[int],
                    jobs: int = 2, cache: Cache | None = None, progress: Say | None = None,
                    bench: Workbench | None = None, label: str = "design",
                    pins: "Mapping[str, Pin] | None" = None, bitstream: bool = False
                    ) -> list[PlacedResult]:
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
    bitstream : bool
        Also write what the family's packer takes.

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
    return bench.parallel([lambda seed=seed: _place(netlist, seed, bench, label, pins or {},
                                                      bitstream)
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
           pins: "Mapping[str, Pin]", bitstream: bool) -> PlacedResult:
    device, rules = netlist.device, netlist.device.rules
    tool = find(rules.place_tool)
    constraints = rules.constraint_files(device, port_bits(netlist.path), pins)
    arguments = [*rules.place_arguments(device), "--json", "netlist.json",
                 "--write", "placed.json", "--report", "report.json", "--seed", str(seed),
                 "--freq", f"{netlist.options.target_mhz:g}", "--timing-allow-fail", "-q",
                 "-l", "nextpnr.log", *(rules.bitstream_arguments if bitstream else ())]
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
            cells = count_cells(read_top(folder / "placed.json"))
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
        raise does_not_fit(device, {name: (need, has) for name, (need, has) in
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
