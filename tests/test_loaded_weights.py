"""Weights loaded at start: how they lie in memory, the accelerator, the line, the host."""

import random
import shutil
import zlib
from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import rtlil
from networks import NETWORKS, network_for, random_images
from small_designs import shared_bench
from test_link_endpoint import converse, image_frame, outputs_of
from test_link_host import Board

from nmahw.arith import ARITHMETICS
from nmahw.board_sim import VirtualBoard
from nmahw.bundled import load_model
from nmahw.design import Design
from nmahw.devices import FlowOptions, device
from nmahw.errors import MismatchError, ModelError, UsageError
from nmahw.gateware.memory import SinglePortMemory
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.requantise import Requantise
from nmahw.link import REPLY, ErrorCode, Request
from nmahw.link.description import Description
from nmahw.link.frames import Frame, encode
from nmahw.link.host import Host
from nmahw.link.loading import load_weights, weight_image
from nmahw.link.ports import SerialLine
from nmahw.netlist import read_top
from nmahw.network import Network
from nmahw.simulate import simulate
from nmahw.synthesise import synthesise
from nmahw.tensor import TensorFormat
from nmahw.weight_store import WeightStore
from rtl import run_accelerator

SPRAM = WeightStore(4, 16, 1 << 14, "huge")
BYTES = WeightStore(4, 8, 1 << 10)
NARROW = WeightStore(2, 8)
ANY = WeightStore()

#: Its tiles are read in no more cycles than a step has.
CONVOLUTION = Network(TensorFormat((2, 4, 3), 0, 15), (
    Conv2d(np.random.default_rng(9).integers(-8, 8, (5, 2, 2, 2))),))


#: A convolution that its weights would slow down, so they are constants, before loaded ones.
SMALL = Network(TensorFormat((1, 4, 4), 0, 15), (
    Conv2d(np.random.default_rng(9).integers(-8, 8, (7, 1, 3, 2))), Requantise(4, 0, 15),
    Flatten(), Dense(np.random.default_rng(8).integers(-8, 8, (9, 42)))))


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


def loaded(name, arithmetic, rows, columns, store):
    network = {"convolution": CONVOLUTION, "small": SMALL}.get(name) or \
        network_for(name, ARITHMETICS.get(arithmetic))
    return Design.of(network, arithmetic, rows, columns, store=store)


# Words of a tile, which passes are loaded and how many cycles activations have to wait are
# different ones: the last columns say so, lest the choice of cases goes stale.
CASES = [
    long("lenet-like", "l1", 4, 4, BYTES, 2, [0, 0, 1, 1], 0),
    ("lenet-like", "quarter_square", 3, 9, BYTES, 3, [0, 0, 1, 1], 0),
    long("lenet-like", "bit_serial", 2, 9, NARROW, 4, [0, 0, 1, 1], 1),
    ("small", "bit_serial", 2, 9, NARROW, 5, [0, 1], 2),
    ("convolution", "bit_serial", 2, 3, NARROW, 2, [1], 0),
    ("mlp", "bit_serial", 2, 10, NARROW, 5, [1, 1], 2),
    long("signed, strided, overlapping", "dsp", 2, 9, NARROW, 2, [1, 1], 0),
    ("mlp", "shift", 4, 3, ANY, 1, [1, 1], 0),
    ("one weight", "dsp", 1, 1, ANY, 1, [1], 0),
]


@pytest.mark.parametrize("name, arithmetic, rows, columns, store, cycles, passes, lead", CASES)
def test_equals_golden_and_closed_form(name, arithmetic, rows, columns, store, cycles, passes,
                                       lead):
    design = loaded(name, arithmetic, rows, columns, store)
    schedule = design.schedule
    assert schedule.layout.cycles == cycles
    assert [p.loaded for p in schedule.passes] == passes
    assert schedule.lead_cycles == lead
    images = random_images(design.network, 2, seed=rows)
    run = run_accelerator(design, images, stall=0.2)
    assert run.outputs == design.predict(images).tolist()
    assert run.cycles_by_pass == [2 * c for c in schedule.cycles_by_pass]


@pytest.mark.parametrize("name, arithmetic, rows, columns, store", [
    getattr(case, "values", case)[:5] for case in CASES])
def test_an_image_holds_every_weight(name, arithmetic, rows, columns, store):
    """Read back from the bytes alone, as docs/protocol.md has them."""
    design = loaded(name, arithmetic, rows, columns, store)
    layout, kind = design.schedule.layout, design.arithmetic
    in_word, in_line = layout.byte_address_bits
    passes = [p for p in design.schedule.passes if p.loaded]
    codes = design.schedule.codes_of(tuple(passes), True)
    assert len(layout.image) == layout.words << in_word + in_line
    for tile, row, column in np.ndindex(codes.shape):
        code = 0
        for bit in range(kind.weight_code_bits):
            source = layout.rows[row].sources[column * kind.weight_code_bits + bit]
            if source < 0:
                value = -1 - source
            else:
                word, place = divmod(source, layout.bank_bits)
                line = tile << layout.word_address_bits | word
                at = (line << in_line | row) << in_word | place // 8
                value = layout.image[at] >> place % 8 & 1
            code |= value << bit
        assert code == codes[tile, row, column]


def test_marks_that_never_change_take_no_memory():
    # Each of 10 dense weights an adder takes is used, and all columns' marks are one.
    design = loaded("lenet-like", "l1", 2, 8, SPRAM)
    bits = design.arithmetic.weight_code_bits
    assert all(row.stored.shape[1] <= 8 * (bits - 1) + 1 for row in design.schedule.layout.rows)


def test_what_cannot_be_loaded_is_refused():
    mlp = NETWORKS["mlp"]
    with pytest.raises(UsageError, match="array rows must be at most 4, .*, not 5"):
        Design.of(mlp, "dsp", 5, 2, store=SPRAM)
    with pytest.raises(UsageError, match="one arithmetic in all layers"):
        Design.of(mlp, "distributed", 2, 2, store=SPRAM)
    with pytest.raises(UsageError, match="one arithmetic in all layers"):
        Design.of(mlp, "dsp", 2, 2, True, SPRAM)
    with pytest.raises(ModelError, match="at most 8 words of each row's memory, not 50"):
        Design.of(mlp, "dsp", 2, 2, store=WeightStore(2, 8, 8))
    with pytest.raises(UsageError, match="weights must be one of auto, constant, loaded, not 'x'"):
        Design.of(mlp, "dsp", 2, 2).with_weights("x", device("ice40-up5k"))


def test_weights_are_loaded_where_block_ram_is_too_small_and_there_is_other_memory():
    small = Design.of(NETWORKS["mlp"], "bit_serial", 2, 2)
    large = Design.of(load_model("mlp64-int5"), "bit_serial", 2, 2)
    for name, store in (("ice40-up5k", SPRAM), ("ice40-hx8k", None)):
        part = device(name)
        assert small.with_weights("auto", part) is small
        assert large.with_weights("auto", part).store == store
        assert large.with_weights("constant", part).store is None
        assert small.with_weights("loaded", part).store == (store or ANY)
    # What is left are activations: a copy for each row.
    copies = 2 * large.schedule.memory_words * large.schedule.activation_bits
    assert replace(large, store=SPRAM).memory_bits == copies < large.memory_bits / 10


# The line.

def small_design():
    return loaded("mlp", "dsp", 2, 3, BYTES)


def load_frames(image, first=1, size=32):
    return [Frame(Request.LOAD, first + at // size,
                  at.to_bytes(4, "little") + image[at:at + size])
            for at in range(0, len(image), size)]


def test_a_board_runs_images_only_with_the_right_weights():
    design = small_design()
    image = design.schedule.layout.image
    x = random_images(design.network, 1, seed=3)[0]
    wrong = bytes([image[0] ^ 1]) + image[1:]
    frames = [
        image_frame(1, x), *load_frames(wrong, 100), Frame(Request.VERIFY, 2), image_frame(3, x),
        Frame(Request.LOAD, 4, b"\0\0\0\0" + image[:1]), image_frame(5, x),
        Frame(Request.VERIFY, 6), image_frame(7, x)]
    # Time for the answer, then more, some of it beyond the memory: nothing is written there, but
    # nothing is taken for granted.
    more = [
        Frame(Request.LOAD, 8, b"\0\0\0\0"), Frame(Request.VERIFY, 9, b"x"),
        Frame(Request.LOAD, 10, len(image).to_bytes(4, "little") + b"\0"), image_frame(11, x),
        Frame(Request.VERIFY, 12), image_frame(13, x)]
    line = b"".join(map(encode, frames)) + bytes([0x7E]) * 300 + b"".join(map(encode, more))
    found = {frame.sequence: frame for frame in converse(design, line, stalls=0.1, idle=500)}

    def error(sequence, code):
        return found[sequence] == Frame(Request.ERROR | REPLY, sequence, bytes([code]))

    def check(sequence, data):
        return found[sequence] == Frame(Request.VERIFY | REPLY, sequence,
                                        zlib.crc32(data).to_bytes(4, "little"))
    assert all(error(sequence, ErrorCode.NOT_LOADED) for sequence in (1, 3, 5, 11))
    assert all(error(sequence, ErrorCode.LENGTH) for sequence in (8, 9))
    assert check(2, wrong) and check(6, image) and check(12, image)
    golden = design.predict(x[None])[0].tolist()
    assert outputs_of(design, found[7]) == golden == outputs_of(design, found[13])
    assert found[4].kind == Request.LOAD | REPLY and not found[4].payload


def test_no_weight_changes_while_an_image_is_computed():
    design = small_design()
    image = design.schedule.layout.image
    images = random_images(design.network, 2, seed=4)
    line = b"".join(map(encode, [
        *load_frames(image, 100), Frame(Request.VERIFY, 1),
        *(image_frame(2 + index, x) for index, x in enumerate(images)),
        Frame(Request.LOAD, 8, b"\0\0\0\0" + bytes(32)), Frame(Request.VERIFY, 9)]))
    found = {frame.sequence: frame for frame in converse(design, line, idle=500)}
    assert [outputs_of(design, found[2 + index]) for index in range(2)] \
        == design.predict(images).tolist()
    for sequence in (8, 9):
        assert found[sequence].payload == bytes([ErrorCode.BUSY])


def test_damaged_loads_never_make_a_wrong_answer():
    design = small_design()
    image = design.schedule.layout.image
    rng = random.Random(8)
    x = random_images(design.network, 1, seed=5)[0]
    line = b""
    for index in range(4):
        for frame in load_frames(image, 100):
            text = bytearray(encode(frame))
            if rng.random() < 0.15:
                text[rng.randrange(1, len(text) - 1)] ^= 1 << rng.randrange(8)
            line += text
        line += encode(Frame(Request.VERIFY, 10 + index)) + encode(image_frame(30 + index, x))
        line += bytes([0x7E]) * 200
    found = converse(design, line, idle=500)
    golden = design.predict(x[None])[0].tolist()
    right = {frame.sequence - 10 for frame in found if frame.kind == Request.VERIFY | REPLY
             and frame.payload == zlib.crc32(image).to_bytes(4, "little")}
    answers = [frame for frame in found if frame.kind == Request.RUN | REPLY]
    assert 0 < len(right) < 4
    assert {frame.sequence - 30 for frame in answers} == right
    assert all(outputs_of(design, frame) == golden for frame in answers)


# The host.

class LoadingBoard(Board):
    """A scripted board that has to be loaded."""

    def __init__(self, design, seed=1, damage=0.0, forgets=0.0):
        super().__init__(design, seed, damage)
        self.memory = bytearray(len(design.schedule.layout.image))
        self.verified, self.forgets, self.loads = False, forgets, 0

    def _reply(self, frame):
        match frame.kind:
            case Request.LOAD:
                at = int.from_bytes(frame.payload[:4], "little")
                self.memory[at:at + len(frame.payload) - 4] = frame.payload[4:]
                self.verified, self.loads = False, self.loads + 1
                return Frame(frame.kind | REPLY, frame.sequence)
            case Request.VERIFY:
                crc32 = zlib.crc32(self.memory)
                self.verified = crc32 == self.described.weights.crc32
                return Frame(frame.kind | REPLY, frame.sequence, crc32.to_bytes(4, "little"))
            case Request.RUN:
                if self.rng.random() < self.forgets:
                    self.verified, self.memory = False, bytearray(len(self.memory))
                if not self.verified:
                    return Frame(Request.ERROR | REPLY, frame.sequence,
                                 bytes([ErrorCode.NOT_LOADED]))
        return super()._reply(frame)


@pytest.mark.parametrize("damage, forgets", [(0, 0), (0.1, 0), (0.05, 0.1)])
def test_a_host_loads_what_the_board_wants(monkeypatch, damage, forgets):
    monkeypatch.setattr("nmahw.link.host.secrets.randbelow", lambda limit: 4711 % limit)
    design = small_design()
    board = LoadingBoard(design, 3, damage, forgets)
    host = Host(board, clock=board.clock)
    assert Description.decode(board.described.encode()) == board.described
    assert load_weights(host, design.network)
    assert bytes(board.memory) == design.schedule.layout.image
    images = random_images(design.network, 40, seed=6)
    golden = design.predict(images)
    answers = list(host.run(images))
    assert sorted(answer.index for answer in answers) == list(range(40))
    assert all((answer.outputs == golden[answer.index]).all() for answer in answers)
    loads = board.loads
    assert not load_weights(host, design.network)
    assert board.loads == loads


def test_weights_that_are_not_the_boards_are_not_loaded():
    design = small_design()
    board = LoadingBoard(design)
    host = Host(board, clock=board.clock)
    with pytest.raises(UsageError, match="--model must be given"):
        load_weights(host, None)
    with pytest.raises(MismatchError, match="not loaded"):
        list(host.run(random_images(design.network, 1)))
    other = replace(board.described, weights=replace(board.described.weights, crc32=1))
    with pytest.raises(MismatchError, match="build its bitstream again"):
        weight_image(other, design.network)


def test_memory_that_does_not_keep_what_is_loaded_is_found_out():
    board = LoadingBoard(small_design())
    board.forgets = 1
    reply = board._reply
    board._reply = lambda frame: reply(replace(frame, payload=frame.payload[:-1] + b"\xaa"))
    host = Host(board, clock=board.clock)
    with pytest.raises(MismatchError, match="must have the CRC-32 [0-9a-f]{8} after"):
        load_weights(host, board.design.network)


@pytest.mark.long
def test_a_bank_is_one_spram_and_a_byte_two_of_its_masks(tmp_path_factory):
    text = rtlil.convert(SinglePortMemory(16, 3000, "huge"), name="top", emit_src=False)
    part = device("ice40-up5k")
    netlist = synthesise(text, part, FlowOptions(), shared_bench(tmp_path_factory))
    assert netlist.cells["SB_SPRAM256KA"] == netlist.needs["spram"] == 1
    assert netlist.needs["block_ram"] == 0
    pins, = (cell["connections"] for cell in read_top(netlist.path)["cells"].values()
             if cell["type"] == "SB_SPRAM256KA")
    write = read_top(netlist.path)["ports"]["write"]["bits"]
    assert pins["MASKWREN"] == [write[0], write[0], write[1], write[1]]
    assert (pins["STANDBY"], pins["SLEEP"], pins["POWEROFF"]) == (["0"], ["0"], ["1"])


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_native_simulations_load_weights():
    design = small_design()
    images = random_images(design.network, 6, seed=7)
    golden = design.predict(images)
    result = simulate(design, images, jobs=2)
    assert (result.outputs == golden).all()
    assert (result.pass_cycles == np.array(design.schedule.cycles_by_pass)).all()
    with VirtualBoard(design, 1_000_000) as board:
        board.start()
        for first in (True, False):
            with SerialLine(board.port, 115200) as line:
                host = Host(line, 20.0)
                assert load_weights(host, design.network) == first
                assert all((answer.outputs == golden[answer.index]).all()
                           for answer in host.run(images))
