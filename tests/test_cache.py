"""The build cache: whole entries or none, whoever dies and whoever is first."""

import subprocess
import sys

import pytest

from nmahw.cache import Cache, default_folder, digest
from nmahw.errors import BuildError, EnvironmentProblem
from nmahw.toolchain import Cancelled


class Builder:
    """Writes two files and counts how often it was asked to."""

    def __init__(self):
        self.calls = 0

    def __call__(self, folder):
        self.calls += 1
        (folder / "inner").mkdir()
        (folder / "inner" / "data").write_bytes(b"data")
        (folder / "log").write_text("log")


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_second_request_reuses_the_first(cache):
    build = Builder()
    first = cache.get_or_build("thing", {"a": 1}, build)
    assert cache.get_or_build("thing", {"a": 1}, build) == first
    assert build.calls == 1 and (first / "inner" / "data").read_bytes() == b"data"
    assert cache.lookup("thing", {"a": 1}) == first
    assert cache.lookup("thing", {"a": 2}) is None
    assert cache.lookup("other", {"a": 1}) is None


@pytest.mark.parametrize("other", [
    {"a": 2, "b": [1, 2]}, {"a": 1, "b": [2, 1]}, {"a": 1}, {"a": "1", "b": [1, 2]},
    {"a": 1, "b": [1, 2], "c": None}, {"a": 1, "b": (b"1", 2)}])
def test_every_part_of_the_key_counts(other):
    assert digest(other) != digest({"a": 1, "b": [1, 2]})


def test_order_of_the_parts_does_not_count():
    assert digest({"a": 1, "b": {"x": b"1", "y": 2}}) == digest({"b": {"y": 2, "x": b"1"}, "a": 1})


@pytest.mark.parametrize("damage", [
    lambda entry: (entry / "inner" / "data").write_bytes(b"DATA"),
    lambda entry: (entry / "inner" / "data").write_bytes(b"longer"),
    lambda entry: (entry / "log").unlink(),
    lambda entry: (entry / "manifest.json").unlink(),
    lambda entry: (entry / "manifest.json").write_text("{")])
def test_damaged_entry_is_built_again(cache, damage):
    build = Builder()
    damage(cache.get_or_build("thing", {}, build))
    assert cache.lookup("thing", {}) is None
    entry = cache.get_or_build("thing", {}, build)
    assert build.calls == 2 and cache.lookup("thing", {}) == entry
    assert not any((cache.folder / "making").iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, Cancelled])
def test_interrupted_build_leaves_nothing(cache, error):
    def build(folder):
        Builder()(folder)
        raise error("stop")

    with pytest.raises(error):
        cache.get_or_build("thing", {}, build)
    assert [path.name for path in cache.folder.rglob("*")] == ["making"]


def test_failed_build_keeps_its_log_where_the_message_says(cache):
    def build(folder):
        (folder / "log").write_text("why")
        raise BuildError(f"tool failed (log: {folder / 'log'})")

    with pytest.raises(BuildError) as caught:
        cache.get_or_build("thing", {}, build)
    with open(str(caught.value).split("log: ")[1].rstrip(")")) as file:
        assert file.read() == "why"
    assert cache.lookup("thing", {}) is None


def test_two_processes_building_the_same_entry_both_succeed(tmp_path):
    script = f"""
import time
from nmahw.cache import Cache
def build(folder):
    (folder / "data").write_text("x" * 1000)
    open({str(tmp_path)!r} + "/started", "a").write("s")
    while open({str(tmp_path)!r} + "/started").read() != "ss":
        time.sleep(0.01)   # so that both build
entry = Cache({str(tmp_path / "cache")!r}).get_or_build("thing", {{}}, build)
assert (entry / "data").read_text() == "x" * 1000
"""
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert Cache(tmp_path / "cache").lookup("thing", {})


def test_unusable_folder_is_an_environment_problem(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="must be writable.*NMAHW_CACHE"):
        Cache(tmp_path / "file")


def test_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("NMAHW_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("NMAHW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform.startswith("linux"):
        assert default_folder() == tmp_path / "xdg" / "nmahw"
