"""The smooth multiplication gate as a `Rule`: four neurons for every product, in floating point.

`nmahw.arith.gate` has the gate, its source and its error bound. Here operands are shifted first:
each matrix by the power of two that takes its largest magnitude to 1/2..1, sums back again. For
the gate's error does not fall with its operands, and gradients are small.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from ..arith._nonlinearity import Nonlinearity, nonlinearities
from ..errors import UsageError
from .layers import Layer, Model, ReLU
from .rule import Rule

__all__ = ["GateRule", "Sigmoid", "with_sigmoids"]

_jit = numba.njit(cache=True, nogil=True)

# Rounding of the four neurons, of their arguments and of their sums, in units of the largest
# neuron times machine epsilon: 2 units each for the library's functions, 1 for an argument, and 1
# for what a sum of two rounds.
_ROUNDINGS = 16


@_jit
def _softplus(u):
    return max(u, u - u) + np.log1p(np.exp(-abs(u)))


@_jit
def _sigmoid(u):
    one = u - u + type(u)(1)
    return one / (one + np.exp(-u))


@_jit
def _gate(x, w, step, bias, sigmoid):
    """Sum of the four neurons' outputs with their signs; exactly 0 where an operand is 0."""
    near, far = step * x + step * w, step * x - step * w
    if sigmoid:
        return (_sigmoid(bias + near) + _sigmoid(bias - near)) - (
            _sigmoid(bias + far) + _sigmoid(bias - far))
    return (_softplus(bias + near) + _softplus(bias - near)) - (
        _softplus(bias + far) + _softplus(bias - far))


@_jit
def _gate_sum(a, b, step, bias, sigmoid, out):
    for r in range(a.shape[0]):
        for j in range(a.shape[1]):
            x = a[r, j]
            if x == 0:
                continue
            for n in range(b.shape[1]):
                if b[j, n] != 0:
                    out[r, n] += _gate(x, b[j, n], step, bias, sigmoid)


@_jit
def _gate_each(x, w, step, bias, sigmoid, out):
    for i in range(len(x)):
        out[i] = _gate(x[i], w[i], step, bias, sigmoid)


class GateRule(Rule):
    """Products by gates; a factor that is a power of two (a rate, a batch) is a shift instead.

    There are no quotients and no roots: batch norm and softmax cannot be had.

    Parameters
    ----------
    nonlinearity : str
        As in `nmahw.arith.gate.NONLINEARITIES`.
    lambda_log2 : int
    double : bool
        Neurons in float64 rather than float32.
    """

    def __init__(self, nonlinearity: str = "softplus", lambda_log2: int = -5,
                 double: bool = False):
        self.nonlinearity: Nonlinearity = nonlinearities()[nonlinearity]
        self.lambda_log2 = lambda_log2
        self.dtype = np.float64 if double else np.float32

    @property
    def _scale_log2(self) -> int:
        """Of 4 lambda^2 t''."""
        return 2 + 2 * self.lambda_log2 + self.nonlinearity.second_derivative_log2

    def _neurons(self) -> tuple:
        return (self.dtype(2.0 ** self.lambda_log2), self.dtype(self.nonlinearity.bias),
                self.nonlinearity.name == "sigmoid")

    def _shifted(self, a: np.ndarray) -> tuple[np.ndarray, int]:
        """`a` with its largest magnitude in 1/2..1, and the exponent that takes it back."""
        exponent = _exponent(a)
        return np.ldexp(np.ascontiguousarray(a, self.dtype), -exponent), exponent

    def _sum(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """``a @ b``: (R, N) of (R, J) and (J, N), sums in the neurons' type, ascending in j."""
        (a, shift_a), (b, shift_b) = self._shifted(a), self._shifted(b)
        out = np.zeros((len(a), b.shape[1]), self.dtype)
        _gate_sum(a, b, *self._neurons(), out)
        return np.ldexp(out, shift_a + shift_b - self._scale_log2).astype(np.float32)

    def sums(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self._sum(x, w)

    def weight_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return self._sum(x.T, gradient)

    def input_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return self._sum(gradient, w.T)

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if np.ndim(b) == 0 and b > 0 and math.frexp(float(b))[0] == 0.5:
            return np.ldexp(a, math.frexp(float(b))[1] - 1)
        (a, shift_a), (b, shift_b) = self._shifted(a), self._shifted(b)
        shape = np.broadcast_shapes(a.shape, b.shape)
        a, b = (np.ascontiguousarray(np.broadcast_to(c, shape)).reshape(-1) for c in (a, b))
        out = np.empty(a.size, self.dtype)
        _gate_each(a, b, *self._neurons(), out)
        return np.ldexp(out, shift_a + shift_b - self._scale_log2).astype(
            np.float32).reshape(shape)

    def quotient(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        raise UsageError("method nma has gates for products only: batch norm, global average "
                         "pooling and softmax take quotients")

    def square_root(self, a: np.ndarray) -> np.ndarray:
        return self.quotient(a, a)

    def exponential(self, a: np.ndarray) -> np.ndarray:
        return self.quotient(a, a)

    def error_bound(self, a: np.ndarray, b: np.ndarray) -> float:
        """Largest error that a gate can make of a product of one of `a` and one of `b`.

        That of `nmahw.arith.gate` for shifted operands of magnitude 1, and that of rounding.
        """
        t, step = self.nonlinearity, 2.0 ** self.lambda_log2
        taylor = (t.fourth_derivative_bound(2 * step) / 2.0 ** t.second_derivative_log2
                  * step**2 / 3)
        largest = float(t.values(np.float64(float(t.bias) + 2 * step)))
        rounding = _ROUNDINGS * float(np.finfo(self.dtype).eps) * largest * 2.0 ** -self._scale_log2
        return (taylor + rounding) * 2.0 ** (_exponent(a) + _exponent(b))


def _exponent(a: np.ndarray) -> int:
    largest = float(np.abs(a).max(initial=0.0))
    return math.frexp(largest)[1] if math.isfinite(largest) else 0


class Sigmoid(Layer):
    """``s = 1 / (1 + e^-x)``; its derivative ``s (1 - s)`` is a product, the chain rule another.

    So the weights' gradient is the article's product of three factors: (ab)c.
    """

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        # The network's own nonlinearity, as a neuron has it.
        self._s = (1 / (1 + np.exp(-x))).astype(np.float32)
        return self._s

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        return self.rule.product(gradient, self.rule.product(self._s, 1 - self._s))


def with_sigmoids(model: Model) -> Model:
    """`model` with a sigmoid in place of each ReLU."""
    return Model([Sigmoid(layer.rule, layer.label) if isinstance(layer, ReLU) else layer
                  for layer in model.layers])
