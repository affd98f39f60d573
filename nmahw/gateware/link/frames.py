"""Frames in and out of a byte stream, in the board: see `nmahw.link.frames` for their form.

The CRC is computed by Amaranth's own unit, the host's by zlib: two opinions.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from ...link import CRC_BYTES, ESCAPE, ESCAPE_XOR, FLAG

__all__ = ["Deframer", "Framer", "FrameByte"]


class FrameByte(data.Struct):
    """A byte of a frame, or its end: then `good` says whether the CRC was right."""

    byte: 8
    end: 1
    good: 1


class Deframer(wiring.Component):
    """Bytes from the line to bytes of frames, CRC included, each frame closed by an `end`.

    Attributes
    ----------
    i : In
        Stream of bytes.
    o : Out
        Stream of `FrameByte`. Between an `end` and the first byte after it nothing is lost: what
        comes in while `o` waits has to wait as well.
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(FrameByte))

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = catalog.CRC32_ISO_HDLC(data_width=8).create()
        escaped, inside = Signal(), Signal()
        take = Signal()
        byte = Signal(8)
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
            byte.eq(self.i.payload ^ Mux(escaped, ESCAPE_XOR, 0)), crc.data.eq(byte),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(take & (self.i.payload == FLAG)):
            m.d.comb += crc.start.eq(1)
            m.d.sync += [inside.eq(0), escaped.eq(0)]
            with m.If(inside):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.end.eq(1),
                             self.o.payload.good.eq(crc.match_detected & ~escaped)]
        with m.Elif(take & (self.i.payload == ESCAPE)):
            m.d.sync += [escaped.eq(1), inside.eq(1)]
        with m.Elif(take):
            m.d.comb += crc.valid.eq(1)
            m.d.sync += [inside.eq(1), escaped.eq(0), self.o.valid.eq(1),
                         self.o.payload.byte.eq(byte), self.o.payload.end.eq(0),
                         self.o.payload.good.eq(0)]
        return m


class Framer(wiring.Component):
    """Bytes of a frame's body to the line: CRC, escapes and flags are added.

    Attributes
    ----------
    i : In
        Stream of bytes, ``last`` with a frame's last one.
    o : Out
        Stream of bytes for the line.
    """

    i: In(stream.Signature(data.StructLayout({"byte": 8, "last": 1})))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = catalog.CRC32_ISO_HDLC(data_width=8).create()
        checksum = Signal(8 * CRC_BYTES)
        left = Signal(range(CRC_BYTES + 1))
        escaping = Signal()
        byte, special, sent = Signal(8), Signal(), Signal()
        m.d.comb += [
            crc.data.eq(byte),
            special.eq((byte == FLAG) | (byte == ESCAPE)),
            # The byte itself goes out, and not the escape before it.
            sent.eq(self.o.valid & self.o.ready & ~(special & ~escaping)),
            self.o.payload.eq(Mux(escaping, byte ^ ESCAPE_XOR, Mux(special, ESCAPE, byte))),
        ]

        def send():
            m.d.comb += self.o.valid.eq(1)
            with m.If(self.o.ready):
                m.d.sync += escaping.eq(special & ~escaping)

        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(self.i.valid),
                             crc.start.eq(1)]
                with m.If(self.i.valid & self.o.ready):
                    m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += byte.eq(self.i.payload.byte)
                with m.If(self.i.valid):
                    send()
                m.d.comb += [self.i.ready.eq(sent), crc.valid.eq(sent)]
                with m.If(sent & self.i.payload.last):
                    m.next = "SUM"
            with m.State("SUM"):
                m.d.sync += [checksum.eq(crc.crc), left.eq(CRC_BYTES)]
                m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += byte.eq(checksum[:8])
                send()
                with m.If(sent):
                    m.d.sync += [checksum.eq(checksum >> 8), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "BEGIN"
        return m
