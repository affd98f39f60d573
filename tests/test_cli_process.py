"""The program as a process: terminals, pipes, exit codes, interrupts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from cli_inputs import foreign, tiny_network

from nmahw.__main__ import main
from nmahw.arith import ARITHMETICS
from nmahw.cache import Cache

NMAHW = [sys.executable, "-m", "nmahw"]


@pytest.fixture
def tiny(tmp_path):
    return tiny_network(tmp_path)


def test_without_a_terminal_nothing_is_cut_or_coloured():
    done = subprocess.run([*NMAHW, "info"], capture_output=True, text=True, check=True,
                          env={**os.environ, "COLUMNS": "40", "TERM": "xterm-256color"})
    assert "\x1b" not in done.stdout + done.stderr and "…" not in done.stdout
    assert all(kind.summary in done.stdout for kind in ARITHMETICS)


def test_output_without_unicode_does_not_fail():
    done = subprocess.run([*NMAHW, "predict", "digits-w4a4", "--trace"], capture_output=True,
                          check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert b"requantise" in done.stdout and b"?" not in done.stdout


def test_exit_codes_of_a_process(tmp_path):
    assert subprocess.run([*NMAHW, "predict", "digits-w4a4"], capture_output=True).returncode == 0
    for arguments, code in ((["predict", "none"], 2), (["predict", str(foreign(tmp_path))], 3)):
        done = subprocess.run([*NMAHW, *arguments], capture_output=True, text=True)
        assert done.returncode == code and done.stderr.startswith("error: ")


def test_closed_pipe_ends_without_a_word():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        done = subprocess.run([*NMAHW, "info"], stdout=output, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_interrupt_while_the_command_line_loads_is_told(monkeypatch, capsys):
    def interrupted(name):
        if name == "main":
            raise KeyboardInterrupt
        raise AttributeError(name)

    loading = ModuleType("nmahw.cli")
    loading.__getattr__ = interrupted
    monkeypatch.setitem(sys.modules, "nmahw.cli", loading)
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out, captured.err) == (130, "", "error: interrupted\n")


def children(parent: int) -> list[int]:
    """Processes started by `parent` that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize("number, code, when", [
    (signal.SIGINT, 130, "mapping"), (signal.SIGINT, 130, "placing and routing"),
    (signal.SIGTERM, 143, "mapping")])
def test_interrupt_ends_the_tools_and_keeps_no_half_build(tiny, number, code, when):
    cache = tiny.parent / "cache"
    process = subprocess.Popen(
        [*NMAHW, "compare", tiny, "--data", tiny.parent / "tiny-data.npz", "--arith", "bit_serial",
         "--array", "1x1", "--device", "ecp5-25k", "--seeds", "9"], text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "NMAHW_CACHE": str(cache)}, start_new_session=True)
    try:
        told = next((line for line in process.stderr if f": {when}" in line), None)
        assert told, "the tool never ran"
        deadline = time.monotonic() + 60
        while not (tools := children(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert tools
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(60) == code
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.stderr.close()
        process.wait()
    assert rest.splitlines()[-1] == ("error: interrupted" if code == 130 else "error: terminated")
    assert "Traceback" not in rest
    assert not any(Path(f"/proc/{tool}").exists() for tool in tools)
    assert list((cache / "making").iterdir()) == []
    for manifest in cache.glob("*/*/manifest.json"):
        files = json.loads(manifest.read_text())["files"]
        assert all((manifest.parent / name).stat().st_size == size
                   for name, (size, _) in files.items())
    whole = {manifest.parent for manifest in cache.glob("*/*/manifest.json")}
    assert {entry for entry in cache.glob("*/*") if entry.is_dir()} == whole
    Cache(cache)
