"""The host against a scripted board, and against a simulated one."""

import random
import shutil
import struct
from dataclasses import replace

import numpy as np
import pytest
from test_link_endpoint import small_design

from nmahw.board_sim import VirtualBoard
from nmahw.errors import EnvironmentProblem, MismatchError, ModelError
from nmahw.link import FLAG, REPLY, ErrorCode, Request
from nmahw.link.description import Description
from nmahw.link.frames import Decoder, Frame, encode
from nmahw.link.host import COUNTERS, Host
from nmahw.link.ports import SerialLine
from nmahw.link.recognise import network_on


class Board:
    """Answers as docs/protocol.md says, over a line that damages what it likes."""

    def __init__(self, design, seed=1, damage=0.0, busy=0.0):
        self.design = design
        self.described = Description.of(design, 1_000_000)
        self.rng = random.Random(seed)
        self.damage, self.busy = damage, busy
        self.decoder, self.out, self.now = Decoder(), bytearray(), 0.0
        self.images = 0

    def clock(self):
        return self.now

    def _carry(self, data):
        data = bytearray(data)
        if self.rng.random() < self.damage and data:
            place = self.rng.randrange(len(data))
            match self.rng.randrange(4):
                case 0:
                    data[place] ^= 1 << self.rng.randrange(8)
                case 1:
                    del data[place]
                case 2:
                    data[place:place] = self.rng.randbytes(3)
                case 3:
                    data.clear()
        return bytes(data)

    def write(self, data):
        for frame in self.decoder.feed(self._carry(data)):
            self.out += self._carry(encode(self._reply(frame)))

    def read(self, timeout_s):
        if not self.out:
            self.now += timeout_s
            return b""
        size = self.rng.randrange(1, 20)
        data, self.out = bytes(self.out[:size]), self.out[size:]
        return data

    def _reply(self, frame):
        if frame.kind == Request.RUN:
            if self.rng.random() < self.busy:
                return Frame(Request.ERROR | REPLY, frame.sequence, bytes([ErrorCode.BUSY]))
            self.images += 1
            image = np.frombuffer(frame.payload, np.uint8).astype(np.int64)
            answer = self.design.predict(image[None])[0]
            width = self.described.output_bytes
            payload = b"".join(int(v).to_bytes(width, "little", signed=True) for v in answer)
            return Frame(Request.RUN | REPLY, frame.sequence, payload + struct.pack("<I", 77))
        payload = {Request.IDENTIFY: self.described.encode(), Request.RESET: b"",
                   Request.COUNTERS: struct.pack("<4I", self.images, 2, 3, 4)}[frame.kind]
        return Frame(frame.kind | REPLY, frame.sequence, payload)


def test_answers_are_right_however_bad_the_line_is(monkeypatch):
    # The first sequence number is random: it would make the damage another one in every run.
    monkeypatch.setattr("nmahw.link.host.secrets.randbelow", lambda limit: 4711 % limit)
    design = small_design()
    images = np.random.default_rng(1).integers(0, 16, (60, 5))
    golden = design.predict(images)
    for seed in range(20):
        board = Board(design, seed, damage=0.15, busy=0.1)
        host = Host(board, clock=board.clock)
        answers = list(host.run(images))
        assert sorted(answer.index for answer in answers) == list(range(60))
        assert all((answer.outputs == golden[answer.index]).all() and answer.cycles == 77
                   for answer in answers)
        assert host.repeated > 0


def test_a_board_that_still_computes_for_another_host_is_waited_for():
    design = small_design()
    images = np.random.default_rng(2).integers(0, 16, (6, 5))
    board = Board(design)
    host = Host(board, timeout_s=2.0, clock=board.clock)
    reply, free_s = board._reply, board.now + 1.5

    def busy(frame):
        return reply(frame) if board.now >= free_s else Frame(
            Request.ERROR | REPLY, frame.sequence, bytes([ErrorCode.BUSY]))
    board._reply = busy
    assert sorted(answer.index for answer in host.run(images)) == list(range(6))
    free_s = board.now + 100
    with pytest.raises(EnvironmentProblem, match="must answer image"):
        list(host.run(images))


def test_a_dead_line_is_given_up():
    board = Board(small_design(), damage=1.0)
    board._carry = lambda data: b""
    with pytest.raises(EnvironmentProblem, match="no board answers"):
        Host(board, clock=board.clock)


def test_a_board_that_dies_is_given_up():
    board = Board(small_design())
    host = Host(board, clock=board.clock)
    board._carry = lambda data: b""
    with pytest.raises(EnvironmentProblem, match="image 0"):
        list(host.run(np.zeros((1, 5), np.int64)))


def test_images_that_are_none_of_the_board_are_refused():
    board = Board(small_design())
    host = Host(board, clock=board.clock)
    for images in (np.zeros((2, 4), int), np.zeros((2, 5)), np.full((2, 5), 256),
                   np.zeros(5, int)):
        with pytest.raises(ModelError):
            list(host.run(images))
    assert list(host.run(np.zeros((0, 5), int))) == []


def test_counters_and_description():
    design = small_design()
    board = Board(design)
    host = Host(board, clock=board.clock)
    assert host.counters() == dict(zip(COUNTERS, (0, 2, 3, 4), strict=True))
    described = host.description.encode()
    # As docs/protocol.md lays it out.
    assert described[:6] == b"nmah\x01\x04" and described[6:10] == struct.pack("<I", 5)
    assert described[10] == 1 and described[11:15] == struct.pack("<I", 3)
    assert described[16] == 1 and described[21:25] == struct.pack("<I", 1_000_000)
    assert described[25:57].hex() == host.description.network_sha256
    length = described[57]
    assert described[58:58 + length].decode() == host.description.title


@pytest.mark.parametrize("payload", [b"", b"nmah", b"nope" + bytes(70), b"nmah\x02" + bytes(70),
                                     b"nmah\x01" + bytes(20)])
def test_what_is_no_description_is_refused(payload):
    with pytest.raises(MismatchError):
        Description.decode(payload)


@pytest.mark.parametrize("number", ["inputs", "input_bytes", "outputs", "output_bytes",
                                    "outstanding"])
def test_a_board_without_images_or_elements_is_refused(number):
    described = replace(Description.of(small_design(), 1), **{number: 0})
    with pytest.raises(MismatchError, match="must have images, elements and bytes"):
        Description.decode(described.encode())


def test_long_texts_are_cut_between_characters():
    described = Description("ä" * 300, "x", "00" * 32, 1, 1, 1, 1, False, 1, 1)
    assert Description.decode(described.encode()).title == "ä" * 127


def test_a_network_is_recognised_by_its_hash():
    described = Description.of(small_design(), 1)
    assert network_on(described) is None
    with pytest.raises(MismatchError, match="another network"):
        network_on(described, "digits-w4a4")


needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")


@needs_compiler
@pytest.mark.parametrize("baud, host_baud", [(None, None), (50_000, 50_000 * 1.02),
                                             (50_000, 50_000 * 0.98)])
def test_a_virtual_board_answers_like_the_golden_model(baud, host_baud):
    design = small_design()
    images = np.random.default_rng(1).integers(0, 16, (40, 5))
    golden = design.predict(images)
    with VirtualBoard(design, 1_000_000, baud, host_baud) as board:
        board.start()
        for _ in range(2):  # hosts come and go
            with SerialLine(board.port, 115200) as line:
                # Half an image of a host that was unplugged.
                line.write(encode(Frame(Request.RUN, 3, bytes(5)))[:9])
                host = Host(line, 20.0)
                answers = list(host.run(images))
                assert all((a.outputs == golden[a.index]).all() for a in answers)
                assert len(answers) == 40 and host.counters()["images"] == 40
        with SerialLine(board.port, 115200) as line, \
                pytest.raises(EnvironmentProblem, match="another program"):
            SerialLine(board.port, 115200)
            del line


@needs_compiler
def test_images_are_answered_on_a_board_that_is_reset_in_mid_frame():
    design = small_design()
    images = np.random.default_rng(1).integers(0, 16, (30, 5))
    golden = design.predict(images)
    with VirtualBoard(design, 1_000_000, reset_every=107) as board:
        board.start()
        with SerialLine(board.port, 115200) as line:
            host = Host(line, 0.3)
            answers = list(host.run(images))
    assert sorted(answer.index for answer in answers) == list(range(30))
    assert all((answer.outputs == golden[answer.index]).all() for answer in answers)
    assert host.repeated > 0


@needs_compiler
def test_a_virtual_board_behind_a_socket_serves_one_host_after_the_other():
    design = small_design()
    with VirtualBoard(design, 1_000_000) as board:
        port = board.start(("127.0.0.1", 0))
        for _ in range(3):
            with SerialLine(port, 115200) as line:
                line.write(random.Random(1).randbytes(100) + bytes([FLAG]))
                assert Host(line, 20.0).description == Description.of(design, 1_000_000)
