"""Baseline: the schoolbook multiplier, one adder a weight bit, placed by hand in carry chains.

Row i adds the activation, i bits up, where bit i of the weight is set; the sign bit's row
subtracts. The device's carry cells gate the activation on its way where they can (`GatedAdd`), so
a row costs its adder and nothing else; and a register after each row keeps the clock fast. What
is below a row is done: no row is wider than the activation and one bit.
"""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value

from ..gateware.gated_add import GatedAdd
from . import Arithmetic, Element, range_shape

__all__ = ["Rows"]


class Rows(Arithmetic):
    """Gated row adders, one a weight bit, a register after each."""

    name = "rows"
    summary = "x * w by a chain of gated row adders, one a weight bit"
    source = "baseline; the array multiplier"
    is_baseline = True
    in_every_comparison = False
    weight_bits = (2, 16)

    @property
    def latency_cycles(self) -> int:
        return self.weight.bits + 1

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return np.asarray(x, dtype=np.int64) * np.asarray(w, dtype=np.int64)

    def create(self, row: int = 0) -> Element:
        return RowsElement(self, row)


class RowsElement(Element):
    """``psum_o = psum_i + symbol * weight``, a row and a register at a time."""

    def elaborate(self, platform):
        m = Module()

        def kept(name: str, value: Value, shape: ShapeLike) -> Signal:
            register = Signal(shape, name=name, reset_less=True)
            m.d.sync += register.eq(value)
            return register

        bits = self.arithmetic.weight.bits
        x = Signal(self.arithmetic.activation.shape)
        m.d.comb += x.eq(self.symbol)
        # The first row has nothing to add to: its register is reset where the bit is clear.
        left, done = self.weight, Const(0, 0)
        high = kept("total0", Mux(left[0], x, 0), Shape(len(x) + 1, signed=x.shape().signed))
        for row in range(1, bits):
            x, left = kept(f"x{row}", x, x.shape()), kept(f"left{row}", left[1:], bits - row)
            subtract = self.arithmetic.weight.signed and row == bits - 1
            total_shape = Shape(len(x) + 1, signed=x.shape().signed or subtract)
            m.submodules[f"row{row}"] = adder = GatedAdd(x.shape(), x.shape(), total_shape,
                                                         gate=True, subtract=subtract)
            m.d.comb += [adder.augend.eq(high >> 1), adder.addend.eq(x), adder.gate.eq(left[0])]
            if subtract:
                m.d.comb += adder.subtract.eq(1)
            done = kept(f"done{row}", Cat(done, high[0]), row)
            high = kept(f"total{row}", adder.total, total_shape)
        product = Signal(range_shape(*self.arithmetic.product_range()))
        m.d.comb += product.eq(Cat(done, high))
        self.add_to_psum(m, product)
        return m
