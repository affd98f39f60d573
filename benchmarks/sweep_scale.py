"""What a sweep costs beside its jobs, measured here; and a thousand workers, simulated.

    python benchmarks/sweep_scale.py overhead [--jobs 300]
    python benchmarks/sweep_scale.py efficiency [--jobs 16] [--seconds 1]
    python benchmarks/sweep_scale.py place [--repeats 2]
    python benchmarks/sweep_scale.py store [--rows 5000]
    python benchmarks/sweep_scale.py simulate [--workers 1000] [--jobs 100000] [--times R.sqlite]

Each prints and writes its figures to benchmarks/results/sweep_scale.json. The simulation takes
overhead and store times from there, and job times from a results file of a sweep (log-normal, with
median and spread of the recorded ones).
"""

import argparse
import heapq
import json
import math
import os
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

from nmahw.files import write_atomically
from nmahw.sweep.engine import TASKS_PER_WORKER, Engine, Task
from nmahw.sweep.run import sweep
from nmahw.sweep.store import Store

# Eight runs of like length.
PLACED = """
[grid]
model = ["digits-w4a4"]
arithmetic = ["quarter_square", "bit_serial", "fabric", "fair_square"]
array = ["1x2", "2x2"]
device = ["ice40-hx8k"]
"""
RESULTS = Path(__file__).parent / "results" / "sweep_scale.json"
# Without recorded runs: place and route of LeNet-5 on a 4x4 array, seconds, and its spread.
_MEDIAN_S, _SIGMA = 90.0, 0.6


def trivial(job, payload, blobs):
    """A job that does nothing, or sleeps."""
    if payload["seconds"]:
        time.sleep(payload["seconds"])
    return {"lut": 1}


class Trivial:
    """A plan of trivial jobs whose rows are stored."""

    def __init__(self, count: int, seconds: float, store: Store):
        self._left, self._seconds, self._store, self._first = count, seconds, store, count

    def next_task(self) -> Task | None:
        if not self._left:
            return None
        self._left -= 1
        return Task(trivial, {"seconds": self._seconds}, self._left)

    def finished(self, results) -> None:
        self._store.add(attempts=[_row(task.label, row) for task, row in results])

    def content(self, sha256: str) -> bytes:
        raise KeyError(sha256)

    def tick(self, running: int, workers: int) -> None:
        pass


def _row(number: int, row: dict) -> dict:
    return {**row, "key": f"{time.time_ns()}-{number}", "design": "d", "device": "x",
            "seed": number, "versions": {}}


def timed(workers: int, count: int, seconds: float) -> float:
    """Seconds of `count` jobs with warm workers."""
    with tempfile.TemporaryDirectory() as folder, \
            Store(Path(folder) / "r.sqlite", write=True) as store, Engine(workers) as engine:
        engine.run(Trivial(4 * workers, 0, store))
        begun = time.monotonic()
        engine.run(Trivial(count, seconds, store))
        return time.monotonic() - begun


def overhead(options) -> dict:
    """Time of a trivial job, with its row, on one worker."""
    spent = timed(1, options.jobs, 0)
    return {"jobs": options.jobs, "ms_per_job": 1e3 * spent / options.jobs}


def efficiency(options) -> dict:
    """Two workers against one, on jobs of a given length that take no processor."""
    one = timed(1, options.jobs, options.seconds)
    two = timed(2, options.jobs, options.seconds)
    return {"jobs": options.jobs, "job_s": options.seconds, "one_worker_s": one,
            "two_workers_s": two, "efficiency": one / two / 2}


def place_once(spec: Path, workers: int) -> dict:
    """One sweep with an empty cache: wall time with workers ready, processor time, occupancy."""
    begun = [0.0]

    def say(text: str) -> None:
        begun[0] = begun[0] or time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NMAHW_CACHE"] = str(Path(folder) / "cache")
        outcome = sweep(spec, Path(folder) / "r.sqlite", workers=workers, say=say)
        ended = time.monotonic()
        with Store(Path(folder) / "r.sqlite") as results:
            rows = results.attempts()
            busy = sum(row["seconds"] for row in rows) + sum(
                row["seconds"] for row in results.designs().values())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if outcome.statuses != {"done": len(rows)}:
        raise SystemExit(f"every run must be done, but: {outcome.statuses}")
    wall = ended - begun[0]
    return {"workers": workers, "runs": len(rows), "wall_s": round(wall, 1),
            "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
            "occupied": round(busy / workers / wall, 3),
            "load_average": round(os.getloadavg()[0], 1)}


def place(options) -> dict:
    """Two workers against one on real place-and-route runs, in turn, caches empty."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "place.toml"
        spec.write_text(PLACED)
        found = []
        for _ in range(options.repeats):
            for workers in (1, 2):
                found.append(place_once(spec, workers))
                print(json.dumps(found[-1]), flush=True)
    one, two = ([run for run in found if run["workers"] == workers] for workers in (1, 2))

    def median(runs: list[dict], name: str) -> float:
        return statistics.median(run[name] for run in runs)
    cpu = median(one, "cpu_s") / median(two, "cpu_s")
    # What a machine with two free cores would show: what runs take from each other, and how much
    # of the time there is one.
    return {"efficiency": round(median(one, "wall_s") / 2 / median(two, "wall_s"), 3),
            "cpu_of_one_to_two": round(cpu, 3),
            "efficiency_by_cpu": round(cpu * median(two, "occupied") / median(one, "occupied"),
                                       3),
            "measurements": found}


def store(options) -> dict:
    """Rows a second of the store, one a transaction and fifty."""
    found = {"rows": options.rows}
    with tempfile.TemporaryDirectory() as folder:
        for batch in (1, 50):
            rows = [{**_row(i, {"status": "done", "log": "x" * 500})}
                    for i in range(options.rows if batch > 1 else options.rows // 10)]
            with Store(Path(folder) / f"{batch}.sqlite", write=True) as results:
                begun = time.monotonic()
                for first in range(0, len(rows), batch):
                    results.add(attempts=rows[first:first + batch])
                spent = time.monotonic() - begun
                found[f"ms_per_row_in_{batch}"] = 1e3 * spent / len(rows)
    return found


def simulate(options) -> dict:
    """Discrete events: workers, one scheduler that handles jobs in turn, one writer in batches.

    The writer takes whatever has come while it wrote, as the engine does; a worker is idle until
    the scheduler got to its result, unless a job waits with it already.
    """
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    service = known.get("overhead", {}).get("ms_per_job", 5.0) / 1e3
    one = known.get("store", {}).get("ms_per_row_in_1", 3.0) / 1e3
    many = known.get("store", {}).get("ms_per_row_in_50", 0.2) / 1e3
    median, sigma, recorded = _MEDIAN_S, _SIGMA, 0
    if options.times:
        with Store(options.times) as results:
            times = [math.log(row["seconds"]) for row in results.attempts()
                     if row["status"] == "done" and row["seconds"] > 1]
        median, sigma, recorded = math.exp(statistics.median(times)), statistics.pstdev(times), \
            len(times)
    dice = random.Random(1)
    lengths = [dice.lognormvariate(math.log(median), sigma) for _ in range(options.jobs)]
    ideal = max(sum(lengths) / options.workers, max(lengths))
    left = iter(lengths)
    waiting = {worker: [] for worker in range(options.workers)}
    events: list[tuple[float, int]] = []
    free = busy = 0.0
    # The scheduler hands out the first jobs one after the other.
    for _ in range(TASKS_PER_WORKER):
        for worker in range(options.workers):
            if (length := next(left, None)) is not None:
                free += service
                waiting[worker].append((free, length))
    for worker, jobs in waiting.items():
        if jobs:
            arrived, length = jobs.pop(0)
            heapq.heappush(events, (arrived + length, worker))
    ended: list[float] = []
    while events:
        now, worker = heapq.heappop(events)
        free = max(free, now) + service
        busy += service
        ended.append(free)
        if (length := next(left, None)) is not None:
            waiting[worker].append((free, length))
        if waiting[worker]:
            arrived, length = waiting[worker].pop(0)
            heapq.heappush(events, (max(now, arrived) + length, worker))
    written = wrote = 0.0
    index = 0
    while index < len(ended):
        written = max(written, ended[index])
        batch = 1
        while index + batch < len(ended) and ended[index + batch] <= written and batch < 1000:
            batch += 1
        spent = one + (batch - 1) * many
        written, wrote, index = written + spent, wrote + spent, index + batch
    # Jobs a second that a scheduler, or the store, can take at most.
    return {"workers": options.workers, "jobs": options.jobs, "job_median_s": median,
            "job_sigma": sigma, "recorded_runs": recorded, "hours": written / 3600,
            "efficiency": ideal / written, "scheduler_busy": busy / written,
            "store_busy": wrote / written, "scheduler_limit_jobs_per_s": 1 / service,
            "store_limit_rows_per_s": 1 / many,
            "workers_at_scheduler_limit": round(statistics.fmean(lengths) / service)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overhead", "efficiency", "place", "store",
                                         "simulate"))
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--times", type=Path)
    options = parser.parse_args()
    options.jobs = options.jobs or {"overhead": 300, "efficiency": 16,
                                    "simulate": 100_000}.get(options.what)
    found = globals()[options.what](options)
    if options.what != "simulate":
        found["load_average"] = round(os.getloadavg()[0], 1)
    name = f"{options.what}_recorded" if options.times else options.what
    print(json.dumps({name: found}, indent=1))
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    write_atomically(RESULTS, json.dumps({**known, name: found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
