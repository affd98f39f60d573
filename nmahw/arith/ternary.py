"""Weights -1, 0 and 1: add the activation, leave it, or take it away.

Z. Lin, M. Courbariaux, R. Memisevic, Y. Bengio, "Neural Networks with Few Multiplications", 2015
(arXiv 1510.03009): forward passes of nets with weights of three values need no multiplication.

Two's complement negation is an inversion plus one. Here a weight -1 only inverts the activation's
own bits, ``~x``, which is ``2^bits - 1 - x`` of an unsigned activation and ``-1 - x`` of a signed
one: too much by a constant that goes into the `step_offset`. So every contribution lies in the
activation's own range: an array for unsigned activations has psums without a sign, a bit narrower,
and nothing is carried in. Where the row is not active the inverted 0 would count, so the symbol
also says that the row is *idle*. (Idle rather than active: where no row is ever idle, registers
that only ever hold their initial 0 are swept away, and what they gate with them.)

Bit planes of several taps would need a look-up table to gate each bit and two to count it, and as
many cycles as planes; in parallel the carry chain does all of it with one table a bit.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Shape, Signal, unsigned

from ..gateware.gated_add import GatedAdd
from . import Arithmetic, Element, Operand, RowUnit, range_shape

__all__ = ["Ternary"]


class Ternary(Arithmetic):
    """One activation in parallel, one gated and inverting adder an element."""

    name = "ternary"
    summary = "psum += {-x, 0, x}, an adder that gates and inverts"
    source = "Lin, Courbariaux, Memisevic, Bengio 2015 (arXiv 1510.03009)"
    weight_bits = (2, 2)

    @classmethod
    def project(cls, weights: np.ndarray) -> np.ndarray:
        return np.clip(np.asarray(weights, dtype=np.int64), -1, 1)

    @property
    def symbol_shape(self) -> Shape:
        return unsigned(self.activation.bits + 1)

    @property
    def weight_code_bits(self) -> int:
        return 2

    @property
    def latency_cycles(self) -> int:
        return 2

    @property
    def row_latency_cycles(self) -> int:
        return 1

    def value_shape(self, rows: int) -> Shape:
        return range_shape(self.activation.low * rows, self.activation.high * rows)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        return np.where(w > 0, x, np.where(w < 0, -x, 0))

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        inverted_zero = self.activation.low + self.activation.high
        return np.count_nonzero(np.asarray(weights) < 0, axis=0).astype(np.int64) * inverted_zero

    def encode_weights(self, weights: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
        """Bit 0: the activation counts; bit 1: inverted."""
        weight = np.asarray(weights)[..., 0]
        return (weight != 0).astype(object) | (2 * (weight < 0).astype(object))

    def create(self, row: int = 0) -> Element:
        return TernaryElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return IdleRowUnit(self)


class IdleRowUnit(RowUnit):
    """The activation, and above it whether the row is idle, in registers.

    Without these, the inversion and the way to all flip-flops it resets were one long path.
    """

    def elaborate(self, platform):
        m = Module()
        # Two registers: Yosys stumbles over one with bits that are constant, as this one's is
        # where rows are always active.
        activations = Signal(self.activations.shape(), reset_less=True)
        idle = Signal(reset_less=True)
        m.d.sync += [activations.eq(self.activations), idle.eq(~self.active)]
        m.d.comb += self.symbol.eq(Cat(activations, idle))
        return m


class TernaryElement(Element):
    """``psum_o = psum_i + ((x ^ inverted) & counts)`` behind registers for the operands."""

    def elaborate(self, platform):
        m = Module()
        activation = self.arithmetic.activation
        x = Signal(activation.bits, reset_less=True)
        counts, inverted = (Signal(name=name, reset_less=True) for name in ("counts", "inverted"))
        psum = Signal(self.psum_o.shape(), reset_less=True)
        m.d.sync += [x.eq(self.symbol), inverted.eq(self.weight[1]), counts.eq(self.weight[0])]
        with m.If(self.symbol[-1]):  # a flip-flop's own reset, no look-up table
            m.d.sync += counts.eq(0)
        m.submodules.gated_add = adder = GatedAdd(
            self.psum_i.shape(), psum.shape(), psum.shape(), gate=True, negate=True)
        # Above the activation, inversion meets a copy of itself: the bits there are its sign's,
        # or 0.
        if activation.signed:
            m.d.comb += adder.addend.eq(x.as_signed())
        else:
            m.d.comb += adder.addend.eq(Cat(x, inverted.replicate(len(psum) - len(x))))
        m.d.comb += [adder.augend.eq(self.psum_i), adder.gate.eq(counts),
                     adder.negate.eq(inverted), self.psum_o.eq(psum)]
        m.d.sync += psum.eq(adder.total)
        return m
