"""Shift-and-add over weight bits: one bit or Booth digit a cycle, adders only, exact.

The mirror image of `nmahw.arith.bit_serial`: an activation stays for all phases of a step, and in
phase p the elements of a column add up the activations whose weight has bit p set.

An element can find the digit of the phase in its weight code, or be given nothing but that digit:
see `BitSerialWeight.by_digits`.
"""

import numpy as np
from amaranth.hdl import Array, Cat, Module, Mux, Shape, Signal, unsigned

from ..tensor import bits_for_range
from . import Arithmetic, ColumnUnit, Element, Operand, RowUnit, range_shape
from ._serial import HornerColumnUnit, digit_multiple, digits_shape

__all__ = ["BitSerialWeight", "BitSerialWeightRadix4"]


class BitSerialWeight(Arithmetic):
    """One weight bit a cycle: the activation is added where the weight's bit is set."""

    name = "bit_serial_weight"
    summary = "psum += x where the weight's bit is set; one shift-add a column and weight bit"
    source = "serial multiplication; weight-serial arrays as in UNPU (ISSCC 2018)"
    digit_bits = 1

    @property
    def symbol_shape(self) -> Shape:
        """The activation and, above it, the phase."""
        return unsigned(self.activation.bits + self.phase_bits)

    @property
    def phase_bits(self) -> int:
        """Width of the phase in the symbol."""
        return max((self.digits - 1).bit_length(), 1)

    @property
    def digits(self) -> int:
        """Digits of a weight."""
        return self.weight.bits

    @property
    def latency_cycles(self) -> int:
        return 2

    @property
    def column_latency_cycles(self) -> int:
        return 1

    def phases(self, activation: Operand) -> int:
        return self.digits

    def psum_shape(self, rows: int) -> Shape:
        return range_shape(self.activation.low * rows, self.activation.high * rows)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        total = np.zeros(np.broadcast_shapes(x.shape, w.shape), dtype=np.int64)
        for plane in range(self.weight.bits):
            part = np.where((w >> plane) & 1, x, 0) << plane
            negative = self.weight.signed and plane == self.weight.bits - 1
            total = total - part if negative else total + part
        return total

    def create(self, row: int = 0) -> Element:
        return WeightBitElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return PhaseRowUnit(self)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        return HornerColumnUnit(self, rows, digit_bits=1, negate_first=self.weight.signed)

    def by_digits(self) -> Arithmetic:
        return WeightBits(self.activation, self.weight)


class WeightBits(BitSerialWeight):
    """The same with elements that are given the weight's bit of the phase and nothing else.

    An element is a gated adder then. A step takes as many phases as the layer's weights have bits.
    """

    takes_digits = True

    @property
    def symbol_shape(self) -> Shape:
        return unsigned(self.activation.bits)

    @property
    def weight_code_bits(self) -> int:
        return 1

    @property
    def latency_cycles(self) -> int:
        return 1

    def digits_for(self, weights: np.ndarray) -> int:
        low, high = min(int(weights.min()), -self.weight.signed), int(weights.max())
        return bits_for_range(low, high)

    def encode_digits(self, weights: np.ndarray, digits: int) -> np.ndarray:
        places = np.arange(digits)[::-1].reshape(-1, *(1,) * (weights.ndim - 1))
        return (weights[..., 0].astype(np.int64) >> places) & 1

    def create(self, row: int = 0) -> Element:
        return GatedActivationElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return RowUnit(self)

    def by_digits(self) -> Arithmetic:
        return self


class BitSerialWeightRadix4(BitSerialWeight):
    """Two weight bits a cycle, as a Booth digit that is already in the weight code."""

    name = "bit_serial_weight_radix4"
    summary = "psum += digit * x, Booth digit of two weight bits in -2..2; half the cycles"
    source = "Booth 1951, MacSorley 1961 (radix 4), with the digits made beforehand"
    digit_bits = 2

    @property
    def digits(self) -> int:
        return (self.weight.bits + 1 + (not self.weight.signed)) // 2

    @property
    def latency_cycles(self) -> int:
        return 3

    @property
    def weight_code_bits(self) -> int:
        return 3 * self.digits

    def psum_shape(self, rows: int) -> Shape:
        return digits_shape(self.activation, rows)

    def encode_weights(self, weights: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
        weights = weights[..., 0].astype(np.int64)
        codes = np.zeros(weights.shape, dtype=object)
        for place in range(self.digits):
            window = (weights << 1 >> 2 * place) % 8
            digit = (window + 1) // 2 - 4 * (window > 3)
            code = (abs(digit) == 1) + 2 * (abs(digit) == 2) + 4 * (digit < 0)
            codes = codes | (code.astype(object) << 3 * place)
        return codes

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        total, before = np.zeros(np.broadcast_shapes(x.shape, w.shape), dtype=np.int64), 0
        for place in range(self.digits):
            # The lowest bits of w, read as two's complement: each digit adds two of them.
            half = 2 << 2 * place
            lowest = (w + half) % (2 * half) - half
            total, before = total + (lowest - before) * x, lowest
        return total

    def create(self, row: int = 0) -> Element:
        return WeightDigitElement(self, row)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        return HornerColumnUnit(self, rows, digit_bits=2)

    def by_digits(self) -> Arithmetic:
        return self


class PhaseRowUnit(RowUnit):
    """The activation and the phase."""

    def elaborate(self, platform):
        m = Module()
        activation = Mux(self.active, self.activations, 0)
        m.d.comb += self.symbol.eq(Cat(activation, self.phase))
        return m


class WeightBitElement(Element):
    """``psum_o = psum_i + (activation if bit `phase` of the weight else 0)``."""

    def elaborate(self, platform):
        m = Module()
        activation = Signal(self.arithmetic.activation.shape, reset_less=True)
        bit = Signal(reset_less=True)
        phase = self.symbol[self.arithmetic.activation.bits:]
        m.d.sync += [activation.eq(self.symbol), bit.eq(self.weight.bit_select(phase, 1))]
        self.add_to_psum(m, activation, gate=bit)
        return m


class WeightDigitElement(Element):
    """``psum_o = psum_i + activation * digit``, the digit taken from the weight code."""

    def elaborate(self, platform):
        m = Module()
        activation = Signal(self.arithmetic.activation.shape, reset_less=True)
        digit, negate = Signal(3, reset_less=True), Signal(reset_less=True)
        phase = self.symbol[self.arithmetic.activation.bits:]
        # A choice by index, not `word_select`, which multiplies the index by the width.
        digits = Array(self.weight[3 * place:3 * place + 3]
                       for place in range(self.arithmetic.digits))
        m.d.sync += [activation.eq(self.symbol), digit.eq(digits[phase]),
                     negate.eq(digit[2])]
        self.add_to_psum(m, digit_multiple(m, activation, digit), subtract=negate)
        return m


class GatedActivationElement(Element):
    """``psum_o = psum_i + (activation if weight else 0)``."""

    def elaborate(self, platform):
        m = Module()
        activation = Signal(self.arithmetic.activation.shape)
        m.d.comb += activation.eq(self.symbol)
        self.add_to_psum(m, activation, gate=self.weight)
        return m
