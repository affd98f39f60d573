"""Shift-and-add over activation bits: one bit plane a cycle, adders only, exact.

The classical serial multiplier, unrolled in space over the array: in phase p the elements of a
column add up the weights whose activation has bit p set; the psum stays as narrow as a sum of
weights, and one shift-accumulator a column weighs the planes, most significant first (the sign
plane of a signed activation counts negative).
"""

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value, unsigned

from ..gateware.gated_add import GatedAdd
from . import Arithmetic, ColumnUnit, Element, Operand, RowUnit, range_shape

__all__ = ["BitSerial", "BitSerialRadix4", "BitSerialWeight", "BitSerialWeightRadix4"]


class BitSerial(Arithmetic):
    """One activation bit a cycle."""

    name = "bit_serial"
    summary = "psum += w where the activation's bit is set; one shift-add a column and plane"
    source = "serial multiplication; bit-plane arrays as in Stripes (MICRO 2016)"

    @property
    def symbol_shape(self) -> Shape:
        return unsigned(1)

    @property
    def latency_cycles(self) -> int:
        return 1

    @property
    def column_latency_cycles(self) -> int:
        return 1

    def phases(self, activation: Operand) -> int:
        return activation.bits

    def psum_shape(self, rows: int) -> Shape:
        return range_shape(self.weight.low * rows, self.weight.high * rows)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        total = np.zeros(np.broadcast_shapes(x.shape, w.shape), dtype=np.int64)
        for plane in range(self.activation.bits):
            part = np.where((x >> plane) & 1, w, 0) << plane
            negative = self.activation.signed and plane == self.activation.bits - 1
            total = total - part if negative else total + part
        return total

    def create(self, row: int = 0) -> Element:
        return BitSerialElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return BitPlaneRowUnit(self)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        return ShiftAccumulateColumnUnit(self, rows)


class BitSerialElement(Element):
    """``psum_o = psum_i + (weight if symbol else 0)``."""

    def elaborate(self, platform):
        m = Module()
        weight = Signal(self.arithmetic.weight.shape)
        m.d.comb += weight.eq(self.weight)
        self.add_to_psum(m, weight, gate=self.symbol)
        return m


class BitPlaneRowUnit(RowUnit):
    """Bit `phase` of the activation."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.symbol.eq(self.activations.bit_select(self.phase, 1) & self.active)
        return m


class ShiftAccumulateColumnUnit(ColumnUnit):
    """``value = 2 value + psum`` over a step's phases, the sign plane negative."""

    def elaborate(self, platform):
        m = Module()
        if self.arithmetic.activation.signed:
            m.d.sync += self.value.eq(Mux(self.first, -self.psum, (self.value << 1) + self.psum))
            return m
        shape = self.value.shape()
        doubled = Signal(Shape(shape.width + 1, shape.signed))
        m.submodules.gated_add = adder = GatedAdd(
            self.psum.shape(), doubled.shape(), shape, gate=True)
        m.d.comb += [doubled.eq(self.value << 1), adder.augend.eq(self.psum),
                     adder.addend.eq(doubled), adder.gate.eq(~self.first)]
        m.d.sync += self.value.eq(adder.total)
        return m


class BitSerialRadix4(BitSerial):
    """Two activation bits a cycle.

    Unsigned activations are cut into pairs of bits; a pair less two is a digit of -2..1, and the
    twos are a constant of the weights. Signed ones are recoded after Booth, into digits of -2..2.
    """

    name = "bit_serial_radix4"
    summary = "psum += digit * w, digit of two activation bits in -2..2; half the cycles"
    source = "Booth 1951, MacSorley 1961 (radix 4); bit-plane arrays as in Stripes (MICRO 2016)"

    @property
    def symbol_shape(self) -> Shape:
        """A digit: whether it is one, two (or else zero), and negative."""
        return unsigned(3)

    @property
    def latency_cycles(self) -> int:
        return 2

    def phases(self, activation: Operand) -> int:
        return -(-activation.bits // 2)

    def psum_shape(self, rows: int) -> Shape:
        return _digits_shape(self.weight, rows)

    def value_shape(self, rows: int) -> Shape:
        corners = [(x - self._twos(phases)) * w
                   for phases in range(1, self.phases(self.activation) + 1)
                   for x in (self.activation.low, min(self.activation.high, 4**phases - 1))
                   for w in (self.weight.low, self.weight.high)]
        return range_shape(min(corners) * rows, max(corners) * rows)

    def _twos(self, phases: int) -> int:
        """What the digits of an activation of so many phases leave out."""
        return 0 if self.activation.signed else 2 * (4**phases - 1) // 3

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        return -self._twos(self.phases(activation)) * weights.astype(np.int64).sum(axis=0)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        total = np.zeros(np.broadcast_shapes(x.shape, w.shape), dtype=np.int64)
        for place in range(self.phases(self.activation)):
            pair = (x >> 2 * place) % 4
            if self.activation.signed and place == self.phases(self.activation) - 1:
                pair = pair - 4 * (pair > 1)
            total = total + ((pair * w) << 2 * place)
        return total

    def create(self, row: int = 0) -> Element:
        return DigitSerialElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return DigitRowUnit(self)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        return HornerColumnUnit(self, rows, digit_bits=2)


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
        return _digits_shape(self.activation, rows)

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


def _digits_shape(operand: Operand, rows: int) -> Shape:
    """Shape of a sum of `rows` multiples of `operand` by digits of -2..2."""
    reach = 2 * max(-operand.low, operand.high) * rows
    return range_shape(-reach, reach)


def _multiple(m: Module, value: Value, digit: Value) -> Value:
    """`value` times the magnitude of `digit`, in a register; the sign is left to the adder."""
    multiple = Signal(Shape(value.shape().width + 1, value.shape().signed), name="multiple",
                      reset_less=True)
    m.d.sync += multiple.eq(Mux(digit[0], value, Mux(digit[1], value << 1, 0)))
    return multiple


class DigitSerialElement(Element):
    """``psum_o = psum_i + digit * weight``."""

    def elaborate(self, platform):
        m = Module()
        weight = Signal(self.arithmetic.weight.shape)
        negate = Signal(reset_less=True)
        m.d.comb += weight.eq(self.weight)
        m.d.sync += negate.eq(self.symbol[2])
        self.add_to_psum(m, _multiple(m, weight, self.symbol), subtract=negate)
        return m


class DigitRowUnit(RowUnit):
    """Two bits of the activation as a digit: less two, or (signed) with the bit below."""

    def elaborate(self, platform):
        m = Module()
        signed = self.arithmetic.activation.signed
        # Bits beyond the activation: its sign, or zeros; and a zero below.
        above = self.activations[-1] if signed else Const(0)
        bits = Cat(Const(0), self.activations, above)
        low, middle, high = (Signal(name=name) for name in ("low", "middle", "high"))
        for phase in range(self.arithmetic.phases(self.arithmetic.activation)):
            with m.If(self.phase == phase):
                m.d.comb += Cat(low, middle, high).eq(bits[2 * phase:2 * phase + 3])
        if signed:
            one, two, negate = middle ^ low, (high ^ middle) & ~(middle ^ low), high
        else:
            one, two, negate = middle, ~high & ~middle, ~high
        m.d.comb += self.symbol.eq(Mux(self.active, Cat(one, two, negate), 0))
        return m


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
        self.add_to_psum(m, _multiple(m, activation, digit), subtract=negate)
        return m


class HornerColumnUnit(ColumnUnit):
    """``value = value * 2^digit_bits + psum`` over a step's phases.

    Parameters
    ----------
    digit_bits : int
    negate_first : bool
        Whether the first phase counts negative (the sign plane of two's complement).
    """

    def __init__(self, arithmetic: Arithmetic, rows: int, digit_bits: int,
                 negate_first: bool = False):
        self._digit_bits, self._negate_first = digit_bits, negate_first
        super().__init__(arithmetic, rows)

    def elaborate(self, platform):
        m = Module()
        first = -self.psum if self._negate_first else self.psum
        following = (self.value << self._digit_bits) + self.psum
        m.d.sync += self.value.eq(Mux(self.first, first, following))
        return m
