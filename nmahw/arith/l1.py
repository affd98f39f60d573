"""AdderNet: the negative L1 distance, an adder and a half an element, exact.

H. Chen et al., "AdderNet: Do We Really Need Multiplications in Deep Learning?", CVPR 2020.

Trained weights reach far past the range of the activations, but for x in [lo, hi]
``|x - w| = |x - clamp(w)| + |w - clamp(w)|`` exactly. So codes hold clamped weights, as wide as
an activation, and the rest, a constant of the column, goes into the bias.

Names: u = x - lo is the activation as the elements see it, v = hi - clamp(w) the weight's code.
With a-bit activations, ``u + v = d + 2^a - 1`` for the difference d = x - clamp(w). So the sum's
carry says whether d > 0, and its a low bits are d - 1, of which ``|d|`` is ``d`` for a positive
d, the complement otherwise: one adder without a carry going in, and one that negates. A column
adds up distances; its column unit negates the sum.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed, unsigned

from ..gateware.gated_add import GatedAdd
from . import Arithmetic, ColumnUnit, Element, Operand, RowUnit, range_shape

__all__ = ["L1"]


class L1(Arithmetic):
    """Weights of up to 16 bits; only `activation` decides how wide an element is."""

    name = "l1"
    summary = "-|x - w| (AdderNet): one adder for the difference, one that negates for the sum"
    source = "Chen et al., CVPR 2020"
    operation = "l1"

    @property
    def symbol_shape(self) -> Shape:
        """u, then whether the row is active."""
        return unsigned(self.activation.bits + 1)

    @property
    def weight_code_bits(self) -> int:
        """v, then whether the weight is used."""
        return self.activation.bits + 1

    @property
    def latency_cycles(self) -> int:
        return 2

    def product_range(self) -> tuple[int, int]:
        """Of ``-|x - clamp(w)|``."""
        return self.activation.low - self.activation.high, 0

    def psum_shape(self, rows: int) -> Shape:
        return range_shape(0, -self.product_range()[0] * rows)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        return np.minimum(x, w) - np.maximum(x, w)

    def _clamp(self, weights: np.ndarray) -> np.ndarray:
        return np.clip(weights, self.activation.low, self.activation.high)

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        # All passes share the array's codes: clamped to its operand, not to that of the pass.
        return np.abs(weights - self._clamp(weights)).sum(axis=0, dtype=np.int64)

    def encode_weights(self, weights: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
        codes = self.activation.high - self._clamp(weights[..., 0]).astype(np.int64)
        codes = codes + (1 << self.activation.bits)
        return (codes if used is None else np.where(used[..., 0], codes, 0)).astype(object)

    def create(self, row: int = 0) -> Element:
        return L1Element(self, row)

    def create_row_unit(self) -> RowUnit:
        return L1RowUnit(self)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        return NegateColumnUnit(self, rows)


class L1Element(Element):
    """``psum_o = psum_i + |x - clamp(w)|`` in two steps: difference, sum."""

    def elaborate(self, platform):
        m = Module()
        bits = self.arithmetic.activation.bits
        # A one above v makes the sum's top two bits "not positive" and "positive".
        total = Signal(bits + 2, reset_less=True)
        counts = Signal(reset_less=True)
        m.d.sync += [total.eq(self.symbol[:bits] + Cat(self.weight[:bits], 1)),
                     counts.eq(self.weight[bits])]
        with m.If(~self.symbol[bits]):
            m.d.sync += counts.eq(0)
        # The carry needs no gate: v = 0 (unused) and u = 0 (not active) never make it.
        m.submodules.adder = adder = GatedAdd(
            self.psum_i.shape(), signed(bits + 1), self.psum_o.shape(),
            gate=True, negate=True, carry=True)
        psum = Signal(self.psum_o.shape(), reset_less=True)
        m.d.comb += [
            adder.augend.eq(self.psum_i), adder.addend.eq(total[:bits + 1]),
            adder.gate.eq(counts), adder.negate.eq(total[bits]), adder.carry.eq(total[bits + 1]),
            self.psum_o.eq(psum),
        ]
        m.d.sync += psum.eq(adder.total)
        return m


class L1RowUnit(RowUnit):
    """Activations as offsets from the smallest one, 0 when not active."""

    def elaborate(self, platform):
        m = Module()
        operand = self.arithmetic.activation
        # Two's complement to offset: the sign bit the other way round.
        offset = self.activations ^ (-operand.low)
        m.d.comb += self.symbol.eq(Mux(self.active, Cat(offset[:operand.bits], 1), 0))
        return m


class NegateColumnUnit(ColumnUnit):
    """``value = -psum``."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.value.eq(-self.psum)
        return m
