"""One square instead of one product: "Fair and Square", arXiv 2603.08732, with triangular numbers.

``(x + w)^2 - x^2 - w^2 = 2 x w``, and of the two corrections the sum of x^2 is the same for all
columns of the array and the sum of w^2 the same for all activations: one squarer an element, one
more column of squarers for the whole array, and a constant an output channel.

Here T(s) = s (s + 1) / 2 takes the square's place (see `_squarer`): ``T(x+w) - T(x) - T(w)`` is
``x w`` itself, so nothing has to be halved and every tap's correction is an integer of its own.
Unsigned activations are centred first, which is inverting a bit: ``(x - c) w`` is smaller, and
``c w`` is one more part of the constant.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Shape, Signal, unsigned

from ..tensor import bits_for_range
from . import (
    Arithmetic,
    ColumnUnit,
    CorrectionElement,
    Element,
    Operand,
    RowUnit,
    range_shape,
)
from ._squarer import TriangularSquares, triangular

__all__ = ["FairSquare", "FairSquareAhead"]


class FairSquare(Arithmetic):
    """One squarer an element."""

    name = "fair_square"
    summary = "T(x+w) in the element, less T(x) once a row, less T(w) in the bias; T(s) = s(s+1)/2"
    source = "Fair and Square, arXiv 2603.08732, with triangular numbers for squares"
    #: See `TriangularSquares`.
    invert_ahead = False

    @property
    def centre(self) -> int:
        """What is taken from every activation."""
        return 0 if self.activation.signed else 1 << self.activation.bits - 1

    @property
    def centred(self) -> Operand:
        """Activations without their centre."""
        return Operand(self.activation.bits, True)

    @property
    def symbol_shape(self) -> Shape:
        """The centred activation and, above it, whether the row is active."""
        return unsigned(self.activation.bits + 1)

    @property
    def argument_range(self) -> tuple[int, int]:
        """Smallest and largest x + w."""
        return self.centred.low + self.weight.low, self.centred.high + self.weight.high

    @property
    def squares(self) -> TriangularSquares:
        """The squarer of elements and of the correction column: the same, excess included."""
        return TriangularSquares(max(bits_for_range(*self.argument_range) - 1, 1),
                                 invert_ahead=self.invert_ahead)

    @property
    def latency_cycles(self) -> int:
        return 2 + self.squares.latency_cycles

    @property
    def column_latency_cycles(self) -> int:
        return 1

    def psum_shape(self, rows: int) -> Shape:
        return self._squares_shape(self.argument_range, rows)

    def correction_shape(self, rows: int) -> Shape:
        return self._squares_shape((self.centred.low, self.centred.high), rows)

    def _squares_shape(self, arguments: tuple[int, int], rows: int) -> Shape:
        largest = max(triangular(argument) for argument in arguments)
        return range_shape(0, rows * (largest + self.squares.excess))

    def value_shape(self, rows: int) -> Shape:
        w = np.array(self.weight.values)
        x = np.array([self.centred.low, self.centred.high])[:, None]
        contributions = x * w + triangular(w)
        return range_shape(rows * int(contributions.min()), rows * int(contributions.max()))

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        return np.floor_divide(np.square(x + w) - np.square(x) - np.square(w), 2)

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        weights = weights.astype(np.int64)
        return (triangular(weights) - self.centre * weights).sum(axis=0)

    def create(self, row: int = 0) -> Element:
        return FairSquareElement(self, row)

    def create_correction(self, row: int = 0) -> CorrectionElement:
        return FairSquareCorrection(self, row)

    def create_row_unit(self) -> RowUnit:
        return CentringRowUnit(self)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        return CorrectingColumnUnit(self, rows)


class FairSquareAhead(FairSquare):
    """For carry cells that cannot invert an operand, as an iCE40's."""

    name = "fair_square_ahead"
    summary = "fair_square with bits inverted ahead of the adders, for carry cells that cannot"
    invert_ahead = True


class FairSquareElement(Element):
    """``psum_o = psum_i + T(symbol + weight)``: sum, square and psum each in registers."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.squarer = squarer = self.arithmetic.squares.create()
        x = Signal(self.arithmetic.centred.shape)
        w = Signal(self.arithmetic.weight.shape)
        active = self.symbol[-1]
        total = Signal.like(squarer.argument, name="total", reset_less=True)
        m.d.comb += [x.eq(self.symbol), w.eq(self.weight), squarer.argument.eq(total)]
        # The registers' own reset: a row that is not active sees weight 0.
        m.d.sync += total.eq(Mux(active, x + w, 0))
        self.add_to_psum(m, squarer.o)
        return m


class FairSquareCorrection(CorrectionElement):
    """``psum_o = psum_i + T(symbol)``, in step with the elements."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.squarer = squarer = self.arithmetic.squares.create()
        x = Signal(self.arithmetic.centred.shape, reset_less=True)
        psum = Signal.like(self.psum_o, name="psum", reset_less=True)
        m.d.comb += [squarer.argument.eq(x), self.psum_o.eq(psum)]
        m.d.sync += [x.eq(self.symbol), psum.eq(self.psum_i + squarer.o)]
        return m


class CentringRowUnit(RowUnit):
    """Takes the centre off: for unsigned activations, inverts their top bit."""

    def elaborate(self, platform):
        m = Module()
        x = self.activations ^ self.arithmetic.centre
        m.d.comb += self.symbol.eq(Mux(self.active, Cat(x, 1), 0))
        return m


class CorrectingColumnUnit(ColumnUnit):
    """``value = psum - correction``; what exceeds T in the squarers cancels out."""

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.value.eq(self.psum - self.correction)
        return m
