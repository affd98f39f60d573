"""Elements of the input into the activation memory, one image ahead of the computation.

An image's last element must carry `tlast`, and no other may. On an early `tlast` the partial
image is dropped; when it is missing, everything up to the next `tlast` is dropped as well. Both
raise `frame_error` for one cycle, and the next image comes in clean.

Images in lockstep come in one after the other, each into its own memories, and are computed as a
batch. None waits for one that has not begun: when the computation waits for this batch and no
element is offered between two images, the batch goes with those that are there.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value
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
    counts : Out
        Images in each of the two inputs; only where several are computed in lockstep.
    wanted : In
        Which of the two inputs the computation waits for; likewise.
    w_en, w_addr, w_data : Out
        `w_en` has a bit for each image's memories.
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
            "w_en": Out(schedule.images), "w_addr": Out(range(schedule.memory_words)),
            "w_data": Out(Shape(schedule.activation_bits, self.element.signed)),
            "frame_error": Out(1),
            **({"wanted": In(2), "counts": Out(range(schedule.images + 1)).array(2)}
               if schedule.images > 1 else {}),
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

        batch = None
        if self.schedule.images > 1:
            batch = _Batch(m, self, bank, waiting, dropping, take, image_last)
        m.d.comb += [self.w_en.eq(batch.enables(waiting & ~self.blocked) if batch
                                  else waiting & ~self.blocked)]
        with m.If(self.w_en.any() if batch else self.w_en):
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
                if batch:
                    batch.end_image(final, begin)
                else:
                    m.d.sync += [final.eq(1), bank.eq(~bank), *begin(~bank)]
            with m.Elif(image_last | self.i.payload.last):
                m.d.sync += [self.frame_error.eq(1), dropping.eq(image_last), *begin(bank)]
        if batch:
            batch.go_if_wanted(begin)
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


class _Batch:
    """Which image of the batch comes in, and when the batch goes."""

    def __init__(self, m: Module, entry: Entry, bank: Signal, waiting: Signal, dropping: Signal,
                 take: Value, image_last: Signal):
        self._m, self._entry, self._bank, self._waiting = m, entry, bank, waiting
        count = entry.schedule.images
        self._images = count
        #: Images that are complete, which is the place of the next one; that of the word waiting.
        self._image, self._place = Signal(range(count)), Signal(range(count))
        self._begun = Signal()
        self._dropping = dropping
        with m.If(take & ~dropping):
            m.d.sync += [self._place.eq(self._image),
                         self._begun.eq(~(entry.i.payload.last | image_last))]

    def enables(self, write: Value) -> Value:
        """`write`, in the place of the image whose word waits."""
        return Cat(write & (self._place == image) for image in range(self._images))

    def end_image(self, final: Signal, begin) -> None:
        """An image's last element is taken."""
        m, bank = self._m, self._bank
        with m.If(self._image == self._images - 1):
            m.d.sync += [final.eq(1), bank.eq(~bank), self._image.eq(0), *begin(~bank),
                         Array(self._entry.counts)[bank].eq(self._images)]
        with m.Else():
            m.d.sync += [self._image.eq(self._image + 1), *begin(bank)]

    def go_if_wanted(self, begin) -> None:
        """Let the batch go with the images that are complete."""
        m, bank, entry = self._m, self._bank, self._entry
        going = Signal()
        m.d.comb += going.eq(entry.wanted.bit_select(bank, 1) & (self._image != 0) & ~self._begun
                             & (~entry.i.valid | self._dropping) & ~self._waiting)
        with m.If(going):
            m.d.sync += [entry.full.bit_select(bank, 1).eq(1),
                         Array(entry.counts)[bank].eq(self._image),
                         self._image.eq(0), bank.eq(~bank), *begin(~bank)]
