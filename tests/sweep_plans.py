"""Sweeps with stubs for tools, run in the tests' own process."""

import sweep_stubs

from nmahw.sweep import job
from nmahw.sweep.networks import Networks
from nmahw.sweep.plan import SweepPlan
from nmahw.sweep.spec import read_spec

GRID = """
[grid]
model = ["digits-w4a4"]
arithmetic = ["quarter_square", "bit_serial"]
array = ["2x2", "4x4"]
device = ["ice40-hx8k"]
seed = [1, 2]
"""


def spec_reader(folder):
    """What writes a spec into a folder and reads it."""
    def read(text=GRID):
        path = folder / "s.toml"
        path.write_text(text)
        return read_spec(path)
    return read


def run_here(monkeypatch, folder):
    """Tasks run in this process, which needs no guard; its cache is its own."""
    monkeypatch.setattr(job.guard, "start", lambda: None)
    monkeypatch.setenv("NMAHW_CACHE", str(folder / "cache"))


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
    """A plan of stubs."""
    return kind(spec, Networks(spec), store, sweep_stubs.VERSIONS, task=task, make=make,
                **options)
