"""The README's tables are those of the result files: whole networks of a sweep, and arrays."""

import json
import re
from pathlib import Path

import pytest

from nmahw.arith import ARITHMETICS
from nmahw.sweep.export import read_attempts
from nmahw.sweep.points import points_of
from nmahw.sweep.spec import read_spec

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ATTEMPTS = read_attempts(ROOT / "benchmarks" / "results" / "readme.json")
ARRAYS = json.loads((ROOT / "benchmarks" / "results" / "arrays.json").read_text())["tables"]
POINTS = {(p["model"], p["arithmetic"]): p for p in points_of(ATTEMPTS)}


def table(column):
    """Rows of the table that has such a column, as mappings of heads to texts."""
    lines = README.splitlines()
    first = next(index for index, line in enumerate(lines)
                 if line.startswith("|") and f"| {column} |" in line)
    heads, rows = cells(lines[first]), []
    for line in lines[first + 2:]:
        if not line.startswith("|"):
            return rows
        rows.append(dict(zip(heads, cells(line), strict=True)))
    return rows


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def named(row, model):
    """The point that a row is about."""
    names = re.findall("`([a-z_0-9]+)`", row["element"])
    arithmetic = names[0] if len(names) == 1 else "conv={},dense={}".format(*names)
    return POINTS[model, arithmetic]


def check(row, point):
    """Figures are the sweep's, rounded as the table has them."""
    shown = {"LUT (COMB)": "lut", "FF": "ff", "DSP": "dsp", "block RAM": "block_ram",
             "Fmax MHz": "fmax_mhz", "cycles/image": "cycles_per_image",
             "images/s": "images_per_s"}
    for head, name in shown.items():
        if head in row:
            assert row[head] == f"{point[name]:,.0f}", (row, head)
    assert ("baseline" in row["element"]) == point["is_baseline"]
    assert point["seeds"] == 3


def test_the_first_table():
    rows = table("kMAC/s per LUT")
    points = [named(row, "lenet5-w8a8") for row in rows]
    assert len(rows) == 8 and len({point["id"] for point in points}) == 8
    base = {name: POINTS["lenet5-w8a8", name]["macs_per_s_per_lut"] for name in ("booth", "dsp")}
    for row, point in zip(rows, points, strict=True):
        check(row, point)
        rate = point["macs_per_s_per_lut"]
        assert row["kMAC/s per LUT"] == f"{rate / 1e3:,.0f}"
        for name, head in (("booth", "to Booth"), ("dsp", "to DSP")):
            assert float(row[head].strip("*")) == pytest.approx(rate / base[name], abs=0.0051)
        # Bold is what has no multiplier.
        assert row["element"].startswith("**") != point["is_baseline"]


def test_the_table_at_equal_accuracy():
    rows = table("test accuracy")
    assert len(rows) == 7
    for row in rows:
        check(row, named(row, re.search("`([^`]+)`", row["network"])[1]))


def test_the_table_of_arrays():
    rows = table("MMAC/s per LUT")
    measured = ARRAYS["ecp5-45k-8x8-array-w8a8"]["rows"]
    assert len(rows) == 8
    for row in rows:
        name = re.search("`([a-z_0-9]+)`", row["element"])[1]
        known = measured[name]
        assert len(known["seeds"]) == 5
        for head, resource in (("LUT (COMB)", "lut"), ("FF", "ff"), ("DSP", "dsp"),
                               ("block RAM", "block_ram")):
            assert row[head] == f"{known['resources'][resource]:,}", (row, head)
        clock = known["fmax_mhz"]
        assert row["Fmax MHz"] == (f"{clock['median']:.0f} ({min(clock['by_seed'].values()):.0f}.."
                                   f"{max(clock['by_seed'].values()):.0f})")
        rate = known["macs_per_s_per_lut"]
        assert row["MMAC/s per LUT"] == f"{rate / 1e6:.2f}"
        for baseline, head in (("booth", "to Booth"), ("dsp", "to DSP")):
            ratio = rate / measured[baseline]["macs_per_s_per_lut"]
            assert float(row[head].strip("*")) == pytest.approx(ratio, abs=0.0051)
        assert row["element"].startswith("**") != ARITHMETICS.get(name).is_baseline


def test_results_are_of_all_that_the_sweep_asks_for_with_tool_versions():
    spec = read_spec(ROOT / "benchmarks" / "sweeps" / "readme.toml")
    asked = {(p.model, p.arithmetic, p.rows, p.columns, p.device, p.seed) for p in spec.points}
    assert asked == {(a["model"], a["arithmetic"], a["rows"], a["columns"], a["device"],
                      a["seed"]) for a in ATTEMPTS if a["status"] == "done"}
    assert all(set(attempt["versions"]) == {"yosys", "nextpnr-ecp5"} for attempt in ATTEMPTS)
    # A design without a multiplier says so of its placed netlist.
    assert all(attempt["no_multiplier"] == 1 for attempt in ATTEMPTS
               if not attempt["is_baseline"])
