"""Baselines: the device's hard multiplier, for one product or for the sum of two.

Of an 18 x 18 block's use for 8-bit operands much is wasted. Some devices can split it. Gowin's can,
and synthesis does it: every 8-bit product takes a MULT9X9. Lattice's ECP5 can, into two MULT9X9D,
but the open tools cannot: Yosys 0.70 does not know the cell (``Module `\\MULT9X9D' referenced in
module `\\top' in cell `\\a' is not part of the design``), and nextpnr-ecp5 0.11 cannot place it
(``cell type 'MULT9X9D' is unsupported``).

Narrow operands can share a block without the device's help. With B = 2^k,

    (x1 + B x2) (w2 + B w1) = x1 w2 + B (x1 w1 + x2 w2) + B^2 x2 w1

so the sum of two products is the middle digit of one, as soon as k bits hold it. An 18-bit
operand has room for that up to 5 x 5 bits (16 bits); at 6 x 6 it would need 19, at 8 x 8 25.
"""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, signed

from . import Element, Operand, RowUnit, range_shape
from ._multiplier import MultiplierArithmetic, MultiplierElement

__all__ = ["Dsp", "DspRegistered", "DspPair"]


class Dsp(MultiplierArithmetic):
    """One hard multiplier (DSP block) an element, where the device has any."""

    name = "dsp"
    summary = "x * w in a hard multiplier"
    source = "baseline"
    hard_multiplier = True

    @property
    def latency_cycles(self) -> int:
        return 3

    def create(self, row: int = 0) -> Element:
        # The blocks stand in a few rows of the chip: without a register on either side, the
        # way there and back would be one path, and the baseline slower than it has to be.
        # Yosys 0.70 may pack one product register into two iCE40 blocks (its own as the product,
        # the one above's as the addend) and then drop half of the array: `keep` prevents it.
        return MultiplierElement(self, row, register_operands=True, keep_product=True)


class DspRegistered(Dsp):
    """The same, with the block's own registers, which no open tool infers on an ECP5.

    Stronger than what a user of the open tools gets: for comparisons that must not be won for
    lack of these registers. Where the family does not move them, it is `dsp` with two register
    stages more. nextpnr does not time the way through the block, from register to register.
    """

    name = "dsp_registered"
    summary = "x * w in a hard multiplier, between the registers in it"
    in_every_comparison = False

    @property
    def latency_cycles(self) -> int:
        return 4

    @property
    def row_latency_cycles(self) -> int:
        return 1

    def create(self, row: int = 0) -> Element:
        return MultiplierElement(self, row, register_operands=True, keep_product=True,
                                 use_own_registers=True)

    def create_row_unit(self) -> RowUnit:
        return RegisteredRowUnit(self)


class RegisteredRowUnit(RowUnit):
    """Activations, 0 when not active, in a register that synthesis may give a reset.

    Otherwise the reset would be that of the first elements' own, which are to be moved.
    """

    def elaborate(self, platform):
        m = Module()
        gated = Signal(self.symbol.shape(), reset_less=True)
        m.d.sync += gated.eq(Mux(self.active, self.activations, 0))
        m.d.comb += self.symbol.eq(gated)
        return m


class DspPair(MultiplierArithmetic):
    """One hard multiplier for two products."""

    name = "dsp_pair"
    summary = "x1 * w1 + x2 * w2 as the middle digit of one product in a hard multiplier"
    source = "baseline; packing as in Xilinx WP487, for the sum of two products"
    hard_multiplier = True
    in_every_comparison = False
    activation_bits = (2, 5)
    weight_bits = (2, 5)
    taps = 2

    @property
    def digit_bits(self) -> int:
        """Bits of a digit: enough for the sum of two products, with its sign."""
        return self.activation.bits + self.weight.bits + 1

    @property
    def centre(self) -> int:
        """What signed activations are raised by, so that digits can stand side by side."""
        return 1 << self.activation.bits - 1 if self.activation.signed else 0

    @property
    def latency_cycles(self) -> int:
        return 4

    def value_shape(self, rows: int) -> Shape:
        highest = (1 << self.activation.bits) - 1
        return range_shape(*(self.taps * rows * highest * w
                             for w in (self.weight.low, self.weight.high)))

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        return self.centre * weights.astype(np.int64).sum(axis=0)

    def create(self, row: int = 0) -> Element:
        return DspPairElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return RaisingRowUnit(self)


class RaisingRowUnit(RowUnit):
    """Makes signed activations unsigned by inverting their top bit."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        centres = arithmetic.centre * (1 + (1 << arithmetic.activation.bits))
        m.d.comb += self.symbol.eq(Mux(self.active, self.activations ^ centres, 0))
        return m


class DspPairElement(Element):
    """``psum_o = psum_i + x1 w1 + x2 w2``: registers for operands, product and digit."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        x_bits, w_bits, bits = (arithmetic.activation.bits, arithmetic.weight.bits,
                                arithmetic.digit_bits)
        w1, w2 = (Signal(arithmetic.weight.shape, name=name) for name in ("w1", "w2"))
        xs = Signal(bits + x_bits, reset_less=True)
        ws = Signal(signed(bits + w_bits + 1), reset_less=True)
        product = Signal(signed(2 * bits), reset_less=True, attrs={"keep": 1})
        digit = Signal(signed(bits), reset_less=True)
        m.d.comb += Cat(w1, w2).eq(self.weight)
        m.d.sync += [
            xs.eq(Cat(self.symbol[:x_bits], Const(0, bits - x_bits), self.symbol[x_bits:])),
            ws.eq(w2 + (w1 << bits)),
            # The digits above the middle one are not needed.
            product.eq(xs * ws),
            # The lowest digit is signed: where it is negative, it took one from the middle one.
            digit.eq(product[bits:] + product[bits - 1]),
        ]
        self.add_to_psum(m, digit)
        return m
