"""AdderNet: the negative L1 distance, an adder and a half an element, exact.

H. Chen et al., "AdderNet: Do We Really Need Multiplications in Deep Learning?", CVPR 2020.

Trained weights reach far past the range of the activations, but for x in [lo, hi]
``|x - w| = |x - clamp(w)| + |w - clamp(w)|`` exactly. So codes hold clamped weights, as wide as
an activation, and the rest, a constant of the column, goes into the bias.

Names: u = x - lo is the activation as the elements see it, v = 2^a - (clamp(w) - lo) the weight's
code, for a-bit activations. Then ``u + v = d + 2^a`` for the difference d = x - clamp(w): its a
low bits are d's, and its top bit says that d is not negative and has to be subtracted from the
psum; otherwise d is added. So a difference is one short carry chain, a sum another.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Shape, Signal, unsigned

from . import Arithmetic, Element, Operand, RowUnit

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
        return self.activation.bits + 2

    @property
    def latency_cycles(self) -> int:
        return 2

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
        bits = self.activation.bits
        codes = (1 << bits) + self.activation.low - self._clamp(weights[..., 0]).astype(np.int64)
        codes = codes + (1 << (bits + 1))
        return (codes if used is None else np.where(used[..., 0], codes, 0)).astype(object)

    def create(self, row: int = 0) -> Element:
        return L1Element(self, row)

    def create_row_unit(self) -> RowUnit:
        return L1RowUnit(self)


class L1Element(Element):
    """``psum_o = psum_i - |x - clamp(w)|`` in two steps: difference, sum."""

    def elaborate(self, platform):
        m = Module()
        bits = self.arithmetic.activation.bits
        # A one above u makes the sum's top two bits "negative" and "not negative".
        total = Signal(bits + 2, reset_less=True)
        counts = Signal(reset_less=True)
        m.d.sync += [total.eq(Cat(self.symbol[:bits], 1) + self.weight[:bits + 1]),
                     counts.eq(self.weight[bits + 1])]
        # The register's synchronous reset, where an AND would take a look-up table.
        with m.If(~self.symbol[bits]):
            m.d.sync += counts.eq(0)
        self.add_to_psum(m, total[:bits + 1].as_signed(), gate=counts, subtract=total[bits + 1])
        return m


class L1RowUnit(RowUnit):
    """Activations as offsets from the smallest one, and whether they count."""

    def elaborate(self, platform):
        m = Module()
        operand = self.arithmetic.activation
        # Two's complement to offset: the sign bit the other way round.
        offset = self.activations ^ (-operand.low)
        m.d.comb += self.symbol.eq(Cat(offset[:operand.bits], self.active))
        return m
