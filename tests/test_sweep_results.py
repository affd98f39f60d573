"""Reading sweeps: filters, fronts, points, exports, the page in a real browser."""

import csv
import io
import itertools
import json
import os
import random
import shutil
import sqlite3
import sys

import numpy as np
import pytest

from nmahw.cli import run as command_line
from nmahw.errors import EnvironmentProblem, ModelError, UsageError
from nmahw.sweep.columns import COLUMNS
from nmahw.sweep.export import check_export, export_attempts, read_attempts
from nmahw.sweep.page import page
from nmahw.sweep.pareto import front, hypervolume, oriented
from nmahw.sweep.points import points_of
from nmahw.sweep.store import Store, point_key
from nmahw.sweep.where import parse

VERSIONS = {"yosys": "1"}


def attempt(design, seed, status="done", lut=100, fmax=100.0, device="ice40-hx8k", **more):
    key = point_key(design, {}, device, seed, more.get("versions", VERSIONS))
    return {"key": key, "design": design, "device": device, "seed": seed, "status": status,
            "lut": lut if status == "done" else None, "ff": 1, "dsp": 0, "block_ram": 2,
            "fmax_mhz": fmax if status == "done" else None, "no_multiplier": 1, "seconds": 2.0,
            "versions": VERSIONS, **more}


def design(name, arithmetic="bit_serial", cycles=1000, **more):
    return {"design": name, "model": "digits", "bits": "4x4", "content": "c" * 64,
            "arithmetic": arithmetic, "rows": 2, "columns": 2, "code": "x", "status": "done",
            "accuracy": 0.96, "cycles_per_image": cycles, "macs_per_image": 500,
            "is_baseline": 0, "options": {}, "yosys_passes": [], **more}


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "r.sqlite"
    with Store(path, write=True) as store:
        store.add([design("a"), design("b", "<b>&\"odd", 500), design("c", accuracy=0.5),
                   design("d", status="refused")],
                  [attempt("a", 1, lut=100, fmax=90.0), attempt("a", 2, lut=102, fmax=110.0),
                   attempt("b", 1, lut=300, fmax=100.0),
                   attempt("c", 1, lut=5000, fmax=50.0, device="ecp5-25k"),
                   attempt("d", 1, status="refused", reason="too odd")])
    return path


@pytest.mark.parametrize("text, row, wanted", [
    ("lut < 5", {"lut": 4}, True), ("lut<5", {"lut": 5}, False), ("5 >= lut", {"lut": 5}, True),
    ("accuracy >= 0.99 and not lut > 2000", {"accuracy": 0.99, "lut": 2000}, True),
    ("lut = 1 or lut = 2 and ff = 3", {"lut": 1, "ff": 0}, True),
    ("(lut = 1 or lut = 2) and ff = 3", {"lut": 1, "ff": 0}, False),
    ("device = 'ecp5-25k'", {"device": "ecp5-25k"}, True),
    ('device != "ecp5-25k"', {"device": "ecp5-25k"}, False),
    ("lut < 5", {"lut": None}, False), ("lut >= -1e3", {"lut": 0}, True),
    ("fmax_mhz > lut", {"fmax_mhz": 3, "lut": 2}, True),
    ("not not lut == 1", {"lut": 1}, True), ("lut = 2 OR Not lut = 1", {"lut": 1}, False),
])
def test_conditions(text, row, wanted):
    assert parse(text)(row) is wanted


@pytest.mark.parametrize("text, said", [
    ("", "nothing stands"), ("lut", "comparison must stand"), ("lut <", "its end"),
    ("luts < 5", "did you mean 'lut'"), ("lut < 5 lut", "'and' or 'or'"),
    ("(lut < 5", r"'\)' must stand"), ("lut < 'x'", "number is compared with a text"),
    ("__import__('os')", "no column is called __import__"),
    ("arithmetic = booth", "a text stands in quotes: 'booth'"),
    ("lut < 5; DROP TABLE attempts", "cannot be"),
    ("lut < 5 or 1=1 --", "cannot be read"), ("lut < 1_000", "cannot be read"),
    ("(" * 80 + "lut < 5" + ")" * 80, "levels"), ("lut < 1 or " * 400 + "lut < 1", "words"),
    ("device = 'open", "cannot be read"), ("device = x-25k", "text stands in quotes"),
    ("lut < 5 and", "its end"),
])
def test_what_is_no_condition_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        parse(text)


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_fronts_and_volumes_agree_with_counting(axes):
    dice = random.Random(axes)
    for _ in range(15):
        points = [[dice.randrange(6) for _ in range(axes)] for _ in range(dice.randrange(1, 12))]
        kept = front(np.array(points))
        for one, keep in zip(points, kept, strict=True):
            beaten = any(all(a <= b for a, b in zip(other, one, strict=True)) and other != one
                         for other in points)
            assert keep == (not beaten)
        cells = sum(any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points)
                    for cell in itertools.product(range(7), repeat=axes))
        assert hypervolume(np.array(points, float), np.full(axes, 7.0)) == cells


def test_volumes_leave_out_what_is_beyond_the_reference():
    assert hypervolume(np.empty((0, 2)), np.ones(2)) == 0
    assert hypervolume(np.array([[2.0, 0.0]]), np.ones(2)) == 0
    with pytest.raises(UsageError, match="less or more is better, not 'seeds'"):
        oriented([{"seeds": 1}], ["seeds"])


def test_points_are_medians_over_seeds_and_keep_versions_apart(results):
    with Store(results, write=True) as store:
        store.add(attempts=[attempt("a", 1, lut=7, versions={"yosys": "2"})])
        points = points_of(store.attempts())
    assert [p["id"] for p in points] == [1, 3, 4, 5, 6]
    first = points[0]
    assert (first["lut"], first["fmax_mhz"], first["seeds"], first["seconds"]) == (
        101, 100.0, 2, 4.0)
    assert first["images_per_s"] == 100e6 / 1000
    assert first["macs_per_s_per_lut"] == 100e6 / 1000 * 500 / 101
    assert points[3]["status"] == "refused" and points[3]["lut"] is None
    assert points[4]["lut"] == 7


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


def test_foreign_and_newer_files_are_refused(tmp_path, results):
    foreign = tmp_path / "other.sqlite"
    database = sqlite3.connect(foreign)
    database.execute("CREATE TABLE t (x)")
    database.close()
    text = tmp_path / "text.sqlite"
    text.write_text("not a database, whatever its name says" * 100)
    for path in (foreign, text):
        for write in (False, True):
            with pytest.raises(ModelError, match="must be a results file of 'nmahw sweep'"):
                Store(path, write)
    database = sqlite3.connect(results)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ModelError, match="a newer nmahw made it .version 99"):
        Store(results)


def test_files_that_cannot_be_used(tmp_path, results):
    with pytest.raises(EnvironmentProblem, match="must exist"):
        Store(tmp_path / "none.sqlite")
    with pytest.raises(EnvironmentProblem, match="not a folder"):
        Store(tmp_path, write=True)
    with pytest.raises(EnvironmentProblem, match="must exist"):
        read_attempts(tmp_path / ("n" * 300 + ".json"))
    with pytest.raises(EnvironmentProblem, match="must be writable: File name too long"):
        Store(tmp_path / ("n" * 300), write=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="must be writable"):
        Store(tmp_path / "file" / "r.sqlite", write=True)
    # /proc takes no files, whoever asks.
    if sys.platform == "linux":
        with pytest.raises(EnvironmentProblem, match="must be writable"):
            Store("/proc/r.sqlite", write=True)
    if sys.platform != "win32":
        with Store(results, write=True):
            with pytest.raises(EnvironmentProblem, match="one sweep at a time"):
                Store(results, write=True)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is read-only")
def test_a_read_only_folder_can_be_read(results):
    results.parent.chmod(0o555)
    try:
        with Store(results) as store:
            assert len(store.attempts()) == 5
        with pytest.raises(EnvironmentProblem, match="must be writable"):
            Store(results, write=True)
    finally:
        results.parent.chmod(0o755)


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


@pytest.mark.parametrize("change", ["lut = 'many'", "fmax_mhz = NULL", "versions = '{'",
                                    "design = 'gone'"])
def test_results_that_somebody_changed_are_refused(results, capsys, change):
    database = sqlite3.connect(results)
    database.execute(f"UPDATE attempts SET {change} WHERE id = 1")
    database.commit()
    database.close()
    for arguments in ([], ["--rebuild", "1"]):
        assert command_line(["pareto", str(results), *arguments]) == 3
        assert "must be a results file of 'nmahw sweep', but" in capsys.readouterr().err


def test_files_of_earlier_versions_are_gone_on_with(results):
    database = sqlite3.connect(results)
    database.execute("DROP INDEX attempts_done_by_design")
    database.execute("CREATE UNIQUE INDEX attempts_done ON attempts (key) WHERE status = 'done'")
    database.commit()
    database.close()
    with Store(results, write=True) as store:
        store.add([design("e", "booth")])
        store.share([(store.attempts()[0]["key"], "e")])
        assert [row["design"] for row in store.attempts()] == ["a", "a", "b", "c", "d", "e"]
    assert sorted(path.name for path in results.parent.iterdir()) == ["r.sqlite"]


def test_what_is_shared_is_the_last_word_on_a_key(results):
    with Store(results, write=True) as store:
        store.add([design("e", "booth"), design("f", code="newer"), design("g", accuracy=0.97)],
                  [attempt("a", 3, status="tool failed", reason="odd")])
        key = store.attempts()[-1]["key"]
        for name in "efg" * 2:
            store.share([(key, name)])
        # The same network by another nmahw is no other design.
        assert [(row["design"], row["reason"]) for row in store.attempts()[5:]] == [
            ("a", "odd"), ("e", "odd"), ("g", "odd")]
        store.add(attempts=[attempt("a", 3, lut=99)])
        for name in "efg" * 2:
            store.share([(key, name)])
        assert [(row["design"], row["status"], row["lut"]) for row in store.attempts()[8:]] == [
            ("a", "done", 99), ("e", "done", 99), ("g", "done", 99)]
        with pytest.raises(ModelError, match="NOT NULL"):
            store.add(attempts=[attempt("a", 4, device=None)])


def test_a_page_escapes_names_and_takes_any_figures():
    odd = "</script><img src=x onerror=alert(1)>\"'&"
    point = {**dict.fromkeys(COLUMNS), "id": 1, "model": odd, "bits": odd, "arithmetic": odd,
             "array": odd, "device": odd}
    for x, y in ((0, 0), (1, 2**62), (5e-324, 1e18), (-3, 4)):
        points = [{**point, "lut": x, "images_per_s": y}, {**point, "lut": y, "images_per_s": x}]
        text = page(odd, points, [True, False], "lut", "images_per_s", [odd, odd])
        assert "<img" not in text and text.count("</script>") == 2


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


def test_a_full_disk_is_told_and_leaves_what_was_there(results):
    with Store(results, write=True) as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(EnvironmentProblem, match="full"):
            store.add(attempts=[attempt("a", seed, log="x" * 5000) for seed in range(10, 40)])
        assert len(store.attempts()) == 5
    with Store(results) as store:
        assert len(store.attempts()) == 5


def test_finished_keys_stay_as_they_are(results):
    with Store(results, write=True) as store:
        store.add(attempts=[attempt("a", 1, lut=1)])
        rows = store.attempts()
        assert len(rows) == 5 and rows[0]["lut"] == 100
        store.add(attempts=[attempt("b", 2, status="tool failed"),
                            attempt("b", 3, status="worker lost")])
        assert sorted(store.finished().values()) == ["done"] * 4 + ["refused", "tool failed"]
        assert "tool failed" not in store.finished(retry=True).values()


def test_the_table_names_commands_that_build_again(results, capsys):
    assert command_line(["pareto", str(results), "--where", "accuracy > 0.9"]) == 0
    told = capsys.readouterr().out
    assert "2 of 2 designs are on the front" in told
    assert f"nmahw pareto {results} --rebuild 1 --out point-1" in told
    assert "1 designs could not be built" in told


@pytest.mark.parametrize("arguments, said", [
    (["--x", "luts"], "did you mean 'lut'"), (["--x", "LUT"], "did you mean 'lut'"),
    (["--x", "device"], "column must be one of"),
    (["--y", "lut"], "different columns"), (["--where", "lut < 0"], "none of 4 does"),
    (["--x", "seeds"], "less or more is better"), (["--rebuild", "99"], "not 99"),
    (["--rebuild", "5"], "one that was built, not 5"),
])
def test_bad_options(results, capsys, arguments, said):
    assert command_line(["pareto", str(results), *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_shows_names_filters_and_commands(results, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    html = tmp_path / "front.html"
    assert command_line(["pareto", str(results), "--html", str(html)]) == 0
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"),
                                         args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        problems, asked = [], []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(html.as_uri())
        assert page.locator("circle.point").count() == 3
        assert page.locator("circle.point.front").count() == 2
        page.locator("circle.point").nth(1).hover()
        assert page.inner_text("#about").startswith('digits 4x4, <b>&"odd, 2x2 on ice40-hx8k: 300')
        page.locator("circle.point").nth(0).click()
        assert page.inner_text("#command") == (
            f"nmahw pareto {results} --rebuild 1 --out point-1")
        page.select_option("#device", "ecp5-25k")
        assert page.inner_text("#count") == "1"
        assert page.locator("circle.point:visible").count() == 1
        assert page.locator("tbody tr:visible").count() == 1
        page.select_option("#device", "")
        page.select_option("#arithmetic", '<b>&"odd')
        assert page.locator("circle.point:visible").count() == 1
        assert page.locator(".line:visible").count() == 0
        page.select_option("#arithmetic", "")
        page.screenshot(path=str(tmp_path / "front.png"))
        # Nothing but the page itself is asked for, and its policy holds.
        assert asked == [html.as_uri()] and not problems
        page.evaluate("() => { const s = document.createElement('script'); "
                      "s.textContent = 'window.odd = 1'; document.body.append(s); }")
        assert page.evaluate("() => window.odd") is None
        browser.close()


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_takes_ten_thousand_designs(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    dice, path, html = random.Random(1), tmp_path / "r.sqlite", tmp_path / "front.html"
    with Store(path, write=True) as store:
        store.add([design(f"d{i}", cycles=dice.randrange(100, 10**6)) for i in range(10_000)],
                  [attempt(f"d{i}", 1, lut=dice.randrange(100, 9000),
                           device=("ecp5-25k", "ecp5-45k")[i % 2]) for i in range(10_000)])
    assert command_line(["pareto", str(path), "--html", str(html)]) == 0
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"),
                                         args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(html.as_uri())
        assert page.locator("circle.point").count() == 10_000
        # The table has the front and as many more as a browser lays out at once.
        assert page.locator("tbody tr").count() == 500
        fronts = page.locator("circle.point.front").count()
        assert fronts == page.locator("tbody tr.front").count() > 0
        assert "500 of 10,000 designs" in page.inner_text("main")
        page.select_option("#device", "ecp5-25k")
        assert page.inner_text("#count") == "5,000"
        row = page.locator("tbody tr.front:visible").first
        number = row.locator("td").first.inner_text().replace(",", "")
        row.click()
        assert f"--rebuild {number} " in page.inner_text("#command")
        browser.close()
