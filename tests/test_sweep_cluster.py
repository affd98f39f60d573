"""Sweeps on a scheduler that runs already, and one that goes away."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from sweep_stubs import alive, lines, wait_until

from nmahw.sweep.store import Store

pytest.importorskip("distributed")
HERE = Path(__file__).parent
SPEC = """
[grid]
model = ["digits-w4a4"]
arithmetic = ["quarter_square"]
array = ["2x2", "2x4"]
device = ["ice40-hx8k"]
seed = [1, 2, 3]
"""
SCHEDULER = """
import asyncio
from distributed import Scheduler
async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False,
                         dashboard_address="127.0.0.1:0") as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()
asyncio.run(main())
"""
WORKER = """
import asyncio, sys
from distributed import Worker
async def main():
    async with Worker(sys.argv[1], nthreads=1, memory_limit=0,
                      dashboard_address="127.0.0.1:0") as worker:
        await worker.finished()
if __name__ == "__main__":
    asyncio.run(main())
"""


@contextmanager
def running(tmp_path):
    """A scheduler and a worker, as processes of their own."""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "NMAHW_CACHE": str(tmp_path / "cache"),
                   "NMAHW_TEST_LOG": str(tmp_path / "log"), "NMAHW_TEST_SLEEP": "0.2"}
    scheduler = subprocess.Popen([sys.executable, "-c", SCHEDULER], env=environment, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    address = scheduler.stdout.readline().strip()
    worker = subprocess.Popen([sys.executable, "-c", WORKER, address], env=environment,
                              cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield address, scheduler, worker
    for process in (worker, scheduler):
        process.kill()
        process.wait()
    scheduler.stdout.close()


@pytest.fixture
def cluster(tmp_path):
    with running(tmp_path) as found:
        yield found


def sweep(tmp_path, address=None, task="place", spec=SPEC):
    (tmp_path / "s.toml").write_text(spec)
    return subprocess.Popen(
        [sys.executable, str(HERE / "sweep_stubs.py"), str(tmp_path / "s.toml"),
         str(tmp_path / "r.sqlite"), task, *([address] if address else [])],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(HERE), "NMAHW_TEST_LOG": str(tmp_path / "log")})


def test_a_running_scheduler_is_used_and_its_end_is_told(tmp_path, cluster):
    address, scheduler, _ = cluster
    client = sweep(tmp_path, address)
    told, _ = client.communicate(timeout=200)
    assert client.returncode == 0 and "done=6" in told, told
    with Store(tmp_path / "r.sqlite") as store:
        assert [row["status"] for row in store.attempts()] == ["done"] * 6
    before = len(lines(tmp_path / "log"))
    (tmp_path / "r.sqlite").unlink()
    client = sweep(tmp_path, address, "tool")
    assert wait_until(lambda: len(lines(tmp_path / "log")) > before)
    scheduler.send_signal(signal.SIGKILL)
    told, _ = client.communicate(timeout=200)
    assert client.returncode != 0 and "must go on running, but is gone" in told, told
    with Store(tmp_path / "r.sqlite") as store:
        assert not [row for row in store.attempts() if row["status"] == "done"]


def test_an_interrupt_ends_tools_on_workers_that_go_on(tmp_path, cluster):
    address, *_ = cluster
    client = sweep(tmp_path, address, "tool")
    assert wait_until(lambda: lines(tmp_path / "log"))
    client.send_signal(signal.SIGINT)
    told, _ = client.communicate(timeout=200)
    assert "KeyboardInterrupt" in told, told
    assert wait_until(lambda: not alive(int(lines(tmp_path / "log")[0])), 30)
    client = sweep(tmp_path, address)
    told, _ = client.communicate(timeout=200)
    assert "done=6" in told, told


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_schedulers_killed_at_random_moments_lose_nothing(tmp_path):
    dice, before = random.Random(3), set()
    spec = SPEC.replace("[1, 2, 3]", str(list(range(1, 31))))
    for _ in range(6):
        seen = len(lines(tmp_path / "log"))
        with running(tmp_path) as (address, scheduler, _worker):
            client = sweep(tmp_path, address, spec=spec)
            more, end = dice.randrange(1, 9), time.monotonic() + 200
            while len(lines(tmp_path / "log")) < seen + more and time.monotonic() < end:
                time.sleep(0.02)
            time.sleep(dice.uniform(0, 0.3))
            scheduler.kill()
            told, _ = client.communicate(timeout=200)
        assert client.returncode != 0 and "is gone" in told, told
        assert not set(lines(tmp_path / "log")[seen:]) & before
        with Store(tmp_path / "r.sqlite") as store:
            after = {row["key"] for row in store.attempts() if row["status"] == "done"}
        assert before <= after
        before = after
    assert before
    # Local workers go on where the clusters were lost.
    seen = len(lines(tmp_path / "log"))
    client = sweep(tmp_path, spec=spec)
    told, _ = client.communicate(timeout=400)
    assert client.returncode == 0, told
    assert not set(lines(tmp_path / "log")[seen:]) & before
    with Store(tmp_path / "r.sqlite") as store:
        assert store.statuses()["done"] == 60
