"""Renders benchmarks/results/arrays.json: docs/arithmetics.md and docs/images/pareto_*.png.

    python benchmarks/render_arrays.py

Nothing in these files is written by hand: what the tables say was measured by
benchmarks/arrays.py, words around them are in this file.
"""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nmahw.arith import ARITHMETICS
from nmahw.devices import Device, devices
from nmahw.devices import device as device_called
from nmahw.files import write_atomically
from nmahw.measure import ArrayTask, ConstantTask, ElementTask, table_of
from nmahw.measured import ArrayRow, Measured, Measurement, row_of
from nmahw.report import with_prefix
from nmahw.report_plots import name_points, require_matplotlib

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "arrays.json"
_TASKS = {task.__name__: task for task in (ArrayTask, ConstantTask, ElementTask)}

_HEAD = """\
# Arithmetics, measured

Made from [`benchmarks/results/arrays.json`](../benchmarks/results/arrays.json) by
`benchmarks/render_arrays.py`; measured by `benchmarks/arrays.py`. One row is also one command:
`nmahw compare --array 8x8 --bits 8x8 --device ecp5-45k --arith NAME`, or `--elements`.

**Array**: a matrix kernel as a layer would use it: elements, skewed feeding, weight loading that
hides behind computing, accumulators in block RAM, control, and a harness that brings all ports to
four pins. All of it counts. **Element**: one place of the array, four of them measured behind the
same harness, less the harness, by four; without row, column and load units, weight registers and
accumulators. Arithmetics that need much of these look better as elements than they are. **Array
with built-in weights**: one layer as a circuit, random weights; all taps of a sum are in the array.

- *weights*: how many of the weights of that width have a code. Below 2^bits the arithmetic carries
  out another set of weights (powers of two, -1/0/1): it needs a network trained for it.
- *COMB*, *LC*, ...: logic cells used, as nextpnr counts them. On an ECP5 they include the LUTs that
  carry cells, distributed RAM and the write ports of distributed RAM are made of.
- *Fmax*: median over the seeds, and its range. Every row of a table has the same seeds and flow.
- *k/COMB*: thousand MAC a second for each logic cell. *to Booth*, *to dsp*: that figure, in
  relation to those baselines in the same table.
- *GMAC/s of* a device: as many whole arrays as the scarcest resource allows (logic cells, FF, hard
  multipliers, block RAM), at the Fmax of one. A full device will be slower, and has to be fed.
- *baseline*: multiplies. `booth` recodes in LUTs, `dsp` has hard multipliers (`dsp_registered`
  with the registers in them), `fabric` is what Yosys makes by default, `rows` adds rows by
  hand-placed carry chains.
"""


@dataclass(frozen=True)
class Kind:
    """How a row is drawn."""

    label: str
    colour: str
    hollow: bool = False


BASELINE = Kind("baseline: multiplies", "#b4561c", True)
EXACT = Kind("exact product, no multiplier", "#0f7b6c")
OTHER = Kind("other weights or operation", "#6b4fa0")
APPROXIMATE = Kind("approximate product", "#8a8f98")
_MARKERS = [*"osD^v<>Pph*X8dH", *((points, 1, 0) for points in (3, 4, 6, 7, 8, 10)),
            (4, 0, 22.5), (7, 0, 0), (3, 0, 15), (9, 1, 0), (3, 1, 60), (5, 0, 36), (12, 1, 0)]


def kind_of(row: Measured, weight_bits: int) -> Kind:
    """Which kind of arithmetic a row is."""
    if row.is_baseline:
        return BASELINE
    if row.operation != "product" or row.weight_values != 1 << weight_bits:
        return OTHER
    return EXACT if row.exact else APPROXIMATE


def tables(document: Mapping[str, object]) -> Iterator[tuple[Mapping[str, object], Measurement]]:
    """Every stored table, and what it is a table of."""
    for entry in document["tables"].values():
        task = _TASKS[entry["kind"]](**entry["task"])
        part = device_called(entry["device"])
        rows = [row_of(row, task.row, part) for row in entry["rows"].values()]
        seeds = max((row["seeds"] for row in entry["rows"].values()), key=len)
        yield entry, table_of(task, part, seeds, rows)


def same_fabric(part: Device) -> list[Device]:
    """Devices of which only the size differs: those of an ECP5."""
    if part.family != "ecp5":
        return [part]
    return [device for device in devices().values() if device.family == "ecp5"]


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _cells(table: Measurement, row: Measured, parts: Sequence[Device]) -> list[str]:
    name = f"`{row.arithmetic}`" + " (baseline)" * bool(row.is_baseline)
    if not row.built:
        return [name, row.operands, "", "not built"]
    digits = 0 if isinstance(row, ArrayRow) else 1
    mhz = row.fmax_by_seed.values()
    known = row.resources
    cells = [name, row.operands.replace(" x ", "x"), _number(row.weight_values),
             _number(row.lut, digits), _number(known["ff"], digits),
             _number(known["dsp"], digits), _number(known["block_ram"], digits),
             f"{row.fmax_mhz:.0f} ({min(mhz):.0f}..{max(mhz):.0f})", f"{row.macs_per_cycle:.3g}",
             _number(row.macs_per_s_per_lut / 1e3)]
    for reference in ("booth", "dsp"):
        ratio = table.ratio(row, "macs_per_s_per_lut", reference)
        cells.append(_number(ratio, 2))
    if isinstance(row, ArrayRow):
        for part in parts:
            full = replace(row, limits=part.limits)
            cells.append(f"{full.device_macs_per_s / 1e9:.1f} ({full.scarcest})")
    return cells


def markdown_table(table: Measurement) -> str:
    """One table: baselines last, the best per LUT first."""
    parts = same_fabric(table.device)
    word = table.device.rules.lut_name
    headings = ["arithmetic", "operands", "weights", word, "FF", "DSP", "block RAM",
                "Fmax MHz", "MAC/cycle", f"k/{word}", "to Booth", "to dsp"]
    if any(isinstance(row, ArrayRow) for row in table.results):
        headings += [f"GMAC/s of {part.name}" for part in parts]
    rows = sorted(table.results, key=lambda row: (bool(row.is_baseline), not row.built,
                                                  -(row.macs_per_s_per_lut or 0)))
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)]]
    for row in rows:
        cells = _cells(table, row, parts)
        lines.append(cells + [""] * (len(headings) - len(cells)))
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    remarks = [f"- `{row.arithmetic}`: {' '.join(row.problem.split())}"
               for row in rows if not row.built]
    return text + "".join(f"\n{remark}" for remark in remarks) + "\n" * bool(remarks)


def critical_paths(table: Measurement) -> str:
    """What limits the clock of every row, one line each."""
    lines = []
    for row in table.results:
        if path := row.critical_path:
            lines.append(f"- `{row.arithmetic}`: `{path.start}` to `{path.end}`, "
                         f"{path.logic_ns:.1f} ns logic and {path.routing_ns:.1f} ns routing")
    return "\n".join(lines) + "\n"


def plot_name(key: str) -> str:
    """File of a table's plot."""
    return f"pareto_{key.replace('-', '_')}.png"


def render(document: Mapping[str, object]) -> str:
    """The whole page."""
    sections, versions = [], {}
    for (key, _), (_, table) in zip(document["tables"].items(), tables(document), strict=True):
        versions |= table.tool_versions
        seeds = ", ".join(map(str, table.seeds))
        sections.append(f"## {table.device.name}: {table.title}\n\n"
                        f"{table.setting[0].upper()}{table.setting[1:]}. Seeds {seeds}.\n\n"
                        f"{markdown_table(table)}")
        if _plotted(table):
            sections.append(f"![{table.title} on {table.device.name}: logic cells against MAC/s]"
                            f"(images/{plot_name(key)})\n")
        if paths := critical_paths(table).strip():
            sections.append(f"<details><summary>Longest paths</summary>\n\n{paths}\n\n</details>\n")
    tools = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return "\n".join([_HEAD, f"Tools: {tools}.\n", *sections])


def _plotted(table: Measurement) -> list[Measured]:
    rows = [row for row in table.results if row.built and row.lut]
    return rows if isinstance(table.results[0], ArrayRow) and len(rows) > 2 else []


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both: fewer LUTs and more MAC/s."""
    best, kept = 0.0, []
    for lut, rate in sorted(points, key=lambda point: (point[0], -point[1])):
        if rate > best:
            best = rate
            kept.append((lut, rate))
    return kept


def draw_pareto(table: Measurement, weight_bits: int, path: Path) -> None:
    """LUT against MAC/s, a marker for each arithmetic, lines of equal MAC/s per LUT."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
    rows = _plotted(table)
    names = [kind.name for kind in ARITHMETICS]
    figure = Figure(figsize=(9.5, 6.5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    luts, rates = [row.lut for row in rows], [row.macs_per_s for row in rows]
    axes.set_xlim(min(luts) / 1.35, max(luts) * 1.5)
    axes.set_ylim(min(rates) / 1.5, max(rates) * 1.6)
    exact = [(row.lut, row.macs_per_s) for row in rows
             if kind_of(row, weight_bits) in (EXACT, BASELINE) and not row.resources["dsp"]]
    if line := front(exact):
        axes.plot(*zip(*line, strict=True), color=EXACT.colour, alpha=0.35, linewidth=5, zorder=1,
                  solid_capstyle="round", solid_joinstyle="round")
    _efficiency_lines(axes)
    kinds = dict.fromkeys(kind_of(row, weight_bits) for row in rows)
    for row in rows:
        kind = kind_of(row, weight_bits)
        axes.scatter(row.lut, row.macs_per_s, s=80, zorder=3,
                     marker=_MARKERS[names.index(row.arithmetic) % len(_MARKERS)],
                     facecolor="white" if kind.hollow else kind.colour, edgecolor=kind.colour,
                     linewidth=1.8)
    word = table.device.rules.lut_name
    axes.set_xlabel(f"{word} (grey lines: MAC/s per {word})")
    axes.set_ylabel("MAC/s")
    axes.set_title(f"{table.title}, {table.device.name}", loc="left", fontsize=11)
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        axis.set_major_locator(FixedLocator(_round_numbers(*limits)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: with_prefix(value)))
        axis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    handles = [Line2D([], [], linestyle="", marker="o", markersize=8, color=kind.colour,
                      markerfacecolor="white" if kind.hollow else kind.colour, label=kind.label)
               for kind in kinds]
    handles.append(Line2D([], [], color=EXACT.colour, alpha=0.35, linewidth=5,
                          label="best exact products without DSP blocks"))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3,
                fontsize=9, frameon=False)
    name_points(axes, [(row.lut, row.macs_per_s, _label(row)) for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def _label(row: Measured) -> str:
    used = [f"{row.resources['dsp']:g} DSP"] * bool(row.resources["dsp"])
    return " + ".join([row.arithmetic, *used])


def _efficiency_lines(axes) -> None:
    """Equal MAC/s per LUT: straight, rising by one."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for rate in _round_numbers(low / right, high / left):
        axes.plot([left, right], [rate * left, rate * right], color="#c9ced3", linewidth=0.8,
                  zorder=0)
        # Where the line leaves the picture.
        x = min(right, high / rate)
        if rate * x < 1.1 * low:
            continue
        axes.annotate(with_prefix(rate), (x, rate * x), xytext=(-3, -3), ha="right", va="top",
                      textcoords="offset points", fontsize=7, color="#8a8f98")


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between `low` and `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for digit in (1, 2, 5)
            if low <= (value := digit * 10.0 ** power) <= high]


def main() -> int:
    """Command line."""
    require_matplotlib()
    document = json.loads(RESULTS.read_text())
    images = ROOT / "docs" / "images"
    for (key, _), (entry, table) in zip(document["tables"].items(), tables(document),
                                        strict=True):
        if _plotted(table):
            draw_pareto(table, entry["task"]["weight_bits"], images / plot_name(key))
            print(images / plot_name(key))
    print(write_atomically(ROOT / "docs" / "arithmetics.md", render(document)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
