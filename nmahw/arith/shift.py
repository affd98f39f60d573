"""Weights of one or two powers of two: shift the activation, then add or subtract.

M. Marchesi, G. Orlandi, F. Piazza, A. Uncini, "Fast neural networks without multipliers", IEEE
Transactions on Neural Networks 4(1), 1993; M. Elhoushi et al., "DeepShift: Towards
Multiplication-Less Neural Networks", 2019 (arXiv 1905.13298).

A weight is a sum of *terms* ``+-2**k``, each with a *field* in the weight code. Of two terms the
exponents differ by two at least (3 is 4 - 1), so the upper term needs no exponent below 2, and the
lower none of the two largest.

As in `ternary`, a negative term only inverts the activation's own bits before they are shifted:
``~x << k`` differs from ``-(x << k)`` by a constant of the weight, taken out by the `step_offset`.

All elements of a row see the same activation, so a row unit could offer its shifts; but they are
only wires, and choosing one of eight takes more than shifting by 1, 2 and 4 one after the other.
The shifter stands in the element, with the inversion in the look-up tables of its first stage.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned

from ..gateware.gated_add import GatedAdd
from . import Arithmetic, Element, Operand, RowUnit, range_shape
from ._codes import nearest_of
from .ternary import IdleRowUnit

__all__ = ["ShiftWeights", "ShiftPairWeights", "Term"]

#: Largest exponent: weights up to +-128.
LARGEST = 7


@dataclass(frozen=True)
class Term:
    """One power of two of a weight: its exponents and its field in the weight code.

    Attributes
    ----------
    exponents : range
    at : int
        First bit of the field: whether there is such a term; then, whether it is negative; then
        the exponent, counted from the smallest.
    """

    exponents: range
    at: int

    @property
    def exponent_bits(self) -> int:
        """Width of the exponent."""
        return (len(self.exponents) - 1).bit_length()

    @property
    def end(self) -> int:
        """First bit behind the field."""
        return self.at + 2 + self.exponent_bits

    def encode(self, power: int) -> int:
        """The field for a signed power of two, or 0."""
        if power == 0:
            return 0
        exponent = abs(power).bit_length() - 1 - self.exponents.start
        return (1 | (power < 0) << 1 | exponent << 2) << self.at


class ShiftWeights(Arithmetic):
    """Weights of one term: one activation in parallel, one shifter and one adder an element."""

    name = "shift"
    summary = "psum += +-(x << k) or 0, shifter and adder"
    source = "Marchesi et al. 1993; DeepShift (arXiv 1905.13298)"
    weight_bits = (2, 9)

    @classmethod
    def terms_of(cls) -> dict[int, tuple[int, ...]]:
        """Every weight with a code: its terms, signed powers of two, largest first."""
        powers = [sign << k for k in range(LARGEST + 1) for sign in (1, -1)]
        return {0: (), **{power: (power,) for power in powers}}

    @classmethod
    def project(cls, weights: np.ndarray) -> np.ndarray:
        return nearest_of(cls.terms_of(), weights)

    @property
    def largest_exponent(self) -> int:
        """Terms reach ``+-2**largest_exponent``."""
        return min(self.weight.bits - self.weight.signed, LARGEST)

    @property
    def terms(self) -> tuple[Term, ...]:
        """Fields of the weight code, in the order in which their terms are added."""
        return (Term(range(self.largest_exponent + 1), 0),)

    @property
    def symbol_shape(self) -> Shape:
        return unsigned(self.activation.bits + 1)

    @property
    def weight_code_bits(self) -> int:
        return self.terms[-1].end

    @property
    def latency_cycles(self) -> int:
        """One for each of a shifter's stages, then one for each term."""
        return max(1, *(term.exponent_bits for term in self.terms)) + len(self.terms)

    def product_range(self) -> tuple[int, int]:
        # Of either sign: the nearest power of two may be more than the operand's largest weight.
        reach = max(self.activation.high, -self.activation.low) * self._most
        return -reach, reach

    @property
    def _most(self) -> int:
        """Largest sum of a weight's terms, all taken positive."""
        return sum(1 << term.exponents[-1] for term in self.terms)

    def psum_after(self, row: int, terms: int) -> Shape:
        """Shape of the psum when that many terms of row `row` are added."""
        done = sum(1 << term.exponents[-1] for term in self.terms[:terms])
        most = row * self._most + done
        return range_shape(self.activation.low * most, self.activation.high * most)

    def value_shape(self, rows: int) -> Shape:
        return self.psum_after(rows, 0)

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.broadcast_arrays(np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64))
        total = np.zeros(x.shape, dtype=np.int64)
        for k in range(LARGEST + 1):
            total += np.where((np.abs(w) >> k) & 1, x << k, 0)
        return np.where(w < 0, -total, total)

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        inverted_zero = self.activation.low + self.activation.high
        negative = {w: -sum(t for t in terms if t < 0) for w, terms in self.terms_of().items()}
        columns = [sum(negative[int(w)] for w in column) for column in np.asarray(weights).T]
        return inverted_zero * np.array(columns, dtype=np.int64)

    def encode_weights(self, weights: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
        weight = np.asarray(weights)[..., 0]
        codes = np.zeros(weight.shape, dtype=object)
        known = self.terms_of()
        for w in np.unique(weight).tolist():
            codes[weight == w] = self._code(known[w])
        return codes

    def _code(self, powers: tuple[int, ...]) -> int:
        code = 0
        fields = list(self.terms)
        for power in powers:
            # The first field left that has this exponent.
            while abs(power) not in (1 << k for k in fields[0].exponents):
                fields.pop(0)
            code |= fields.pop(0).encode(power)
        return code

    def create(self, row: int = 0) -> Element:
        return ShiftElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return IdleRowUnit(self)


class ShiftPairWeights(ShiftWeights):
    """Weights of up to two terms: two shifters and two adders an element."""

    name = "shift_pair"
    summary = "psum += sum or difference of two shifts of x, two shifters and two adders"
    weight_bits = (2, 8)

    @classmethod
    def terms_of(cls) -> dict[int, tuple[int, ...]]:
        known = {w: terms for w, terms in ShiftWeights.terms_of().items() if w < 1 << LARGEST}
        for upper in range(2, LARGEST + 1):
            for lower in range(upper - 1):
                for a in (1 << upper, -(1 << upper)):
                    for b in (1 << lower, -(1 << lower)):
                        if -(1 << LARGEST) <= a + b < 1 << LARGEST:
                            known[a + b] = (a, b)
        return known

    @property
    def terms(self) -> tuple[Term, ...]:
        largest = self.largest_exponent
        if largest < 2:
            return super().terms
        upper = Term(range(2, largest + 1), 0)
        return upper, Term(range(max(largest - 2, 1) + 1), upper.end)


class ShiftElement(Element):
    """For each term, invert and shift stage by stage, then add; a register after each.

    All shifters have as many stages; a term's sum waits a cycle longer than the one before.
    """

    def __init__(self, arithmetic: ShiftWeights, row: int):
        super().__init__(arithmetic, row)
        self._row = row

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        terms = arithmetic.terms
        psum = self.psum_i
        for index, term in enumerate(terms):
            stages = arithmetic.latency_cycles - len(terms) + index
            shifted, counts = self._shifted(m, term, index, stages)
            total = Signal(arithmetic.psum_after(self._row, index + 1), name=f"psum{index}",
                           reset_less=True)
            # Bits below the smallest exponent pass.
            below = term.exponents.start
            above = psum[below:].as_signed() if psum.shape().signed else psum[below:]
            m.submodules[f"gated_add{index}"] = adder = GatedAdd(
                above.shape() if len(above) else 1, shifted.shape(), len(total) - below, gate=True)
            m.d.comb += [adder.augend.eq(above), adder.addend.eq(shifted), adder.gate.eq(counts)]
            low = psum[:below]
            m.d.sync += total.eq(Cat(low, Const(0, below - len(low)), adder.total))
            psum = total
        m.d.comb += self.psum_o.eq(psum)
        return m

    def _shifted(self, m: Module, term: Term, index: int, stages: int) -> tuple[Value, Value]:
        """The activation shifted by the exponent in `term`'s field, and whether it counts."""
        activation = self.arithmetic.activation
        field = self.weight[term.at:term.end]
        x, exponent = self.symbol[:-1], field[2:]
        counts = field[0] & ~self.symbol[-1]
        value = x ^ field[1].replicate(len(x))

        def typed(value: Value) -> Value:
            return value.as_signed() if activation.signed else value

        idle = stages - term.exponent_bits
        for stage in range(stages):
            moves = stage - idle
            reach = min((1 << max(moves + 1, 0)) - 1, len(term.exponents) - 1)
            kept = Signal(Shape(activation.bits + reach, activation.signed),
                          name=f"shifted{index}_{stage}", reset_less=True)
            left = Signal(len(exponent) - (moves >= 0), name=f"exponent{index}_{stage}",
                          reset_less=True)
            later = Signal(name=f"counts{index}_{stage}", reset_less=True)
            moved = typed(Cat(Const(0, 1 << moves), value)) if moves >= 0 else value
            m.d.sync += [kept.eq(Mux(exponent[0], moved, typed(value)) if moves >= 0 else
                                 typed(value)),
                         left.eq(exponent[moves >= 0:]), later.eq(counts)]
            value, exponent, counts = kept, left, later
        return typed(value), counts
