"""The command sweep: what it tells, how it ends."""

import socket
import sys

import pytest
from sweep_plans import GRID, run_here, spec_reader

from nmahw.cli import run as command_line
from nmahw.errors import EnvironmentProblem, UsageError
from nmahw.sweep.engine import SchedulerLost


@pytest.fixture
def spec(tmp_path):
    return spec_reader(tmp_path)


@pytest.fixture(autouse=True)
def no_guard(monkeypatch, tmp_path):
    run_here(monkeypatch, tmp_path)


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
