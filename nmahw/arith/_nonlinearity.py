"""Nonlinearities of the smooth multiplication gate (`nmahw.arith.gate`), known in closed form.

Each has a *bias point*, where the gate looks at it: there the second derivative must not be zero,
and it is chosen to be a power of two, so that the gate's output scale is a shift. Values come in
two kinds: exact to 50 decimal digits, the same on every machine, for tables; and of a floating-
point type, for the gate in floating point.
"""

from __future__ import annotations

import decimal
import math
from abc import ABC, abstractmethod
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar

import numpy as np

__all__ = ["Nonlinearity", "Softplus", "Sigmoid", "nonlinearities"]

#: Arithmetic of tables; 50 digits leave no doubt how an entry of 40 bits is rounded.
CONTEXT = decimal.Context(prec=50, Emin=-999_999, Emax=999_999)


class Nonlinearity(ABC):
    """A smooth function t, seen from its bias point."""

    #: Name in parameters and messages.
    name: ClassVar[str]
    #: Binary logarithm of t'' at the bias point; t'' is positive there.
    second_derivative_log2: ClassVar[int]

    @property
    @abstractmethod
    def bias(self) -> Decimal:
        """The bias point."""

    @abstractmethod
    def exactly(self, u: Decimal) -> Decimal:
        """t(u), to the digits of `CONTEXT`."""

    @abstractmethod
    def values(self, u: np.ndarray) -> np.ndarray:
        """t(u), elementwise, in the floating-point type of `u`."""

    @abstractmethod
    def fourth_derivative(self, u: float) -> float:
        """Fourth derivative of t at u."""

    @property
    @abstractmethod
    def fourth_derivative_extrema(self) -> tuple[float, ...]:
        """Every u where the fourth derivative can have a local extremum."""

    def fourth_derivative_bound(self, reach: float) -> float:
        """Largest absolute fourth derivative within `reach` of the bias point."""
        bias = float(self.bias)
        points = [bias - reach, bias + reach, *(u for u in self.fourth_derivative_extrema
                                                if abs(u - bias) < reach)]
        return max(abs(self.fourth_derivative(u)) for u in points)


def _sigmoid(u: float) -> float:
    return 1 / (1 + math.exp(-u)) if u >= 0 else math.exp(u) / (1 + math.exp(u))


def _where_slope_is(*slopes: float) -> tuple[float, ...]:
    """Both arguments where the sigmoid's slope s(1-s) takes each of `slopes`."""
    roots = [math.sqrt(1 - 4 * slope) for slope in slopes]
    return tuple(sign * math.log((1 + root) / (1 - root)) for root in roots for sign in (1, -1))


class Softplus(Nonlinearity):
    """ln(1 + e^u) around 0, where t'' = 1/4."""

    name = "softplus"
    second_derivative_log2 = -2

    @property
    def bias(self) -> Decimal:
        return Decimal(0)

    def exactly(self, u: Decimal) -> Decimal:
        return CONTEXT.ln(CONTEXT.add(1, CONTEXT.exp(u)))

    def values(self, u: np.ndarray) -> np.ndarray:
        return np.logaddexp(u, np.zeros_like(u))

    def fourth_derivative(self, u: float) -> float:
        # With the sigmoid s and p = s(1-s) = t'': t'''' = p (1 - 6p).
        p = _sigmoid(u) * _sigmoid(-u)
        return p * (1 - 6 * p)

    @property
    def fourth_derivative_extrema(self) -> tuple[float, ...]:
        # d t''''/du = p (1-2s) (1 - 12p).
        return (0.0, *_where_slope_is(1 / 12))


class Sigmoid(Nonlinearity):
    """1 / (1 + e^-u) around the point left of -1.317 where t'' = 1/16.

    At 0 its second derivative is zero. Of the points where t'' is 1/16 this one has the smaller
    value, 0.081, which leaves more fraction bits in a table, and the smaller fourth derivative.
    """

    name = "sigmoid"
    second_derivative_log2 = -4

    @property
    def bias(self) -> Decimal:
        return _sigmoid_bias()

    def exactly(self, u: Decimal) -> Decimal:
        return CONTEXT.divide(1, CONTEXT.add(1, CONTEXT.exp(CONTEXT.minus(u))))

    def values(self, u: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-u))

    def fourth_derivative(self, u: float) -> float:
        # With p = s(1-s) = t': t'' = p (1-2s) and t'''' = t'' (1 - 12p).
        s = _sigmoid(u)
        p = s * _sigmoid(-u)
        return p * (1 - 2 * s) * (1 - 12 * p)

    @property
    def fourth_derivative_extrema(self) -> tuple[float, ...]:
        # d t''''/du = p (1 - 30p + 120p^2).
        return _where_slope_is(*((30 + sign * math.sqrt(420)) / 240 for sign in (1, -1)))


@lru_cache
def _sigmoid_bias() -> Decimal:
    """Where t'' = s (1-s) (1-2s) = 1/16, s being the smallest root; by Newton's method."""
    with decimal.localcontext(CONTEXT):
        s = Decimal("0.08")
        for _ in range(10):
            s -= (s * (1 - s) * (1 - 2 * s) - Decimal(1) / 16) / (1 - 6 * s + 6 * s * s)
        return (s / (1 - s)).ln()


@lru_cache
def nonlinearities() -> dict[str, Nonlinearity]:
    """Those of this module by name, sorted."""
    return {kind.name: kind() for kind in sorted(Nonlinearity.__subclasses__(),
                                                 key=lambda kind: kind.name)}
