"""Boards' designs: clocks from PLLs, reset, bitstreams."""

import json
import re

import pytest
from amaranth.back import rtlil as backend
from amaranth.hdl import Signal
from test_link_endpoint import small_design

from nmahw.boards import BOARDS
from nmahw.build import ARRAY_SHAPES, board_rtlil, build, build_largest
from nmahw.bundled import load_model
from nmahw.certify import rtlil_cells
from nmahw.design import Design
from nmahw.devices import FAMILIES
from nmahw.errors import BuildError, DoesNotFit, NotPlaced, UsageError
from nmahw.estimate import counted
from nmahw.workbench import Workbench


@pytest.mark.parametrize("board", list(BOARDS), ids=lambda board: board.name)
def test_a_pll_makes_the_fastest_clock_below_its_target(board):
    device = board.fpga()
    known = []
    for target_hz in (30e6, 50e6, 77.7e6, 120e6, 180e6):
        pll = board.pll(target_hz)
        if pll is None:
            continue
        known.append(pll.output_hz)
        assert 0.8 * target_hz <= pll.output_hz <= target_hz
        text = backend.convert(_wrapped(pll), name="top", ports=[Signal()])
        assert "cell" in text
    assert known == sorted(known)
    assert known or device.rules.name == "gatemate"


def _wrapped(pll):
    from amaranth.hdl import Elaboratable, Module

    class Wrapped(Elaboratable):
        def elaborate(self, platform):
            m = Module()
            m.submodules.pll = pll.create(Signal(name="i"), Signal(name="o"), Signal(name="l"))
            return m

    return Wrapped()


def test_unreachable_clocks_have_no_pll():
    for family in FAMILIES:
        for device in family.devices:
            assert family.pll(device, 12_000_000, 1e5) is None


@pytest.mark.parametrize("name", ["ulx3s_45f", "icebreaker", "tang_nano_9k", "hx8k_b_evn"])
def test_a_boards_design_has_no_multiplier(name):
    board = BOARDS.get(name)
    pll = board.pll(50e6)
    text = board_rtlil(small_design(), board, pll.output_hz, pll, 115200)
    kinds = {finding.kind for finding in rtlil_cells(text)}
    assert not kinds & {"$mul", "$macc", "$div", "$mod"}
    assert bool(re.search(r"wire .*input \d+ +.button", text, re.M)) == (board.reset is not None)


def test_what_cannot_be_built_is_refused_before_any_tool_runs(tmp_path, monkeypatch):
    network = load_model("digits-w4a4")
    board = BOARDS.get("icestick")
    with pytest.raises(UsageError, match="baud rate must be 1..2400000"):
        build(network, board, "quarter_square", 2, 2, tmp_path, baud=3_000_000)
    with pytest.raises(DoesNotFit, match="no array for LeNet-5"):
        build_largest(load_model("lenet5-w8a8"), board, "quarter_square", tmp_path)
    monkeypatch.setattr("nmahw.build.board_rtlil", None)
    for name in ("hx8k_b_evn", "gatemate_evb"):
        with pytest.raises(DoesNotFit, match="memories in distributed RAM of 0 .take an arithm"):
            build_largest(network, BOARDS.get(name), "distributed", tmp_path)
    assert not list(tmp_path.iterdir())


def test_array_shapes_begin_with_the_largest():
    sizes = [rows * columns for rows, columns in ARRAY_SHAPES]
    assert sizes == sorted(sizes, reverse=True) and (1, 1) in ARRAY_SHAPES


def test_auto_goes_on_with_the_next_array_but_tells_a_broken_tool(tmp_path, monkeypatch):
    network, board = load_model("digits-w4a4"), BOARDS.get("hx8k_b_evn")
    tried, lines = [], []

    def fails(error):
        def make(network, board, arithmetic, rows, columns, folder, **options):
            tried.append((rows, columns))
            if len(tried) < 3:
                raise error("no")
            return "built"
        return make

    monkeypatch.setattr("nmahw.build._candidates", lambda *_: iter([(4, 4), (4, 2), (2, 2)]))
    bench = Workbench(say=lines.append)
    for error in (DoesNotFit, NotPlaced):
        tried.clear()
        monkeypatch.setattr("nmahw.build.build", fails(error))
        assert build_largest(network, board, "quarter_square", tmp_path, bench=bench) == "built"
        assert tried == [(4, 4), (4, 2), (2, 2)]
    assert lines[:4] == ["trying 4x4", "no", "trying 4x2", "no"]
    tried.clear()
    monkeypatch.setattr("nmahw.build.build", fails(BuildError))
    with pytest.raises(BuildError, match="no"):
        build_largest(network, board, "quarter_square", tmp_path, bench=bench)
    assert tried == [(4, 4)]


@pytest.mark.parametrize("board", ["tang_nano_9k", "gatemate_evb"])
def test_families_without_a_fitted_model_are_counted(board):
    """A table an element: more than a device has is not tried."""
    network, device = load_model("digits-w4a4"), BOARDS.get(board).fpga()
    few, many = (counted(Design.of(network, "quarter_square", *shape), device)
                 for shape in ((2, 2), (12, 8)))
    assert many["block_ram"] >= 96 > device.limits["block_ram"] > few["block_ram"] >= 4
    assert many["ff"] > few["ff"] > 100


@pytest.mark.long
@pytest.mark.parametrize("name", ["icebreaker", "hx8k_b_evn", "ulx3s_25f", "tang_nano_9k"])
def test_a_bitstream_is_made(name, tmp_path):
    lines = []
    built = build(load_model("digits-w4a4"), BOARDS.get(name), "bit_serial", 2, 2, tmp_path,
                  bench=Workbench(say=lines.append))
    report = json.loads(built.report.read_text())
    assert built.bitstream.stat().st_size > 10_000
    assert report["fmax_mhz"] * 1e6 >= report["clock_hz"] >= built.board.clock_hz
    assert report["resources"]["dsp"] == 0
