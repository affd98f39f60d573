"""The exits of images in lockstep: results are collected at the same time and leave in order."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..schedule import Schedule
from .exit import Exit

__all__ = ["Exits"]


class Exits(wiring.Component):
    """One `Exit` an image, and a turn.

    Attributes
    ----------
    w_en, w_addr, w_data, w_done : In
        A result of the last pass, one an image; `w_done` with the batch's last ones.
    count : In
        Images in the batch; what the others' places hold is not an answer.
    free : Out
        The buffers can take a batch's results.
    o : Out
        Stream of results, image by image.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self._exits = [Exit(schedule) for _ in range(schedule.images)]
        first = self._exits[0]
        self.tdata = first.tdata
        members = first.signature.members
        super().__init__({
            "w_en": In(1), "w_addr": members["w_addr"],
            "w_data": members["w_data"].array(schedule.images), "w_done": In(1),
            "count": In(range(schedule.images + 1)), "free": Out(1, init=1), "o": members["o"]})

    def elaborate(self, platform):
        m = Module()
        turn, final = (Signal(range(self.schedule.images), name=name)
                       for name in ("turn", "final"))
        for index, exit_ in enumerate(self._exits):
            m.submodules[f"exit{index}"] = exit_
            m.d.comb += [
                exit_.w_en.eq(self.w_en & (index < self.count)), exit_.w_addr.eq(self.w_addr),
                exit_.w_data.eq(self.w_data[index]), exit_.w_done.eq(self.w_done),
                exit_.o.ready.eq(self.o.ready & (turn == index))]
        with m.If(self.w_en & self.w_done):
            m.d.sync += final.eq(self.count - 1)
        outputs = [exit_.o for exit_ in self._exits]
        m.d.comb += [
            self.free.eq(Cat(exit_.free for exit_ in self._exits).all()),
            self.o.valid.eq(Array(o.valid for o in outputs)[turn]),
            self.o.payload.data.eq(Array(o.payload.data for o in outputs)[turn]),
            self.o.payload.last.eq(Array(o.payload.last for o in outputs)[turn])]
        with m.If(self.o.valid & self.o.ready & self.o.payload.last):
            m.d.sync += turn.eq(Mux(turn == final, 0, turn + 1))
        return m
