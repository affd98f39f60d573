"""Requests of a host, out of frames: parsed as they come, carried out when they are whole.

A RUN's elements go to the accelerator while they come in, but for the last two, which wait for
the frame's CRC. When it is wrong, one element goes on with `last` in the wrong place, so that
the accelerator drops the image; nothing of a damaged frame is ever answered.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...link import HEADER_BYTES, OUTSTANDING, ErrorCode, Request
from .frames import FrameByte

__all__ = ["Reply", "Requests"]


class Reply(data.Struct):
    """What the responder has to say; `error` is an `ErrorCode`, 0 for none."""

    kind: 8
    sequence: 16
    error: 8


class Requests(wiring.Component):
    """See the module's text.

    Parameters
    ----------
    elements : int
        Of one image.
    element_bytes : int
    loads : bool
        Whether LOAD writes to a memory, and RUN waits until its contents were verified.
    outstanding : int
        Images that are taken before the first one is answered.

    Attributes
    ----------
    i : In
        Stream of `FrameByte`.
    elements : Out
        Stream of elements to the accelerator.
    reply : Out
        Stream of replies to all requests but a RUN that was taken.
    image : Out
        Pulse: the last element of an image with this sequence number is about to go out.
    sequence : Out
    outstanding : In
        Images taken and not answered yet.
    reset_link : Out
        Pulse: RESET; images that are on their way are not to be answered any more.
    loaded : In
    verify, verified : Out, In
        The memory is to be checked, until it was.
    load_valid, load_address, load_data : Out
        A byte for the memory.
    counted_bad : Out
        Pulse: a frame was dropped.
    """

    def __init__(self, elements: int, element_bytes: int, loads: bool = False,
                 outstanding: int = OUTSTANDING):
        self._elements, self._bytes, self._loads = elements, element_bytes, loads
        self._outstanding = outstanding
        super().__init__({
            "i": In(stream.Signature(FrameByte)),
            "elements": Out(stream.Signature(
                data.StructLayout({"data": 8 * element_bytes, "last": 1}))),
            "reply": Out(stream.Signature(Reply)),
            "image": Out(1), "sequence": Out(16), "outstanding": In(range(outstanding + 1)),
            "reset_link": Out(1), "loaded": In(1), "verify": Out(1), "verified": In(1),
            "load_valid": Out(1), "load_address": Out(32), "load_data": Out(8),
            "counted_bad": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        item = self.i.payload
        header = Signal(8 * HEADER_BYTES)
        kind, sequence, length = header[:8], header[8:24], header[24:40]
        place = Signal(range(HEADER_BYTES + 1))
        left, tail = Signal(16), Signal(range(5))
        error = Signal(8)
        m.d.comb += self.sequence.eq(sequence)

        # Elements: the one that is being put together, and the two that wait for the CRC.
        size = 8 * self._bytes
        parts, partial = Signal(range(max(self._bytes, 2))), Signal(size)
        waiting = [Signal(size, name=f"waiting{index}") for index in range(2)]
        held, begun = Signal(range(3)), Signal()
        whole = Signal(size)
        m.d.comb += whole.eq(Cat(partial, item.byte)[-size:])

        def forward(element, last):
            m.d.comb += [self.elements.payload.data.eq(element),
                         self.elements.payload.last.eq(last), self.elements.valid.eq(1)]

        running = Signal()
        verifying, verified = Const(0), Signal()
        if self._loads:
            verifying = (kind == Request.VERIFY) & (error == 0)
        replying = Signal()
        m.d.comb += [self.reply.valid.eq(replying), self.reply.payload.sequence.eq(sequence),
                     self.reply.payload.kind.eq(Mux(error, Request.ERROR, kind)),
                     self.reply.payload.error.eq(error)]
        complete = Signal()
        m.d.comb += complete.eq(parts == self._bytes - 1)
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & item.end):
                    # Shorter than any frame.
                    m.d.comb += self.counted_bad.eq(1)
                    m.d.sync += place.eq(0)
                with m.Elif(self.i.valid):
                    m.d.sync += [header.eq(Cat(header[8:], item.byte)), place.eq(place + 1)]
                    with m.If(place == HEADER_BYTES - 1):
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += [place.eq(0), left.eq(length), tail.eq(0), held.eq(0), begun.eq(0),
                             parts.eq(0), verified.eq(0)]
                self._check(m, kind, length, error, running)
                m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                with m.If(item.end):
                    # An element is whole or the length was wrong, which `error` tells.
                    m.next = "END"
                with m.Elif(left == 0):
                    # The CRC; longer frames are wrong.
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(self.i.valid & (tail != 4)):
                        m.d.sync += tail.eq(tail + 1)
                    with m.Elif(self.i.valid):
                        m.d.sync += error.eq(ErrorCode.LENGTH)
                with m.Elif(running & complete & (held == 2)):
                    with m.If(self.i.valid):
                        forward(waiting[0], 0)
                        m.d.comb += self.i.ready.eq(self.elements.ready)
                with m.Else():
                    m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.ready & ~item.end & (left != 0)):
                    m.d.sync += left.eq(left - 1)
                    m.d.sync += [partial.eq(whole), parts.eq(Mux(complete, 0, parts + 1))]
                    with m.If(running & complete):
                        m.d.sync += [waiting[1].eq(whole), waiting[0].eq(waiting[1])]
                        with m.If(held == 2):
                            m.d.sync += begun.eq(1)
                        with m.Else():
                            m.d.sync += held.eq(held + 1)
                if self._loads:
                    self._load(m, kind, length, left, error)
                # `end` may only be looked at when there is an item.
                with m.If(~self.i.valid):
                    m.next = "PAYLOAD"
            with m.State("END"):
                good = Signal()
                m.d.comb += good.eq(item.good & (left == 0) & (tail == 4))
                with m.If(replying):
                    with m.If(self.reply.ready):
                        m.d.sync += replying.eq(0)
                        m.d.comb += self.reset_link.eq((kind == Request.RESET) & (error == 0))
                        self._finish(m)
                with m.Elif(~good):
                    m.d.comb += self.counted_bad.eq(1)
                    self._finish(m)
                    with m.If(running & begun):
                        m.d.comb += self.i.ready.eq(0)
                        m.next = "DROP"
                with m.Elif(running):
                    m.d.comb += self.image.eq(1)
                    m.next = "LAST" if self._elements == 1 else "LAST_BUT_ONE"
                with m.Elif(verifying & ~verified):
                    m.d.comb += self.verify.eq(1)
                    m.d.sync += verified.eq(self.verified)
                with m.Else():
                    # A register of its own: what follows from a reply is a long way already.
                    m.d.sync += replying.eq(1)
            with m.State("LAST_BUT_ONE"):
                forward(waiting[0], 0)
                with m.If(self.elements.ready):
                    m.next = "LAST"
            with m.State("LAST"):
                forward(waiting[1], 1)
                with m.If(self.elements.ready):
                    self._finish(m)
            with m.State("DROP"):
                # Early by one element: that is what `frame_error` is for.
                forward(waiting[0], 1)
                with m.If(self.elements.ready):
                    self._finish(m)
        return m

    def _finish(self, m: Module) -> None:
        """Take the frame's end and wait for the next frame."""
        m.d.comb += self.i.ready.eq(1)
        m.next = "HEADER"

    def _check(self, m: Module, kind, length, error, running) -> None:
        """What can be said against a request once its header is in."""
        def need(condition, code=ErrorCode.LENGTH):
            with m.If(~condition):
                m.d.sync += error.eq(code)

        m.d.sync += [error.eq(0), running.eq(0)]
        with m.Switch(kind):
            with m.Case(Request.RUN):
                fits = length == self._elements * self._bytes
                free = self.outstanding != self._outstanding
                loaded = self.loaded if self._loads else Const(1)
                m.d.sync += running.eq(fits & free & loaded)
                need(free, ErrorCode.BUSY)
                need(loaded, ErrorCode.NOT_LOADED)
                need(fits)
            with m.Case(Request.IDENTIFY, Request.COUNTERS, Request.RESET):
                need(length == 0)
            if self._loads:
                # Not while an image is computed: its answer would be wrong.
                with m.Case(Request.LOAD):
                    need(self.outstanding == 0, ErrorCode.BUSY)
                    need(length > 4)
                with m.Case(Request.VERIFY):
                    need(self.outstanding == 0, ErrorCode.BUSY)
                    need(length == 0)
            with m.Default():
                m.d.sync += error.eq(ErrorCode.UNKNOWN)

    def _load(self, m: Module, kind, length, left, error) -> None:
        """Bytes of a LOAD: four of the address, then data, written as they come.

        A damaged frame may write wrong bytes; the memory is verified as a whole before it is used.
        """
        address = self.load_address
        taken = self.i.valid & self.i.ready & ~self.i.payload.end & (left != 0) & (error == 0)
        in_address = Signal(range(5))
        with m.If(taken & (kind == Request.LOAD)):
            with m.If(left == length):
                m.d.sync += [address.eq(Cat(address[8:], self.i.payload.byte)), in_address.eq(3)]
            with m.Elif(in_address != 0):
                m.d.sync += [address.eq(Cat(address[8:], self.i.payload.byte)),
                             in_address.eq(in_address - 1)]
            with m.Else():
                m.d.comb += [self.load_valid.eq(1), self.load_data.eq(self.i.payload.byte)]
                m.d.sync += address.eq(address + 1)
