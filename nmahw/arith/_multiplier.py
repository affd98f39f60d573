"""What the three multiplier baselines share: ``x * w`` with a product register.

They differ only in what synthesis makes of the product, so that area and clock are compared
within one and the same array.
"""

import numpy as np
from amaranth.hdl import Module, Signal

from . import Arithmetic, Element, range_shape

__all__ = ["MultiplierArithmetic"]


class MultiplierArithmetic(Arithmetic):
    """Exact product by a multiplier."""

    is_baseline = True
    activation_bits = (2, 16)
    weight_bits = (2, 16)

    @property
    def latency_cycles(self) -> int:
        return 2

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return np.asarray(x, dtype=np.int64) * np.asarray(w, dtype=np.int64)

    def create(self, row: int = 0) -> Element:
        return MultiplierElement(self, row)


class MultiplierElement(Element):
    """``psum_o = psum_i + symbol * weight``, the product registered."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        x = Signal(arithmetic.activation.shape)
        w = Signal(arithmetic.weight.shape)
        product = Signal(range_shape(*arithmetic.product_range()))
        m.d.comb += [x.eq(self.symbol), w.eq(self.weight)]
        m.d.sync += [product.eq(x * w), self.psum_o.eq(self.psum_i + product)]
        return m
