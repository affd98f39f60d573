"""Odd multiples of an activation made once, chosen in every element.

The NMA paper's Theorem 3 counts the distinct products of a layer: with few weight bits they are far
fewer than the products, so most multiplications repeat one already made. As hardware: the row unit
makes ``3 x, 5 x, 7 x, ...`` with one adder each, all elements of the row see them, and an element
chooses one, shifts it by wires and adds or subtracts it. Exact for every weight.

A *chooser* is a chain of look-up tables of four inputs for each bit. The first holds a constant or
one of two *candidates*; each of the others either passes on what it gets, or takes it as the choice
between two more candidates. So it needs one table for two candidates, where multiplexers that
leave their selects binary need three for four. The weight code holds the selects as they are.

Only the multiples that the weights at hand need are made and can be chosen: weights of few
different magnitudes cost fewer adders a row and fewer tables a bit in every element.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned

from ..errors import ModelError
from . import Arithmetic, Element, Operand, RowUnit, range_shape

__all__ = ["SharedMultiples"]


@dataclass(frozen=True)
class SharedMultiples(Arithmetic):
    """One activation in parallel; odd multiples a row, choice and adder an element.

    Parameters
    ----------
    activation, weight : Operand
    magnitudes : tuple of int
        Magnitudes of the weights that occur, rising, zero left out; by default all of `weight`.
    """

    name = "shared_multiples"
    summary = "psum += +-(chosen odd multiple << k), odd multiples of x made once a row"
    source = "the NMA paper, Theorem 3"
    weight_bits = (2, 5)

    magnitudes: tuple[int, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        limit = max(self.weight.high, -self.weight.low)
        if not self.magnitudes:
            object.__setattr__(self, "magnitudes", tuple(range(1, limit + 1)))
        if list(self.magnitudes) != sorted(set(self.magnitudes) & set(range(1, limit + 1))):
            raise ModelError(f"{self.name} magnitudes must be rising integers of 1..{limit}, not "
                             f"{self.magnitudes}")

    @classmethod
    def for_weights(cls, activation: Operand, weight: Operand, values: np.ndarray) -> Arithmetic:
        return cls(activation, weight, tuple(sorted({abs(int(v)) for v in values} - {0})))

    @property
    def largest(self) -> int:
        """Largest magnitude of a weight."""
        return self.magnitudes[-1]

    @property
    def odd_multiples(self) -> list[int]:
        """Multiples of x in the symbol, beginning with x itself."""
        odd = {1} | {n // (n & -n) for n in self.magnitudes}
        # These are eight or sixteen less or more than this.
        return sorted(odd | ({3} if odd & {11, 13} else set()))

    @property
    def candidates(self) -> tuple[list[int], list[int]]:
        """Multiples that the chooser's two halves choose from: sums, and shifts of x."""
        powers = [n for n in self.magnitudes if n & (n - 1) == 0]
        return [n for n in self.magnitudes if n not in powers], powers

    @property
    def tables(self) -> list[list[int]]:
        """Candidates of each look-up table of the chooser, the constant's or first pair's first."""
        made, powers = self.candidates
        return [made[:2], *(part[at:at + 2] for part, start in ((made, 2), (powers, 0))
                            for at in range(start, len(part), 2))]

    def multiple_shape(self, multiple: int) -> Shape:
        """Shape of that multiple of an activation."""
        return range_shape(self.activation.low * multiple, self.activation.high * multiple)

    @property
    def symbol_shape(self) -> Shape:
        return unsigned(sum(self.multiple_shape(n).width for n in self.odd_multiples))

    @property
    def weight_code_bits(self) -> int:
        return 3 + len(self.tables) - 1

    @property
    def latency_cycles(self) -> int:
        return 3

    @property
    def row_latency_cycles(self) -> int:
        return 2 if {11, 13} & set(self.odd_multiples) else 1

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.broadcast_arrays(np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64))
        total = np.zeros(x.shape, dtype=np.int64)
        for bit in range(self.weight.bits):
            total += np.where((np.abs(w) >> bit) & 1, x << bit, 0)
        return np.where(w < 0, -total, total)

    def encode_weights(self, weights: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
        """Bit 0: subtracted; bits 1, 2: first table; then one bit for each other table."""
        weight = np.asarray(weights)[..., 0]
        selects = {0: 0}
        for index, table in enumerate(self.tables):
            for place, multiple in enumerate(table):
                selects[multiple] = (2 | place if index == 0 else place | 2 << index)
        codes = np.zeros(weight.shape, dtype=object)
        for w in np.unique(weight).tolist():
            if abs(w) not in selects:
                raise ModelError(f"{self.name} must have a code for every weight, but is made for "
                                 f"magnitudes {', '.join(map(str, self.magnitudes))}, not {w}")
            codes[weight == w] = (w < 0) | selects[abs(w)] << 1
        return codes

    def create(self, row: int = 0) -> Element:
        return SharedMultiplesElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return OddMultiplesRowUnit(self)


class OddMultiplesRowUnit(RowUnit):
    """``x, 3 x, 5 x, ...`` side by side, in registers.

    Each is a power of two more or less than one before it: ``7 x = 8 x - x``, ``11 x = 8 x + 3 x``.
    """

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        x = Signal(arithmetic.activation.shape)
        m.d.comb += x.eq(Mux(self.active, self.activations, 0))
        made, later = {1: x}, {}
        for stage in range(arithmetic.row_latency_cycles):
            for n in arithmetic.odd_multiples:
                kept = Signal(arithmetic.multiple_shape(n), name=f"x{n}_{stage}", reset_less=True)
                if n in made:
                    m.d.sync += kept.eq(made[n])
                elif (sum_ := self._made_of(n, made)) is not None:
                    m.d.sync += kept.eq(sum_)
                else:
                    continue
                later[n] = kept
            made, later = later, {}
        m.d.comb += self.symbol.eq(Cat(*(made[n] for n in arithmetic.odd_multiples)))
        return m

    @staticmethod
    def _made_of(n: int, made: dict[int, Value]) -> Value | None:
        for power in range(1, n.bit_length() + 1):
            for other, value in made.items():
                if (1 << power) + other == n:
                    return (made[1] << power) + value
                if (1 << power) - other == n:
                    return (made[1] << power) - value
        return None


class SharedMultiplesElement(Element):
    """Choose among multiples; choose among shifts of x; add: a register after each."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        is_signed = arithmetic.activation.signed
        shape = arithmetic.multiple_shape(arithmetic.largest)
        multiples, at = {}, 0
        for n in arithmetic.odd_multiples:
            width = arithmetic.multiple_shape(n).width
            part = self.symbol[at:at + width]
            multiples[n] = part.as_signed() if is_signed else part
            at += width

        negative, first, selects = self.weight[0], self.weight[1:3], self.weight[3:]
        made, _ = arithmetic.candidates
        half = -(-len(made) // 2) if made else 1

        def multiple(n: int, known: dict[int, Value]) -> Value:
            shift = (n & -n).bit_length() - 1
            value = Cat(Const(0, shift), known[n >> shift])
            return self._fit(value.as_signed() if is_signed else value, shape)

        def chain(value: Value, tables: list[list[int]], selects: Value,
                  known: dict[int, Value]) -> Value:
            for index, table in enumerate(tables):
                passed = Signal(shape, name=f"passed{table[0]}")
                low, high = (multiple(n, known) for n in (table[0], table[-1]))
                m.d.comb += passed.eq(value)
                value = Mux(selects[index], (passed & high) | (~passed & low), passed)
            return value

        constant = first[0].replicate(shape.width)
        start = arithmetic.tables[0]
        value = Mux(first[1], Mux(first[0], multiple(start[-1], multiples),
                                  multiple(start[0], multiples)), constant) if start else constant
        chosen = [Signal(shape, name=f"chosen{stage}", reset_less=True) for stage in range(2)]
        x = Signal(arithmetic.activation.shape, reset_less=True)
        later = Signal(len(selects) - (half - 1), reset_less=True)
        subtract = [Signal(name=f"subtract{stage}", reset_less=True) for stage in range(2)]
        m.d.sync += [
            chosen[0].eq(chain(value, arithmetic.tables[1:half], selects, multiples)),
            x.eq(multiples[1]), later.eq(selects[half - 1:]),
            chosen[1].eq(chain(chosen[0], arithmetic.tables[half:], later, {1: x})),
            subtract[0].eq(negative), subtract[1].eq(subtract[0])]
        self.add_to_psum(m, chosen[1], subtract=subtract[1])
        return m

    @staticmethod
    def _fit(value: Value, shape: Shape) -> Value:
        """`value` in the bits of `shape`."""
        missing = shape.width - len(value)
        if missing <= 0:
            return value[:shape.width]
        sign = value[-1] if value.shape().signed else Const(0, 1)
        return Cat(value, sign.replicate(missing))
