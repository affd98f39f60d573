"""The demo: the whole way, on a small network here and on the bundled LeNet-5 in long runs."""

import json
import re
import threading
from dataclasses import replace

import pytest

from nmahw import demo
from nmahw.arith import ARITHMETICS
from nmahw.cache import Cache
from nmahw.cli import run
from nmahw.compare import Row
from nmahw.demo import FULL, QUICK, run_demo
from nmahw.errors import BuildError, CertificateError, EnvironmentProblem, MismatchError
from nmahw.workbench import Workbench

SMALLEST = replace(QUICK, rows=1, columns=2, images={"bit_serial": 5}, baselines=())


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    """A demo of one arithmetic, made twice; what each said."""
    folder, said = tmp_path_factory.mktemp("demo"), ([], [])
    cache = Cache(folder / "cache")
    results = [run_demo(folder / f"out{index}", SMALLEST, cache=cache, say=said[index].append)
               for index in (0, 1)]
    return results, said


def test_every_output_is_written(smallest):
    (result, _), _ = smallest
    assert result.images == 450 and result.accuracy > 0.95
    for path in result.paths.values():
        assert path.is_file() and path.stat().st_size
    figures = json.loads(result.paths["figures"].read_text())
    assert [row["arithmetic"] for row in figures["rows"]] == ["bit_serial"]
    assert result.paths["report"].read_text().startswith("<!DOCTYPE html>")
    assert result.paths["picture"].read_bytes().startswith(b"\x89PNG\r\n")
    assert "module nmahw_top" in result.paths["Verilog, bit_serial"].read_text()


def test_simulation_is_told_as_it_was(smallest):
    (result, _), _ = smallest
    check, = result.checks
    assert (check.arithmetic, check.images, check.outputs) == ("bit_serial", 5, 50)
    # One process for each job, each from the first image in to the last out.
    assert check.simulated_cycles > 3 * check.cycles_per_image
    assert json.loads(result.paths["simulation"].read_text())[0]["outputs"] == 50
    row = result.comparison.row("bit_serial")
    assert row.cycles_per_image == check.cycles_per_image
    assert row.certificate.granted and "placed netlist" in row.certificate.cells


def test_second_run_builds_nothing(smallest):
    (first, second), (before, after) = smallest
    tools = re.compile(r"mapping onto|placing and routing|compiling")
    assert len([line for line in before if tools.search(line)]) == 3
    assert not [line for line in after if tools.search(line)]
    assert first.paths["figures"].read_text() == second.paths["figures"].read_text()


def test_full_demo_shows_what_it_promises():
    for plan in (FULL, QUICK):
        assert {"quarter_square", "bit_serial", "dsp", "booth"} <= set(plan.images)
        for name in plan.images:
            assert ARITHMETICS.get(name).is_baseline == (name in plan.baselines)
    assert FULL.model == "lenet5-w8a8" and FULL.images["quarter_square"] is None


def row(**fields):
    return Row("bit_serial", is_baseline=False, **fields)


class Refused:
    granted = False

    def require(self):
        raise CertificateError("a multiplier")


def test_a_design_with_a_multiplier_fails_the_demo(smallest):
    (result, _), _ = smallest
    with pytest.raises(CertificateError, match="a multiplier"):
        demo._judge(replace(result.comparison, results=(row(certificate=Refused()),)))


def test_a_design_that_cannot_be_built_fails_the_demo(smallest):
    (result, _), _ = smallest
    with pytest.raises(BuildError, match="bit_serial: too large"):
        demo._judge(replace(result.comparison, results=(row(problem="too large"),)))


def test_place_to_write_is_checked_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    with pytest.raises(EnvironmentProblem, match="must be writable"):
        run_demo(tmp_path / "file" / "out", SMALLEST, say=said.append)
    assert not said


def test_failing_simulation_ends_place_and_route():
    bench, started = Workbench(), threading.Event()

    def place():
        started.set()
        while not bench.group.stopped:
            threading.Event().wait(0.01)

    with pytest.raises(MismatchError), demo._in_background(place, bench):
        assert started.wait(30)
        raise MismatchError("different")
    assert bench.group.stopped


def test_failing_place_and_route_is_told():
    def place():
        raise BuildError("no room")

    with pytest.raises(BuildError, match="no room"), \
            demo._in_background(place, Workbench()) as result:
        result()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("plan, options", [(QUICK, ["--quick"]), (FULL, [])])
def test_demo_command(tmp_path, capsys, plan, options):
    assert run(["demo", "--out", str(tmp_path / "out"), *options]) == 0
    out = capsys.readouterr().out
    for name in plan.images:
        assert re.search(rf"certificate: {name} .*"
                         rf"{'[$]mul' if name in plan.baselines else 'no multiplier'}", out)
        assert (tmp_path / "out" / "verilog" / name / "nmahw_top.v").is_file()
    for path in (tmp_path / "out").iterdir():
        assert path.is_dir() or str(path) in out
