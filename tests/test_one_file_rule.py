"""One new file is enough for an arithmetic, a layer, a board, a wrapper, a method, a data set.

A copy of the package gets one file of each kind (and a second arithmetic: one takes several
activations an element, the other has codes for few weights) and no other change; then the copy's
own command line, comparison, certificate and tests must know them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nmahw
import nmahw.boards

ROOT = Path(__file__).parent.parent

ADDS = '''
"""Extra: two activations an element; the shifted ones whose weight bit is set, all added."""
import numpy as np
from amaranth.hdl import Module, Mux, Signal
from . import Arithmetic, Element


class ExtraAdds(Arithmetic):
    name = "extra_adds"
    summary = "x << k for every set bit k of w"
    source = "shift and add"
    taps = 2

    @property
    def latency_cycles(self):
        return 2

    def compute(self, x, w):
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        total = np.zeros(np.broadcast_shapes(x.shape, w.shape), dtype=np.int64)
        for k in range(self.weight.bits):
            sign = -1 if self.weight.signed and k == self.weight.bits - 1 else 1
            total += np.where((w >> k) & 1, x << k, 0) * sign
        return total

    def create(self, row=0):
        return ExtraElement(self, row)


class ExtraElement(Element):
    def elaborate(self, platform):
        m = Module()
        a = self.arithmetic
        total = 0
        for tap in range(a.taps):
            x = Signal(a.activation.shape, name=f"x{tap}")
            m.d.comb += x.eq(self.symbol.word_select(tap, a.activation.bits))
            w = self.weight.word_select(tap, a.weight.bits)
            for k in range(a.weight.bits):
                part = Mux(w[k], x << k, 0)
                last = a.weight.signed and k == a.weight.bits - 1
                total = total - part if last else total + part
        kept = Signal(a.value_shape(1))
        m.d.sync += kept.eq(total)
        self.add_to_psum(m, kept)
        return m
'''

TERNARY = '''
"""Extra: weights of -1, 0 and 1 only."""
import numpy as np
from amaranth.hdl import Module, Mux, Signal
from . import Arithmetic, Element


class ExtraTernary(Arithmetic):
    name = "extra_ternary"
    summary = "-x, 0 or x"
    source = "ternary weights"
    weight_bits = (2, 2)
    latency_cycles = 1

    @classmethod
    def project(cls, weights):
        return np.sign(weights)

    def compute(self, x, w):
        return np.where(w == 0, 0, np.where(w > 0, x, -x)).astype(np.int64)

    def create(self, row=0):
        return ExtraTernaryElement(self, row)


class ExtraTernaryElement(Element):
    def elaborate(self, platform):
        m = Module()
        x = Signal(self.arithmetic.activation.shape)
        m.d.comb += x.eq(self.symbol)
        signed = self.arithmetic.weight.signed
        self.add_to_psum(m, Mux(self.weight[0], Mux(self.weight[1] & signed, -x, x), 0))
        return m
'''

LAYER = '''
"""Extra: limits."""
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from ..tensor import TensorFormat
from . import Layer


@dataclass(frozen=True, eq=False)
class ExtraClip(Layer):
    name: ClassVar[str] = "extra_clip"
    limit: int

    def output_format(self, input_format):
        low, high = (max(-self.limit, min(self.limit, v))
                     for v in (input_format.low, input_format.high))
        return TensorFormat(input_format.shape, low, high)

    def compute(self, x, input_format):
        return np.clip(x, -self.limit, self.limit)

    def lower(self, builder):
        builder.requantise(0, -self.limit, self.limit)

    @classmethod
    def examples(cls, rng):
        yield TensorFormat((4,), -8, 7), cls(3)
'''

BOARD = '''
"""Extra board (made up)."""
from . import Board, Pin


class ExtraBoard(Board):
    name = "extra-board"
    title = "Extra board"
    device = "ice40-hx8k"
    clock_hz = 12_000_000
    clock = Pin("J3")
    reset = Pin("K9", inverted=True)
    uart_rx = Pin("B10")
    uart_tx = Pin("B12")
    flash = ("-b", "ice40_generic")
'''

WRAPPER = '''
"""Extra: the streams with one name more."""
from amaranth.back import rtlil
from . import Wrapper


class ExtraWrapper(Wrapper):
    name = "extra_wrapper"
    title = "Streams"
    top = "extra_top"

    @classmethod
    def _convert(cls, design):
        return rtlil.convert(design.create(), name=cls.top, emit_src=False)
'''

METHOD = '''
"""Extra: every class by its mean image."""
from dataclasses import dataclass, field
import numpy as np
from ...layers.dense import Dense
from ...network import Network
from . import EpochResult, Method, Trainer


class ExtraTrainer(Trainer):
    def __init__(self, scale, dataset):
        self.scale, self.format = scale, dataset.input_format
        self.weights = np.zeros((dataset.classes, self.format.size), np.int64)

    def epoch(self, index, x, y, progress):
        self.weights = np.stack([np.rint(self.scale * (x[y == k].mean(axis=0) - x.mean(axis=0)))
                                 for k in range(len(self.weights))]).astype(np.int64)
        return EpochResult(0.0, float(np.mean(self.scores(x).argmax(axis=1) == y)))

    def scores(self, x):
        return x.astype(np.int64) @ self.weights.T

    def state(self):
        return {"weights": self.weights}

    def restore(self, state):
        self.weights = np.array(state["weights"])

    def network(self, x, title, metadata):
        return Network(self.format, (Dense(self.weights),), title, metadata)


@dataclass(frozen=True)
class ExtraMeans(Method):
    name = "extra_means"
    summary = "every class by its mean image"
    scale: float = field(default=1.0, metadata={"help": "of the weights"})

    def trainer(self, topology, dataset, epochs, seed):
        return ExtraTrainer(self.scale, dataset)
'''

DATASET = '''
"""Extra: class k has its largest code at place k."""
import numpy as np
from ...datasets import Images
from . import Parts, Source


class ExtraPlaces(Source):
    name = "extra-places"
    summary = "which of three is largest"

    def parts(self, data, split):
        y = np.arange(96) % 3
        x = np.random.default_rng(1).integers(0, 5, (96, 3))
        x[np.arange(96), y] = 9
        return Parts(Images(x, y), None, 9)
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "boards")
    shutil.copytree(Path(nmahw.__file__).parent, folder / "nmahw", ignore=ignored)
    shutil.copytree(nmahw.boards.__path__[0], folder / "nmahw" / "boards",
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, text in (("arith/extra_adds", ADDS), ("arith/extra_ternary", TERNARY),
                       ("layers/extra", LAYER), ("boards/extra", BOARD),
                       ("gateware/wrappers/extra", WRAPPER),
                       ("train/methods/extra", METHOD), ("train/datasets/extra", DATASET)):
        (folder / "nmahw" / f"{name}.py").write_text(text)
    return folder


def run(copy: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "200"}
    done = subprocess.run([sys.executable, *arguments], cwd=copy, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_command_line_offers_them(copy):
    listed = run(copy, "-m", "nmahw", "info")
    for name in ("extra_adds", "extra_ternary", "extra_clip", "extra-board"):
        assert name in listed
    help_text = run(copy, "-m", "nmahw", "compare", "--help")
    assert "extra_adds" in help_text and "extra-board" in help_text


def test_verilog_is_written_in_the_wrapper(copy, tmp_path):
    run(copy, "-m", "nmahw", "verilog", "digits-w4a4", "--arith", "bit_serial", "--array", "1x1",
        "--wrapper", "extra_wrapper", "-o", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "extra_top.core", "extra_top.json", "extra_top.v"]


def test_trains_by_the_method_on_the_data_set(copy, tmp_path):
    listed = run(copy, "-m", "nmahw", "train", "--list")
    assert "extra_means" in listed and "of the weights" in listed
    out = tmp_path / "extra.npz"
    run(copy, "-m", "nmahw", "train", "extra-places", "--method", "extra_means", "--topology",
        "3-3", "--epochs", "2", "--set", "scale=2.0", "-o", str(out))
    assert "100.00 % of the test images of extra-places" in run(
        copy, "-m", "nmahw", "evaluate", str(out), "extra-places")


def test_reference_verilog_has_their_elements(copy):
    assert "nmahw_element_extra_ternary.v" in run(copy, "-m", "nmahw.reference", "rtl")


def test_certificate_and_comparison_take_them(copy, tmp_path):
    net, report = tmp_path / "net.npz", tmp_path / "report.json"
    run(copy, "-c", f"""
import numpy as np
from nmahw.layers.dense import Dense
from nmahw.layers.extra import ExtraClip
from nmahw.network import Network
from nmahw.tensor import TensorFormat
layers = (Dense(np.arange(-3, 3).reshape(2, 3)), ExtraClip(9))
Network(TensorFormat((3,), 0, 7), layers).save({str(net)!r})
""")
    text = run(copy, "-m", "nmahw", "certify", str(net), "--arith", "extra_adds",
               "--device", "extra-board", "--array", "1x1")
    assert "granted" in text
    run(copy, "-m", "nmahw", "compare", str(net), "--arith", "extra_adds", "--device",
        "extra-board", "--array", "1x1", "--seeds", "1", "--json", str(report))
    rows = {row["arithmetic"]: row for row in json.loads(report.read_text())["rows"]}
    assert rows["extra_adds"]["fmax_mhz"] and {"dsp", "booth", "fabric"} <= set(rows)


@pytest.mark.parametrize("file, name", [
    ("test_arith.py", "extra"), ("test_accelerator.py", "extra and lenet"),
    ("test_program.py", "extra"), ("test_certify.py", "extra"), ("test_layers.py", "extra_clip"),
    ("test_boards.py", "extra")])
def test_tests_run_over_them(copy, file, name):
    text = run(copy, "-m", "pytest", "-q", f"tests/{file}", "-k", name, "-p", "no:cacheprovider",
               "-p", "no:xdist")
    assert " passed" in text and "failed" not in text
