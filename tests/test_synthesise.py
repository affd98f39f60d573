"""Mapping, placing and routing: real tools on designs of a few cells."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_designs import shared_bench, small_rtlil

from nmahw import place as module
from nmahw.cache import Cache
from nmahw.devices import FlowOptions, device
from nmahw.errors import BuildError, DoesNotFit, UsageError
from nmahw.kernel import Kernel
from nmahw.measure import operands, rtlil_behind_pins
from nmahw.place import fmax_median, place_and_route, utilisation_median
from nmahw.synthesise import check_fit, synthesise
from nmahw.toolchain import Cancelled
from nmahw.workbench import Workbench

ICE40 = device("ice40-hx8k")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return shared_bench(tmp_path_factory)


@pytest.fixture(scope="module")
def placed(bench):
    return place_and_route(small_rtlil(elements=2), ICE40, FlowOptions(), [1, 2], bench=bench)


def test_figures_are_those_of_nextpnrs_report(placed):
    for result in placed:
        report = json.loads(result.report.read_text())
        achieved, = (clock["achieved"] for clock in report["fmax"].values())
        assert result.fmax_mhz == achieved
        assert result.utilisation["lut"] == report["utilization"]["ICESTORM_LC"]["used"]
        assert result.raw_utilisation["ICESTORM_LC"] == result.utilisation["lut"]
        assert result.placed_cells["ICESTORM_LC"] == result.utilisation["lut"]
        assert result.utilisation["ff"] == sum(
            count for kind, count in result.cells.items() if kind.startswith("SB_DFF"))
        assert result.limits["lut"] == 7680
        path = result.critical_path
        assert path.logic_ns + path.routing_ns == pytest.approx(1000 / result.fmax_mhz, abs=0.3)
        assert path.start and path.end
        for file in (result.log, result.netlist, result.placed_netlist):
            assert file.stat().st_size > 100


def test_seeds_come_back_in_order_and_differ(placed):
    assert [result.seed for result in placed] == [1, 2]
    assert placed[0].report.read_text() != placed[1].report.read_text()
    assert fmax_median(placed) == sum(result.fmax_mhz for result in placed) / 2
    assert utilisation_median(placed)["ff"] == placed[0].utilisation["ff"]
    assert {"yosys", "nextpnr-ice40"} == set(placed[0].tool_versions)


def test_a_finished_build_is_reused_whatever_its_source_lines(placed, bench, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("no tool may run")

    monkeypatch.setattr(Workbench, "run", never)
    again = place_and_route(small_rtlil(elements=2, sources=True), ICE40, FlowOptions(), [2],
                            bench=bench)
    assert again == placed[1:]


def test_tables_in_distributed_ram_are_refused_where_there_is_none(bench, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("no tool may run")

    monkeypatch.setattr(Workbench, "run", never)
    kernel = Kernel.of("distributed", 1, 1, *operands(4, 4), positions=16)
    with pytest.raises(DoesNotFit, match="1 memories in distributed RAM of 0 .take an arithmetic "
                       "without such tables") as refused:
        synthesise(rtlil_behind_pins(kernel.create()), ICE40, FlowOptions(), bench)
    assert refused.value.lacking == {"distributed_ram": (1, 0)}


def test_options_change_the_netlist(bench):
    text, part = small_rtlil("multiply", bits=8), device("ecp5-25k")
    fabric = synthesise(text, part, FlowOptions(), bench)
    booth = synthesise(text, part, FlowOptions(yosys_passes=("booth",)), bench)
    hard = synthesise(text, part, FlowOptions(hard_multiplier=True), bench)
    assert fabric.cells != booth.cells and "MULT18X18D" not in {**fabric.cells, **booth.cells}
    assert hard.cells["MULT18X18D"] == 1 and hard.needs["dsp"] == 1
    # Booth really is Booth: the pass found the product and replaced it.
    assert fabric.unmapped_cells["$mul"] == hard.unmapped_cells["$mul"] == 1
    assert "$mul" not in booth.unmapped_cells
    wide = synthesise(text, part, FlowOptions(wide_lut=True), bench)
    assert "PFUMX" in wide.cells and "PFUMX" not in fabric.cells


def test_what_lacks_is_said_before_placing(bench, monkeypatch):
    netlist = synthesise(small_rtlil("multiply", 2, bits=8), ICE40,
                         FlowOptions(hard_multiplier=True), bench)
    with pytest.raises(DoesNotFit, match="does not fit ice40-hx8k: it needs 2 DSP of 0") as caught:
        check_fit(netlist)
    assert caught.value.lacking == {"dsp": (2, 0)}
    monkeypatch.setattr(module, "_place", lambda *arguments: pytest.fail("must not be placed"))
    with pytest.raises(DoesNotFit):
        place_and_route(small_rtlil("multiply", 2, bits=8), ICE40,
                        FlowOptions(hard_multiplier=True), [1], bench=bench)


def test_enough_but_no_legal_placement_is_told_as_that():
    told = str(module.does_not_fit(ICE40, {"lut": (7600, 7680)}))
    assert told == ("the design does not fit ice40-hx8k: no legal placement was found at 7600 LC "
                    "of 7680")


def test_what_lacks_is_read_from_nextpnr_and_remembered(bench, monkeypatch):
    text = small_rtlil(elements=1, bits=128, outputs=250)
    for _ in range(2):
        with pytest.raises(DoesNotFit, match=r"it needs 25\d SB_IO of 206") as caught:
            place_and_route(text, ICE40, FlowOptions(), [1], bench=bench)
        assert caught.value.lacking["SB_IO"][1] == 206
        monkeypatch.setattr(Workbench, "run", lambda *a: pytest.fail("must be remembered"))


@pytest.mark.parametrize("log, lacking", [
    ("Info: \t TRELLIS_COMB: 30000/24288 123%\nInfo: \t DP16KD: 3/56 5%\nERROR: x",
     {"lut": (30000, 24288)}),
    ("Info: TRELLIS_COMB: 24000/24288 98%\nInfo: TRELLIS_IO: 4/197 2%\nERROR: Unable to find "
     "legal placement for all cells, design is probably at utilisation limit.",
     {"lut": (24000, 24288)}),
    ("Info: TRELLIS_COMB: 40/24288 0%\nERROR: something else", {})])
def test_reasons_are_read_from_the_log(log, lacking, tmp_path):
    (tmp_path / "nextpnr.log").write_text(log)
    assert module._no_room(tmp_path, device("ecp5-25k")) == lacking
    assert module._no_room(tmp_path / "missing", device("ecp5-25k")) == {}


def test_refused_rtlil_is_one_error_with_a_log(bench):
    with pytest.raises(BuildError, match="yosys failed with exit code 1") as caught:
        synthesise("module \\top\n  nonsense\nend\n", ICE40, FlowOptions(), bench)
    log = str(caught.value).split("whole log: ")[1].split(")")[0]
    assert Path(log).is_file()
    with pytest.raises(BuildError, match="top"):
        synthesise("module \\other\nend\n", ICE40, FlowOptions(), bench)


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], ["1"], [True], [2**31]])
def test_bad_seeds_are_refused(seeds, bench):
    with pytest.raises(UsageError, match="seeds must be one or more different integers"):
        place_and_route(small_rtlil(), ICE40, FlowOptions(), seeds, bench=bench)


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True])
def test_bad_jobs_are_refused(jobs, tmp_path):
    with pytest.raises(UsageError, match="jobs must be a positive integer"):
        Workbench(Cache(tmp_path), jobs)


def test_no_more_jobs_than_allowed(tmp_path, monkeypatch):
    running, most = [], []

    def run(*arguments, **options):
        running.append(1)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()

    monkeypatch.setattr("nmahw.workbench.run", run)
    monkeypatch.setattr("nmahw.workbench.prewarm", lambda *arguments: None)
    bench = Workbench(Cache(tmp_path), 2)
    bench.parallel([lambda: bench.run(None, [], tmp_path, tmp_path, "")] * 6)
    assert max(most) == 2 and len(most) == 6


def test_the_cause_is_raised_not_what_it_cancelled(tmp_path):
    bench = Workbench(Cache(tmp_path))

    def cancelled():
        raise Cancelled("cancelled")

    def cause():
        raise BuildError("cause")

    with pytest.raises(BuildError, match="cause"):
        bench.parallel([cancelled, cause, cancelled])


def test_interrupt_ends_the_tools_and_leaves_no_half_entry(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from small_designs import small_rtlil
from nmahw.cache import Cache
from nmahw.devices import FlowOptions, device
from nmahw.place import place_and_route
place_and_route(small_rtlil("multiply", 100, bits=8), device("ecp5-45k"), FlowOptions(), [1, 2],
                cache=Cache({str(tmp_path)!r}), progress=lambda text: print(text, flush=True))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "mapping" in line:
            break
    time.sleep(1.0)
    children = _tools_below(tmp_path)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in error
    assert children
    for _ in range(100):
        if not _tools_below(tmp_path):
            break
        time.sleep(0.1)
    assert not _tools_below(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["making"]


def _tools_below(folder: Path) -> list[int]:
    """Processes that work in a folder below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")).is_relative_to(folder):
                found.append(int(process.name))
        except OSError:
            pass
    return found
