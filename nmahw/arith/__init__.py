"""Arithmetics: what an element does with activations and weights instead of multiplying.

One file each, found by listing this folder. An `Arithmetic` is a frozen object of parameters
(the two operand formats) with two faces that share nothing else: `compute`, the golden model,
and the hardware it creates for the array. The array is an R x C grid of *elements*:

- time is cut into *steps*: in one step, every element of a row is given `taps` activations and
  adds its contribution to a partial sum (*psum*) that flows down its column;
- a step takes `phases` cycles. A parallel arithmetic takes one; a bit-plane arithmetic takes as
  many as the activation has bits, and its psum stays narrow in between;
- the *row unit* at a row's start turns activations into the *symbol* the row's elements see in
  each phase (the activation itself, one bit plane, odd multiples, ...);
- each element gets its *weight code* with the symbol (plain weights, digits, shift amounts);
- the *column unit* at a column's end turns the psums of a step's phases into the step's *value*
  (passes it on, shifts and accumulates, corrects); the array accumulates values over steps.

Timing. An element given a symbol and weight code in cycle t reads `psum_i` in cycle
``t + latency_cycles - 1`` and shows ``psum_o`` (a register) in cycle ``t + latency_cycles``.
The row unit shows the symbol `row_latency_cycles` after its inputs, the column unit the value
`column_latency_cycles` after the psum of the step's last phase.

Not every place is used in every step. A tap that a step does not use gets the code of an *unused*
weight and an arbitrary activation, and contributes nothing; a row that is not `active` in a step
contributes nothing whatever its weights.

What is computed has a name, the *operation* (`nmahw.operations`): the product, AdderNet's L1
distance, ... An arithmetic carries out one operation, exactly or with an error bound. A step's
value may exceed the operation's sum by a constant that only the weights decide, the
`step_offset`: whoever lays out the weights takes it from the bias, so that constants (excesses of
clamped weights, sums of squares, halves of recoded digits) cost no hardware in the array.

Elements take a new weight code in every step, or, in an array that holds its weights (*weight
stationary*), find it in a register. An arithmetic that `holds_weights` stores what it makes of
its weights, a table for example, in the element itself: a *load unit* at each column's start
writes it, `load_cycles` cycles for each row, while that row is not active.

Some arithmetics need a sum over the activations alone, the same for all columns: their array has
one more column of *correction* elements, whose psum every column unit gets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from amaranth.hdl import Shape, ShapeLike, unsigned

from ..errors import ModelError
from ..registry import Registry
from ._operand import Operand, range_shape
from ._tables import TableDefinition
from ._units import ColumnUnit, CorrectionElement, Element, LoadUnit, RowUnit

__all__ = ["Operand", "Arithmetic", "Element", "CorrectionElement", "RowUnit", "LoadUnit",
           "ColumnUnit", "ARITHMETICS", "range_shape"]


@dataclass(frozen=True)
class Arithmetic(ABC):
    """Parameters of one arithmetic, its golden model and its hardware.

    Parameters
    ----------
    activation, weight : Operand
        What the elements have to take.

    Raises
    ------
    ModelError
        The arithmetic cannot take these operands.
    """

    #: Name on the command line and in reports.
    name: ClassVar[str]
    #: One line for listings: what one step does.
    summary: ClassVar[str]
    #: Paper or book the arithmetic comes from.
    source: ClassVar[str]
    #: Baselines may use a multiplier and exist to be compared with.
    is_baseline: ClassVar[bool] = False
    #: Whether a baseline is part of every comparison, or only of those that name it.
    in_every_comparison: ClassVar[bool] = True
    #: What it computes: name of an `Operation`.
    operation: ClassVar[str] = "product"
    #: Whether `compute` equals the operation for all activations and all weights with a code.
    exact: ClassVar[bool] = True
    #: Whether synthesis may use the device's hard multipliers.
    hard_multiplier: ClassVar[bool] = False
    #: Yosys passes that make this arithmetic what it is, run before technology mapping.
    yosys_passes: ClassVar[tuple[str, ...]] = ()
    #: Widths this arithmetic can take: inclusive ranges of bits.
    activation_bits: ClassVar[tuple[int, int]] = (1, 16)
    weight_bits: ClassVar[tuple[int, int]] = (1, 16)
    #: Activations an element consumes in one step.
    taps: ClassVar[int] = 1
    #: Whether elements store what a load unit makes of their weights.
    holds_weights: ClassVar[bool] = False
    #: Whether elements get a digit of their weight in each phase, not the same code in all.
    takes_digits: ClassVar[bool] = False

    activation: Operand
    weight: Operand

    def __post_init__(self):
        for what, operand, (low, high) in (("activations", self.activation, self.activation_bits),
                                           ("weights", self.weight, self.weight_bits)):
            if not low <= operand.bits <= high:
                raise ModelError(f"{self.name} takes {what} of {low}..{high} bits, not "
                                 f"{operand.bits} ({operand})")

    @classmethod
    def nearest(cls, activation: Operand, weight: Operand) -> Arithmetic:
        """An instance for these operands, their widths moved into what the arithmetic takes."""
        return cls(*(Operand(min(max(operand.bits, low), high), operand.signed)
                     for operand, (low, high) in ((activation, cls.activation_bits),
                                                  (weight, cls.weight_bits))))

    @classmethod
    def for_weights(cls, activation: Operand, weight: Operand, values: np.ndarray) -> Arithmetic:
        """An instance for these operands and weights of these `values` alone."""
        return cls(activation, weight)

    @classmethod
    def project(cls, weights: np.ndarray) -> np.ndarray:
        """The nearest weights that the arithmetic has codes for; by default by range alone."""
        limit = 1 << cls.weight_bits[1]
        return np.clip(weights, -limit // 2, limit - 1)

    def by_digits(self) -> Arithmetic:
        """The same arithmetic with elements that take digits (`takes_digits`), if there is one.

        Otherwise itself. Memory then holds a digit a word: no element has to choose one.
        """
        return self

    # What the array has to know.

    @property
    def symbol_shape(self) -> ShapeLike:
        """What a row's elements see in one phase."""
        return Shape(self.activation.bits * self.taps)

    @property
    def weight_code_bits(self) -> int:
        """Width of one element's weight code."""
        return self.weight.bits * self.taps

    @property
    @abstractmethod
    def latency_cycles(self) -> int:
        """Cycles from an element's operands to its `psum_o`, at least 1."""

    @property
    def row_latency_cycles(self) -> int:
        """Cycles from activations to symbol."""
        return 0

    @property
    def column_latency_cycles(self) -> int:
        """Cycles from the psum of a step's last phase to the step's value."""
        return 0

    @property
    def load_cycles(self) -> int:
        """Cycles a row's elements take to load their weights."""
        return 1

    @property
    def load_shape(self) -> ShapeLike:
        """What an element gets in each of these cycles."""
        return unsigned(self.weight_code_bits)

    @property
    def load_latency_cycles(self) -> int:
        """Cycles from a load unit's step to its `data`."""
        return 0

    @property
    def load_code_latency_cycles(self) -> int:
        """Cycles from a load unit's step to when it looks at its `code`."""
        return 0

    @property
    def provable(self) -> Arithmetic:
        """Itself, or the same hardware with smaller tables, which a proof takes in its place.

        Its own tables are then proved entry by entry.
        """
        return self

    @property
    def tables(self) -> TableDefinition:
        """What its tables hold and how they are read; only asked where weights are held."""
        raise NotImplementedError(f"{self.name} must say what its tables hold")

    def phases(self, activation: Operand) -> int:
        """Cycles a step takes when the activations of a layer only span `activation`."""
        return 1

    def product_range(self) -> tuple[int, int]:
        """Smallest and largest contribution of one tap to a step's value."""
        corners = [x * w for x in (self.activation.low, self.activation.high, 0)
                   for w in (self.weight.low, self.weight.high)]
        return min(corners), max(corners)

    @property
    def error_bound(self) -> float:
        """Largest ``|compute(x, w) - operation(x, w)|``, 0 for an exact arithmetic."""
        return 0.0

    def psum_shape(self, rows: int) -> Shape:
        """Shape of the psum below `rows` elements."""
        return self.value_shape(rows)

    def correction_shape(self, rows: int) -> Shape | None:
        """Shape of the correction column's psum below `rows` elements; None without one."""
        return None

    def value_shape(self, rows: int) -> Shape:
        """Shape of a step's value in an array of `rows` rows."""
        low, high = self.product_range()
        return range_shape(low * self.taps * rows, high * self.taps * rows)

    # Golden model.

    @abstractmethod
    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Contribution of activations `x` and weights `w`, elementwise, broadcast (int64)."""

    def step_offset(self, weights: np.ndarray, activation: Operand) -> np.ndarray:
        """By how much a step's value exceeds the operation's sum, whatever the activations.

        Parameters
        ----------
        weights : int64 array (taps of the step in use, columns)
        activation : Operand
            The part of the activation operand that the layer uses; decides `phases`.

        Returns
        -------
        int64 array (columns,)
        """
        return np.zeros(weights.shape[1], dtype=np.int64)

    def encode_weights(self, weights: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
        """Weight codes (..., ) of weights (..., taps), as non-negative integers.

        Parameters
        ----------
        weights : integer array (..., taps)
            0 where unused.
        used : bool array (..., taps), optional
            Which weights exist; by default all. Products need no other code than weight 0.
        """
        mask = (1 << self.weight.bits) - 1
        codes = np.zeros(weights.shape[:-1], dtype=object)
        for tap in range(self.taps):
            codes = codes | ((weights[..., tap].astype(object) & mask) << (tap * self.weight.bits))
        return codes

    def digits_for(self, weights: np.ndarray) -> int:
        """Phases of a step whose weights are among these; only if it takes digits."""
        raise NotImplementedError(f"{self.name} does not take digits")

    def encode_digits(self, weights: np.ndarray, digits: int) -> np.ndarray:
        """Codes (digits, ...) of weights (..., taps), first phase first; only if it takes digits.

        There may be more digits than `digits_for` asks for.
        """
        raise NotImplementedError(f"{self.name} does not take digits")

    # Hardware.

    @abstractmethod
    def create(self, row: int = 0) -> Element:
        """The element for row `row` (its psum is as wide as that row needs)."""

    def create_constant(self, row: int, weights: np.ndarray) -> Element:
        """An element whose `weights` (taps,) never change, if the arithmetic holds its weights.

        It has no ports to load them by. Elements that get a code need nothing special: it is
        made a constant.
        """
        raise NotImplementedError(f"{self.name} does not hold its weights")

    def create_correction(self, row: int = 0) -> CorrectionElement:
        """The correction column's element for row `row`, if there is such a column."""
        raise NotImplementedError(f"{self.name} has no correction column")

    def create_row_unit(self) -> RowUnit:
        """What stands at a row's start."""
        return RowUnit(self)

    def create_load_unit(self) -> LoadUnit:
        """What stands at a column's start and makes loads of weight codes."""
        return LoadUnit(self)

    def create_column_unit(self, rows: int) -> ColumnUnit:
        """What stands at the end of a column of `rows` elements."""
        return ColumnUnit(self, rows)

    def __str__(self) -> str:
        return f"{self.name} {self.activation}x{self.weight}"


#: Every arithmetic there is.
ARITHMETICS: Registry[Arithmetic] = Registry(__name__, Arithmetic, "arithmetic")
