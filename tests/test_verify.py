"""Bitstreams of whole networks against the golden model."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
from small_designs import shared_bench

from nmahw.bitstream import READBACKS
from nmahw.bitstream.netlist import invert
from nmahw.boards import BOARDS
from nmahw.build import REPORT, ROUTED_NETLIST, board_pins, build
from nmahw.bundled import load_model, sample_for
from nmahw.cli import run as command
from nmahw.design import Design
from nmahw.errors import BuildError, MismatchError, ModelError, UsageError
from nmahw.verify import BuiltFolder, check_clock, run_images, verify
from nmahw.verilog import network_sha256


@pytest.fixture
def folder(tmp_path):
    """What `build` writes, with contents of no meaning."""
    document = {"board": "ulx3s_25f", "clock_hz": 25e6, "baud": 115200, "cycles_per_image": 100,
                "network": "another", "files": {}}
    for name in ("ulx3s_25f.bit", ROUTED_NETLIST):
        (tmp_path / name).write_bytes(name.encode())
        document["files"][name] = hashlib.sha256(name.encode()).hexdigest()
    (tmp_path / REPORT).write_text(json.dumps(document))
    return tmp_path


def rewritten(folder, **values):
    document = json.loads((folder / REPORT).read_text()) | values
    (folder / REPORT).write_text(json.dumps(document))
    return folder


def test_a_built_folder_is_known_by_its_files(folder):
    assert BuiltFolder.read(folder).source == folder / ROUTED_NETLIST
    (folder / "ulx3s_25f.bit").write_bytes(b"another build's")
    with pytest.raises(ModelError, match="ulx3s_25f.bit must be the file that report.json tells"):
        BuiltFolder.read(folder)
    (folder / ROUTED_NETLIST).unlink()
    (folder / "ulx3s_25f.bit").write_bytes(b"ulx3s_25f.bit")
    with pytest.raises(ModelError, match="routed.json.gz must be readable"):
        BuiltFolder.read(folder)


@pytest.mark.parametrize("values", [
    {"baud": 1e11}, {"baud": 0}, {"baud": 26e6}, {"baud": 2, "clock_hz": 2e9}, {"clock_hz": 1e11},
    {"cycles_per_image": 9e11}, {"cycles_per_image": None}])
def test_numbers_that_no_build_has_are_refused(folder, values):
    with pytest.raises(UsageError, match="must be one that 'nmahw build' wrote to"):
        BuiltFolder.read(rewritten(folder, **values))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"board": 3}', '{"board": "ulx3s_25f"}',
                                  '{"board": "ulx3s_25f", "files": {}, "clock_hz": "fast"}'])
def test_other_folders_are_refused(tmp_path, text, capsys):
    (tmp_path / REPORT).write_text(text)
    assert command(["verify-bitstream", str(tmp_path), "digits-w4a4"]) == UsageError.exit_code
    assert "must be one that 'nmahw build' wrote to" in capsys.readouterr().err


def test_a_family_that_cannot_be_taken_back_is_refused(folder):
    with pytest.raises(UsageError, match="must be one of ecp5, ice40, not gowin"):
        BuiltFolder.read(rewritten(folder, board="tang_nano_9k"))


def test_another_network_than_the_built_one_is_refused(folder):
    network = load_model("digits-w4a4")
    with pytest.raises(UsageError, match="the one that was built, 'another'"):
        verify(folder, network, np.zeros((1, *network.input_format.shape), int))


def test_a_network_by_an_approximate_arithmetic_is_the_one_that_was_built(folder):
    network = load_model("digits-w4a4")
    design = Design.of(network, "gate", 1, 1)
    assert network_sha256(design.network) != network_sha256(network)
    rewritten(folder, arithmetic=str(design.arithmetic),
              network_sha256=network_sha256(design.network))
    # The file, which is no netlist, is what comes next.
    with pytest.raises(BuildError, match=ROUTED_NETLIST):
        verify(folder, network, np.zeros((1, *network.input_format.shape), int))
    with pytest.raises(UsageError, match="the one that was built, 'another'"):
        verify(folder, load_model("digits-int8"), np.zeros((1, 64), int))


def test_a_batch_takes_longer_than_an_image(folder):
    assert BuiltFolder.read(folder).batch_cycles == 100
    assert BuiltFolder.read(rewritten(
        folder, array={"rows": 2, "columns": 2, "images": 3})).batch_cycles == 300


def test_loaded_weights_are_refused(folder):
    with pytest.raises(UsageError, match="weights must be constant"):
        BuiltFolder.read(rewritten(folder, weights="loaded"))


@pytest.mark.long
@pytest.mark.parametrize("name", [
    pytest.param("hx8k_b_evn", marks=pytest.mark.skipif(
        not shutil.which("icebox_vlog"), reason="fpga-icestorm is not installed")), "ulx3s_25f"])
def test_a_bitstream_is_the_network_and_a_fault_is_found(name, tmp_path, tmp_path_factory):
    network, board = load_model("digits-w4a4"), BOARDS.get(name)
    images = sample_for(network).x[:6]
    bench = shared_bench(tmp_path_factory)
    build(network, board, "bit_serial", 2, 2, tmp_path, clock_hz=board.clock_hz, baud=1_000_000,
          bench=bench)
    found = verify(tmp_path, network, images, bench)
    assert (found.outputs == network.predict(images).reshape(6, -1)).all()
    assert len(set(found.cycles.tolist())) == 1 and found.lanes == 3

    built = BuiltFolder.read(tmp_path)
    family = READBACKS.get(board.fpga().rules.name)
    netlist = family.take(built.source, board_pins(board), bench)
    spoil(netlist)
    with pytest.raises(MismatchError):
        run_images(netlist, built, network, images, bench)

    slower = dataclasses.replace(built, report=built.report | {"clock_hz": 1e6})
    with pytest.raises(MismatchError, match="the clock must be 1.000 MHz"):
        check_clock(netlist, slower)


def spoil(netlist):
    """Invert what the register behind the transmit pin takes over."""
    pin = netlist.driver(netlist.outputs["tx"])
    register = next(item for item in netlist.flip_flops if pin in (item.q, invert(item.q)))
    register.d = invert(register.d)
