"""Sweeps: what is asked for, what workers do, how failures, limits and searches end."""

import json
import os
import socket
import sys
import tomllib

import numpy as np
import pytest
import sweep_stubs

from nmahw.cli import run as command_line
from nmahw.errors import EnvironmentProblem, UsageError
from nmahw.sweep import job
from nmahw.sweep.engine import SchedulerLost
from nmahw.sweep.networks import Networks
from nmahw.sweep.pareto import front, hypervolume, oriented
from nmahw.sweep.plan import SweepPlan
from nmahw.sweep.points import points_of
from nmahw.sweep.progress import Progress, duration
from nmahw.sweep.run import dry_run, load
from nmahw.sweep.search import SearchPlan, Selection, _gains, reference_point
from nmahw.sweep.spec import Point, read_spec
from nmahw.sweep.store import Store, point_key

GRID = """
[grid]
model = ["digits-w4a4"]
arithmetic = ["quarter_square", "bit_serial"]
array = ["2x2", "4x4"]
device = ["ice40-hx8k"]
seed = [1, 2]
"""


@pytest.fixture
def spec(tmp_path):
    """Writes a spec and reads it."""
    def read(text=GRID):
        path = tmp_path / "s.toml"
        path.write_text(text)
        return read_spec(path)
    return read


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "r.sqlite", write=True) as made:
        yield made


@pytest.fixture(autouse=True)
def no_guard(monkeypatch, tmp_path):
    """Tasks run in this process, which needs no guard; its cache is its own."""
    monkeypatch.setattr(job.guard, "start", lambda: None)
    monkeypatch.setenv("NMAHW_CACHE", str(tmp_path / "cache"))


class Here:
    """Runs a plan's tasks in this process, one after the other."""

    def run(self, plan, most=10**9):
        ran = []
        while len(ran) < most and (task := plan.next_task()):
            blobs = {}
            while (row := job.guarded(task.function, task.payload, blobs))["status"] == "missing":
                blobs = {sha: plan.content(sha) for sha in row["lacking"]}
            ran.append((task.label, row))
            plan.finished([(task, row)])
        return ran


def plan_of(spec, store, kind=SweepPlan, task=sweep_stubs.place, make=sweep_stubs.make, **options):
    return kind(spec, Networks(spec), store, sweep_stubs.VERSIONS, task=task, make=make,
                **options)


def test_grids_and_lists_become_points_in_order(spec):
    found = spec(GRID + """
[[list]]
model = "digits-w8a8"
arithmetic = {conv = "distributed", dense = "bit_serial"}
device = "ecp5-25k"
[[list]]
model = "digits-w4a4"
arithmetic = "quarter_square"
array = "2x2"
device = "ice40-hx8k"
""")
    assert len(found.points) == 9 and len(set(found.points)) == 9
    assert found.points[0] == Point("digits-w4a4", None, "quarter_square", 2, 2, "ice40-hx8k", 1)
    assert found.points[8] == Point("digits-w8a8", None, "conv=distributed,dense=bit_serial", 4,
                                    4, "ecp5-25k", 1)


def test_two_grids_are_joined(spec):
    second = GRID.replace("[grid]", "[[grid]]")
    assert len(spec(second + second.replace('"4x4"', '"8x8"')).points) == 12


BAD = {
    "seeds = [1]": ("seed = [1, 2]", "seeds = [1]", "'seeds' .did you mean 'seed'"),
    "an unknown table": ("[grid]", "[limit]\n[grid]", "'limit' .did you mean 'limits'"),
    "no seed": ("seed = [1, 2]", "seed = []", "at least one seed, not none"),
    "no model": ('model = ["digits-w4a4"]', "model = []", "at least one model, not none"),
    "model missing": ('model = ["digits-w4a4"]', "", "must name its model"),
    "nothing at all": (GRID, "", "must have a .grid. or a"),
    "a wrong model": ("digits-w4a4", "digits-w4a5", "did you mean 'digits-w4a4'"),
    "a wrong arithmetic": ("quarter_square", "quarter_sqare", "did you mean 'quarter_square'"),
    "a wrong device": ("ice40-hx8k", "ice40-hx9k", "device must be one of"),
    "a wrong array": ("2x2", "2by2", "array must be a text like 4x4"),
    "an array of nothing": ("2x2", "0x2", "array must be a text like 4x4"),
    "auto": ("quarter_square", "auto", "arithmetic must be named"),
    "half a choice": ("quarter_square", "conv=booth,fabric", "choice by layer"),
    "a negative seed": ("[1, 2]", "[-1]", "seed must be an integer"),
    "a seed twice": ("[1, 2]", "[1, 1]", "different"),
    "a text for a number": ("[1, 2]", '["1"]', "seed must be an integer"),
    "bits of an integer network": ("seed =", 'bits = ["8x8"]\nseed =', "has its own"),
    "not TOML": ("[grid]", "[grid", "must be TOML"),
    "constraints at odds": ("[grid]", "[search]\n[constraints]\nlut_min = 9\nlut_max = 8\n[grid]",
                            "must not contradict each other: lut_min = 9 is above lut_max = 8"),
    "accuracy above one": ("[grid]", "[constraints]\naccuracy_min = 99\n[grid]",
                           "accuracy_min must be at most 1, not 99"),
    "less than nothing": ("[grid]", "[constraints]\nlut_max = -1\n[grid]", "must be at least 0"),
    "an unknown constraint": ("[grid]", "[constraints]\nfmax_min = 1\n[grid]",
                              "did you mean 'fmax_mhz_min'"),
    "constraints of nothing": ("[grid]", "[constraints]\nlut_max = 8\n[grid]",
                               "must come with .search.: without it, everything is built"),
    "fits perhaps": ("[grid]", "[constraints]\nfits = 'perhaps'\n[grid]", "true or false"),
    "the wrong way": ("[grid]", "[objective]\nminimise = ['fmax_mhz', 'lut']\n[grid]",
                      "of which less is better, not fmax_mhz"),
    "one objective": ("[grid]", "[objective]\nminimise = ['lut']\n[grid]", "2 to 4 columns"),
    "an objective twice": ("[grid]", "[objective]\nminimise = ['lut', 'lut']\n[grid]", "once"),
    "no budget": ("[grid]", "[search]\nbudget = 0\n[grid]", "search budget must be a number"),
    "no time": ("[grid]", "[limits]\ntime_s = 0\n[grid]", "limit time_s must be a number above 0"),
    "not a number": ("[grid]", "[limits]\ntime_s = nan\n[grid]", "must be a number"),
    "an integer of thousands of digits": ("[1, 2]", "[" + "9" * 5000 + "]", "must be TOML"),
    "more than a float holds": ("[grid]", f"[limits]\ntime_s = {'9' * 400}\n[grid]",
                                "limit time_s must be a number above 0"),
    "a model of a long name": ("digits-w4a4", "m" * 300, "model must be one of"),
    "data of a long name": ("[grid]", f"data = '{'d' * 300}'\n[grid]", "an existing file"),
    "a model's file missing": (
        "[grid]", "[models.m]\nfile = 'no.npz'\ncalibration = 's.toml'\n[grid]", "existing file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_specs_say_what_to_change(spec, name):
    old, new, said = BAD[name]
    with pytest.raises(UsageError, match=said) as caught:
        spec(GRID.replace(old, new))
    assert "s.toml" in str(caught.value)


def test_a_float_model_needs_bits_and_a_sweep_has_a_most(spec, monkeypatch):
    models = "[models.m]\nfile = 's.toml'\ncalibration = 's.toml'\n"
    with pytest.raises(UsageError, match="must have bits for the float model 'm'"):
        spec(models + GRID.replace("digits-w4a4", "m"))
    monkeypatch.setattr("nmahw.sweep.spec._MOST_POINTS", 7)
    with pytest.raises(UsageError, match="at most 7 points, not 8"):
        spec()


def test_a_spec_that_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(UsageError, match="must be a readable file"):
            read_spec(path)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read_spec(tmp_path / "b.toml")


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


def made_up(number, seed):
    """Designs whose estimates are off by a factor of their group and some noise."""
    dice = np.random.default_rng(seed)
    truth, guess, groups = {}, {}, {}
    for index in range(number):
        group, size = index % 6, 2.0 ** (index // 6)
        bias = 1 + 0.25 * np.sin(group * 2.1)
        lut = 100 * size * (1 + group / 3)
        speed = 1e4 * size**0.9 * (1 + group * (5 - group) / 5)
        guess[index] = {"lut": lut, "images_per_s": speed}
        truth[index] = {"lut": lut * bias * dice.normal(1, 0.02),
                        "images_per_s": speed / bias * dice.normal(1, 0.07)}
        groups[index] = group
    return truth, guess, groups


@pytest.mark.parametrize("seed", range(4))
def test_a_search_finds_the_front_with_a_quarter_of_the_runs(seed):
    truth, guess, groups = made_up(60, seed)
    selection = Selection(guess, groups, ("lut", "images_per_s"), 15)
    while chosen := selection.next(1):
        for one in chosen:
            selection.add(one, truth[one])
    assert selection.spent <= 15
    values = np.log(np.abs(oriented(list(truth.values()), ("lut", "images_per_s"))))
    values[:, 1] *= -1
    reference = reference_point(values)
    found = values[sorted(selection._measured)]
    share = hypervolume(found, reference) / hypervolume(values, reference)
    assert share >= 0.95
    assert front(values).sum() > 3


def test_a_search_in_a_sweep_keeps_budget_and_goes_on(spec, store):
    text = GRID.replace('"4x4"]', '"4x4", "2x4", "4x2"]') + "[search]\nbudget = 0.25\n"
    ran = Here().run(plan_of(spec(text), store, SearchPlan))
    runs = [label[1] for label, row in ran if label[0] == "run"]
    assert len(runs) == 4 and len({(p.arithmetic, p.rows, p.columns) for p in runs}) == 2
    assert {p.seed for p in runs} == {1, 2}
    again = Here().run(plan_of(spec(text), store, SearchPlan))
    assert not {label for label, _ in again} & {label for label, _ in ran}


def test_a_search_leaves_out_what_breaks_constraints(spec, store):
    text = GRID + "[search]\nbudget = 1\n[constraints]\naccuracy_min = 0.95\n"
    with pytest.raises(UsageError, match="at least one design, but none of 4 keeps them"):
        Here().run(plan_of(spec(text), store, SearchPlan))
    assert not store.attempts() and len(store.designs()) == 4


def test_a_search_counts_nothing_that_breaks_constraints_when_built(spec, store):
    # The stand-in's larger designs have 1,601 LUT and more; the estimator thinks less of them.
    text = GRID + "[search]\nbudget = 1\n[constraints]\nlut_max = 1600\n"
    plan = plan_of(spec(text), store, SearchPlan)
    ran = Here().run(plan)
    assert {label[1].rows for label, _ in ran if label[0] == "run"} == {2, 4}
    assert {key[0][3] for key in plan._selection._measured} == {2}


def test_a_search_waits_for_what_its_workers_do(spec, store):
    text = GRID.replace('"4x4"]', '"4x4", "2x4", "4x2"]') + "[search]\nbudget = 1\n"
    plan = plan_of(spec(text), store, SearchPlan)
    while (task := plan.next_task()).label[0] == "design":
        plan.finished([(task, job.guarded(task.function, task.payload, {}))])
    # One worker: the next candidate is chosen when this one is known, or there is another worker.
    assert plan.next_task() is None
    plan.tick(1, 2)
    other = plan.next_task()
    assert other.label[1].design != task.label[1].design
    assert plan.next_task() is None
    plan.tick(5, 2)
    assert plan.progress.running == 2


def test_a_search_for_what_nobody_can_tell_is_refused_at_once(tmp_path, spec):
    spec(GRID + "[search]\n[objective]\nminimise = ['seconds', 'lut']\n")
    with pytest.raises(UsageError, match="a search's objective must be of lut"):
        load(tmp_path / "s.toml")


def test_gains_are_what_hypervolumes_say():
    dice = np.random.default_rng(5)
    for axes in (2, 3):
        have, rows = dice.uniform(size=(9, axes)), dice.uniform(size=(30, axes))
        reference = np.full(axes, 0.9)
        base = hypervolume(have, reference)
        assert np.allclose(_gains(have, rows, reference), [
            hypervolume(np.vstack([have, row]), reference) - base for row in rows])
        assert np.allclose(_gains(have[:0], rows, reference),
                           [hypervolume(row[None], reference) for row in rows])


def test_a_missing_extra_names_the_command(tmp_path, spec, monkeypatch, capsys):
    spec()
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert command_line(["sweep", str(tmp_path / "s.toml"), "-o", str(tmp_path / "o.sqlite")]) == 6
    assert 'pip install "nmahw[cluster]"' in capsys.readouterr().err


def test_a_dry_run_tells_and_writes_nothing(tmp_path, spec, capsys):
    spec(GRID.replace('"bit_serial"', '"binary"') + "[cost]\nper_core_hour = 100\n"
         "currency = 'EUR'\n")
    output = tmp_path / "o.sqlite"
    assert command_line(["sweep", str(tmp_path / "s.toml"), "-o", str(output), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "runs: 8 of 4 designs; 8 are left to do" in told
    assert "rule of thumb" in told and "EUR" in told and "cannot be built: 4 runs" in told
    assert not output.exists()


def test_an_unreachable_scheduler_is_told_in_time(tmp_path, spec, capsys, monkeypatch):
    pytest.importorskip("distributed")
    from nmahw.sweep import engine
    monkeypatch.setattr(engine, "_CONNECT_S", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EnvironmentProblem, match="did not answer as one within 1 s"):
            engine.Engine(cluster=address)
    with pytest.raises(EnvironmentProblem, match="must be the address"):
        engine.Engine(cluster="nonsense://x")
    with pytest.raises(UsageError, match="workers must be a positive integer"):
        engine.Engine(0)


@pytest.mark.parametrize("end, code", [
    (KeyboardInterrupt(), 130), (SchedulerLost("the scheduler is gone"), 6)])
def test_what_stops_a_sweep_tells_how_to_go_on(tmp_path, spec, capsys, monkeypatch, end, code):
    spec()

    def stop(*arguments, **options):
        raise end
    monkeypatch.setattr("nmahw.sweep.run.sweep", stop)
    arguments = ["sweep", str(tmp_path / "s.toml"), "-o", str(tmp_path / "o p.sqlite")]
    monkeypatch.setattr(sys, "argv", ["nmahw", *arguments])
    assert command_line(arguments) == code
    told = capsys.readouterr().err
    assert f"nmahw sweep {tmp_path / 's.toml'} -o '{tmp_path / 'o p.sqlite'}'" in told


@pytest.mark.parametrize("arguments, code, said", [
    (["--export", "x.txt"], 2, "an export must end in"), (["--workers", "0"], 2, "workers"),
    (["--limit-s", "inf"], 2, "time limit must be a number above 0, not inf"),
    (["-o", "results.json"], 2, "must not end in .csv, .json, .parquet, as exports do"),
])
def test_bad_options(tmp_path, spec, capsys, arguments, code, said):
    spec()
    assert command_line(["sweep", str(tmp_path / "s.toml"), "-o", str(tmp_path / "o.sqlite"),
                         *arguments]) == code
    assert said in capsys.readouterr().err


def test_shipped_specs_can_be_read():
    from pathlib import Path
    folder = Path(__file__).parent.parent / "benchmarks" / "sweeps"
    files = sorted(folder.glob("*.toml"))
    assert files
    for path in files:
        assert tomllib.loads(path.read_text()) and read_spec(path).points


def test_attempts_are_plain_values(spec, store):
    Here().run(plan_of(spec(), store))
    assert json.loads(json.dumps(store.attempts())) == store.attempts()
    assert os.environ["OMP_NUM_THREADS"] == "1"
