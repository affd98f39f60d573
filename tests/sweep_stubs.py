"""Tasks that take the place of synthesis, place and route in tests of sweeps."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from nmahw.errors import BuildError, DoesNotFit
from nmahw.toolchain import Tool, run

VERSIONS = {"nmahw": "stub", "yosys": "1", "nextpnr-ice40": "1"}


def make(job, payload, blobs):
    """A design without making one."""
    name = f"{payload['arithmetic']} {payload['rows']}x{payload['columns']}"
    return {"rtlil": hashlib.sha256(name.encode()).hexdigest(), "accuracy": 0.9,
            "cycles_per_image": 1000 // payload["rows"], "macs_per_image": 1000,
            "memory_bits": 100, "options": {"x": 1}, "is_baseline": False, "exact": True,
            "yosys_passes": [], "hard_multiplier": False}


def figures(payload):
    """Something that differs between points."""
    size = payload["rows"] * payload["columns"]
    return {"lut": 100 * size + payload["seed"], "ff": 10 * size, "dsp": 0, "block_ram": 1,
            "fmax_mhz": 200.0 / payload["columns"] + payload["seed"], "no_multiplier": 1}


def place(job, payload, blobs):
    """A run of a few milliseconds that leaves a line in the file that NMAHW_TEST_LOG names."""
    if log := os.environ.get("NMAHW_TEST_LOG"):
        with open(log, "a") as file:
            file.write(payload["key"] + "\n")
    time.sleep(float(os.environ.get("NMAHW_TEST_SLEEP", "0.01")))
    return figures(payload)


def fail(job, payload, blobs):
    """Every way a run can fail, by its seed."""
    seed = payload["seed"]
    if seed == 1:
        raise DoesNotFit("the design does not fit x: it needs 9 LUT of 8", {"lut": (9, 8)})
    if seed == 2:
        return tool(job, payload, blobs, "import sys; print('ERROR: odd cell'); sys.exit(3)")
    if seed == 3:
        return tool(job, payload, blobs, "import time; time.sleep(600)")
    if seed == 4:
        return tool(job, payload, blobs, "import time; x = bytearray(10**9); time.sleep(600)")
    if seed == 5:
        raise BuildError("nextpnr failed with exit code 134:\n  terminate: std::bad_alloc")
    if seed == 6:
        raise ValueError("a defect")
    if seed == 7:
        os.kill(os.getpid(), 9)
    return figures(payload)


def tool(job, payload, blobs, text="import time; time.sleep(600)"):
    """Run a program as tools are run, and leave its number in the file NMAHW_TEST_LOG names."""
    text = ("import os; f = open(os.environ['NMAHW_TEST_LOG'], 'a'); "
            f"f.write(str(os.getpid()) + '\\n'); f.close(); {text}"
            if "NMAHW_TEST_LOG" in os.environ else text)
    run(Tool("tool", (sys.executable,)), ["-c", text], Path("/"), group=job.group)
    return figures(payload)


def main():
    """A sweep with stubs as a program of its own, which tests kill."""
    from unittest import mock

    # A shell lets what it runs in the background ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from nmahw.sweep import engine
    from nmahw.sweep.run import sweep
    spec, output, task = sys.argv[1:4]
    options = {"cluster": sys.argv[4]} if len(sys.argv) > 4 else {"workers": 2}
    with mock.patch.object(engine.Engine, "identity", lambda self, tools: dict(VERSIONS)):
        import sweep_stubs
        outcome = sweep(spec, output, task=getattr(sweep_stubs, task), make=sweep_stubs.make,
                        **options)
    print(outcome, flush=True)


def children(pid):
    """Processes that a process started, and those they did."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True,
                            check=True).stdout.split("\n")
    parents = [tuple(map(int, line.split())) for line in listed if line.strip()]
    found, wanted = [], {pid}
    while wanted:
        wanted = {child for child, parent in parents if parent in wanted}
        found += wanted
    return found


def lines(path):
    """What runs left there."""
    return path.read_text().split() if path.exists() else []


def wait_until(true, seconds=120.0):
    """Wait for `true`; what it came to."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def alive(pid):
    """Whether a process runs; one that only waits to be taken note of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    main()
