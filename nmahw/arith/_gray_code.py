"""All sums of subsets of a few weights, one a cycle, each one addition from the last."""

from amaranth.hdl import Array, Cat, Module, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..gateware.gated_add import GatedAdd

__all__ = ["GrayCodeSums"]


class GrayCodeSums(wiring.Component):
    """Entry i is that of address ``i ^ (i >> 1)``: each differs from the one before by one weight.

    Parameters
    ----------
    weight_shape : Shape
    count : int
        Weights; there are ``2^count`` entries.
    entry_shape : Shape

    Attributes
    ----------
    weights : In
    first : In
        Entry of address 0. The weights are looked at `CODE_LATENCY_CYCLES` after the step, the
        first entry two cycles later.
    step : In
        i, counting from 0 without a gap.
    entry : Out
        Its entry, `LATENCY_CYCLES` later.
    """

    #: A register behind the step's decoder, both steps of the choice, before the adder and behind
    #: it.
    LATENCY_CYCLES = 5
    CODE_LATENCY_CYCLES = 1

    def __init__(self, weight_shape: Shape, count: int, entry_shape: Shape):
        self.count = count
        super().__init__({
            "weights": In(weight_shape).array(count), "first": In(entry_shape),
            "step": In(count), "entry": Out(entry_shape),
        })

    def elaborate(self, platform):
        m = Module()
        shape = self.entry.shape()
        # Step i flips the address bit that i has its lowest 1 in; up if the next bit is 0.
        turn = Signal(range(self.count), reset_less=True)
        down, begins = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += begins.eq(self.step == 0)
        for k in reversed(range(self.count)):
            with m.If(self.step[k]):
                above: Value = self.step[k + 1] if k + 1 < self.count else 0
                m.d.sync += [turn.eq(k), down.eq(above)]
        # Of each pair of weights one, then one of the pairs.
        shape_of_weight = self.weights[0].shape()
        pairs = [self.weights[k:k + 2] for k in range(0, self.count, 2)]
        halves = [Signal(shape_of_weight, name=f"half{k}", reset_less=True)
                  for k in range(len(pairs))]
        m.d.sync += [half.eq(Array(pair)[turn[0]]) for half, pair in
                     zip(halves, pairs, strict=True)]
        turned, stage = Signal.like(turn, reset_less=True), Signal(2, reset_less=True)
        chosen = Signal(shape_of_weight, reset_less=True)
        minus, restart = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [turned.eq(turn), stage.eq(Cat(down, begins)),
                     chosen.eq(Array(halves)[turned[1:]]), Cat(minus, restart).eq(stage)]
        change = Signal(signed(shape.width), reset_less=True)
        carry, keep = Signal(reset_less=True), Signal(reset_less=True)
        entry = Signal(shape, reset_less=True)
        m.submodules.gated_add = adder = GatedAdd(
            change.shape(), shape, shape, gate=True, carry=True)
        # Nothing is kept of the entries of the weights before.
        with m.If(restart):
            m.d.sync += [change.eq(self.first), carry.eq(0)]
        with m.Else():
            m.d.sync += [change.eq(chosen ^ minus.replicate(len(chosen)).as_signed()),
                         carry.eq(minus)]
        m.d.comb += [adder.augend.eq(change), adder.addend.eq(entry), adder.gate.eq(keep),
                     adder.carry.eq(carry), self.entry.eq(entry)]
        m.d.sync += [keep.eq(~restart), entry.eq(adder.total)]
        return m
