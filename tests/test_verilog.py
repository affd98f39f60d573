"""Emitted Verilog: deterministic, free of machine paths, clean in lint, checked as reference."""

import json
import re

import numpy as np
import pytest
from _standin import StandIn, StandInTop, standin_network
from amaranth.back import rtlil as amaranth_rtlil
from networks import adapted

from nmahw import verilog
from nmahw.arith import ARITHMETICS
from nmahw.cache import Cache
from nmahw.design import Design
from nmahw.errors import BuildError, EnvironmentProblem, MismatchError
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.requantise import Requantise
from nmahw.network import Network
from nmahw.tensor import TensorFormat
from nmahw.verilog import Port

DESIGN = StandIn()


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("verilog"))


def element(name: str, value: int) -> tuple[str, str]:
    """File name and RTLIL of a small module."""
    return name, (f"attribute \\top 1\nmodule \\{name}\n  wire width 4 input 0 \\a\n"
                  f"  wire width 4 output 1 \\b\n  cell $add $1\n"
                  f"    parameter \\A_SIGNED 0\n    parameter \\A_WIDTH 4\n"
                  f"    parameter \\B_SIGNED 0\n    parameter \\B_WIDTH 4\n"
                  f"    parameter \\Y_WIDTH 4\n    connect \\A \\a\n    connect \\B 4'{value:04b}\n"
                  f"    connect \\Y \\b\n  end\nend\n")


def test_same_bytes_from_two_caches(cache, tmp_path):
    first = verilog.to_verilog(DESIGN.rtlil(), "one", cache)
    assert verilog.to_verilog(DESIGN.rtlil(), "one", Cache(tmp_path)) == first
    lines = first.splitlines()
    assert lines[0] == "// nmahw_top: one"
    assert lines[2] == f"// RTLIL SHA-256: {verilog.rtlil_sha256(DESIGN.rtlil())}"
    assert re.fullmatch(r"// Yosys: (Yosys )?0\.\d+.*", lines[3])


def test_no_source_locations(cache):
    with_source = amaranth_rtlil.convert(StandInTop(), name="nmahw_top", emit_src=True)
    assert "_standin.py" in with_source
    text = verilog.to_verilog(with_source, cache=cache)
    assert "_standin" not in text and "src =" not in text and str(cache.folder) not in text
    assert not re.search(r"/(home|root|tmp|usr|work)/", text)


def test_title_stays_in_its_comment(cache):
    text = verilog.to_verilog(DESIGN.rtlil(), "a\nmodule b", cache)
    assert text.startswith("// nmahw_top: a module b\n//")


def test_ports():
    ports = {port.name: port for port in verilog.read_ports(DESIGN.rtlil(trace=True))}
    assert ports["clk"] == Port("clk", "input", 1, False)
    assert ports["s_axis_tdata"] == Port("s_axis_tdata", "input", 8, False)
    assert ports["m_axis_tdata"] == Port("m_axis_tdata", "output", 16, True)
    assert ports["trace_address"] == Port("trace_address", "output", 6, False)
    assert len(ports) == 17


def test_no_top():
    with pytest.raises(BuildError, match="RTLIL must hold a module with the attribute top"):
        verilog.read_top("module \\a\nend\n")


def test_damaged_rtlil(tmp_path):
    with pytest.raises(BuildError, match="yosys failed"):
        verilog.to_verilog("attribute \\top 1\nmodule \\a\n  cell ", cache=Cache(tmp_path))


def test_emit(cache, tmp_path):
    emitted = verilog.emit(DESIGN, tmp_path / "new" / "folder", cache)
    assert sorted(path.name for path in emitted.verilog.parent.iterdir()) == [
        "nmahw_harness.cpp", "nmahw_top.core", "nmahw_top.json", "nmahw_top.v"]
    assert all(path.is_file() for path in emitted)
    sidecar = json.loads(emitted.sidecar.read_text())
    assert sidecar["top"] == "nmahw_top" and sidecar["cycles_per_image"] == 96
    assert sidecar["passes"] == [{"title": "0 conv2d", "cycles": 24},
                                 {"title": "3 dense", "cycles": 72}]
    assert sidecar["input"] == {"shape": [1, 3, 4], "low": 0, "high": 15, "bits": 4,
                                "signed": False}
    assert {"name": "busy", "direction": "output", "width": 1, "signed": False} \
        in sidecar["ports"]
    assert sidecar["network"]["sha256"] == verilog.network_sha256(standin_network())
    core = emitted.core.read_text()
    assert core.startswith("CAPI=2:\n")
    for name in ("nmahw_top.v", "nmahw_harness.cpp"):
        assert f"      - {name}\n" in core
    for name in verilog.LINT_WAIVERS:
        assert f"-Wno-{name}" in core
    for macro in ("INPUTS=12", "OUTPUTS=3", "PASSES=2"):
        assert f"-DNMAHW_{macro}" in core


def test_output_not_writable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(StandIn, "rtlil", lambda self: pytest.fail("worked before checking"))
    with pytest.raises(EnvironmentProblem, match="must be writable"):
        verilog.emit(DESIGN, tmp_path / "file" / "folder")


def test_network_hash():
    def network(weight=1, title="a", high=15):
        return Network(TensorFormat((2,), 0, high), (Dense(np.array([[weight, 2]])),), title)
    assert verilog.network_sha256(network()) == verilog.network_sha256(network(title="b"))
    assert len({verilog.network_sha256(n) for n in (
        network(), network(weight=2), network(high=14))}) == 3


@pytest.mark.parametrize("arithmetic", ARITHMETICS.names())
def test_lint_is_clean(cache, tmp_path, arithmetic):
    rng = np.random.default_rng(1)
    network = Network(TensorFormat((1, 5, 5), 0, 15), (
        Conv2d(rng.integers(-2, 2, (2, 1, 2, 2))), MaxPool(2, 2), Requantise(2, 0, 15),
        Flatten(), Dense(rng.integers(-2, 2, (3, 8)))))
    network = adapted(network, ARITHMETICS.get(arithmetic))
    emitted = verilog.emit(Design.of(network, arithmetic, 2, 2), tmp_path, cache)
    verilog.lint(emitted.verilog)


def test_lint_finds_faults(tmp_path):
    path = tmp_path / "latch.v"
    path.write_text("module latch(input a, input b, output reg q);\n"
                    "always @* if (a) q = b;\nendmodule\n")
    with pytest.raises(BuildError, match="LATCH"):
        verilog.lint(path)
    path.write_text("module latch(output q); wire w; assign q = w; endmodule\n")
    with pytest.raises(BuildError, match="UNDRIVEN"):
        verilog.lint(path, "latch")


def test_reference(cache, tmp_path):
    designs = [element("one", 1), element("two", 2)]
    paths = verilog.emit_reference(tmp_path, designs, cache)
    assert [path.name for path in paths] == ["one.v", "two.v", "nmahw.core"]
    verilog.check_reference(tmp_path, designs, cache)
    verilog.lint(paths[:2], "one")
    core = paths[2].read_text()
    assert "  lint_one:\n" in core and "    toplevel: two\n" in core


@pytest.mark.parametrize("change, message", [
    (lambda p: (p / "one.v").unlink(), "one.v is missing"),
    (lambda p: (p / "three.v").write_text(""), "three.v belongs to no design"),
    (lambda p: (p / "nmahw.core").write_text(""), "nmahw.core is out of date"),
    (lambda p: (p / "one.v").write_text((p / "one.v").read_text() + "\n"),
     "one.v differs from what is generated today"),
    (lambda p: (p / "one.v").write_text((p / "two.v").read_text()),
     "one.v comes from another design"),
    (lambda p: (p / "one.v").write_text("// nothing"), "one.v comes from another design")])
def test_reference_changed(cache, tmp_path, change, message):
    designs = [element("one", 1), element("two", 2)]
    verilog.emit_reference(tmp_path, designs, cache)
    change(tmp_path)
    with pytest.raises(MismatchError, match=message):
        verilog.check_reference(tmp_path, designs, cache)


def test_reference_of_another_yosys(cache, tmp_path):
    """Its text may differ; its RTLIL may not."""
    designs = [element("one", 1)]
    path = verilog.emit_reference(tmp_path, designs, cache)[0]
    path.write_text(re.sub(r"(// Yosys: ).*", r"\g<1>Yosys 0.1", path.read_text()) + "// more\n")
    verilog.check_reference(tmp_path, designs, cache)
    with pytest.raises(MismatchError, match="one.v comes from another design"):
        verilog.check_reference(tmp_path, [element("one", 3)], cache)
