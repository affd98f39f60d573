"""Frames: host's codec against the board's gateware, on good and on damaged lines."""

import random

from amaranth.hdl import Elaboratable, Module
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from nmahw.gateware.link.frames import Deframer, Framer
from nmahw.gateware.link.uart import UartReceiver, UartTransmitter
from nmahw.link import ESCAPE, FLAG
from nmahw.link.frames import Decoder, Frame, encode

FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=40))


@given(st.lists(FRAMES, max_size=5), st.binary(max_size=30), st.integers(1, 7))
def test_frames_survive_any_cut(frames, garbage, size):
    line = garbage + bytes([FLAG]) + b"".join(map(encode, frames))
    decoder = Decoder()
    found = [frame for start in range(0, len(line), size)
             for frame in decoder.feed(line[start:start + size])]
    assert found[-len(frames):] == frames if frames else not found or garbage


@given(FRAMES, FRAMES, st.data())
def test_a_damaged_frame_is_dropped_and_the_next_is_whole(first, second, data):
    line = bytearray(encode(first))
    place = data.draw(st.integers(1, len(line) - 2))
    line[place] ^= data.draw(st.integers(1, 255))
    found = list(Decoder().feed(bytes(line) + bytes([FLAG]) + encode(second)))
    assert found == [second]


@given(FRAMES, st.data())
def test_lost_and_doubled_bytes_are_noticed(frame, data):
    line = encode(frame)
    place = data.draw(st.integers(1, len(line) - 2))
    # A doubled escape means the same as one.
    if line[place] != ESCAPE:
        assert not list(Decoder().feed(line[:place + 1] + line[place:]))
    assert frame not in list(Decoder().feed(line[:place] + line[place + 1:]))


def _run(top, processes, cycles=20_000):
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    for process in processes:
        simulator.add_testbench(process)
    simulator.run_until(cycles * 1e-6)


def _send(port, items, rng):
    async def process(ctx):
        for item in items:
            while rng.random() < 0.3:
                await ctx.tick()
            ctx.set(port.payload, item)
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)
    return process


def _receive(port, found, rng):
    async def process(ctx):
        while True:
            ctx.set(port.ready, rng.random() < 0.6)
            clk, rst, valid, ready, payload = await ctx.tick().sample(
                port.valid, port.ready, port.payload)
            if valid and ready:
                found.append(payload)
    return process


def test_deframer_agrees_with_the_decoder_under_stalls():
    rng = random.Random(1)
    frames = [Frame(rng.randrange(256), rng.randrange(65536), rng.randbytes(rng.randrange(12)))
              for _ in range(12)]
    # Few values, so that flags and escapes are frequent.
    frames += [Frame(FLAG, 0x7D7E, bytes(rng.choice([FLAG, ESCAPE, 0]) for _ in range(9)))]
    line = bytearray(b"\x01\x02")
    for number, frame in enumerate(frames):
        text = bytearray(encode(frame))
        if number % 3 == 1:
            text[rng.randrange(1, len(text) - 1)] ^= 1 << rng.randrange(8)
        if number % 4 == 2:
            del text[rng.randrange(1, len(text) - 1)]
        line += text
    line += bytes([ESCAPE, FLAG, FLAG])
    top, found = Deframer(), []
    _run(top, [_send(top.i, line, rng), _receive(top.o, found, rng)])
    bodies, body = [], bytearray()
    for item in found:
        if not item["end"]:
            body.append(item["byte"])
            continue
        if item["good"]:
            bodies.append(bytes(body[:-4]))
        body.clear()
    expected = [bytes([f.kind]) + f.sequence.to_bytes(2, "little")
                + len(f.payload).to_bytes(2, "little") + f.payload
                for f in Decoder().feed(bytes(line))]
    # The length is not the deframer's business; no damage here leaves the CRC right.
    assert bodies == expected and len(expected) >= 4


def test_framer_writes_what_encode_writes_under_stalls():
    rng = random.Random(2)
    frames = [Frame(rng.randrange(256), rng.randrange(65536),
                    bytes(rng.choice([FLAG, ESCAPE, rng.randrange(256)]) for _ in range(n)))
              for n in (0, 1, 5, 17)]
    items = []
    for f in frames:
        body = (bytes([f.kind]) + f.sequence.to_bytes(2, "little")
                + len(f.payload).to_bytes(2, "little") + f.payload)
        items += [{"byte": byte, "last": index == len(body) - 1}
                  for index, byte in enumerate(body)]
    top, found = Framer(), []
    _run(top, [_send(top.i, items, rng), _receive(top.o, found, rng)])
    assert bytes(found) == b"".join(map(encode, frames))


class _Loop(Elaboratable):
    """A transmitter and a receiver whose clocks differ."""

    def __init__(self, clock_hz, baud, ratio):
        self.transmitter = UartTransmitter(clock_hz, round(baud * ratio))
        self.receiver = UartReceiver(clock_hz, baud)

    def elaborate(self, platform):
        m = Module()
        m.submodules += [self.transmitter, self.receiver]
        m.d.comb += self.receiver.rx.eq(self.transmitter.tx)
        return m


def test_uart_takes_two_percent_either_way():
    for ratio in (0.975, 0.98, 1.0, 1.02, 1.025):
        rng = random.Random(3)
        top = _Loop(12_000_000, 1_000_000, ratio)
        sent, found = rng.randbytes(40), []

        async def receive(ctx, top=top, found=found):
            ctx.set(top.receiver.o.ready, 1)
            while True:
                _, _, valid, byte = await ctx.tick().sample(top.receiver.o.valid,
                                                            top.receiver.o.payload)
                if valid:
                    found.append(byte)

        _run(top, [_send(top.transmitter.i, sent, rng), receive], 40 * 140)
        assert bytes(found) == sent, ratio
