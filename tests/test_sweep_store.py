"""Results files: which are taken, what is kept in them, full disks."""

import os
import sqlite3
import sys

import pytest
from sweep_results import attempt, design, write_results

from nmahw.cli import run as command_line
from nmahw.errors import EnvironmentProblem, ModelError
from nmahw.sweep.export import read_attempts
from nmahw.sweep.store import Store


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path)


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
    (tmp_path / "nothing.sqlite").touch()
    with pytest.raises(ModelError, match="but is empty"):
        Store(tmp_path / "nothing.sqlite")
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
