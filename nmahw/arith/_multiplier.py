"""What the three multiplier baselines share: ``x * w`` with a product register.

They differ only in what synthesis makes of the product, so that area and clock are compared
within one and the same array.
"""

import numpy as np
from amaranth.hdl import Module, Signal

from ..gateware.common import MULTIPLIER_REGISTER
from . import Arithmetic, Element, range_shape

__all__ = ["MultiplierArithmetic", "MultiplierElement"]


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
    """``psum_o = psum_i + symbol * weight``, the product registered.

    Parameters
    ----------
    register_operands : bool
        Whether a register stands before the multiplier as well.
    keep_product : bool
        Keep the product's register out of the multiplier block.
    use_own_registers : bool
        Let registers of operands and product be those of the multiplier block, where the family
        knows how; and have another one on the way from there.
    """

    def __init__(self, arithmetic: MultiplierArithmetic, row: int,
                 register_operands: bool = False, keep_product: bool = False,
                 use_own_registers: bool = False):
        self._register_operands = register_operands
        self._use_own_registers = use_own_registers
        self._operand_attributes = {MULTIPLIER_REGISTER: 1} if use_own_registers else {}
        self._product_attributes = {"keep": 1} if keep_product else {}
        super().__init__(arithmetic, row)

    def elaborate(self, platform):
        m = Module()
        operands = []
        for name, port, operand in (("x", self.symbol, self.arithmetic.activation),
                                    ("w", self.weight, self.arithmetic.weight)):
            signal = Signal(operand.shape, name=name, reset_less=True,
                            attrs=self._operand_attributes)
            domain = m.d.sync if self._register_operands else m.d.comb
            domain += signal.eq(port)
            operands.append(signal)
        product = Signal(range_shape(*self.arithmetic.product_range()), reset_less=True,
                         attrs=self._product_attributes)
        m.d.sync += product.eq(operands[0] * operands[1])
        if self._use_own_registers:
            product, inside = Signal.like(product, name="product_outside", attrs={}), product
            m.d.sync += product.eq(inside)
        self.add_to_psum(m, product)
        return m
