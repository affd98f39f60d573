"""An adder network on integers, in training: grids for what enters layers, batch norm as shifts.

Activations behind a ReLU lie on a *grid*: codes 0 .. 2^bits - 1 times a *step*, a power of two.
Filters of an adder layer lie on the grid of what they are compared with, so sums do too. Batch
norm is a factor of one or two signed powers of two and a constant per channel. All of it is exact
in float64, so inference here is what the integer network does; in training, gradients pass
roundings as if they were not there (straight through), and not where a ReLU or its grid ends.

Source of the factor as shifts, and of clamped filters: measurements of this project.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from . import layers as trained
from .adder import AdderRule
from .norm_kernels import centre, channel_sums, normalise, normalise_backward, product_sums
from .rule import Rule

__all__ = ["FixedPoint", "GridAdder", "GridProduct", "GridReLU", "ShiftNorm",
           "signed_powers"]

#: Exponents of a layer's terms reach this far below its largest one.
_SPREAD = 8
#: Fraction bits that constants have at least.
_LEAST_FRACTION = 3


def signed_powers(factors: np.ndarray, terms: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Nearest sums of `terms` (1 or 2) signed powers of two.

    Parameters
    ----------
    factors : float array (channels,)

    Returns
    -------
    signs, exponents : int64 arrays (channels, 2)
        ``sum(signs * 2.0**exponents, axis=1)``; a term of sign 0 is none. Exponents reach
        from that of the largest factor to 8 below it.
    """
    factors = np.asarray(factors, dtype=np.float64)
    top = int(np.ceil(np.log2(max(np.abs(factors).max(), 2.0**-60))))
    powers = 2.0 ** np.arange(top - _SPREAD, top + 1)
    values = np.concatenate([[0.0], powers, -powers])
    pairs = values[:, None] + (values[None] if terms == 2 else np.zeros((1, 1)))
    pairs = np.broadcast_to(pairs, (len(values), len(values) if terms == 2 else 1))
    # The first of equal ones has the fewest terms, as zero comes first.
    order = np.argsort((values[:, None] != 0).astype(int) + (
        values[None, :pairs.shape[1]] != 0), axis=None, kind="stable")
    best = order[np.abs(factors[:, None] - pairs.reshape(-1)[order]).argmin(axis=1)]
    chosen = np.stack([values[best // pairs.shape[1]],
                       values[best % pairs.shape[1]] if terms == 2 else 0 * factors], axis=1)
    signs = np.sign(chosen).astype(np.int64)
    exponents = np.log2(np.where(signs != 0, np.abs(chosen), 2.0**top))
    return signs, np.rint(exponents).astype(np.int64)


class GridAdder(AdderRule):
    """L1 sums with filters rounded to the grid of what enters."""

    def __init__(self, step: float):
        self.step = float(step)

    def effective(self, weights: np.ndarray) -> np.ndarray:
        step = np.float32(self.step)
        return np.rint(weights / step) * step


class GridProduct(Rule):
    """Products with weights of `bits`, symmetric about zero, with a power-of-two step."""

    def __init__(self, step: float, bits: int):
        self.step, self.top = float(step), 2 ** (bits - 1) - 1

    def effective(self, weights: np.ndarray) -> np.ndarray:
        step = np.float32(self.step)
        return np.clip(np.rint(weights / step), -self.top, self.top) * step


@numba.njit(cache=True, nogil=True)
def _round_to_grid(x: np.ndarray, step: float, top: int) -> np.ndarray:
    flat = x.reshape(-1)
    result = np.empty_like(flat)
    scale, size = x.dtype.type(1 / step), x.dtype.type(step)
    half, zero, last = x.dtype.type(0.5), x.dtype.type(0), x.dtype.type(top)
    for i in range(len(flat)):
        result[i] = min(max(np.floor(flat[i] * scale + half), zero), last) * size
    return result.reshape(x.shape)


@numba.njit(cache=True, nogil=True)
def _within(x: np.ndarray, gradient: np.ndarray, limit: float) -> np.ndarray:
    flat, g = x.reshape(-1), gradient.reshape(-1)
    result = np.empty_like(g)
    zero, end = x.dtype.type(0), x.dtype.type(limit)
    for i in range(len(flat)):
        result[i] = g[i] if zero < flat[i] < end else zero
    return result.reshape(gradient.shape)


class GridReLU(trained.Layer):
    """``clip(floor(x / step + 1/2), 0, top) * step``."""

    def __init__(self, rule: Rule, step: float, bits: int, label: str = ""):
        super().__init__(rule, label)
        self.step, self.top = float(step), 2**bits - 1

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._x = np.ascontiguousarray(x)
        return _round_to_grid(self._x, self.step, self.top)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        return _within(self._x, np.ascontiguousarray(gradient), (self.top + 0.5) * self.step)


@dataclass(frozen=True)
class FixedPoint:
    """A `ShiftNorm` in integers: ``(signs << shifts) @ sums + bias``, in units of 2^-fraction.

    Attributes
    ----------
    signs, shifts : int64 arrays (channels, 2)
    bias : int64 array (channels,)
    fraction : int
    """

    signs: np.ndarray
    shifts: np.ndarray
    bias: np.ndarray
    fraction: int

    @property
    def factors(self) -> np.ndarray:
        """What sums are multiplied by (channels,)."""
        return (self.signs << self.shifts).sum(axis=1)


class ShiftNorm(trained.Layer):
    """``factor * (x - mean) + offset``, the factor a sum of one or two signed powers of two.

    In training the mean is that of the batch, so that filters can move; the deviation that the
    float network's batch norm divided by is kept and only scales the learning of `scale`.

    Parameters
    ----------
    rule : Rule
    scale, offset, mean, inverse : float arrays (channels,)
        The factor is that nearest to ``scale * inverse``.
    sum_unit, result_unit : float
        Steps of x's grid and of the one that the result is rounded to later; powers of two.
    terms : int
        1 or 2.
    """

    MOMENTUM_SHIFT = 6

    def __init__(self, rule: Rule, scale: np.ndarray, offset: np.ndarray, mean: np.ndarray,
                 inverse: np.ndarray, sum_unit: float, result_unit: float, terms: int,
                 label: str = ""):
        super().__init__(rule, label)
        self.parameters = {"scale": scale.astype(np.float32), "offset": offset.astype(np.float32)}
        self.buffers = {"mean": mean.astype(np.float32), "inverse": inverse.astype(np.float32)}
        self.sum_unit, self.result_unit, self.terms = float(sum_unit), float(result_unit), terms

    def _powers(self) -> tuple[np.ndarray, np.ndarray]:
        wanted = self.parameters["scale"].astype(np.float64) * self.buffers["inverse"]
        return signed_powers(wanted, self.terms)

    def _factor(self) -> np.ndarray:
        signs, exponents = self._powers()
        return (signs * 2.0**exponents).sum(axis=1)

    def fixed_point(self) -> FixedPoint:
        """What inference does, in integers: of sums in `sum_unit`, to fractions of the result."""
        signs, exponents = self._powers()
        exponents = exponents + round(np.log2(self.sum_unit / self.result_unit))
        used = exponents[signs != 0]
        fraction = max(-int(used.min(initial=0)), _LEAST_FRACTION)
        shifts = np.where(signs != 0, exponents + fraction, 0)
        factors = (signs * 2.0**exponents).sum(axis=1) * self.result_unit / self.sum_unit
        constant = self.parameters["offset"] - factors * self.buffers["mean"].astype(np.float64)
        bias = np.rint(constant / self.result_unit * 2.0**fraction).astype(np.int64)
        return FixedPoint(signs, shifts, bias, fraction)

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        if not training:
            fixed = self.fixed_point()
            unit = self.result_unit / 2.0**fixed.fraction
            factor = (fixed.factors * (unit / self.sum_unit)).astype(x.dtype)
            return x * factor + (fixed.bias * unit).astype(x.dtype)
        flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        mean = channel_sums(flat) / np.float32(len(flat))
        rate = np.float32(2.0 ** -self.MOMENTUM_SHIFT)
        self.buffers["mean"] += (mean - self.buffers["mean"]) * rate
        inverse = self.buffers["inverse"]
        self._used = self._factor().astype(np.float32)
        self._normal, result = normalise(centre(flat, mean)[0], inverse, self._used / inverse,
                                         self.parameters["offset"])
        return result.reshape(x.shape)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(gradient).reshape(-1, gradient.shape[-1])
        total = channel_sums(flat)
        self.gradients |= {"offset": total, "scale": product_sums(flat, self._normal)}
        result = normalise_backward(flat, self._normal, self._used,
                                    total / np.float32(len(flat)), np.zeros_like(total))
        return result.reshape(gradient.shape)
