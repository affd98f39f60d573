"""Integers that the weights of an arithmetic can be, and the steps that real weights take to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

__all__ = ["WeightSet", "one_term_steps", "power_of_two_steps", "step_chooser", "two_term_steps"]

#: Steps with two terms: these times a power of two, over 8. All are one or two signed powers of
#: two, and no two neighbours are more than 1/5 apart.
_TWO_TERMS = (8, 9, 10, 12, 14, 15)
_ONE_TERM = (8,)
#: How far below a layer's largest step the others may lie, as a power of two.
_SPREAD = 3


@numba.njit(cache=True, nogil=True)
def _nearest(values: np.ndarray, levels: np.ndarray, middles: np.ndarray, result: np.ndarray
             ) -> None:
    for index in range(values.size):
        value = values[index]
        low, high = 0, len(middles)
        while low < high:
            at = (low + high) // 2
            if value < middles[at]:
                high = at
            else:
                low = at + 1
        result[index] = levels[low]


@dataclass(frozen=True)
class WeightSet:
    """Allowed integers.

    Parameters
    ----------
    levels : tuple of int
        Sorted, at least two.
    """

    levels: tuple[int, ...]

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest."""
        return self.levels[0], self.levels[-1]

    @cached_property
    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        levels = np.array(self.levels, np.float32)
        return levels, (levels[:-1] + levels[1:]) / 2

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """The nearest level to each of `values` (any shape), float32; the upper one of two."""
        values = np.ascontiguousarray(values, np.float32)
        result = np.empty(values.shape, np.float32)
        _nearest(values.reshape(-1), *self._tables, result.reshape(-1))
        return result

    def errors(self, weights: np.ndarray, step: float) -> np.ndarray:
        """Square error of each row of `weights` (N, K) when rounded to levels times `step`."""
        return np.square(self.nearest(weights / step) * step - weights).sum(axis=1)

    def exponents(self, weights: np.ndarray) -> range:
        """Binary logarithms of steps worth a try for `weights` (N, K), whichever of its rows."""
        largest = np.abs(weights).max() or 1.0
        least = np.abs(weights).mean() or largest
        top = max(abs(level) for level in self.levels)
        return range(int(np.floor(np.log2(min(largest / top, least)))) - 4,
                     int(np.ceil(np.log2(largest))) + 2)


def power_of_two_steps(weights: np.ndarray, allowed: WeightSet) -> tuple[np.ndarray, int]:
    """One power of two for all of `weights` (N, K), of least square error.

    Returns
    -------
    factors : int64 array (N,)
        Ones.
    exponent : int
        The step is ``2**exponent``.
    """
    exponent = min(allowed.exponents(weights),
                   key=lambda exponent: allowed.errors(weights, 2.0**exponent).sum())
    return np.ones(len(weights), np.int64), exponent


def one_term_steps(weights: np.ndarray, allowed: WeightSet) -> tuple[np.ndarray, int]:
    """A power of two for each row of `weights` (N, K), of least error; see `two_term_steps`."""
    return _row_steps(weights, allowed, _ONE_TERM)


def two_term_steps(weights: np.ndarray, allowed: WeightSet) -> tuple[np.ndarray, int]:
    """A step for each row of `weights` (N, K): one or two signed powers of two, of least error.

    Returns
    -------
    factors : int64 array (N,)
        A row's step is its factor times ``2**exponent``; each factor is a sum of at most two
        signed powers of two.
    exponent : int
    """
    return _row_steps(weights, allowed, _TWO_TERMS)


def _row_steps(weights: np.ndarray, allowed: WeightSet, mantissas: tuple[int, ...]
               ) -> tuple[np.ndarray, int]:
    candidates = [(mantissa, exponent) for exponent in allowed.exponents(weights)
                  for mantissa in mantissas]
    errors = np.array([allowed.errors(weights, mantissa / 8 * 2.0**exponent)
                       for mantissa, exponent in candidates])
    chosen = [candidates[at] for at in errors.argmin(axis=0)]
    lowest = max(exponent for _, exponent in chosen) - _SPREAD
    chosen = [(mantissa, exponent) if exponent >= lowest else (8, lowest)
              for mantissa, exponent in chosen]
    exponent = min(exponent for _, exponent in chosen)
    factors = np.array([mantissa << (own - exponent) for mantissa, own in chosen], np.int64)
    common = int(np.gcd.reduce(factors))
    shift = (common & -common).bit_length() - 1
    return factors >> shift, exponent - 3 + shift


def step_chooser(terms: int) -> Callable[[np.ndarray, WeightSet], tuple[np.ndarray, int]]:
    """What chooses steps of so many terms a channel, 0..2; 0: one power of two for all channels.
    """
    return (power_of_two_steps, one_term_steps, two_term_steps)[terms]
