"""Exports of results: CSV, JSON, Parquet, and reading them again."""

import csv
import io
import json
import sys

import pytest
from sweep_results import write_results

from nmahw.cli import run as command_line
from nmahw.errors import EnvironmentProblem, ModelError, UsageError
from nmahw.sweep.export import check_export, export_attempts, read_attempts
from nmahw.sweep.store import Store


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path)


def test_exports(results, tmp_path):
    text = export_attempts(results, tmp_path / "r.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["lut"] for row in rows] == ["100", "102", "300", "5000", ""]
    document = json.loads(export_attempts(results, tmp_path / "r.json").read_text())
    assert document["attempts"][2]["arithmetic"] == "<b>&\"odd"
    with pytest.raises(UsageError, match="must end in"):
        export_attempts(results, tmp_path / "r.txt")


def test_parquet_has_the_same_types_whatever_is_missing(results, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    full = parquet.read_table(export_attempts(results, tmp_path / "r.parquet"))
    assert full["lut"].to_pylist() == [100, 102, 300, 5000, None]
    with Store(tmp_path / "empty.sqlite", write=True):
        pass
    empty = parquet.read_table(export_attempts(tmp_path / "empty.sqlite", tmp_path / "e.parquet"))
    kinds = {field.name: str(field.type) for field in full.schema}
    assert kinds == {field.name: str(field.type) for field in empty.schema}
    assert (kinds["lut"], kinds["fmax_mhz"], kinds["reason"], kinds["versions"]) == (
        "int64", "double", "string", "string")


def test_parquet_or_how_to_get_it(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(EnvironmentProblem, match=r'pip install "nmahw\[parquet\]"'):
        export_attempts(results, tmp_path / "r.parquet")


def test_an_export_says_what_the_results_say(results, tmp_path, capsys):
    path = export_attempts(results, tmp_path / "r.json")
    with Store(results) as store:
        assert read_attempts(path) == read_attempts(results) == store.attempts()
        assert store.statuses() == {"done": 4, "refused": 1}
        assert store.reasons() == [("refused", "too odd", 1)]
    assert command_line(["pareto", str(path)]) == 0
    told = capsys.readouterr().out
    assert "2 of 3 designs are on the front" in told and "--rebuild" not in told
    assert command_line(["pareto", str(path), "--rebuild", "1"]) == 2
    assert "not of an export, which has no networks" in capsys.readouterr().err


@pytest.mark.parametrize("text, said", [
    ("{", "is no JSON"), ("[]", "another JSON"), ('{"schema": "nmahw-comparison"}', "another JSON"),
    ('{"schema": "nmahw-attempts", "version": 2}', "of version 1, not 2"),
    ('{"schema": "nmahw-attempts", "version": 1, "attempts": [{"id": 1}]}', "lack values"),
])
def test_what_is_no_export_is_refused(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ModelError, match=said):
        read_attempts(tmp_path / "x.json")


@pytest.mark.parametrize("name, value", [
    ("lut", "many"), ("design", {}), ("device", None), ("fmax_mhz", None), ("accuracy", "nan"),
    ("fmax_mhz", float("nan")), ("fmax_mhz", float("inf")), ("lut", 10**400),
    ("versions", None)])
def test_an_export_that_somebody_changed_is_refused(results, tmp_path, name, value):
    path = export_attempts(results, tmp_path / "r.json")
    document = json.loads(path.read_text())
    document["attempts"][0][name] = value
    path.write_text(json.dumps(document))
    with pytest.raises(ModelError, match="lack values or have others"):
        read_attempts(path)


def test_an_empty_export_has_heads(tmp_path):
    Store(tmp_path / "r.sqlite", write=True).close()
    text = export_attempts(tmp_path / "r.sqlite", tmp_path / "r.csv").read_text()
    assert "arithmetic" in next(csv.reader([text]))


@pytest.mark.parametrize("name, error, said", [
    ("r.txt", UsageError, "must end in .csv, .json, .parquet, not 'r.txt'"),
    ("file/r.csv", EnvironmentProblem, "must be writable"),
    ("r.parquet", EnvironmentProblem, "Parquet needs pyarrow: pip install")])
def test_an_export_that_cannot_be_is_told_before_the_sweep(tmp_path, name, error, said,
                                                           monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(error, match=said):
        check_export(tmp_path / name)
