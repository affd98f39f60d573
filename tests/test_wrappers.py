"""Accelerators behind Wishbone and as a custom function unit: in Amaranth's simulator here, their
Verilog in the cocotb benches of `sim/`."""

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _standin import StandIn, standin_network
from amaranth.sim import Simulator
from test_cocotb import run as run_bench

from nmahw import verilog
from nmahw.cache import Cache
from nmahw.certify import FORBIDDEN_CELLS, rtlil_cells
from nmahw.cli import run
from nmahw.design import Design
from nmahw.errors import ModelError, UsageError
from nmahw.gateware.wrappers import WRAPPERS
from nmahw.gateware.wrappers._registers import (
    ADDRESS_BITS,
    MAGIC,
    REGISTERS,
    c_header,
    markdown_registers,
)
from nmahw.layers.dense import Dense
from nmahw.layers.requantise import Requantise
from nmahw.network import Network
from nmahw.tensor import TensorFormat
from nmahw.weight_store import WeightStore

ROOT = Path(__file__).parents[1]
NUMBER = {register.name: register.number for register in REGISTERS}
BUSES = [wrapper for wrapper in WRAPPERS if wrapper.registers]


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("wrappers"))


def small_design(low: int = 0, high: int = 15, inputs: int = 6) -> Design:
    layers = (Dense(np.random.default_rng(2).integers(-7, 8, (3, inputs))),)
    if high > 1000:  # more than an element of the array takes
        layers = Requantise(9, -100, 100), *layers
    return Design.of(Network(TensorFormat((inputs,), low, high), layers, "small"), "bit_serial",
                     2, 2)


async def wishbone(dut, ctx, number: int, value: int | None) -> int:
    """A classic cycle."""
    ctx.set(dut.wb_cyc, 1)
    ctx.set(dut.wb_stb, 1)
    ctx.set(dut.wb_adr, number)
    ctx.set(dut.wb_we, int(value is not None))
    ctx.set(dut.wb_sel, 0xF)
    ctx.set(dut.wb_dat_w, value or 0)
    await ctx.tick()
    assert ctx.get(dut.wb_ack) and not ctx.get(dut.wb_err)
    result = ctx.get(dut.wb_dat_r)
    await ctx.tick()
    ctx.set(dut.wb_stb, 0)
    return result


async def cfu(dut, ctx, number: int, value: int | None) -> int:
    """An instruction: READ or WRITE."""
    ctx.set(dut.cmd_valid, 1)
    ctx.set(dut.cmd_payload_function_id, int(value is not None))
    ctx.set(dut.cmd_payload_inputs_0, number)
    ctx.set(dut.cmd_payload_inputs_1, value or 0)
    ctx.set(dut.rsp_ready, 1)
    await ctx.tick()
    ctx.set(dut.cmd_valid, 0)
    assert ctx.get(dut.rsp_valid)
    result = ctx.get(dut.rsp_payload_outputs_0)
    await ctx.tick()
    return result


ACCESS = {"wishbone": wishbone, "cfu": cfu}


@pytest.mark.parametrize("low, high, inputs", [(0, 15, 6), (-300, 300, 5), (-40000, 40000, 3)])
@pytest.mark.parametrize("wrapper", BUSES, ids=lambda wrapper: wrapper.name)
def test_images_through_registers(wrapper, low, high, inputs):
    """Elements of one, two and four bytes; a last word that is not full."""
    design = small_design(low, high, inputs)
    images = np.random.default_rng(4).integers(low, high + 1, (3, inputs))
    size = next(size for size in (1, 2, 4) if 8 * size >= design.network.input_format.bits)
    access, dut, answers = ACCESS[wrapper.name], wrapper(design), []

    async def bench(ctx):
        assert await access(dut, ctx, NUMBER["MAGIC"], None) == MAGIC
        assert await access(dut, ctx, NUMBER["INPUTS"], None) == inputs
        for image in images:
            octets = b"".join(int(value).to_bytes(size, "little", signed=low < 0)
                              for value in image)
            words = [int.from_bytes(octets[at:at + 4], "little")
                     for at in range(0, len(octets), 4)]
            for word in words[:-1]:
                await access(dut, ctx, NUMBER["INPUT"], word)
            await access(dut, ctx, NUMBER["INPUT_LAST"], words[-1])
            row, last = [], False
            while not last:
                status = await access(dut, ctx, NUMBER["STATUS"], None)
                assert not status & 0x70, "no error may be flagged"
                if status & 2:
                    last = bool(status & 4)
                    row.append(await access(dut, ctx, NUMBER["OUTPUT"], None))
            answers.append(row)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert answers == [[int(value) & 0xFFFFFFFF for value in row]
                       for row in design.predict(images)]


@pytest.mark.parametrize("wrapper", list(WRAPPERS), ids=lambda wrapper: wrapper.name)
def test_a_wrapper_multiplies_nothing_and_lints(wrapper, cache, tmp_path):
    design = small_design()
    assert not {cell.kind for cell in rtlil_cells(wrapper.rtlil(design))} & FORBIDDEN_CELLS
    emitted = verilog.emit(design, tmp_path, cache, wrapper=wrapper.name)
    verilog.lint(emitted.verilog, wrapper.top)
    sidecar = json.loads(emitted.sidecar.read_text())
    assert sidecar["wrapper"] == wrapper.name and sidecar["top"] == wrapper.top
    assert [item["name"] for item in sidecar["registers"]] == [
        register.name for register in wrapper.registers]
    assert (emitted.header is None) == (not wrapper.registers)
    assert (emitted.harness is not None) == wrapper.streams
    assert (ROOT / "sim" / f"bench_{wrapper.name}.py").is_file()


def test_the_table_is_consistent():
    taken = [register.number + at for register in REGISTERS for at in range(register.count)]
    assert len(set(taken)) == len(taken) and max(taken) < 1 << ADDRESS_BITS
    for register in REGISTERS:
        bits = [item.low + at for item in register.fields for at in range(item.width)]
        assert len(set(bits)) == len(bits) and max(bits, default=0) < 32
        assert [item.low for item in register.fields] == sorted(
            item.low for item in register.fields)


def compile_c(path: Path) -> None:
    """Without a warning; g++ is there anyway."""
    done = subprocess.run(["g++", "-x", "c", "-std=c11", "-Wall", "-Werror", "-pedantic",
                           "-DNMAHW_BASE=(uintptr_t)0x100", "-c", path.name], cwd=path.parent,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("wrapper", BUSES, ids=lambda wrapper: wrapper.name)
def test_the_header_is_c(wrapper, tmp_path):
    (tmp_path / "a.h").write_text(c_header(wrapper.name, wrapper.registers, wrapper.functions))
    (tmp_path / "a.c").write_text(
        '#include "a.h"\n#include "a.h"\n'
        f"_Static_assert(NMAHW_STATUS == {NUMBER['STATUS']}, \"\");\n"
        "_Static_assert(NMAHW_STATUS_ROOM_MASK >> NMAHW_STATUS_ROOM_SHIFT == 255, \"\");\n")
    compile_c(tmp_path / "a.c")


def test_the_documented_driver_compiles(tmp_path):
    page = (ROOT / "docs" / "integration.md").read_text()
    driver = re.search(r"```c\n(.*?)```", page, re.S)[1]
    bus = WRAPPERS.get("wishbone")
    (tmp_path / f"{bus.top}.h").write_text(c_header(bus.name, bus.registers, bus.functions))
    (tmp_path / "driver.c").write_text(driver.replace("static void", "void"))
    compile_c(tmp_path / "driver.c")


def test_the_documented_tables_are_todays():
    text = (ROOT / "docs" / "integration.md").read_text()
    assert markdown_registers(REGISTERS) in text
    for wrapper in WRAPPERS:
        assert f"`{wrapper.name}`" in text and wrapper.top in text
        for function in wrapper.functions:
            row = (f"| {function.number} | `{function.name}` | {function.inputs[0]} "
                   f"| {function.inputs[1]} | {function.result} |")
            assert row in text


def test_wide_numbers_are_refused():
    weights = np.full((1, 9), 30000)
    wide = Network(TensorFormat((9,), 0, 65535), (Dense(weights),))
    with pytest.raises(ModelError, match="results must have at most 32 bits .* not 35"):
        WRAPPERS.get("wishbone").rtlil(Design.of(wide, "bit_serial", 1, 1))


def test_weights_that_are_loaded_are_refused():
    design = replace(small_design(), store=WeightStore())
    with pytest.raises(UsageError, match="weights must be constant behind registers, not loaded"):
        WRAPPERS.get("cfu").rtlil(design)


def test_command_line(tmp_path, capsys):
    assert run(["verilog", "digits-w4a4", "--arith", "bit_serial", "--array", "1x1", "--wrapper",
                "cfu", "-o", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Cfu.core", "Cfu.h", "Cfu.json",
                                                                "Cfu.v"]
    text = (tmp_path / "Cfu.v").read_text()
    assert re.search(r"^module Cfu\(", text, re.M) and "rsp_payload_outputs_0" in text
    assert run(["verilog", "digits-w4a4", "--wrapper", "avalon", "-o", str(tmp_path)]) == 2
    assert "wrapper must be one of axis, cfu, wishbone, not 'avalon'" in capsys.readouterr().err
    with pytest.raises(UsageError):
        verilog.emit(StandIn(), tmp_path, wrapper="avalon")


def bench_on(design, network, folder: Path, cache: Cache, wrapper: str, *arguments: str) -> str:
    """What `sim/run.py` says."""
    network.save(folder / "network.npz")
    verilog.emit(design, folder, cache, wrapper=wrapper)
    top = WRAPPERS.get(wrapper).top
    done = run_bench(folder, *arguments, top=top)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize("wrapper", BUSES, ids=lambda wrapper: wrapper.name)
def test_bus_bench(wrapper, cache, tmp_path):
    design = small_design(inputs=13)
    assert "tests passed" in bench_on(design, design.network, tmp_path, cache, wrapper.name)


@pytest.mark.long
def test_axi_stream_by_cocotbext_axi(cache, tmp_path):
    pytest.importorskip("cocotbext.axi", reason="needs cocotbext-axi (pip install cocotbext-axi)")
    assert "4 tests passed" in bench_on(StandIn(), standin_network(), tmp_path, cache, "axis",
                                        "--bench", "axis_cocotbext")


@pytest.mark.long
def test_behind_the_bus_of_a_litex_system(cache, tmp_path):
    for module in ("litex", "migen"):
        if importlib.util.find_spec(module) is None:
            pytest.skip("needs LiteX (pip install litex migen)")
    standin_network().save(tmp_path / "network.npz")
    emitted = verilog.emit(StandIn(), tmp_path, cache, wrapper="wishbone")
    made = subprocess.run([sys.executable, str(ROOT / "sim" / "litex_soc.py"),
                           str(emitted.verilog), str(tmp_path / "soc.v")],
                          capture_output=True, text=True, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    done = run_bench(tmp_path, top="soc")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.rstrip().endswith("13 tests passed")


@pytest.mark.long
def test_a_wrong_answer_is_found_behind_a_bus(cache, tmp_path):
    standin_network().save(tmp_path / "network.npz")
    verilog.emit(StandIn(faulty=True), tmp_path, cache, wrapper="wishbone")
    done = run_bench(tmp_path, "--images", "8", "--tests", "images", top="nmahw_wishbone")
    assert done.returncode == 4 and "failed" in done.stderr, done.stdout[-2000:]


@pytest.mark.parametrize("bench, told", [
    ("avalon", "bench must be one of axis, axis_cocotbext, cfu, wishbone, not 'avalon'"),
    ("wishbone", "bench must be one for axis, which is around nmahw_top.v, not 'wishbone'"),
])
def test_bench_that_does_not_suit(cache, tmp_path, bench, told):
    standin_network().save(tmp_path / "network.npz")
    verilog.emit(StandIn(), tmp_path, cache)
    done = subprocess.run([sys.executable, str(ROOT / "sim" / "run.py"),
                           str(tmp_path / "nmahw_top.v"), "--network",
                           str(tmp_path / "network.npz"), "--bench", bench],
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert told in done.stderr
