"""A small accelerator behind a byte line: whole requests, and whatever else a line may carry."""

import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from nmahw.design import Design
from nmahw.gateware.link.answers import COUNTERS
from nmahw.gateware.link.endpoint import Endpoint
from nmahw.layers.bias import Bias
from nmahw.layers.dense import Dense
from nmahw.link import OUTSTANDING, REPLY, ErrorCode, Request
from nmahw.link.description import Description
from nmahw.link.frames import Decoder, Frame, encode
from nmahw.network import Network
from nmahw.tensor import TensorFormat


def small_design(inputs=5, high=15):
    rng = np.random.default_rng(1)
    return Design.of(Network(TensorFormat((inputs,), 0, high), (
        Dense(rng.integers(-8, 8, (3, inputs))), Bias(rng.integers(-300, 300, 3)))),
        "quarter_square", 2, 2)


def converse(design, line, *, stalls=0.0, seed=1, idle=4000):
    """Frames that come back for the bytes `line`, an idle time after the last one."""
    rng = random.Random(seed)
    top = Endpoint(design, Description.of(design, 1_000_000).encode())
    found, decoder = [], Decoder()

    async def send(ctx):
        for byte in line:
            while rng.random() < stalls:
                await ctx.tick()
            ctx.set(top.i.payload, byte)
            ctx.set(top.i.valid, 1)
            await ctx.tick().until(top.i.ready)
            ctx.set(top.i.valid, 0)
        await ctx.tick().repeat(idle)

    async def receive(ctx):
        while True:
            ctx.set(top.o.ready, rng.random() >= stalls)
            _, _, valid, ready, byte = await ctx.tick().sample(top.o.valid, top.o.ready,
                                                               top.o.payload)
            if valid and ready:
                found.extend(decoder.feed(bytes([byte])))

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send)
    simulator.add_testbench(receive, background=True)
    simulator.run()
    assert not decoder.dropped
    return found


def image_frame(sequence, image, width=1):
    return Frame(Request.RUN, sequence, b"".join(int(v).to_bytes(width, "little") for v in image))


def outputs_of(design, frame):
    described = Description.of(design, 1)
    width = described.output_bytes
    assert frame.kind == Request.RUN | REPLY
    assert len(frame.payload) == width * described.outputs + 4
    return [int.from_bytes(frame.payload[i * width:(i + 1) * width], "little",
                           signed=described.signed_output) for i in range(described.outputs)]


@pytest.mark.parametrize("inputs", [1, 2, 3, 5])
@pytest.mark.parametrize("high", [15, 500])
def test_images_are_answered_in_order_under_stalls(inputs, high):
    design = small_design(inputs, high)
    images = np.random.default_rng(2).integers(0, high + 1, (9, inputs))
    width = 1 if high < 256 else 2
    # More images than may be outstanding would be refused, so this many at once.
    for first in range(0, len(images), OUTSTANDING):
        part = images[first:first + OUTSTANDING]
        found = converse(design, b"".join(
            encode(image_frame(0x7D7E + i, image, width)) for i, image in enumerate(part)),
            stalls=0.3)
        assert [frame.sequence for frame in found] == [0x7D7E + i for i in range(len(part))]
        assert [outputs_of(design, frame) for frame in found] == design.predict(part).tolist()


def test_identify_counters_and_errors():
    design = small_design()
    found = converse(design, b"".join(map(encode, [
        Frame(Request.IDENTIFY, 1), Frame(0x33, 2), Frame(Request.IDENTIFY, 3, b"x"),
        Frame(Request.RUN, 4, b"1234"), image_frame(5, [1, 2, 3, 4, 5])]))
        + encode(Frame(Request.COUNTERS, 6)), stalls=0.2)
    by_sequence = {frame.sequence: frame for frame in found}
    assert Description.decode(by_sequence[1].payload) == Description.of(design, 1_000_000)
    assert by_sequence[1].kind == Request.IDENTIFY | REPLY
    for sequence, code in ((2, ErrorCode.UNKNOWN), (3, ErrorCode.LENGTH), (4, ErrorCode.LENGTH)):
        assert by_sequence[sequence] == Frame(Request.ERROR | REPLY, sequence, bytes([code]))
    assert outputs_of(design, by_sequence[5]) == design.predict(np.array([[1, 2, 3, 4, 5]]))[0]\
        .tolist()
    assert len(by_sequence[6].payload) == 4 * len(COUNTERS)


def test_too_many_images_are_refused_and_the_taken_ones_answered():
    design = small_design(1)
    # Nothing is read while they come in: the accelerator's own buffers fill up.
    line = b"".join(encode(image_frame(i, [i])) for i in range(12))
    found = converse(design, line)
    answered = [frame for frame in found if frame.kind == Request.RUN | REPLY]
    refused = [frame for frame in found if frame.kind == Request.ERROR | REPLY]
    assert len(answered) + len(refused) == 12
    assert all(frame.payload == bytes([ErrorCode.BUSY]) for frame in refused)
    for frame in answered:
        assert outputs_of(design, frame) == design.predict(np.array([[frame.sequence]]))[0].tolist()


def test_damaged_lines_give_no_wrong_answer_and_no_wedge():
    design = small_design(6)
    rng = random.Random(5)
    images = np.random.default_rng(3).integers(0, 16, (40, 6))
    golden = {index: answer.tolist() for index, answer in enumerate(design.predict(images))}
    line = bytearray()
    for index, image in enumerate(images):
        text = bytearray(encode(image_frame(index, image)))
        match rng.randrange(6):
            case 0:
                text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)
            case 1:
                del text[rng.randrange(len(text))]
            case 2:
                place = rng.randrange(len(text))
                text[place:place] = text[place:place + 1]
            case 3:
                del text[rng.randrange(1, len(text)):]
            case 4:
                text[0:0] = rng.randbytes(rng.randrange(20))
        line += text
        # Time to answer, as a host would leave it.
        line += bytes([0x7E]) * 120
    last = np.array([1, 2, 3, 4, 5, 6])
    line += encode(image_frame(999, last)) + bytes([0x7E]) * 120
    line += encode(Frame(Request.COUNTERS, 1000))
    found = converse(design, line, stalls=0.1)
    answers = [frame for frame in found if frame.kind == Request.RUN | REPLY]
    for frame in answers:
        expected = golden[frame.sequence] if frame.sequence < 40 else design.predict(last[None])[0]
        assert outputs_of(design, frame) == list(expected)
    assert answers[-1].sequence == 999 and found[-1].sequence == 1000
    counters = dict(zip(COUNTERS, np.frombuffer(found[-1].payload, "<u4"), strict=True))
    assert counters["images"] == len(answers) and counters["bad_frames"] > 5
    assert counters["dropped_images"] > 0


def test_reset_leaves_no_answer_of_before():
    design = small_design(4)
    images = np.random.default_rng(4).integers(0, 16, (3, 4))
    half = encode(image_frame(7, images[2]))[:8]
    line = (b"".join(encode(image_frame(i, image)) for i, image in enumerate(images[:2])) + half
            + encode(Frame(Request.RESET, 50)) + encode(image_frame(51, images[2])))
    for seed in range(6):
        found = converse(design, line, stalls=0.05 * seed, seed=seed)
        after = [frame.sequence for frame in found].index(50)
        assert [frame.sequence for frame in found[after:]] == [50, 51]
        assert outputs_of(design, found[-1]) == design.predict(images[2:])[0].tolist()


def test_the_link_has_no_multiplier():
    from amaranth.back import rtlil

    from nmahw.certify import rtlil_cells
    design = small_design()
    top = Endpoint(design, Description.of(design, 1_000_000).encode())
    text = rtlil.convert(top, ports=[top.i.payload, top.i.valid, top.o.payload], name="top")
    kinds = {finding.kind for finding in rtlil_cells(text)}
    assert "$add" in kinds and not kinds & {"$mul", "$macc", "$div", "$mod"}
