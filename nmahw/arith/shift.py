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

from ..gateware.common import delayed
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

    @property
    def row_latency_cycles(self) -> int:
        return 1

    def product_range(self) -> tuple[int, int]:
        # Of either sign: the nearest power of two may be more than the operand's largest weight.
        reach = max(self.activation.high, -self.activation.low) * self.reach
        return -reach, reach

    @property
    def reach(self) -> int:
        """Largest sum of a weight's terms, all taken positive."""
        return sum(1 << term.exponents[-1] for term in self.terms)

    def psum_of(self, most: int) -> Shape:
        """Shape of a sum of terms, inverted or not, that are `most` together."""
        return range_shape(self.activation.low * most, self.activation.high * most)

    def value_shape(self, rows: int) -> Shape:
        return self.psum_of(rows * self.reach)

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
    """Invert and shift each term stage by stage; sum two terms; add: a register after each."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        upper, *lower = arithmetic.terms
        stages = max(1, *(term.exponent_bits for term in arithmetic.terms))
        counts = Cat(self.weight[term.at] for term in arithmetic.terms).any() & ~self.symbol[-1]
        value = self._shifted(m, upper, stages)
        if lower:
            there = delayed(m, self.weight[upper.at], stages, "there")
            value = self._sum(m, self._shifted(m, lower[0], stages), value, there)
            stages += 1
        psum = Signal(self.psum_o.shape(), reset_less=True)
        m.submodules.gated_add = adder = GatedAdd(
            self.psum_i.shape(), value.shape(), psum.shape(), gate=True)
        m.d.comb += [adder.augend.eq(self.psum_i), adder.addend.eq(value),
                     adder.gate.eq(delayed(m, counts, stages, "counts")), self.psum_o.eq(psum)]
        m.d.sync += psum.eq(adder.total)
        return m

    def _typed(self, value: Value) -> Value:
        return value.as_signed() if self.arithmetic.activation.signed else value

    def _shifted(self, m: Module, term: Term, stages: int) -> Value:
        """The activation shifted by the term's exponent, less the smallest, after `stages` cycles.

        Where only some weights have the term and it is not the first, 0 for the others: the last
        stage has an input left for that.
        """
        arithmetic = self.arithmetic
        field = self.weight[term.at:term.end]
        x, exponent, there = self.symbol[:-1], field[2:], field[0]
        value = self._typed(x ^ field[1].replicate(len(x)))
        for stage in range(stages):
            move = stage - (stages - term.exponent_bits)
            reach = min((2 << move) - 1, len(term.exponents) - 1) if move >= 0 else 0
            kept = Signal(Shape(arithmetic.activation.bits + reach, arithmetic.activation.signed),
                          name=f"shifted{term.at}_{stage}", reset_less=True)
            if move >= 0:
                moved = self._typed(Cat(Const(0, 1 << move), value))
                value = Mux(exponent[move], moved, value)
            if term.at and stage == stages - 1:
                value = Mux(there, value, 0)
            m.d.sync += kept.eq(value)
            value = kept
            exponent = delayed(m, exponent, 1, f"exponent{term.at}_{stage}")
            there = delayed(m, there, 1, f"there{term.at}_{stage}")
        return value

    def _sum(self, m: Module, lower: Value, upper: Value, there: Value) -> Value:
        """Both terms' sum; bits below the upper one's smallest exponent pass."""
        arithmetic = self.arithmetic
        below = arithmetic.terms[0].exponents.start
        summed = Signal(arithmetic.psum_of(arithmetic.reach), reset_less=True)
        above = self._typed(lower[below:])
        m.submodules.sum = adder = GatedAdd(
            above.shape(), upper.shape(), Shape(len(summed) - below, arithmetic.activation.signed),
            gate=True)
        m.d.comb += [adder.augend.eq(above), adder.addend.eq(upper), adder.gate.eq(there)]
        m.d.sync += summed.eq(Cat(lower[:below], adder.total))
        return summed
