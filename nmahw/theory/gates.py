"""What the intermediate neurons of an NMA compute: the multiplication gate, exact or smooth.

Lin, Tegmark and Rolnick (2017): four neurons ``t(+-l(u+v))``, ``t(+-l(u-v))``, two of them added
and two subtracted, times ``1 / (4 l^2 t''(0))``. A gate here is the two functions of one argument:
the neuron's and the output's. The exact one has ``t(s) = floor(s^2 / 4)`` on integers, where
the sum is ``2 u v``; the smooth one has l a power of two, so that both scales are shifts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ..arith._nonlinearity import Nonlinearity, nonlinearities
from ..arith.gate import NONLINEARITIES
from ..errors import ModelError, UsageError

__all__ = ["ExactGate", "GateFunctions", "SmoothGate"]

# Sums of two operands below this: products stay below 2^50, sums of thousands below 2^63.
_LARGEST_ARGUMENT = 1 << 26
# Beyond every extremum of a fourth derivative.
_FAR = 100.0


class GateFunctions(ABC):
    """The two functions of one argument that make four sums a product."""

    @abstractmethod
    def neuron(self, argument: np.ndarray) -> np.ndarray:
        """Value of an intermediate neuron, of its sum of operands (elementwise)."""

    @abstractmethod
    def output(self, total: np.ndarray) -> np.ndarray:
        """Value of a product neuron, of the sum of its four intermediate ones (elementwise)."""

    @abstractmethod
    def error_bound(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Largest difference from the product of two operands (elementwise)."""


class ExactGate(GateFunctions):
    """Quarter squares: integers stay exact."""

    def neuron(self, argument: np.ndarray) -> np.ndarray:
        if argument.dtype.kind not in "iu":
            raise ModelError(f"the exact gate's operands must be integers, not {argument.dtype}")
        if argument.size and np.abs(argument).max() >= _LARGEST_ARGUMENT:
            raise ModelError(f"the exact gate's arguments must be below {_LARGEST_ARGUMENT}, not "
                             f"{np.abs(argument).max()}")
        return np.square(argument) >> 2

    def output(self, total: np.ndarray) -> np.ndarray:
        return total >> 1

    def error_bound(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.zeros(np.broadcast_shapes(np.shape(u), np.shape(v)))


@dataclass(frozen=True)
class SmoothGate(GateFunctions):
    """A smooth nonlinearity in double precision.

    Parameters
    ----------
    lambda_log2 : int
        Binary logarithm of lambda, -30..0. Small ones leave little Taylor remainder and much
        cancellation: about -12 is best for operands around 1.
    nonlinearity : str
        One of `nmahw.arith.gate.NONLINEARITIES`.

    Raises
    ------
    UsageError
        Unknown nonlinearity, lambda out of range.
    """

    lambda_log2: int = -12
    nonlinearity: str = "softplus"

    def __post_init__(self):
        if self.nonlinearity not in NONLINEARITIES:
            raise UsageError(f"nonlinearity must be one of {', '.join(NONLINEARITIES)}, not "
                             f"{self.nonlinearity!r}")
        if self.lambda_log2 not in range(-30, 1):
            raise UsageError(f"lambda_log2 must be an integer of -30..0, not {self.lambda_log2!r}")

    @property
    def _t(self) -> Nonlinearity:
        return nonlinearities()[self.nonlinearity]

    @property
    def _scale_log2(self) -> int:
        """Of ``1 / (4 l^2 t'')``."""
        return -2 - 2 * self.lambda_log2 - self._t.second_derivative_log2

    def neuron(self, argument: np.ndarray) -> np.ndarray:
        scaled = np.ldexp(np.asarray(argument, dtype=np.float64), self.lambda_log2)
        return self._t.values(scaled + float(self._t.bias))

    def output(self, total: np.ndarray) -> np.ndarray:
        return np.ldexp(total, self._scale_log2)

    def error_bound(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Taylor remainder and rounding.

        The remainder is ``(M / t'') l^2 |u v| (u^2 + v^2) / 6``, M being the largest fourth
        derivative (derived in `nmahw.arith.gate`). Rounding: as ``|t'| <= 1``, every neuron's value
        is at most ``T = |t(b)| + l (|u| + |v|)`` and its argument is off by at most epsilon (l (|u|
        + |v|) + |b|); t itself by 4 epsilon T (libraries' functions are better), the three
        additions by 3 epsilon 4 T / 2. A rounded bias point moves t'' by less than 8 epsilon t''.
        """
        u, v = np.abs(u), np.abs(v)
        t, epsilon = self._t, np.finfo(np.float64).eps
        bias = abs(float(t.bias))
        remainder = (t.fourth_derivative_bound(_FAR) / 2.0 ** t.second_derivative_log2
                     * 4.0 ** self.lambda_log2 * u * v * (u * u + v * v) / 6)
        argument = np.ldexp(u + v, self.lambda_log2)
        value = abs(float(t.values(np.float64(t.bias)))) + argument
        rounding = 4 * (4 * value + argument + bias) + 6 * value
        return remainder + 8 * epsilon * u * v + np.ldexp(epsilon * rounding, self._scale_log2)
