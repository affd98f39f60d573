"""The smooth multiplication gate of Lin, Tegmark and Rolnick (2017): four neurons, one product.

*Why does deep and cheap learning work so well?*, section III: a network of 2 inputs, 4 hidden
neurons and 1 output multiplies, as exactly as one likes, whatever its smooth nonlinearity t::

    x --- +l  -l  +l  -l          t(b + l(x+w)) --- +s
                                  t(b - l(x+w)) --- +s
                                  t(b + l(x-w)) --- -s     s = 1 / (4 l^2 t''(b))
    w --- +l  -l  -l  +l          t(b - l(x-w)) --- -s

`HIDDEN_WEIGHTS` and `OUTPUT_WEIGHTS` are that picture; `gate_float` and `Gate.compute` run it.
Constant and odd parts of t cancel, its second derivative makes the product, and what is left
shrinks with l (lambda). Here l is a power of two, t comes from a ROM, addressed by the hidden
neuron's argument in steps of l, and the output scale is a shift: no multiplication.

**Error bound.** Let ``g(k) = t(b + l k) + t(b - l k)``, k an integer. By Taylor's theorem its
remainder ``r(k) = g(k) - 2 t(b) - t''(b) l^2 k^2`` has
``|r'''' (k)| <= 2 M l^4`` with M the largest ``|t''''|`` within the ROM's reach, and r and its
first three derivatives are 0 at 0, so ``|r'(k)| <= M l^4 |k|^3 / 3``. The gate gives
``[g(x+w) - g(x-w)] / (4 l^2 t'')``, which misses ``x w`` by at most the integral of that from
``|x-w|`` to ``|x+w|``::

    M l^4 |(x+w)^4 - (x-w)^4| / 12 / (4 l^2 t'') = (M / t'') l^2 |x w| (x^2 + w^2) / 6

which is largest where both operands are. Each of the four entries is rounded by at most half a
unit, worth ``1 / (4 l^2 t'' 2^f)`` of a product with f bits after the entries' point: together
two such units. The first part falls with l, the second grows: the best error is in proportion to
the square root of the entries' resolution, as in floating point to that of machine epsilon.
Where a unit is worth less than one product (a shift to the right), the result is rounded to an
integer, and so is the bound: ``floor(bound + 1/2)``, as products are integers. A table that
somebody gives has no known M; there the bound is the largest difference of the entries' own
residuals.

**Hardware.** Only the difference of the sums matters, so entries are kept modulo two to its
width: at 8 x 8 bits, 12 of 18. With `folded`, one table of g and two look-ups do the same sums.
As l falls and f grows, that table becomes the quarter squares of `nmahw.arith.quarter_square`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np

from ..errors import ModelError, UsageError
from . import Arithmetic, Element, Operand
from ._gate_element import GateElement
from ._gate_rom import GateRom, sampled, sampled_error, step_log2, tabled
from ._nonlinearity import nonlinearities

__all__ = ["Gate", "GateFolded", "GateSigmoid", "HIDDEN_WEIGHTS", "NONLINEARITIES",
           "OUTPUT_WEIGHTS", "gate_float"]

#: Weights from the inputs (x, w) to the four hidden neurons, in units of lambda.
HIDDEN_WEIGHTS = np.array([[+1, +1], [-1, -1], [+1, -1], [-1, +1]])
#: Weights from the hidden neurons to the output, in units of ``1 / (4 lambda^2 t'')``.
OUTPUT_WEIGHTS = np.array([+1, +1, -1, -1])

#: Names of the nonlinearities known in closed form.
NONLINEARITIES = tuple(nonlinearities())

_LAMBDA_LOG2 = range(-24, 1)
_ENTRY_BITS = range(4, 41)


def gate_float(x: np.ndarray, w: np.ndarray, lambda_log2: int, nonlinearity: str = "softplus",
               dtype: type = np.float64) -> np.ndarray:
    """The gate in floating point: every operation rounds to `dtype`.

    Parameters
    ----------
    x, w : array
        Broadcast.
    lambda_log2 : int
    nonlinearity : str
        One of `NONLINEARITIES`.
    dtype : numpy floating-point type

    Returns
    -------
    array of `dtype`

    Raises
    ------
    UsageError
        There is no such nonlinearity.
    """
    if nonlinearity not in NONLINEARITIES:
        raise UsageError(f"nonlinearity must be one of {', '.join(NONLINEARITIES)}, not "
                         f"{nonlinearity!r}")
    t = nonlinearities()[nonlinearity]
    x, w = np.broadcast_arrays(np.asarray(x, dtype=dtype), np.asarray(w, dtype=dtype))
    step, bias = dtype(2.0 ** lambda_log2), dtype(t.bias)
    neurons = [t.values(a * step * x + b * step * w + bias)
               for a, b in HIDDEN_WEIGHTS.astype(dtype)]
    total = sum(weight * neuron for weight, neuron in
                zip(OUTPUT_WEIGHTS.astype(dtype), neurons, strict=True))
    return total * dtype(2.0 ** (-2 - 2 * lambda_log2 - t.second_derivative_log2))


@dataclass(frozen=True)
class Gate(Arithmetic):
    """Four neurons a product, in ROM arithmetic.

    Parameters
    ----------
    activation, weight : Operand
    nonlinearity : str or tuple of numbers
        ``"softplus"``, ``"sigmoid"``, or a table of t at the bias point plus -K..K steps of
        lambda, K being the largest ``|x| + |w|``. A table of integers is the ROM as it is; other
        numbers are scaled and rounded to it. `with_table` checks more.
    lambda_log2 : int, optional
        Binary logarithm of lambda, -24..0; by default, where the error bound is least. Of no
        consequence with a table, whose steps are what they are.
    entry_bits : int
        Width of the ROM's entries, 4..40, before bits that cancel are left out.
    folded : bool
        Keep t(b+u) + t(b-u) in one ROM instead of t in two; the results are the same.

    Raises
    ------
    ModelError
        A parameter out of range, or a table that cannot multiply.
    """

    name = "gate"
    summary = "[t(l(x+w)) + t(-l(x+w)) - t(l(x-w)) - t(l(w-x))] / (4 l^2 t''), t softplus in ROMs"
    source = "Lin, Tegmark, Rolnick 2017"
    exact = False
    activation_bits = (2, 9)
    weight_bits = (2, 9)

    nonlinearity: str | tuple[float, ...] = "softplus"
    lambda_log2: int | None = None
    entry_bits: int = 18
    folded: bool = False

    def __post_init__(self):
        super().__post_init__()
        for what, value, allowed in (("entry_bits", self.entry_bits, _ENTRY_BITS),
                                     ("lambda_log2", self.lambda_log2, _LAMBDA_LOG2)):
            if value is None and what == "lambda_log2":
                continue
            if type(value) is not int or value not in allowed:
                raise ModelError(f"{self.name}: {what} must be an integer of {allowed[0]}.."
                                 f"{allowed[-1]}, not {value!r}")
        if isinstance(self.nonlinearity, tuple):
            object.__setattr__(self, "rom", self._make_rom())
            if self.error_bound >= math.prod(self._largest):
                raise ModelError(f"{self.name}: table must be of a smooth function, whose products "
                                 f"are off by less than the largest ({math.prod(self._largest)}), "
                                 f"not by up to {self.error_bound:.0f}")
        elif self.nonlinearity not in NONLINEARITIES:
            given = self.nonlinearity
            raise ModelError(f"{self.name}: nonlinearity must be a table (a tuple) or one of "
                             f"{', '.join(NONLINEARITIES)}, not "
                             f"{repr(given) if isinstance(given, str) else type(given).__name__}")
        elif self.lambda_log2 is None:
            object.__setattr__(self, "lambda_log2", self._best_lambda_log2())

    @classmethod
    def with_table(cls, values: Sequence[float], activation: Operand, weight: Operand,
                   arguments: Sequence[float] | None = None,
                   entry_bits: int | None = None) -> Gate:
        """A gate whose nonlinearity is a table.

        Parameters
        ----------
        values : sequence of numbers
            See `nonlinearity`.
        activation, weight : Operand
        arguments : sequence of numbers, optional
            Where `values` were taken: rising by a power of two, which becomes lambda.
        entry_bits : int, optional
            By default, what a table of integers needs; 18 for others.

        Raises
        ------
        ModelError
            What is wrong with table, arguments or operands.
        """
        values = tuple(values)
        lambda_log2 = None if arguments is None else step_log2(arguments, len(values))
        if entry_bits is None:
            whole = bool(values) and all(isinstance(value, Integral) for value in values)
            # One more, for those that will be negated.
            needed = max(abs(int(v)) for v in values).bit_length() + 1 if whole else 18
            entry_bits = min(max(needed, _ENTRY_BITS[0]), _ENTRY_BITS[-1])
        return cls(activation, weight, nonlinearity=values, lambda_log2=lambda_log2,
                   entry_bits=entry_bits)

    @property
    def _largest(self) -> tuple[int, int]:
        """Largest magnitudes of activations and weights."""
        return tuple(max(-operand.low, operand.high) for operand in (self.activation, self.weight))

    def _best_lambda_log2(self) -> int:
        t = nonlinearities()[self.nonlinearity]
        return min(_LAMBDA_LOG2, key=lambda lambda_log2: sampled_error(
            t, lambda_log2, self.entry_bits, *self._largest))

    def _make_rom(self) -> GateRom:
        if isinstance(self.nonlinearity, str):
            return sampled(nonlinearities()[self.nonlinearity], self.lambda_log2,
                           self.entry_bits, *self._largest)
        try:
            return tabled(self.nonlinearity, self.entry_bits, sum(self._largest))
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from None

    @cached_property
    def rom(self) -> GateRom:
        """Entries of the nonlinearity and the scale of the sum."""
        return self._make_rom()

    @property
    def error_bound(self) -> float:
        error = self.rom.error
        return float(math.floor(error + 0.5)) if self.rom.shift > 0 else error

    @cached_property
    def _every_sum(self) -> np.ndarray:
        """What the output neuron sums up, for every pair of operands."""
        return self._sum(np.array(self.activation.values)[:, None], np.array(self.weight.values))

    @property
    def sum_range(self) -> tuple[int, int]:
        """Smallest and largest sum of the four neurons."""
        return int(self._every_sum.min()), int(self._every_sum.max())

    def product_range(self) -> tuple[int, int]:
        # Scaling rises with the sum, so the extremes stay where they are.
        low, high = self._scale(np.array(self.sum_range)).tolist()
        return low, high

    # Golden model.

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self._scale(self._sum(x, w))

    def _sum(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The network up to the output neuron's sum: 2 inputs, 4 hidden neurons, 1 output."""
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        total = np.int64(0)
        for (x_weight, w_weight), output_weight in zip(HIDDEN_WEIGHTS, OUTPUT_WEIGHTS,
                                                       strict=True):
            hidden = x_weight * x + w_weight * w
            total = total + output_weight * self._read(hidden)
        return total

    @cached_property
    def _entries(self) -> np.ndarray:
        return np.array(self.rom.entries, dtype=np.int64)

    def _read(self, hidden: np.ndarray) -> np.ndarray:
        """A hidden neuron's output: the nonlinearity, `hidden` steps from the bias point."""
        return self._entries.take(hidden + self.rom.reach)

    def _scale(self, total: np.ndarray) -> np.ndarray:
        """The output scale: a shift, rounding half up."""
        shift = self.rom.shift
        return total << -shift if shift <= 0 else (total + (1 << (shift - 1))) >> shift

    # Hardware.

    @property
    def latency_cycles(self) -> int:
        return 6 - self.folded + (self.rom.shift > 0)

    @property
    def argument_range(self) -> tuple[int, int]:
        """Smallest and largest x+w or x-w."""
        x, w = self.activation, self.weight
        return min(x.low + w.low, x.low - w.high), max(x.high + w.high, x.high - w.low)

    def create(self, row: int = 0) -> Element:
        return GateElement(self, row)


@dataclass(frozen=True)
class GateSigmoid(Gate):
    """The gate with a sigmoid around a bias point."""

    name = "gate_sigmoid"
    summary = "[t(b+l(x+w)) + t(b-l(x+w)) - t(b+l(x-w)) - t(b-l(x-w))] / (4 l^2 t''), t sigmoid"

    nonlinearity: str | tuple[float, ...] = "sigmoid"


@dataclass(frozen=True)
class GateFolded(Gate):
    """The gate with the neurons of opposite arguments in one table."""

    name = "gate_folded"
    summary = "[g(x+w) - g(x-w)] / (4 l^2 t''), g(k) = t(l k) + t(-l k), t softplus, in one ROM"

    folded: bool = True
