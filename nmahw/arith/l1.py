"""AdderNet: the negative L1 distance, two short carry chains an element, exact.

H. Chen et al., "AdderNet: Do We Really Need Multiplications in Deep Learning?", CVPR 2020.

Trained weights reach far past the range of the activations, but for x in [lo, hi]
``|x - w| = |x - clamp(w)| + |w - clamp(w)|`` exactly. So codes hold clamped weights, as wide as
an activation, and the rest, a constant of the column, goes into the bias.

Names: u = x - lo is the activation as the elements see it, v = hi - clamp(w) the weight's code.
With a-bit activations ``u + v + 1 = d + 2^a`` for the difference d = x - clamp(w): the sum's a low
bits are d's, and its carry says whether d is not negative. So the difference is one short carry
chain; the sum of distances is another, which adds d or subtracts it. Distances are added up, a
bit narrower than their negatives, and the column unit negates the sum.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Shape, Signal, unsigned

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
        """u, then whether the row is idle."""
        return unsigned(self.activation.bits + 1)

    @property
    def weight_code_bits(self) -> int:
        """v, then whether the weight is used."""
        return self.activation.bits + 1

    @property
    def latency_cycles(self) -> int:
        return 2

    @property
    def column_latency_cycles(self) -> int:
        return 1

    def psum_shape(self, rows: int) -> Shape:
        return range_shape(0, -self.product_range()[0] * rows)

    def product_range(self) -> tuple[int, int]:
        """Of ``-|x - clamp(w)|``."""
        return self.activation.low - self.activation.high, 0

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
        # One bit more brings the carry in: 1 + 1. A one above v makes the carry out a sign.
        total = Signal(bits + 2)
        difference = Signal(bits + 1, reset_less=True)
        counts = Signal(reset_less=True)
        m.d.comb += total.eq(Cat(1, self.symbol[:bits]) + Cat(1, self.weight[:bits], 1))
        m.d.sync += [difference.eq(total[1:]), counts.eq(self.weight[bits])]
        # The register's synchronous reset, where an AND would take a look-up table.
        with m.If(self.symbol[bits]):
            m.d.sync += counts.eq(0)
        self.add_to_psum(m, difference.as_signed(), gate=counts, subtract=difference[bits])
        return m


class L1RowUnit(RowUnit):
    """Activations as offsets from the smallest one, and whether the row is idle."""

    def elaborate(self, platform):
        m = Module()
        operand = self.arithmetic.activation
        # Two's complement to offset: the sign bit the other way round.
        offset = self.activations ^ (-operand.low)
        m.d.comb += self.symbol.eq(Cat(offset[:operand.bits], ~self.active))
        return m


class NegateColumnUnit(ColumnUnit):
    """``value = -psum``, in a register."""

    def elaborate(self, platform):
        m = Module()
        negated = Signal(self.value.shape(), reset_less=True)
        m.d.sync += negated.eq(-self.psum)
        m.d.comb += self.value.eq(negated)
        return m
