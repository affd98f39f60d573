"""The cocotb benches of `sim/`, run as a user runs them, on emitted files alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _standin import StandIn, standin_network

from nmahw import verilog
from nmahw.cache import Cache
from nmahw.design import Design
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.relu import ReLU
from nmahw.layers.requantise import Requantise
from nmahw.network import Network
from nmahw.tensor import TensorFormat

RUN = Path(__file__).parents[1] / "sim" / "run.py"


def run(folder: Path, *arguments: str, top: str = "nmahw_top") -> subprocess.CompletedProcess:
    """`sim/run.py` on the files that `emit` made in `folder`."""
    return subprocess.run(
        [sys.executable, str(RUN), str(folder / f"{top}.v"), "--network",
         str(folder / "network.npz"), "--build", str(folder / "build"), *arguments],
        capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def accelerator(tmp_path_factory) -> Path:
    """A real one: convolution, pooling and a dense layer on a 2x2 array."""
    folder = tmp_path_factory.mktemp("accelerator")
    rng = np.random.default_rng(3)
    network = Network(TensorFormat((1, 6, 6), 0, 15), (
        Conv2d(rng.integers(-8, 8, (3, 1, 3, 3))), ReLU(), MaxPool(2, 2), Requantise(5, 0, 15),
        Flatten(), Dense(rng.integers(-8, 8, (4, 12)))))
    network.save(folder / "network.npz")
    verilog.emit(Design.of(network, "bit_serial", 2, 2), folder, Cache(folder / "cache"))
    return folder


def test_accelerator_on_verilator(accelerator):
    done = run(accelerator)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.rstrip().endswith("11 tests passed")


def test_accelerator_on_icarus(accelerator):
    if shutil.which("iverilog") is None:
        pytest.skip("needs iverilog (apt install iverilog)")
    done = run(accelerator, "--simulator", "icarus")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.rstrip().endswith("11 tests passed")


def test_fault_is_found(tmp_path):
    """Without it, a bench that compares nothing would pass too."""
    standin_network().save(tmp_path / "network.npz")
    verilog.emit(StandIn(faulty=True), tmp_path, Cache(tmp_path / "cache"))
    done = run(tmp_path, "--images", "8", "--tests", "back_to_back|random_stalls")
    assert done.returncode == 4, done.stdout[-4000:] + done.stderr[-2000:]
    assert "all tests of the bench must pass, but 5 of 5 failed" in done.stderr


def test_another_network_is_refused(accelerator):
    standin_network().save(accelerator / "other.npz")
    done = run(accelerator, "--network", str(accelerator / "other.npz"))
    assert done.returncode == 2
    assert "other.npz must be the network nmahw_top.v was emitted from" in done.stderr


def test_unknown_simulator(accelerator):
    done = run(accelerator, "--simulator", "modelsim")
    assert done.returncode == 2
    assert "simulator must be one of icarus, verilator, not 'modelsim'" in done.stderr


@pytest.mark.long
def test_unknown_tests(accelerator):
    done = run(accelerator, "--tests", "conjure")
    assert done.returncode == 2
    assert "in the bench, not 'conjure'" in done.stderr


def test_missing_sidecar(accelerator, tmp_path):
    shutil.copy(accelerator / "nmahw_top.v", tmp_path)
    shutil.copy(accelerator / "network.npz", tmp_path)
    done = run(tmp_path)
    assert done.returncode == 2 and "nmahw_top.json must be an existing file" in done.stderr
