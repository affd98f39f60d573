"""Sweeps that are killed: nothing lost, nothing half written trusted, no tool left over."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_stubs import alive, children, lines, wait_until

from nmahw.sweep.store import Store

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes")

HERE = Path(__file__).parent
SPEC = """
[grid]
model = ["digits-w4a4"]
arithmetic = ["quarter_square", "bit_serial", "booth", "fabric"]
array = ["2x2", "2x4", "4x4"]
device = ["ice40-hx8k"]
seed = [1, 2, 3, 4, 5, 6, 7, 8]
"""
POINTS = 96

WRITER = """
import sys
from nmahw.sweep.store import Store
first = int(sys.argv[2])
with Store(sys.argv[1], write=True) as store:
    print("open", flush=True)
    for batch in range(first, first + 100000):
        rows = [{"key": f"{batch}-{i}", "design": "d", "device": "x", "seed": i, "lut": batch,
                 "status": "done", "versions": {}, "log": "x" * 3000} for i in range(10)]
        store.add(attempts=rows)
        print(batch, flush=True)
"""


def start(spec, output, task, log, **environment):
    return subprocess.Popen(
        [sys.executable, str(HERE / "sweep_stubs.py"), str(spec), str(output), task],
        env={**os.environ, "NMAHW_TEST_LOG": str(log), "PYTHONPATH": str(HERE), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def done(path):
    if not path.exists():
        return []
    with Store(path) as store:
        return [row["key"] for row in store.attempts() if row["status"] == "done"]


def test_a_writer_killed_at_any_moment_leaves_whole_batches_and_all_it_told(tmp_path):
    path, dice, told = tmp_path / "r.sqlite", random.Random(1), set()
    for kill in range(20):
        first = kill * 100000
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(first)],
                                  stdout=subprocess.PIPE, text=True)
        assert writer.stdout.readline() == "open\n"
        time.sleep(dice.uniform(0, 0.08))
        writer.kill()
        told |= {int(line) for line in writer.stdout.read().split("\n") if line.strip()}
        writer.wait()
        writer.stdout.close()
        with Store(path) as store:
            found = [row["lut"] for row in store.attempts()]
            assert store._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert all(found.count(batch) == 10 for batch in set(found))
        assert told <= set(found)
    assert told


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_clients_and_workers_killed_at_random_moments_lose_nothing(tmp_path):
    spec, output, log = (tmp_path / name for name in ("s.toml", "r.sqlite", "log"))
    spec.write_text(SPEC)
    dice, kills, before = random.Random(7), {"client": 0, "worker": 0}, []
    for _ in range(60):
        seen = len(lines(log))
        client = start(spec, output, "place", log, NMAHW_TEST_SLEEP="0.2")
        # From the first moment on: while it starts, connects, runs.
        more = dice.randrange(0, 8)
        wait_until(lambda seen=seen, more=more, client=client:
                   len(lines(log)) >= seen + more or client.poll() is not None)
        time.sleep(dice.uniform(0, 0.3))
        processes = children(client.pid)
        if dice.random() < 0.5 and processes and client.poll() is None:
            os.kill(dice.choice(processes), signal.SIGKILL)
            kills["worker"] += 1
            time.sleep(dice.uniform(0, 1))
        if client.poll() is None:
            processes = children(client.pid)
            client.kill()
            kills["client"] += 1
        client.communicate()
        # Its workers end by themselves, so that no two write the log.
        assert wait_until(lambda processes=processes: not any(map(alive, processes)), 30)
        again = set(lines(log)[seen:]) & set(before)
        assert not again
        after = done(output)
        assert len(set(after)) == len(after) and set(before) <= set(after)
        before = after
        if kills["client"] >= 12 and sum(kills.values()) >= 20:
            break
    assert sum(kills.values()) >= 20
    last = start(spec, output, "place", log, NMAHW_TEST_SLEEP="0.01")
    told, _ = last.communicate()
    assert last.returncode == 0, told.decode()
    found = done(output)
    assert len(found) == len(set(found)) == POINTS
    assert set(before) <= set(found)
    quiet = len(lines(log))
    last = start(spec, output, "place", log)
    assert last.communicate() and last.returncode == 0 and len(lines(log)) == quiet


@pytest.mark.parametrize("victim", ["client", "workers"])
def test_tools_end_with_their_workers(tmp_path, victim):
    spec, output, log = (tmp_path / name for name in ("s.toml", "r.sqlite", "log"))
    spec.write_text(SPEC)
    client = start(spec, output, "tool", log)
    try:
        assert wait_until(lambda: len(lines(log)) >= 2), client.communicate()[0].decode()
        tools = [int(pid) for pid in lines(log)]
        assert all(map(alive, tools))
        if victim == "client":
            client.kill()
        else:
            for pid in children(client.pid):
                if pid not in tools and "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
                    os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: not any(map(alive, tools)), 60)
    finally:
        processes = children(client.pid)
        client.kill()
        client.communicate()
        assert wait_until(lambda: not any(map(alive, processes)), 60)


def test_an_interrupt_ends_soon_and_leaves_no_process(tmp_path):
    spec, output, log = (tmp_path / name for name in ("s.toml", "r.sqlite", "log"))
    spec.write_text(SPEC)
    client = start(spec, output, "tool", log)
    assert wait_until(lambda: len(lines(log)) >= 2), client.communicate()[0].decode()
    processes = children(client.pid)
    client.send_signal(signal.SIGINT)
    try:
        told, _ = client.communicate(timeout=120)
    finally:
        client.kill()
    assert b"KeyboardInterrupt" in told
    assert wait_until(lambda: not any(map(alive, processes)), 30)
    with Store(output) as store:
        assert store.attempts() == []
