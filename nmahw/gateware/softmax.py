"""The exit of a network that ends in a softmax: see `nmahw.layers.softmax` for what it computes.

A result is collected as in `Exit`, and its largest feature found on the way. Then the features go
through one pipeline twice: first all of them, one a cycle, to add their terms up; then one by one,
with the logarithm of the sum added to their exponents. What the pipeline does is the same both
times: difference, signed shifts, common addend, table, shift, rounding.
"""

from amaranth.hdl import Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..arith import range_shape
from ..schedule import Schedule
from ..signed_digits import signed_digits
from .common import delayed

__all__ = ["SoftmaxExit"]


class SoftmaxExit(wiring.Component):
    """Output buffer, softmax and output stream.

    Attributes
    ----------
    w_en, w_addr, w_data, w_done : In
        A feature of the last pass; `w_done` with the last one of an image.
    free : Out
        The buffer can take an image's features.
    o : Out
        Stream of results in the order of the features.
    """

    def __init__(self, schedule: Schedule):
        last = schedule.passes[-1].work
        self.layer = schedule.program.softmax
        self.words = last.target.words
        self._range = last.ranges()["after"]
        self.value = range_shape(*self._range)
        self.element = unsigned(self.layer.bits)
        self.tdata = Shape(8 * -(-self.layer.bits // 8))
        super().__init__({
            "w_en": In(1), "w_addr": In(range(max(self.words, 2))), "w_data": In(self.value),
            "w_done": In(1), "free": Out(1, init=1),
            "o": Out(stream.Signature(data.StructLayout({"data": self.tdata, "last": 1}))),
        })

    def elaborate(self, platform):
        m = Module()
        layer = self.layer
        carries = self.words.bit_length()
        m.submodules.buffer = buffer = Memory(shape=self.value, depth=self.words, init=[])
        write = buffer.write_port()
        index = Signal(range(max(self.words, 2)))
        last, launch = Signal(), Signal()
        largest, begun = Signal(self.value), Signal()
        total = Signal(layer.term_bits + carries)
        exponent = Signal(range(max(carries, 2)))
        # The logarithm of the sum, from terms' units to results': the same for all features.
        common = Signal(range(((carries + layer.term_bits - layer.bits) << layer.table_bits) + 1))
        term = self._pipeline(m, buffer, index, largest, common)
        arrived = delayed(m, launch, layer.latency_cycles, "launch", reset=True)
        summed = delayed(m, launch & last, layer.latency_cycles, "last", reset=True)

        m.submodules.logarithms = logarithms = Memory(
            shape=range(max(layer.logarithms) + 1), depth=len(layer.logarithms),
            init=layer.logarithms)
        entry = logarithms.read_port()
        mantissa = len(total) - 1 - layer.mantissa_bits
        m.d.comb += [
            write.en.eq(self.w_en), write.addr.eq(self.w_addr), write.data.eq(self.w_data),
            last.eq(index == self.words - 1),
            entry.en.eq(1), entry.addr.eq(total[mantissa:len(total) - 1]),
        ]
        with m.FSM():
            with m.State("COLLECT"):
                m.d.sync += [index.eq(0), total.eq(0), common.eq(0),
                             exponent.eq(carries - 1)]
                with m.If(self.w_en):
                    m.d.sync += begun.eq(1)
                    with m.If(~begun | (self.w_data > largest)):
                        m.d.sync += largest.eq(self.w_data)
                    with m.If(self.w_done):
                        m.d.sync += [self.free.eq(0), begun.eq(0)]
                        m.next = "SUM"
            with m.State("SUM"):
                m.d.comb += launch.eq(1)
                m.d.sync += index.eq(index + 1)
                with m.If(arrived):
                    m.d.sync += total.eq(total + term)
                with m.If(last):
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                with m.If(arrived):
                    m.d.sync += total.eq(total + term)
                with m.If(summed):
                    m.d.sync += index.eq(1)
                    m.next = "NORMALISE" if carries > 1 else "LOOK UP"
            if carries > 1:
                with m.State("NORMALISE"):
                    # Always as many turns as the largest sum's leading one could need.
                    m.d.sync += index.eq(index + 1)
                    with m.If(~total[-1]):
                        m.d.sync += [total.eq(total << 1), exponent.eq(exponent - 1)]
                    with m.If(index == carries - 1):
                        m.next = "LOOK UP"
            with m.State("LOOK UP"):
                m.next = "SUBTRACT"
            with m.State("SUBTRACT"):
                m.d.sync += [index.eq(0), common.eq(
                    entry.data + (exponent << layer.table_bits)
                    + ((layer.term_bits - layer.bits) << layer.table_bits))]
                m.next = "LAUNCH"
            with m.State("LAUNCH"):
                m.d.comb += launch.eq(1)
                m.next = "AWAIT"
            with m.State("AWAIT"):
                with m.If(arrived):
                    top = (1 << layer.bits) - 1
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.last.eq(last),
                                 self.o.payload.data.eq(Mux(term > top, top, term))]
                    m.next = "SEND"
            with m.State("SEND"):
                with m.If(self.o.ready):
                    m.d.sync += [self.o.valid.eq(0), index.eq(index + 1)]
                    m.next = "LAUNCH"
                    with m.If(self.o.payload.last):
                        m.d.sync += self.free.eq(1)
                        m.next = "COLLECT"
        return m

    def _pipeline(self, m: Module, buffer: Memory, index: Value, largest: Value, common: Value
                  ) -> Value:
        """``2^-(exponent + common)`` of feature `index`, rounded, `latency_cycles` later."""
        layer = self.layer
        read = buffer.read_port()
        m.d.comb += [read.en.eq(1), read.addr.eq(index)]
        # Difference, then no more than counts.
        span = self._range[1] - self._range[0]
        difference = Signal(range(span + 1), reset_less=True)
        most = min(layer.largest_difference, span)
        distance = Signal(range(most + 1), reset_less=True)
        m.d.sync += [difference.eq(largest - read.data),
                     distance.eq(Mux(difference > most, most, difference))]
        # Times the base's logarithm, a digit a cycle, beginning with the half that rounds.
        multiplier, shift = layer.factor
        half = (1 << shift) >> 1 if shift > 0 else 0
        total, reached = Value.cast(half), 0
        for number, (place, sign) in enumerate(signed_digits(multiplier)):
            # Leading digits first: a sum in between may exceed the last one.
            reached += sign << place
            added = Signal(range(half + most * reached + 1), name=f"multiple{number}",
                           reset_less=True)
            shifted = distance << place
            m.d.sync += added.eq(total + shifted if sign > 0 else total - shifted)
            total, distance = added, delayed(m, distance, 1, f"distance{number}")
        exponent = total >> shift if shift > 0 else total << -shift
        addressed = Signal(max(len(exponent), len(common)) + 1, reset_less=True)
        m.d.sync += addressed.eq(exponent + common)
        # Table and its register, shift, rounding.
        m.submodules.powers = powers = Memory(
            shape=range(max(layer.powers) + 1), depth=len(layer.powers), init=layer.powers)
        entry = powers.read_port()
        m.d.comb += [entry.en.eq(1), entry.addr.eq(addressed[:layer.table_bits])]
        power = delayed(m, entry.data, 1, "power")
        places = delayed(m, addressed[layer.table_bits:], 2, "places")
        # One bit more than the term has: it rounds.
        scaled = Signal(layer.term_bits + 2, reset_less=True)
        term = Signal(layer.term_bits + 1, reset_less=True)
        m.d.sync += [scaled.eq((power << 1) >> places), term.eq((scaled >> 1) + scaled[0])]
        return term
