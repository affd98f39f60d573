"""Elements of the input into the activation memory, one image ahead of the computation.

An image's last element must carry `tlast`, and no other may. On an early `tlast` the partial
image is dropped; when it is missing, everything up to the next `tlast` is dropped as well. Both
raise `frame_error` for one cycle, and the next image comes in clean.
"""

from amaranth.hdl import Const, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith import range_shape
from ..schedule import Schedule
from .common import Loop

__all__ = ["Entry"]


class Entry(wiring.Component):
    """See the module's text.

    Attributes
    ----------
    i : In
        Stream of elements, channel by channel, row by row.
    blocked : In
        The activation memory's write port is taken in this cycle.
    release, release_bank : In
        Pulse: this input has been read and may be overwritten.
    full : Out
        Which of the two inputs are complete.
    w_en, w_addr, w_data : Out
    frame_error : Out
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        program = schedule.program
        fmt = program.network.input_format
        self.element = range_shape(fmt.low, fmt.high)
        bytes_wide = -(-self.element.width // 8)
        self.tdata = Shape(8 * bytes_wide, self.element.signed)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"data": self.tdata, "last": 1}))),
            "blocked": In(1), "release": In(1), "release_bank": In(1), "full": Out(2),
            "w_en": Out(1), "w_addr": Out(range(schedule.memory_words)),
            "w_data": Out(Shape(schedule.activation_bits, self.element.signed)),
            "frame_error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        regions = self.schedule.program.sources
        channels, rows, columns = (Loop(name, size) for name, size in zip(
            ("channel", "row", "column"), regions[0].shape, strict=True))
        shape = [size - 1 for size in regions[0].shape]
        row_gap = 1 + regions[0].pitch - regions[0].shape[2]
        channel_gap = row_gap + regions[0].pitch * (regions[0].plane // regions[0].pitch
                                                    - regions[0].shape[1])

        bank = Signal()
        waiting, final, final_bank = Signal(), Signal(), Signal()
        address = Signal(range(self.schedule.memory_words), init=regions[0].origin)
        dropping = Signal()
        image_last = Signal()
        # The counters' first turn has to be set up; the state after reset says so.
        ready = Signal()
        take = Signal()
        m.d.comb += [
            image_last.eq(channels.last & rows.last & columns.last),
            self.i.ready.eq(ready & ~self.full.bit_select(bank, 1) & (~waiting | ~self.blocked)),
            take.eq(self.i.valid & self.i.ready),
        ]

        def begin(of_bank):
            return [*channels.restart(Const(shape[0])), *rows.restart(Const(shape[1])),
                    *columns.restart(Const(shape[2])),
                    address.eq(Mux(of_bank, regions[1].origin, regions[0].origin))]

        value = self.schedule.program.entry
        element = Signal(self.element)
        m.d.comb += element.eq(self.i.payload.data)
        with m.If(~ready):
            m.d.sync += [*begin(bank), ready.eq(1)]

        m.d.comb += [self.w_en.eq(waiting & ~self.blocked)]
        with m.If(self.w_en):
            m.d.sync += waiting.eq(0)
            with m.If(final):
                m.d.sync += self.full.bit_select(final_bank, 1).eq(1)
        with m.If(self.release):
            m.d.sync += self.full.bit_select(self.release_bank, 1).eq(0)

        m.d.sync += self.frame_error.eq(0)
        with m.If(take & dropping):
            with m.If(self.i.payload.last):
                m.d.sync += dropping.eq(0)
        with m.Elif(take):
            m.d.sync += [waiting.eq(1), self.w_addr.eq(address), self.w_data.eq(
                self._rescaled(m, element, value)), final.eq(0), final_bank.eq(bank)]
            with m.If(columns.last & rows.last):
                m.d.sync += [*channels.advance(), *rows.restart(Const(shape[1])),
                             *columns.restart(Const(shape[2])), address.eq(address + channel_gap)]
            with m.Elif(columns.last):
                m.d.sync += [*rows.advance(), *columns.restart(Const(shape[2])),
                             address.eq(address + row_gap)]
            with m.Else():
                m.d.sync += [*columns.advance(), address.eq(address + 1)]
            with m.If(image_last & self.i.payload.last):
                m.d.sync += [final.eq(1), bank.eq(~bank), *begin(~bank)]
            with m.Elif(image_last | self.i.payload.last):
                m.d.sync += [self.frame_error.eq(1), dropping.eq(image_last), *begin(bank)]
        return m

    def _rescaled(self, m, element, rescale):
        """The requantise at the network's beginning: constants only."""
        if rescale.is_identity:
            return element
        fmt = self.schedule.program.network.input_format
        low, high = rescale.range(fmt.low, fmt.high)
        half = (1 << rescale.shift) >> 1
        least, most = ((limit + half) >> rescale.shift for limit in (fmt.low, fmt.high))
        scaled = Signal(range_shape(least, most))
        m.d.comb += scaled.eq((element + half) >> rescale.shift)
        result = scaled
        # A limit that no element can reach is left out.
        if most > high:
            result = Mux(scaled > high, high, result)
        if least < low:
            result = Mux(scaled < low, low, result)
        return result
