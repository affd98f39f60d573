"""Measuring elements and arrays: figures, rows that fail, tables and pages."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from amaranth.back import rtlil
from measurements import FIGURES, array_measurement, array_row
from rich.console import Console
from small_designs import StandInArithmetic, shared_bench, small_rtlil

from nmahw import measure as module
from nmahw.arith import ARITHMETICS
from nmahw.devices import device
from nmahw.errors import UsageError
from nmahw.gateware.element_bank import ElementBank
from nmahw.kernel import Kernel
from nmahw.measure import (
    ArrayTask,
    ConstantTask,
    ElementTask,
    default_arithmetics,
    measure,
    measure_one,
    operands,
)
from nmahw.measured import ArrayRow, Measured, row_of
from nmahw.report import COLUMNS, tables, write_html
from nmahw.result import baseline_names, build
from nmahw.workbench import Workbench


class StandInTask(ArrayTask):
    """A few elements that add or multiply, as the arithmetic of that name would."""

    def run(self, name, subject, device, seeds, bench):
        kind = subject.arithmetic
        arithmetic = StandInArithmetic(name, kind.is_baseline, kind.exact, kind.hard_multiplier,
                                       kind.yosys_passes)
        text = small_rtlil("multiply" if kind.is_baseline else "add", 2, bits=8)
        known = build(name, arithmetic, lambda: text, device, seeds, bench)
        return ArrayRow(name, macs_per_cycle=subject.macs_per_cycle, limits=device.limits,
                        **self.common(kind), **known)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    counts = []
    result = measure(StandInTask(8, 8, 2, 3), ["l1", "ternary"], "ice40-hx8k", [1, 2, 3],
                     bench=shared_bench(tmp_path_factory),
                     count=lambda *numbers: counts.append(numbers))
    return result, counts


def test_baselines_of_the_product_join_whatever_the_operation(measured):
    result, counts = measured
    assert [row.arithmetic for row in result.results] == ["l1", "ternary", *baseline_names()]
    total = len(result.results)
    assert sorted(counts) == [(number + 1, total) for number in range(total)]
    assert result.device.name == "ice40-hx8k" and result.seeds == (1, 2, 3)


def test_figures_follow_from_what_was_measured(measured):
    result, _ = measured
    built = [row for row in result.results if row.built]
    assert len(built) >= 4
    for row in built:
        fmax = sorted(row.fmax_by_seed.values())[1]
        kernel = Kernel.of(row.arithmetic, 2, 3, *operands(8, 8))
        assert row.fmax_mhz == fmax and row.macs_per_cycle == kernel.macs_per_cycle
        assert row.macs_per_s == pytest.approx(fmax * 1e6 * kernel.macs_per_cycle)
        assert row.macs_per_s_per_lut == pytest.approx(row.macs_per_s / row.resources["lut"])
        assert row.certificate.granted != row.is_baseline
        assert row.device_macs_per_s == pytest.approx(row.arrays * row.macs_per_s)
        assert row.arrays == min(7680 // row.resources["lut"], 7680 // row.resources["ff"])
    # An iCE40 HX8K has no hard multiplier.
    assert result.row("dsp").lacking == {"dsp": (2, 0)}
    assert result.row("dsp").arrays is result.row("dsp").macs_per_s is None
    ternary = result.row("ternary")
    assert (ternary.operands, ternary.weight_values) == ("u8 x s2", 3)
    assert "measured with operands u8 x s2, not u8 x s8" in ternary.note
    assert result.row("l1").note == "" and result.row("l1").weight_values == 256


def test_a_device_holds_what_its_scarcest_resource_allows():
    row = array_row("distributed")
    # What distributed RAM is made of is in the LUTs already.
    assert row.lut == 1200 and row.resources["distributed_ram"] == 60
    assert row.macs_per_s == 2e9
    assert row.macs_per_s_per_lut == pytest.approx(2e9 / 1200)
    # 56 block RAMs by 4, 24,288 LUT by 1,200, 24,288 FF by 600.
    assert (row.arrays, row.scarcest) == (14, "block ram")
    assert row.device_macs_per_s == pytest.approx(14 * 2e9)
    larger = replace(row, limits=device("ecp5-85k").limits)
    assert larger.arrays == 52
    booth = array_row("booth")
    assert (booth.arrays, booth.scarcest) == (8, "lut")
    assert array_row("dsp").scarcest == "dsp" and array_row("dsp").arrays == 1


def test_relations_are_to_the_baselines_of_the_same_table():
    table = array_measurement()
    row = table.row("distributed")
    assert table.ratio(row, "macs_per_s_per_lut", "booth") == pytest.approx(
        (2e9 / 1200) / (1.6e9 / 2800))
    assert table.references == ("dsp", "booth")
    floats = replace(table, results=(*table.results, Measured("x", operation=(
        "float_product_bf16"))))
    assert floats.references == ("dsp", "booth", "float_multiply_bf16")


def test_what_cannot_be_made_is_a_row_that_says_why(tmp_path_factory):
    bench = shared_bench(tmp_path_factory)
    # 8 rows of tables cannot load in turn within 16 positions; 1 row of multipliers can.
    row = measure_one(ArrayTask(8, 8, 8, 8, 16), "distributed", device("ecp5-25k"), [1], bench)
    assert not row.built and "positions must be at least" in row.problem
    assert isinstance(row, ArrayRow) and row.arrays is None


def test_accumulators_that_cannot_fit_are_refused_before_mapping(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(Workbench, "run", lambda *a, **o: pytest.fail("nothing may run"))
    row = measure_one(ArrayTask(8, 8, 4, 64), "booth", device("ice40-hx8k"), [1],
                      shared_bench(tmp_path_factory))
    assert row.lacking == {"block_ram": (192, 32)}
    assert "accumulators of 512 sums of 24 bits in 64 columns take at least 192" in row.problem


@pytest.mark.parametrize("task, names, device_name, seeds, message", [
    (lambda: ArrayTask(8, 8), ["magic"], "ecp5-25k", [1], "arithmetic must be one of"),
    (lambda: ArrayTask(8, 8), ["l1"], "magic", [1], "device must be one of"),
    (lambda: ArrayTask(8, 8), ["l1"], "ecp5-25k", [], "seeds must be one or more"),
    (lambda: ArrayTask(8, 8, 0, 8), ["l1"], "ecp5-25k", [1], "array rows must be"),
    (lambda: ArrayTask(8, 8, 8, 65), ["l1"], "ecp5-25k", [1], "array columns must be"),
    (lambda: ArrayTask(8, 8, positions=100), ["l1"], "ecp5-25k", [1], "positions must be a power"),
    (lambda: ArrayTask(0, 8), ["l1"], "ecp5-25k", [1], "weight bits must be 1..16, not 0"),
    (lambda: ElementTask(8, 17), ["l1"], "ecp5-25k", [1], "activation bits must be 1..16"),
    (lambda: ElementTask(8, True), ["l1"], "ecp5-25k", [1], "activation bits must be 1..16")])
def test_what_the_user_got_wrong_is_said_before_building(task, names, device_name, seeds, message,
                                                         tmp_path_factory, monkeypatch):
    monkeypatch.setattr(Workbench, "run", lambda *a, **o: pytest.fail("nothing may run"))
    with pytest.raises(UsageError, match=message):
        measure(task(), names, device_name, seeds, bench=shared_bench(tmp_path_factory))


def test_built_in_weights_are_those_that_the_arithmetic_has_codes_for():
    task = ConstantTask(8, 8, 3, 5)
    for name in ("ternary", "distributed", "booth", "l1"):
        subject = task.prepare(name)
        kind = subject.arithmetic
        assert subject.weights.shape == (3 * kind.taps, 5)
        assert np.array_equal(subject.weights, type(kind).project(subject.weights))
        assert subject.macs_per_cycle == 15 * kind.taps / kind.phases(kind.activation)
        assert not np.array_equal(subject.weights[0], subject.weights[1])
    assert task.rtlil(task.prepare("ternary")) == task.rtlil(task.prepare("ternary"))


def test_arithmetics_that_cannot_have_built_in_weights_say_so(tmp_path_factory):
    row = measure_one(ConstantTask(8, 8, 2, 2), "fair_square", device("ecp5-25k"), [1],
                      shared_bench(tmp_path_factory))
    assert "must need no correction column, but fair_square does" in row.problem


def test_nothing_to_measure_is_refused(tmp_path_factory):
    with pytest.raises(UsageError, match="at least one arithmetic"):
        measure(ElementTask(8, 8), [], "ecp5-25k", baselines=[],
                bench=shared_bench(tmp_path_factory))


def test_by_default_every_arithmetic_of_integers_that_takes_the_activations():
    names = default_arithmetics(8, 8)
    assert {"distributed", "l1", "ternary", "quarter_square"} <= set(names)
    assert not set(names) & set(baseline_names()) and not any("bf16" in name for name in names)
    assert "quarter_square" not in default_arithmetics(8, 12)


def test_ports_are_taken_from_an_elements_figures(tmp_path_factory, monkeypatch):
    """What `build` finds for four elements, less the ports, by four."""
    monkeypatch.setattr(module, "build", lambda name, subject, text, *rest: (
        text(), dict(is_baseline=False, exact=True, resources={"lut": 100, "ff": 90},
                     fmax_by_seed={1: 100.0}))[1])
    asked = []

    def place(text, *rest, **options):
        asked.append(text)
        return [SimpleNamespace(utilisation={"lut": 20, "ff": 80, "dsp": 0, "block_ram": 0})]

    monkeypatch.setattr(module, "place_and_route", place)
    monkeypatch.setattr(module, "utilisation_median", lambda placed: placed[0].utilisation)
    row = measure_one(ElementTask(8, 8), "bit_serial", device("ice40-hx8k"), [1],
                      shared_bench(tmp_path_factory))
    assert row.resources == {"lut": 20, "ff": 2.5}
    assert row.macs_per_cycle == 1 / 8 and row.macs_per_s == 100e6 / 8
    # The ports alone have nothing that adds, but for the harness' own counter.
    assert len(asked) == 1 and asked[0].count("cell $add ") == 1


def test_a_bank_has_the_ports_of_all_its_elements():
    kind = ARITHMETICS.get("bit_serial").nearest(*operands(8, 8))
    one, four = ElementBank(kind, 7, 1), ElementBank(kind, 7, 4)
    texts = [rtlil.convert(bank, emit_src=False) for bank in (one, four)]
    assert [len(re.findall(r"cell \\top\.element\d+ ", text)) for text in texts] == [1, 4]
    assert len(four.operands) == 4 * len(one.operands)
    assert len(four.psums) == 4 * len(one.psums) == 4 * kind.psum_shape(8).width


def test_rows_come_back_from_their_document():
    table = array_measurement()
    for row in table.results:
        document = json.loads(json.dumps(row.document()))
        again = row_of(document, ArrayRow, table.device)
        assert again.document() == row.document() and again.note == row.note
    document = json.loads(table.as_json())
    assert document["schema"] == "nmahw-measurement" and document["seeds"] == [1, 2, 3]
    rows = {row["arithmetic"]: row for row in document["rows"]}
    assert rows["distributed"]["macs_per_s_per_lut"] == pytest.approx(2e9 / 1200)
    assert rows["distributed"]["relative"]["booth"]["fmax_mhz"] == 2
    assert rows["booth"]["certificate"] == {
        "granted": False, "found": {"$mul": 16}, "searched": {"RTLIL": 10, "netlist": 100}}


def test_tables_and_page_show_every_row(tmp_path):
    table = array_measurement()
    assert set(table.COLUMNS) <= set(COLUMNS)
    console = Console(width=220, record=True, file=open(tmp_path / "screen", "w"))
    console.print(tables(table))
    console.file.close()
    text = console.export_text()
    line = next(line for line in text.splitlines() if line.startswith("distributed"))
    for cell in ("u8 x s8", "1,200", "200.0 (195.0..220.0)", "1.67 M", "14 (block ram)",
                 "28 G", "yes"):
        assert cell in line
    assert "4x4 array, weights x activations 8x8 bits on ecp5-25k" in text
    assert "fabric: does not fit: 50000 COMB" in text
    page = write_html(table, tmp_path / "page.html").read_text()
    for name in (*FIGURES, "fabric"):
        assert f"<td>{name}</td>" in page
    assert page.count("<svg") == 3 and "50000 COMB &lt;b&gt;" in page
