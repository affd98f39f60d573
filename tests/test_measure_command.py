"""Elements and arrays measured from the command line."""

import json

import pytest

from nmahw.cli import run
from nmahw.workbench import Workbench


@pytest.mark.parametrize("arguments, message", [
    ([], "a MODEL, --array RxC or --elements must be given"),
    (["--elements", "--array", "4x4"], "--elements and --array must not be given together"),
    (["digits-w4a4", "--arith", "l1", "--elements"], "--elements must not be given with a MODEL"),
    (["digits-w4a4", "--arith", "l1", "--bits", "8x8"], "--bits must not be given with a MODEL"),
    (["digits-w4a4"], "--arith must name the arithmetics"),
    (["--array", "4x4", "--data", "x.npz"], "--data must not be given without a MODEL"),
    (["--elements", "--positions", "512"], "--positions must not be given with --elements"),
    (["--elements", "--constant", "--array", "4x4"], "must not be given together"),
    (["--array", "4x4", "--constant", "--positions", "512"], "must not be given with --constant"),
    (["--array", "4x65", "--constant"], "array columns must be an integer of 1..64"),
    (["--elements", "--constant"], "--constant must not be given with --elements"),
    (["--array", "4"], "array must be ROWSxCOLUMNS"),
    (["--array", "4x4", "--bits", "8"], "bits must be WEIGHTxACTIVATION, for example 8x8"),
    (["--array", "4x4", "--bits", "8x99"], "activation bits must be 1..16, not 99"),
    (["--array", "4x4", "--positions", "500"], "positions must be a power of two"),
    (["--array", "0x4"], "array rows must be an integer of 1..64"),
    (["--elements", "--arith", "magic"], "arithmetic must be one of")])
def test_bad_input_is_one_clear_error(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(Workbench, "run", lambda *a, **o: pytest.fail("nothing may run"))
    assert run(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and message in captured.err
    assert captured.err.count("error:") == 1


@pytest.mark.long
@pytest.mark.parametrize("what", [
    ["--elements"], ["--array", "2x2", "--positions", "64"], ["--array", "2x2", "--constant"]])
def test_elements_and_arrays_are_really_measured(what, tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert run(["compare", *what, "--bits", "4x4", "--device", "ecp5-25k", "--arith",
                "l1,bit_serial", "--seeds", "1", "--json", str(path)]) == 0
    assert "bit_serial" in capsys.readouterr().out
    rows = {row["arithmetic"]: row for row in json.loads(path.read_text())["rows"]}
    assert {"l1", "bit_serial", "booth", "dsp", "fabric"} == set(rows)
    for name, row in rows.items():
        assert row["certificate"]["granted"] == (name in ("l1", "bit_serial")), name
        assert row["resources"]["lut"] > 2 and row["fmax_mhz"]["median"] > 30
    # One element: an adder of the weight; a 4-bit product.
    assert rows["bit_serial"]["resources"]["lut"] < rows["booth"]["resources"]["lut"]
    if what == ["--elements"]:
        assert rows["dsp"]["resources"]["dsp"] in (0, 1)
        assert rows["bit_serial"]["macs_per_cycle"] == 1 / 4
        assert rows["booth"]["resources"]["block_ram"] == 0
