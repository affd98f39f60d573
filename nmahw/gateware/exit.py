"""Results to the output stream: a whole image's are collected first, so nothing inside stalls."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..arith import range_shape
from ..schedule import Schedule

__all__ = ["Exit"]


class Exit(wiring.Component):
    """Output buffer, arg max and output stream.

    Attributes
    ----------
    w_en, w_addr, w_data, w_done : In
        A result of the last pass; `w_done` with the last one of an image.
    free : Out
        The buffer can take an image's results.
    o : Out
        Stream of results, channel by channel, row by row; or of one arg max.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        last = schedule.passes[-1].work
        self.words = last.target.words
        self.value = range_shape(*last.ranges()["after"])
        self.index = range_shape(0, self.words - 1)
        self.element = self.index if schedule.program.arg_max else self.value
        bytes_wide = -(-self.element.width // 8)
        self.tdata = Shape(8 * bytes_wide, self.element.signed)
        super().__init__({
            "w_en": In(1), "w_addr": In(range(max(self.words, 2))), "w_data": In(self.value),
            "w_done": In(1), "free": Out(1, init=1),
            "o": Out(stream.Signature(data.StructLayout({"data": self.tdata, "last": 1}))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = Memory(shape=self.value, depth=self.words, init=[])
        read, write = buffer.read_port(), buffer.write_port()
        index = Signal(range(max(self.words, 2)))
        last = Signal()
        m.d.comb += [
            write.en.eq(self.w_en), write.addr.eq(self.w_addr), write.data.eq(self.w_data),
            read.en.eq(1), read.addr.eq(index), last.eq(index == self.words - 1),
        ]
        best, best_index = Signal(self.value), Signal(self.index)
        with m.FSM():
            with m.State("COLLECT"):
                m.d.sync += index.eq(0)
                with m.If(self.w_en & self.w_done):
                    m.d.sync += self.free.eq(0)
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.next = "SHOW"
            with m.State("SHOW"):
                if self.schedule.program.arg_max:
                    better = Signal()
                    chosen = Signal(self.index)
                    m.d.comb += [better.eq((index == 0) | (read.data > best)),
                                 chosen.eq(best_index)]
                    with m.If(better):
                        m.d.sync += [best.eq(read.data), best_index.eq(index)]
                        m.d.comb += chosen.eq(index)
                    m.d.sync += index.eq(index + 1)
                    m.next = "FETCH"
                    with m.If(last):
                        m.d.sync += [self.o.valid.eq(1), self.o.payload.data.eq(chosen),
                                     self.o.payload.last.eq(1)]
                        m.next = "WAIT"
                else:
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.data.eq(read.data),
                                 self.o.payload.last.eq(last), index.eq(index + 1)]
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(self.o.ready):
                    m.d.sync += self.o.valid.eq(0)
                    m.next = "SHOW"
                    with m.If(self.o.payload.last):
                        m.d.sync += self.free.eq(1)
                        m.next = "COLLECT"
        return m
