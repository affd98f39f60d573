"""What arithmetics on floating-point patterns share: codes, row unit, shift into fixed point.

Neither operand reaches an element as a pattern. Row unit and weight encoder turn it into a *code*:
sign, exponent in two's complement, mantissa. The weight's exponent has the biases and the window's
unit taken off, so that the exponents' plain sum is the *position* of the product's leading one in
the fixed-point window. What has no position gets an exponent that decides by itself: zero (and
subnormals) one so low that every sum is below the window, infinity and NaN one so high that every
sum but that with a zero is above it. So no element looks at special cases.

An element makes position and significand of the product, one register deep. `WindowElement` does
the rest, again a register after each of: the two lowest bits of the shift with the decision
whether the product is in the window; every further bit of the shift; psum.

Half of a shifter's gates only clear bits that nothing is shifted into, and flip-flops have a
synchronous reset: each stage has one flag that clears its low bits, one that lets its high ones
through. A product above the window is ones from the first stage on, and neither flag clears it, so
that ones fill the result. One below the window is cleared by the first stage that can.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value

from ..floats import FixedPoint, FloatFormat
from ..operations.float_product import FloatProduct
from ..tensor import bits_for_range
from . import Arithmetic, Element, RowUnit

__all__ = ["FloatWindowArithmetic", "FloatRowUnit", "WindowElement"]

# Positions that two mantissas can move a sum up by (one), with some distance from the window.
_MARGIN = 3


@dataclass(frozen=True)
class FloatWindowArithmetic(Arithmetic):
    """Operands are patterns of `float_format`, values fixed-point numbers of `window`.

    Parameters
    ----------
    activation, weight : Operand
        As wide as the format; patterns have no sign of their own, so it is ignored.
    window : FixedPoint, optional
        By default the operation's.
    """

    #: What the operands' patterns mean.
    float_format: ClassVar[FloatFormat]
    #: The operation that is carried out or approximated.
    operation_class: ClassVar[type[FloatProduct]]

    window: FixedPoint | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.window is None:
            object.__setattr__(self, "window", self.operation_class.default_window)

    @property
    def position_offset(self) -> int:
        """What the sum of two exponent fields exceeds the product's position by."""
        return 2 * self.float_format.bias + self.window.lsb_exponent

    @property
    def _weight_exponents(self) -> tuple[int, int]:
        """Least and greatest exponent in the code of a finite weight (a mantissa may carry)."""
        return 1 - self.position_offset, self.float_format.max_exponent + 1 - self.position_offset

    @property
    def infinite_weight(self) -> int:
        """Exponent in the code of an infinite weight: above the window with any finite x."""
        return max(self.window.positions, self._weight_exponents[1])

    @property
    def infinite_activation(self) -> int:
        """Exponent in the code of an infinite activation."""
        return max(self.window.positions - self._weight_exponents[0],
                   self.float_format.max_exponent)

    @property
    def zero_activation(self) -> int:
        """Exponent in the code of a zero: below the window with any weight."""
        return -max(self.infinite_weight, 0) - _MARGIN

    @property
    def zero_weight(self) -> int:
        """Exponent in the code of a weight of zero."""
        return -self.infinite_activation - _MARGIN

    @property
    def activation_exponent_bits(self) -> int:
        """Of the code's exponent, two's complement."""
        return bits_for_range(self.zero_activation, self.infinite_activation)

    @property
    def weight_exponent_bits(self) -> int:
        """Of the code's exponent, two's complement."""
        return bits_for_range(min(self.zero_weight, self._weight_exponents[0]),
                              self.infinite_weight)

    @property
    def position_bits(self) -> int:
        """Of the sum of both, with a carry."""
        return bits_for_range(
            self.zero_activation + min(self.zero_weight, self._weight_exponents[0]),
            self.infinite_activation + self.infinite_weight + 1)

    @property
    def symbol_shape(self) -> Shape:
        return Shape(1 + self.activation_exponent_bits + self.float_format.mantissa_bits)

    @property
    def weight_code_bits(self) -> int:
        return 1 + self.weight_exponent_bits + self.float_format.mantissa_bits

    @property
    def latency_cycles(self) -> int:
        return 3 + len(self.single_shifts)

    @property
    def single_shifts(self) -> range:
        """Bits of the position that have a stage of their own."""
        return range(2, (self.window.positions - 1).bit_length())

    @property
    def row_latency_cycles(self) -> int:
        return 2

    def product_range(self) -> tuple[int, int]:
        return -self.window.largest, self.window.largest

    def weight_increment(self) -> int:
        """Added to the exponents and mantissas of all finite weights, in units of the last bit."""
        return 0

    def encode_weights(self, weights: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
        fmt = self.float_format
        patterns = np.asarray(weights)[..., 0].astype(np.int64)
        magnitude = patterns & (fmt.sign_bit - 1)
        number = (magnitude - (self.position_offset << fmt.mantissa_bits)
                  + self.weight_increment())
        number = np.where(magnitude > fmt.max_finite,
                          self.infinite_weight << fmt.mantissa_bits, number)
        zero = magnitude < (1 << fmt.mantissa_bits)
        if used is not None:
            zero |= ~np.asarray(used, dtype=bool)[..., 0]
        number = np.where(zero, self.zero_weight * (1 << fmt.mantissa_bits), number)
        bits = self.weight_exponent_bits + fmt.mantissa_bits
        sign = (patterns & fmt.sign_bit) != 0
        return ((number & ((1 << bits) - 1)) | (sign.astype(np.int64) << bits)).astype(object)

    def create_row_unit(self) -> RowUnit:
        return FloatRowUnit(self)


class FloatRowUnit(RowUnit):
    """Patterns to codes, what they are first; a row that is not active sees zeros."""

    def elaborate(self, platform):
        m = Module()
        arithmetic, fmt = self.arithmetic, self.arithmetic.float_format
        field = self.activations[fmt.mantissa_bits:fmt.bits - 1]
        pattern = Signal(fmt.bits, reset_less=True)
        zero, infinite = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [pattern.eq(self.activations), zero.eq(~self.active | (field == 0)),
                     infinite.eq(field.all() if fmt.has_infinity else
                                 self.activations[:fmt.bits - 1].all())]
        bits = arithmetic.activation_exponent_bits
        exponent = Signal(bits)
        with m.If(zero):
            m.d.comb += exponent.eq(arithmetic.zero_activation)
        with m.Elif(infinite):
            m.d.comb += exponent.eq(arithmetic.infinite_activation)
        with m.Else():
            m.d.comb += exponent.eq(pattern[fmt.mantissa_bits:fmt.bits - 1])
        symbol = Signal(self.symbol.shape(), reset_less=True)
        m.d.sync += symbol.eq(Cat(pattern[:fmt.mantissa_bits], exponent, pattern[-1]))
        m.d.comb += self.symbol.eq(symbol)
        return m


class WindowElement(Element):
    """An element whose product is a position and a significand."""

    def codes(self) -> tuple[tuple[Value, Value, Value], tuple[Value, Value, Value]]:
        """Mantissa, exponent (signed), sign of symbol and weight."""
        arithmetic, mantissa_bits = self.arithmetic, self.arithmetic.float_format.mantissa_bits
        return tuple((code[:mantissa_bits], code[mantissa_bits:mantissa_bits + bits].as_signed(),
                      code[mantissa_bits + bits])
                     for code, bits in ((self.symbol, arithmetic.activation_exponent_bits),
                                        (self.weight, arithmetic.weight_exponent_bits)))

    def is_above(self, position: Value) -> Value:
        """Whether a position is above the window; as cheap as the window's size allows."""
        positions = self.arithmetic.window.positions
        if positions & (positions - 1):
            return position >= positions
        return ~position[-1] & position[positions.bit_length() - 1:-1].any()

    def add_shifted(self, m: Module, significand: Value, leading: int, position: Value,
                    negative: Value, *, above: Value, below: Value,
                    smallest: Value | None = None) -> None:
        """Shift a product into the window and add it to the psum.

        Parameters
        ----------
        m : Module
        significand : Value
        leading : int
            Its bit that comes to stand at `position`; higher bits stand higher.
        position : Value
            Counted when neither above nor below the window; registered, like all others.
        negative : Value
        above, below : Value
            One bit each: the product is the largest one, or nothing; above wins.
        smallest : Value, optional
            One bit: the product is the window's unit.
        """
        positions = self.arithmetic.window.positions
        shift = position[:(positions - 1).bit_length()]
        first = significand << shift[:2] if len(shift) else significand
        width = min(len(first), leading + positions)
        # What is set when a product is above the window starts out set: flip-flops of some
        # devices have one and the same value after configuration and after a reset.
        number = Signal(width, name="number1", init=(1 << width) - 1, reset_less=True)
        value = Signal(width, name="shifted0")
        m.d.comb += value.eq(first)
        if smallest is not None:
            # What is under `leading` will be cut off.
            m.d.comb += value[leading:].eq(Mux(smallest, 1, first[leading:]))
        m.d.sync += number.eq(value)
        flags = []
        for bit in self.arithmetic.single_shifts:
            clear_low = Signal(name=f"clear_low{bit}", reset_less=True)
            keep_high = Signal(name=f"keep_high{bit}", init=1, reset_less=True)
            wanted = shift[bit] if smallest is None else shift[bit] & ~smallest
            # What is below the window is cleared by the first of these stages.
            first_stage = not flags
            m.d.sync += [clear_low.eq(wanted | below if first_stage else wanted),
                         keep_high.eq(wanted & ~below if first_stage else wanted)]
            flags.append((bit, clear_low, keep_high))
        nothing = Signal(name="nothing", reset_less=True)
        sign = Signal(name="sign1", reset_less=True)
        m.d.sync += [nothing.eq(below), sign.eq(negative)]
        with m.If(above):
            m.d.sync += [number.eq(-1), nothing.eq(0)]
            m.d.sync += [clear_low.eq(0) for _, clear_low, _ in flags]
            m.d.sync += [keep_high.eq(1) for _, _, keep_high in flags]
        for stage, (bit, clear_low, keep_high) in enumerate(flags, 2):
            number = self._shift_once(m, stage, number, 1 << bit, leading + positions, clear_low,
                                      keep_high, nothing if stage == 2 else None)
            flags[stage - 1:] = [
                (later, self.register(m, f"clear_low{later}_{stage}", low),
                 self.register(m, f"keep_high{later}_{stage}", high))
                for later, low, high in flags[stage - 1:]]
            sign = self.register(m, f"sign{stage}", sign)
        self.add_to_psum(m, number[leading:], gate=None if flags else ~nothing, subtract=sign)

    @staticmethod
    def register(m: Module, name: str, value: Value) -> Signal:
        """A register of `value`, which reset leaves alone."""
        register = Signal(value.shape(), name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register

    @staticmethod
    def _shift_once(m: Module, stage: int, number: Value, distance: int, limit: int,
                    clear_low: Value, keep_high: Value, nothing: Value | None) -> Signal:
        """Register of `number` or ``number << distance``; of ones, if it is ones."""
        width = len(number)
        low = Signal(distance, name=f"low{stage}", reset_less=True)
        middle = Signal(width - distance, name=f"middle{stage}", reset_less=True)
        high = Signal(min(width + distance, limit) - width, name=f"high{stage}", reset_less=True)
        middle_value = Mux(clear_low, number[:width - distance], number[distance:])
        m.d.sync += [low.eq(Mux(clear_low, 0, number[:distance])),
                     middle.eq(middle_value if nothing is None else Mux(nothing, 0, middle_value)),
                     high.eq(Mux(keep_high, number[width - distance:], 0))]
        return Cat(low, middle, high)
