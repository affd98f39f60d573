"""The commands: what they print and write."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_inputs import tiny_network

from nmahw import bundled, toolchain
from nmahw.arith import ARITHMETICS
from nmahw.boards import BOARDS
from nmahw.design import Design
from nmahw.devices import devices
from nmahw.frontends import FRONTENDS
from nmahw.layers import LAYERS
from nmahw.network import Network


@pytest.fixture
def tiny(tmp_path):
    return tiny_network(tmp_path)


def test_info_names_everything(cli):
    code, out, _ = cli("info")
    assert code == 0
    for name in [*ARITHMETICS.names(), *devices(), *BOARDS.names(), *LAYERS.names(),
                 *FRONTENDS.names(), *bundled.models(), *toolchain.TOOL_NAMES]:
        assert name in out, name


def test_predict_tells_the_golden_accuracy(cli):
    network = bundled.load_model("digits-w4a4")
    images = bundled.sample_for(network).first(100)
    right = int((network.classify(images.x) == images.y).sum())
    code, out, _ = cli("predict", "digits-w4a4", "--limit", 100)
    assert code == 0 and f"accuracy: {right:.2f} % ({right} of 100)" in out


def test_predict_traces_every_layer(cli):
    network = bundled.load_model("digits-w4a4")
    _, trace = network.predict(bundled.sample_for(network).x, trace=True)
    _, out, _ = cli("predict", "digits-w4a4", "--trace")
    rows = [[cell.strip() for cell in line.strip("│").split("│")]
            for line in out.splitlines() if line.startswith("│")]
    assert [(row[1], int(row[5]), int(row[6])) for row in rows] == [
        (layer.name, needed, bound) for layer, needed, bound in zip(
            network.layers, trace.needed_bits, trace.bound_bits, strict=True)]


def test_predict_without_labels_names_the_classes(cli, tmp_path):
    images = bundled.load_sample("digits-sample").first(5)
    np.savez(tmp_path / "x.npz", x=images.x)
    code, out, _ = cli("predict", "digits-w4a4", "--data", tmp_path / "x.npz")
    classes = bundled.load_model("digits-w4a4").classify(images.x)
    assert code == 0 and "classes: " + " ".join(map(str, classes)) in out


@pytest.fixture
def float_model(tmp_path):
    """A linear classifier of the digits by least squares, and its data."""
    images = bundled.load_sample("digits-sample")
    x = images.x.reshape(len(images), -1).astype(float) / 16
    ones = np.ones((len(x), 1))
    fit, *_ = np.linalg.lstsq(np.hstack([x, ones]), np.eye(10)[images.y], rcond=None)
    np.savez(tmp_path / "float.npz", **{"1.weight": fit[:-1].T, "1.bias": fit[-1]})
    np.savez(tmp_path / "data.npz", x=images.x.reshape(len(images), -1), y=images.y)
    return tmp_path


def test_import_then_predict(cli, float_model):
    target = float_model / "network.npz"
    code, out, err = cli(
        "import", float_model / "float.npz", "-o", target, "--calibration",
        float_model / "data.npz", "--architecture", "dense:1", "--input-shape", "64",
        "--input-scale", "1/16", "--weight-bits", 6, "--title", "linear")
    assert code == 0, err
    network = Network.load(target)
    assert network.title == "linear" and f"network: {target}" in out
    assert max(int(np.abs(layer.weights).max()) for layer in network.layers
               if layer.is_matrix) < 2**5
    images = bundled.load_sample("digits-sample")
    percent = f"{100 * images.accuracy(network.classify(images.x)):.2f} %"
    assert float(percent[:-2]) > 85
    assert f"accuracy on 450 images: {percent}, float" in out
    assert percent in cli("predict", target, "--data", float_model / "data.npz")[1]


def test_simulate_compares_outputs_and_cycles(cli):
    code, out, err = cli("simulate", "digits-w4a4", "--arith", "bit_serial", "--array", "2x2",
                         "--images", 7)
    assert code == 0, err
    assert "all 70 outputs of 7 images equal the golden model's" in out
    assert "simulated cycles equal the predicted ones" in out
    design = Design.of(bundled.load_model("digits-w4a4"), "bit_serial", 2, 2)
    for cycles in design.schedule.cycles_by_pass:
        assert len(re.findall(rf"│\s+{cycles:,} ", out)) == 2  # predicted and simulated
    assert f"{design.cycles_per_image:,}" in out


def test_simulate_with_stalls_does_not_claim_cycles(cli):
    code, out, _ = cli("simulate", "digits-w4a4", "--arith", "bit_serial", "--array", "2x2",
                       "--images", 3, "--stalls", 0.3, "--seed", 5, "--jobs", 1)
    assert code == 0 and "all 30 outputs" in out and "cycles equal" not in out


def test_verilog_writes_and_lints(cli, tmp_path):
    code, out, err = cli("verilog", "digits-w4a4", "--arith", "bit_serial", "--array", "2x3",
                         "-o", tmp_path / "build", "--lint")
    assert code == 0, err
    written = {Path(line.partition(": ")[2]) for line in out.splitlines() if str(tmp_path) in line}
    assert written == set((tmp_path / "build").iterdir()) and len(written) == 4
    sidecar = json.loads((tmp_path / "build" / "nmahw_top.json").read_text())
    assert sidecar["array"] == {"arithmetic": "bit_serial", "rows": 2, "columns": 3}


@pytest.mark.parametrize("arith, code, word", [
    ("bit_serial", 0, "certificate granted"), ("booth", 4, "must have no multiplier")])
def test_certify(cli, arith, code, word):
    got, out, err = cli("certify", "digits-w4a4", "--arith", arith, "--array", "1x2",
                        "--device", "ice40-hx8k", "--no-place")
    assert got == code and word in out + err
    assert ("error: " in err) == bool(code)


@pytest.mark.long
def test_compare_writes_what_it_shows(cli, tiny, tmp_path):
    code, out, err = cli("compare", tiny, "--arith", "bit_serial", "--device", "ice40-up5k",
                         "--array", "1x1", "--data", tmp_path / "tiny-data.npz",
                         "--json", tmp_path / "c.json", "--html", tmp_path / "c.html")
    assert code == 0, err
    rows = {row["arithmetic"]: row for row in json.loads((tmp_path / "c.json").read_text())["rows"]}
    assert {"bit_serial", "dsp", "booth", "fabric"} <= set(rows)
    for name, row in rows.items():
        assert name in out and f"{row['fmax_mhz']['median']:.1f}" in out
    assert (tmp_path / "c.html").read_text().startswith("<!DOCTYPE html>")
    assert f"JSON: {tmp_path / 'c.json'}" in out and f"HTML: {tmp_path / 'c.html'}" in out
