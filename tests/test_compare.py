"""Comparisons: figures, relations, rows that fail, baselines that nobody asked for."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from comparisons import HOSTILE, comparison
from small_designs import StandInArithmetic, StandInDesign, shared_bench, small_rtlil

from nmahw.arith import ARITHMETICS
from nmahw.compare import METRICS, baseline_names, compare, flow_options
from nmahw.design import Design
from nmahw.devices import device
from nmahw.errors import BuildError, ModelError, UsageError
from nmahw.layers.dense import Dense
from nmahw.network import Network
from nmahw.result import _check_multipliers
from nmahw.synthesise import synthesise
from nmahw.tensor import TensorFormat
from nmahw.toolchain import Cancelled
from nmahw.workbench import Workbench

NETWORK = Network(TensorFormat((4,), 0, 15), (Dense(np.arange(12).reshape(3, 4)),), "tiny")
PLAIN = [kind.name for kind in ARITHMETICS if not kind.is_baseline]


def stand_in(network, name, rows, columns):
    """A few elements that add or multiply, as the arithmetic of that name would."""
    kind = ARITHMETICS.get(name)
    arithmetic = StandInArithmetic(name, kind.is_baseline, kind.exact, kind.hard_multiplier,
                                   kind.yosys_passes)
    if rows > 64:
        raise UsageError("rows must be 1..64")
    if name == PLAIN[1]:
        raise ModelError(f"{name} takes weights of at most 2 bits, not 4")
    text = small_rtlil("multiply" if kind.is_baseline else "add", rows * columns, bits=8)
    return StandInDesign(arithmetic, 100 if kind.is_baseline else 200, text)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    bench = shared_bench(tmp_path_factory)
    bench.say = lambda text: bench.group.stopped or said.append(text)
    said = []
    result = compare(NETWORK, PLAIN[:2], "icebreaker", 1, 2, [1, 2, 3], accuracy=lambda design:
                     design.cycles_per_image / 1000, bench=bench, design_factory=stand_in)
    return result, said


def test_baselines_join_behind_what_was_asked_for(measured):
    result, _ = measured
    assert [row.arithmetic for row in result.results] == [*PLAIN[:2], *baseline_names()]
    assert {"dsp", "booth", "fabric"} <= set(baseline_names())
    assert result.device.name == "ice40-up5k" and result.seeds == (1, 2, 3)


def test_figures_follow_from_what_was_measured(measured):
    result, _ = measured
    for row in result.results:
        if not row.built:
            continue
        fmax = sorted(row.fmax_by_seed.values())
        assert list(row.fmax_by_seed) == [1, 2, 3] and row.fmax_mhz == fmax[1]
        assert row.images_per_s == pytest.approx(fmax[1] * 1e6 / row.cycles_per_image)
        assert row.macs_per_s == pytest.approx(12 * row.images_per_s)
        assert row.macs_per_s_per_lut == pytest.approx(row.macs_per_s / row.resources["lut"])
        assert row.accuracy == row.cycles_per_image / 1000
        assert row.certificate.granted != row.is_baseline
        assert "placed netlist" in row.certificate.cells
    assert result.row("dsp").resources["dsp"] == 2
    assert result.row("booth").resources["dsp"] == 0 == result.row("fabric").resources["dsp"]
    assert not any(row.note for row in result.results)
    assert result.row("booth").resources["lut"] > result.row("dsp").resources["lut"]
    assert {"yosys", "nextpnr-ice40"} == set(result.tool_versions)


def test_a_row_that_cannot_be_made_says_why_and_the_others_go_on(measured):
    result, said = measured
    row = result.row(PLAIN[1])
    assert row.problem == f"{PLAIN[1]} takes weights of at most 2 bits, not 4"
    assert row.fmax_mhz is row.images_per_s is row.macs_per_s_per_lut is row.lut is None
    assert sum(row.built for row in result.results) == len(result.results) - 1
    assert any(text.startswith("booth: done") for text in said)


def test_a_row_that_does_not_fit_says_what_it_lacked(tmp_path_factory):
    bench = shared_bench(tmp_path_factory)
    result = compare(NETWORK, [], "ice40-hx8k", 1, 2, [1], baselines=["dsp", "booth"],
                     bench=bench, design_factory=stand_in)
    dsp, booth = result.results
    assert dsp.lacking == {"dsp": (2, 0)} and "needs 2 DSP of 0" in dsp.problem
    assert not dsp.certificate.granted and booth.built
    assert result.ratio(booth, "lut", "dsp") is None and result.ratio(booth, "lut", "booth") == 1


def test_a_baseline_that_is_not_what_its_name_says_is_remarked(tmp_path_factory):
    def narrow(network, name, rows, columns):
        design = stand_in(network, name, rows, columns)
        design.text = small_rtlil("multiply", 2, bits=3)
        return design

    result = compare(NETWORK, [], "ice40-hx8k", 1, 1, [1], baselines=["dsp", "booth", "fabric"],
                     bench=shared_bench(tmp_path_factory), design_factory=narrow)
    notes = {row.arithmetic: row.note for row in result.results}
    assert "used none" in notes["dsp"] and "booth left 2 products" in notes["booth"]
    assert notes["fabric"] == ""


@pytest.mark.parametrize("arguments, message", [
    ((["nonsense"], "ice40-hx8k", 1, 1, [1]), "arithmetic must be one of .*not 'nonsense'"),
    ((["booth"], "nonsense", 1, 1, [1]), "device must be one of .*not 'nonsense'"),
    ((["booth"], "ice40-hx8k", 65, 1, [1]), "rows must be"),
    ((["booth"], "ice40-hx8k", 1, 1, []), "seeds must be one or more")])
def test_what_the_user_got_wrong_is_said_before_building(arguments, message, tmp_path_factory,
                                                         monkeypatch):
    monkeypatch.setattr(Workbench, "run", lambda *a, **o: pytest.fail("nothing may run"))
    with pytest.raises(UsageError, match=message):
        compare(NETWORK, *arguments, bench=shared_bench(tmp_path_factory), baselines=(),
                design_factory=stand_in)


def test_no_arithmetic_at_all_is_refused(tmp_path_factory):
    with pytest.raises(UsageError, match="at least one arithmetic"):
        compare(NETWORK, [], "ice40-hx8k", 1, 1, [1], baselines=(),
                bench=shared_bench(tmp_path_factory), design_factory=stand_in)


def test_a_stopped_comparison_is_no_result(tmp_path_factory):
    bench = shared_bench(tmp_path_factory)
    bench.group.stop()
    with pytest.raises(Cancelled):
        compare(NETWORK, [], "ice40-hx8k", 3, 5, [99], baselines=["booth"], bench=bench,
                design_factory=stand_in)


def test_relations_and_json_of_known_figures():
    known = comparison(HOSTILE)
    small = known.row("small")
    assert small.fmax_mhz == 200 and small.images_per_s == 200e6 / 1000
    assert small.macs_per_s == 1e9 and small.macs_per_s_per_lut == 1e6
    assert known.ratio(small, "lut", "dsp") == 2 and known.ratio(small, "lut", "booth") == 1 / 8
    assert known.ratio(small, "images_per_s", "booth") == pytest.approx(0.25)
    assert known.ratio(known.row("too_big"), "lut", "dsp") is None
    document = json.loads(known.as_json())
    assert document["schema"] == "nmahw-comparison" and document["version"] == 1
    assert document["network"]["title"] == HOSTILE and document["seeds"] == [1, 2, 3]
    assert document["device"]["name"] == "ecp5-25k"
    assert document["tools"] == {"yosys": "0.70", "nextpnr-ecp5": "0.11"}
    rows = {row["arithmetic"]: row for row in document["rows"]}
    assert rows["small"]["fmax_mhz"] == {"median": 200, "by_seed": {"1": 190, "2": 200, "3": 220}}
    assert rows["small"]["relative"]["booth"]["macs_per_s_per_lut"] == pytest.approx(2)
    assert set(rows["small"]["relative"]["dsp"]) == set(METRICS)
    assert rows["too_big"]["lacking"] == {"lut": {"needed": 50000, "available": 24288}}
    assert rows["refused"]["problem"] and rows["refused"]["fmax_mhz"] is None
    assert rows["booth"]["certificate"] == {"granted": False, "found": {"$mul": 1},
                                            "searched": {"RTLIL": 10}}


def test_the_flow_differs_only_in_what_the_arithmetic_is():
    options = {kind.name: flow_options(kind) for kind in ARITHMETICS}
    assert options["dsp"].hard_multiplier and options["booth"].yosys_passes == ("booth",)
    for name, option in options.items():
        assert option.hard_multiplier == ARITHMETICS.get(name).hard_multiplier
        assert option.target_mhz == options["fabric"].target_mhz and option.wide_lut is None


def test_real_accelerators_are_built_and_certified(tmp_path_factory):
    bench = shared_bench(tmp_path_factory)
    # One of each way through the array; the certificate's tests have the others.
    result = compare(NETWORK, ["bit_serial", "distributed", "fair_square"], "ecp5-25k", 2, 2, [1],
                     bench=bench)
    for row in result.results:
        assert row.built, row.problem
        assert row.certificate.granted != row.is_baseline
        if not row.is_baseline:
            assert row.resources["dsp"] == 0


def test_what_cannot_fit_is_refused_before_mapping(tmp_path_factory):
    def huge(network, name, rows, columns):
        return replace(stand_in(network, name, rows, columns), memory_bits=10**6, text="no RTLIL")

    row, = compare(NETWORK, [], "ice40-hx8k", 1, 1, [1], baselines=["booth"],
                   bench=shared_bench(tmp_path_factory), design_factory=huge).results
    assert row.lacking == {"block_ram": (245, 32)} and not row.built
    assert "take 1,000,000 bits, at least 245 block RAM, but ice40-hx8k has 32" in row.problem


def test_a_netlist_that_lost_products_is_refused():
    part = device("ice40-up5k")
    for blocks, products in ((4, 4), (8, 4), (0, 4)):
        _check_multipliers(SimpleNamespace(cells={"SB_MAC16": blocks}), products, part)
    with pytest.raises(BuildError, match="must keep all 4 products, but made 2 hard multipliers"):
        _check_multipliers(SimpleNamespace(cells={"SB_MAC16": 2, "SB_LUT4": 9}), 4, part)


def test_ice40_blocks_do_not_share_products(tmp_path_factory):
    """Yosys would pack one product's register into two blocks and drop half of the array."""
    weights = np.random.default_rng(0).integers(-128, 128, (4, 8))
    network = Network(TensorFormat((8,), 0, 255), (Dense(weights),))
    cells = {}
    for name in ("dsp", "booth"):
        design = Design.of(network, name, 2, 2)
        netlist = synthesise(design.rtlil(pins="serial"), device("ice40-up5k"),
                             flow_options(design.arithmetic), shared_bench(tmp_path_factory), name)
        cells[name] = netlist.cells
    assert cells["dsp"]["SB_MAC16"] == 4
    assert cells["dsp"]["SB_RAM40_4K"] == cells["booth"]["SB_RAM40_4K"]
