"""Runs of sweeps: what workers do, what is done again, how runs fail."""

import json
import os

import numpy as np
import pytest
import sweep_stubs
from sweep_plans import GRID, Here, plan_of, run_here, spec_reader

from nmahw.sweep import job
from nmahw.sweep.networks import Networks
from nmahw.sweep.plan import SweepPlan
from nmahw.sweep.points import points_of
from nmahw.sweep.progress import Progress, duration
from nmahw.sweep.run import dry_run
from nmahw.sweep.search import SearchPlan
from nmahw.sweep.store import Store, point_key


@pytest.fixture
def spec(tmp_path):
    return spec_reader(tmp_path)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "r.sqlite", write=True) as made:
        yield made


@pytest.fixture(autouse=True)
def no_guard(monkeypatch, tmp_path):
    run_here(monkeypatch, tmp_path)


def test_float_models_are_quantised_for_every_width(tmp_path, spec):
    dice = np.random.default_rng(1)
    images = dice.integers(0, 17, (40, 8), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, x_test=images,
             y_test=np.arange(40) % 3)
    np.savez(tmp_path / "float.npz", **{"f.weight": dice.normal(size=(3, 8)).astype(np.float32),
                                        "f.bias": np.zeros(3, np.float32)})
    found = spec("""
[models.tiny]
file = "float.npz"
calibration = "data.npz"
architecture = "dense:f"
input_shape = "8"
input_scale = 0.0625
[grid]
model = ["tiny"]
bits = ["8x8", "4x2"]
arithmetic = ["bit_serial"]
device = ["ice40-hx8k"]
""")
    networks = Networks(found)
    assert {c.bits for c in networks.by_name.values()} == {"8x8", "4x2"}
    assert len(networks.data) == 3
    assert Networks(found).data.keys() == networks.data.keys()
    assert [p.bits for p in found.points] == [(8, 8), (4, 2)]
    payload = {"model": networks.by_name["tiny", (4, 2)].network, "code": job.code_digest(),
               "images": networks.by_name["tiny", (4, 2)].images, "arithmetic": "bit_serial",
               "rows": 1, "columns": 1}
    asked = job.guarded(job.design_task, payload, {})
    assert asked["status"] == "missing"
    row = job.guarded(job.design_task, payload, networks.data)
    assert row["status"] == "done" and 0 <= row["accuracy"] <= 1 and len(row["rtlil"]) == 64
    again = job.guarded(job.design_task, payload, {})
    assert {**again, **dict.fromkeys(("begun", "seconds"))} == {
        **row, **dict.fromkeys(("begun", "seconds"))}
    other = job.guarded(job.design_task, {**payload, "arithmetic": "binary"}, {})
    assert other["status"] == "refused" and other["reason"]
    elsewhere = job.guarded(job.design_task, {**payload, "code": "other"}, {})
    assert elsewhere["status"] == "environment"
    damaged = job.guarded(job.design_task, {**payload, "model": "0" * 64}, {"0" * 64: b"x"})
    assert damaged["status"] == "environment" and "damaged" in damaged["reason"]


def test_finished_runs_are_never_run_again(spec, store):
    found = spec()
    first = Here().run(plan_of(found, store), most=7)
    assert len(store.attempts()) == sum(label[0] == "run" for label, _ in first)
    done = {label for label, row in first}
    second = Here().run(plan_of(found, store))
    assert not done & {label for label, _ in second}
    assert len(store.attempts()) == len(found.points)
    assert not Here().run(plan_of(found, store))
    # More of the same grid is only what is new.
    assert len(Here().run(plan_of(spec(GRID.replace("[1, 2]", "[1, 2, 3]")), store))) == 4


def test_other_tool_versions_are_other_results(spec, store, monkeypatch):
    Here().run(plan_of(spec(), store))
    monkeypatch.setitem(sweep_stubs.VERSIONS, "nextpnr-ice40", "2")
    ran = Here().run(plan_of(spec(), store))
    assert len(ran) == 8 and all(label[0] == "run" for label, _ in ran)
    monkeypatch.setitem(sweep_stubs.VERSIONS, "nmahw", "newer")
    # Another nmahw that makes the same RTLIL: designs are looked at, nothing is built.
    ran = Here().run(plan_of(spec(), store))
    assert len(ran) == 4 and all(label[0] == "design" for label, _ in ran)
    assert len(store.attempts()) == 16


def twin(job, payload, blobs):
    """Designs whose RTLIL is the same for every arithmetic, and accuracy that of the images."""
    return {**sweep_stubs.make(job, {**payload, "arithmetic": "any"}, blobs),
            "accuracy": int(payload["images"][:4], 16) / 2**16}


@pytest.mark.parametrize("search, most", [("", 3), ("", 4), ("", 5), ("", 10**9),
                                          ("[search]\nbudget = 1\n", 10**9)])
def test_designs_of_the_same_rtlil_are_run_once_and_all_have_rows(spec, store, search, most):
    found = spec(search + GRID)
    kind = SearchPlan if search else SweepPlan
    # Wherever the first sweep ended; a search may find that a twin promises nothing more.
    ran = Here().run(plan_of(found, store, kind, make=twin), most=most)
    plan = plan_of(found, store, kind, make=twin)
    ran += Here().run(plan)
    assert sum(label[0] == "run" for label, _ in ran) == 4
    rows = store.attempts()
    assert {(row["arithmetic"], row["rows"], row["seed"]) for row in rows} == {
        (point.arithmetic, point.rows, point.seed) for point in found.points}
    assert len(rows) == 8 and len({row["key"] for row in rows}) == 4
    assert {row["lut"] for row in rows} == {401, 402, 1601, 1602}
    assert sum(row["seconds"] == 0 for row in rows) == 4
    assert [p["seeds"] for p in points_of(rows)] == [2] * 4
    assert plan.progress.before + plan.progress.done == 8 and plan.progress.left == 0
    assert not Here().run(plan_of(found, store, kind, make=twin))
    assert len(store.attempts()) == 8


def test_runs_that_are_shared_and_lost_are_tried_again(spec, store):
    plan = plan_of(spec(), store, make=twin)
    lost = {"status": "worker lost", "reason": "KilledWorker", "worker": "", "begun": None,
            "seconds": None}
    while task := plan.next_task():
        is_run = task.label[0] == "run"
        plan.finished([(task, lost if is_run else job.guarded(task.function, task.payload, {}))])
    assert len(store.attempts()) == 12 and plan.progress.failed == 8
    Here().run(plan_of(spec(), store, make=twin))
    assert store.statuses() == {"worker lost": 12, "done": 8}


def test_other_images_give_another_accuracy_without_another_run(tmp_path, spec, store):
    Here().run(plan_of(spec(), store, make=twin))
    np.savez(tmp_path / "other.npz", x_test=np.zeros((4, 64), np.uint8), y_test=np.arange(4))
    ran = Here().run(plan_of(spec("data = 'other.npz'\n" + GRID), store, make=twin))
    assert ran and all(label[0] == "design" for label, _ in ran)
    before, after = (points_of(store.attempts())[part] for part in (slice(4), slice(4, None)))
    assert [p["lut"] for p in before] == [p["lut"] for p in after]
    assert len({p["accuracy"] for p in before}) == len({p["accuracy"] for p in after}) == 1
    assert before[0]["accuracy"] != after[0]["accuracy"]


def test_a_key_is_of_everything_that_matters():
    keys = {point_key(*arguments) for arguments in (
        ("r", {"a": 1}, "d", 1, {"y": "1"}), ("s", {"a": 1}, "d", 1, {"y": "1"}),
        ("r", {"a": 2}, "d", 1, {"y": "1"}), ("r", {"a": 1}, "e", 1, {"y": "1"}),
        ("r", {"a": 1}, "d", 2, {"y": "1"}), ("r", {"a": 1}, "d", 1, {"y": "2"}))}
    assert len(keys) == 6


def test_every_failure_is_a_row_and_the_sweep_goes_on(spec, store):
    text = GRID.replace("[1, 2]", "[1, 2, 3, 4, 5, 6, 8]").replace(', "bit_serial"', "").replace(
        ', "4x4"', "") + "\n[limits]\ntime_s = 4\nmemory_mb = 400\n"
    Here().run(plan_of(spec(text), store, task=sweep_stubs.fail))
    rows = {row["seed"]: row for row in store.attempts()}
    assert {seed: row["status"] for seed, row in rows.items()} == {
        1: "does not fit", 2: "tool failed", 3: "time limit", 4: "out of memory",
        5: "out of memory", 6: "defect", 8: "done"}
    assert "needs 9 LUT of 8" in rows[1]["reason"]
    assert "exit code 3" in rows[2]["reason"] and "odd cell" in rows[2]["log"]
    assert rows[3]["reason"] == "took more than 4 s"
    assert "more than 400" in rows[4]["reason"]
    assert "ValueError: a defect" in rows[6]["reason"] and "Traceback" in rows[6]["log"]
    # Defects and lost workers are tried again; with retry, all but what does not fit.
    left = {label[1].seed for label, _ in Here().run(plan_of(spec(text), store))}
    assert left == {6}
    assert dry_run(spec(text), store.path, 1).left == 0
    assert dry_run(spec(text), store.path, 1, retry=True).left == 4
    with_retry = Here().run(plan_of(spec(text), store, retry=True))
    assert {label[1].seed for label, _ in with_retry} == {2, 3, 4, 5}


def test_lost_workers_are_rows_and_runs_are_tried_three_times(spec, store):
    plan = plan_of(spec(), store)
    lost = {"status": "worker lost", "reason": "KilledWorker", "worker": "", "begun": None,
            "seconds": None}
    runs = 0
    while task := plan.next_task():
        is_run = task.label[0] == "run"
        runs += is_run
        plan.finished([(task, lost if is_run else job.guarded(task.function, task.payload, {}))])
    assert runs == len(store.attempts()) == 3 * 8
    assert plan.progress.failed == 8 and not store.finished()


def test_limits_end_a_tool_and_stopping_ends_all(tmp_path, monkeypatch):
    payload = {"seed": 3, "rows": 1, "columns": 1, "limits": {"time_s": 0.5}}
    assert job.guarded(sweep_stubs.tool, payload, {})["status"] == "time limit"
    import threading
    stopped = []
    timer = threading.Timer(1.0, lambda: stopped.extend(map(job.stop_jobs, ("other", "mine"))))
    timer.start()
    row = job.guarded(sweep_stubs.tool, {**payload, "limits": {}}, {}, "mine")
    assert row["status"] == "cancelled"
    timer.join()
    assert stopped == [0, 1] and job.stop_jobs("mine") == 0


def test_progress_tells_rate_and_time_left():
    now = [0.0]
    progress = Progress(10, 2, clock=lambda: now[0])
    assert str(progress) == "2 of 10 runs, 0 running, 0 failed"
    for _ in range(4):
        now[0] += 30
        progress.add(failed=False)
    progress.add(failed=True)
    progress.best = "x"
    assert str(progress) == ("7 of 10 runs, 0 running, 1 failed, 2.5 a minute, 1 min 12 s left; "
                             "best x")
    assert [duration(s) for s in (0, 59, 60, 3661, 200000)] == [
        "0 s", "59 s", "1 min 0 s", "1 h 1 min", "2 d 7 h"]


def test_attempts_are_plain_values(spec, store):
    Here().run(plan_of(spec(), store))
    assert json.loads(json.dumps(store.attempts())) == store.attempts()
    assert os.environ["OMP_NUM_THREADS"] == "1"
