"""Replies and answers of the accelerator, as bodies of frames.

Replies go first, but never into an answer that has begun. An answer is the image's outputs, each in
as many bytes as the accelerator's stream has, then the cycles from its last element in to its
first output.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ...link import HEADER_BYTES, OUTSTANDING, REPLY, Request
from .requests import Reply

__all__ = ["Answers", "COUNTERS"]

#: What COUNTERS tells, four bytes each, in this order.
COUNTERS: tuple[str, ...] = ("images", "bad_frames", "dropped_images", "cycles")


class _Body(enum.Enum, shape=2):
    """What follows a header."""

    EMPTY = 0
    SMALL = 1
    TEXT = 2
    OUTPUTS = 3


class Answers(wiring.Component):
    """See the module's text.

    Parameters
    ----------
    description : bytes
        What IDENTIFY is answered with.
    outputs, output_bytes : int
    outstanding : int
        Images that may be taken and not answered yet.
    text_style : str
        What synthesis calls the memory of the description (``rom_style``); "" for any.

    Attributes
    ----------
    reply : In
    results : In
        Stream from the accelerator.
    image, sequence : In
        An image was taken; see `Requests`.
    outstanding : Out
    reset_link : In
    bad_frame, dropped_image : In
        Pulses that are counted.
    check : In
        What VERIFY is answered with.
    o : Out
        Stream of bytes, ``last`` with the last one of a body.
    """

    def __init__(self, description: bytes, outputs: int, output_bytes: int,
                 outstanding: int = OUTSTANDING, text_style: str = ""):
        self._outstanding, self._text_style = outstanding, text_style
        self._description = description
        self._outputs, self._bytes = outputs, output_bytes
        super().__init__({
            "reply": In(stream.Signature(Reply)),
            "results": In(stream.Signature(
                data.StructLayout({"data": 8 * output_bytes, "last": 1}))),
            "image": In(1), "sequence": In(16), "outstanding": Out(range(outstanding + 1)),
            "reset_link": In(1), "bad_frame": In(1), "dropped_image": In(1), "check": In(32),
            "o": Out(stream.Signature(data.StructLayout({"byte": 8, "last": 1}))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.images = images = SyncFIFO(width=48, depth=self._outstanding)
        m.submodules.description = text = Memory(
            shape=8, depth=len(self._description), init=self._description,
            attrs={"rom_style": self._text_style} if self._text_style else {})
        letter = text.read_port()
        counters = {name: Signal(32, name=name) for name in COUNTERS}
        discard = Signal(range(self._outstanding + 1))
        sequence, since = images.r_data[:16], images.r_data[16:]
        answered = Signal()
        m.d.comb += [images.w_data.eq(Cat(self.sequence, counters["cycles"])),
                     images.w_en.eq(self.image), images.r_en.eq(answered),
                     self.outstanding.eq(images.level)]
        m.d.sync += counters["cycles"].eq(counters["cycles"] + 1)
        with m.If(self.reset_link):
            # Those on their way still come out of the accelerator, and are not told any more.
            m.d.sync += [discard.eq(images.level - answered),
                         *(counters[name].eq(0) for name in COUNTERS)]
        with m.Else():
            m.d.sync += [discard.eq(discard - (answered & (discard != 0)))]
            for name, pulse in (("images", answered & (discard == 0)),
                                ("bad_frames", self.bad_frame),
                                ("dropped_images", self.dropped_image)):
                m.d.sync += counters[name].eq(counters[name] + pulse)

        # A body is a header, then what the kind asks for.
        header, left = Signal(8 * HEADER_BYTES), Signal(range(HEADER_BYTES + 1))
        # A number, and how many bytes are left of it and of those that follow.
        small, small_left = Signal(32), Signal(range(4 * len(COUNTERS) + 1))
        body = Signal(_Body)
        answer_bytes = self._outputs * self._bytes + 4

        def begin(kind, number, length):
            m.d.sync += [header.eq(Cat(Const(0, 8) | kind | REPLY, Const(0, 16) | number,
                                       Const(0, 16) | length)), left.eq(HEADER_BYTES)]

        part, value = Signal(range(max(self._bytes, 2))), Signal(8 * self._bytes)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += letter.addr.eq(0)
                m.d.sync += part.eq(0)
                with m.If(self.reply.valid):
                    m.d.comb += self.reply.ready.eq(1)
                    self._begin_reply(m, begin, counters, small, small_left, body)
                    m.next = "HEADER"
                with m.Elif(self.results.valid & (discard != 0)):
                    m.next = "DISCARD"
                with m.Elif(self.results.valid & images.r_rdy):
                    begin(Request.RUN, sequence, answer_bytes)
                    m.d.sync += [small.eq(counters["cycles"] - since), small_left.eq(4),
                                 body.eq(_Body.OUTPUTS)]
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [self.o.payload.byte.eq(header[:8]), self.o.valid.eq(1),
                             self.o.payload.last.eq((left == 1) & (body == _Body.EMPTY))]
                with m.If(self.o.ready):
                    m.d.sync += [header.eq(header >> 8), left.eq(left - 1)]
                    with m.If(left == 1):
                        with m.Switch(body):
                            with m.Case(_Body.EMPTY):
                                m.next = "IDLE"
                            with m.Case(_Body.TEXT):
                                m.next = "TEXT"
                            with m.Case(_Body.SMALL):
                                m.next = "SMALL"
                            with m.Case(_Body.OUTPUTS):
                                m.next = "OUTPUT"
            with m.State("SMALL"):
                m.d.comb += [self.o.payload.byte.eq(small[:8]), self.o.valid.eq(1),
                             self.o.payload.last.eq(small_left == 1)]
                with m.If(self.o.ready):
                    m.d.sync += [small.eq(small >> 8), small_left.eq(small_left - 1)]
                    with m.If(small_left[:2] == 1):
                        # Of several numbers the next one, as it is now.
                        for place, counter in enumerate(counters.values()):
                            with m.If(small_left[2:] == len(COUNTERS) - place):
                                m.d.sync += small.eq(counter)
                    with m.If(small_left == 1):
                        m.next = "IDLE"
            with m.State("TEXT"):
                self._text(m, letter)
            with m.State("OUTPUT"):
                m.d.comb += [value.eq(self.results.payload.data),
                             # An Array: an index into bits would be multiplied by eight.
                             self.o.payload.byte.eq(Array(
                                 value[8 * i:8 * i + 8] for i in range(self._bytes))[part]),
                             self.o.valid.eq(self.results.valid)]
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += part.eq(part + 1)
                    with m.If(part == self._bytes - 1):
                        m.d.sync += part.eq(0)
                        m.d.comb += self.results.ready.eq(1)
                        with m.If(self.results.payload.last):
                            m.d.comb += answered.eq(1)
                            m.next = "SMALL"
            with m.State("DISCARD"):
                m.d.comb += self.results.ready.eq(1)
                with m.If(self.results.valid & self.results.payload.last):
                    m.d.comb += answered.eq(1)
                    m.next = "IDLE"
        return m

    def _begin_reply(self, m, begin, counters, small, small_left, body) -> None:
        reply = self.reply.payload
        m.d.sync += body.eq(_Body.SMALL)
        with m.Switch(reply.kind):
            with m.Case(Request.ERROR):
                begin(reply.kind, reply.sequence, 1)
                m.d.sync += [small.eq(reply.error), small_left.eq(1)]
            with m.Case(Request.IDENTIFY):
                begin(reply.kind, reply.sequence, len(self._description))
                m.d.sync += body.eq(_Body.TEXT)
            with m.Case(Request.COUNTERS):
                begin(reply.kind, reply.sequence, 4 * len(COUNTERS))
                m.d.sync += [small.eq(counters[COUNTERS[0]]), small_left.eq(4 * len(COUNTERS))]
            with m.Case(Request.VERIFY):
                begin(reply.kind, reply.sequence, 4)
                m.d.sync += [small.eq(self.check), small_left.eq(4)]
            with m.Default():
                begin(reply.kind, reply.sequence, 0)
                m.d.sync += body.eq(_Body.EMPTY)

    def _text(self, m, letter) -> None:
        place = Signal(range(len(self._description)))
        last = place == len(self._description) - 1
        m.d.comb += [self.o.payload.byte.eq(letter.data), self.o.valid.eq(1),
                     self.o.payload.last.eq(last), letter.addr.eq(place + 1)]
        m.d.comb += letter.en.eq(self.o.ready)
        with m.If(self.o.ready):
            m.d.sync += place.eq(Mux(last, 0, place + 1))
            with m.If(last):
                m.next = "IDLE"
