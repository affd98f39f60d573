"""The benchmark of arrays: its results file, and the page and plots made of it."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from measurements import TASK, array_measurement, array_row

from nmahw.devices import devices
from nmahw.measure import (
    ArrayTask,
    ElementTask,
)
from nmahw.result import baseline_names
from nmahw.toolchain import Cancelled
from nmahw.workbench import Workbench

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def script(name: str):
    """A module of the folder ``benchmarks``."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    loaded = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def results():
    """A results file as `benchmarks/arrays.py` writes it."""
    rows = {row.arithmetic: row.document() | {"design": "0", "seeds": [1, 2, 3], "flow": {}}
            for row in array_measurement().results}
    return {"schema": "nmahw-arrays", "version": 1, "tables": {"ecp5-25k-4x4-array-w8a8": {
        "device": "ecp5-25k", "kind": "ArrayTask", "rows": rows,
        "task": {"weight_bits": 8, "activation_bits": 8, "rows": 4, "columns": 4,
                 "positions": 512}}}}


def test_the_page_is_rendered_from_the_results(results):
    page = script("render_arrays").render(results)
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    names = [line.split("`")[1] for line in lines]
    # Best first, baselines behind, what could not be built last.
    assert names == ["ternary", "l1", "quarter_square", "distributed", "gate", "dsp", "booth",
                     "fabric"]
    cells = [cell.strip() for cell in lines[3].split("|")][1:-1]
    assert cells[:2] == ["`distributed`", "u8xs8"] and "1,667" in cells and "2.92" in cells
    # 14 arrays of 2 GMAC/s on the smallest, 27 and 52 on its sisters.
    assert cells[-3:] == ["28.0 (block ram)", "54.0 (block ram)", "104.0 (block ram)"]
    assert "images/pareto_ecp5_25k_4x4_array_w8a8.png" in page
    assert "- `fabric`: does not fit" in page
    assert all(line.count("|") == lines[0].count("|") for line in lines)


def test_the_front_holds_what_nothing_beats():
    front = script("render_arrays").front
    assert front([(10, 5.0), (20, 4.0), (30, 9.0), (10, 6.0), (40, 9.0)]) == [(10, 6.0), (30, 9.0)]
    assert front([]) == []


def test_a_plot_is_drawn(results, tmp_path):
    render = script("render_arrays")
    (entry, table), = render.tables(results)
    render.draw_pareto(table, entry["task"]["weight_bits"], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    kinds = {row.arithmetic: render.kind_of(row, 8) for row in table.results}
    assert kinds["booth"] is render.BASELINE and kinds["distributed"] is render.EXACT
    assert kinds["l1"] is kinds["ternary"] is render.OTHER and kinds["gate"] is render.APPROXIMATE


def test_the_document_in_the_repository_is_made_of_the_results_in_it():
    render = script("render_arrays")
    document = json.loads(render.RESULTS.read_text())
    assert (render.ROOT / "docs" / "arithmetics.md").read_text() == render.render(document)
    for key, table in zip(document["tables"], render.tables(document), strict=True):
        if render._plotted(table[1]):
            assert (render.ROOT / "docs" / "images" / render.plot_name(key)).is_file()


def test_what_is_measured_is_kept_row_by_row_and_not_measured_again(tmp_path, monkeypatch):
    arrays = script("arrays")
    monkeypatch.setattr(arrays, "find", lambda name: SimpleNamespace(version="1"))
    monkeypatch.setattr(arrays, "design_hash", lambda task, name: f"design of {name}")
    built = []

    def one(task, name, part, seeds, bench):
        built.append(name)
        if name == "gate":
            raise Cancelled("ended")
        return array_row(name)

    monkeypatch.setattr(arrays, "measure_one", one)
    entry = arrays.Entry("ecp5-25k", TASK, ("booth", "l1", "gate"))
    path = tmp_path / "arrays.json"
    for _ in range(2):
        store = arrays.Store(path)
        with pytest.raises(Cancelled):
            for name in entry.names:
                arrays.measure_entry(store, entry, name, Workbench())
        rows = json.loads(path.read_text())["tables"][entry.key]["rows"]
        assert list(rows) == ["booth", "l1"]
    assert built == ["booth", "l1", "gate", "gate"]
    monkeypatch.setattr(arrays, "design_hash", lambda task, name: f"new design of {name}")
    arrays.measure_entry(arrays.Store(path), entry, "l1", Workbench())
    assert built[-1] == "l1"
    render = script("render_arrays")
    assert "`booth` (baseline)" in render.render(json.loads(path.read_text()))


def test_the_matrix_begins_with_what_matters_and_has_every_family():
    arrays = script("arrays")
    entries = list(arrays.matrix())
    assert len({entry.key for entry in entries}) == len(entries)
    assert {devices()[entry.device].family for entry in entries} == {
        part.family for part in devices().values()}
    first = entries[0]
    assert (first.task.weight_bits, first.task.rows) == (8, 8)
    assert first.names[:len(baseline_names())] == baseline_names()
    assert {"rows", "ternary", "l1", "distributed"} <= set(first.names)
    assert {(entry.task.weight_bits, entry.task.activation_bits) for entry in entries} == {
        (8, 8), (6, 6), (4, 4)}


def test_a_design_has_a_hash_even_when_it_cannot_be_made():
    hashed = script("arrays").design_hash
    assert hashed(ElementTask(4, 4), "l1") == hashed(ElementTask(4, 4), "l1")
    assert hashed(ElementTask(4, 4), "l1") != hashed(ElementTask(5, 5), "l1")
    assert hashed(ArrayTask(8, 8, 8, 8, 16), "distributed") != hashed(
        ArrayTask(8, 8, 9, 8, 16), "distributed")
