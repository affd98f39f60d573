"""Rules with Mogami's products, in binary32 and bfloat16, and with rounded exact ones to compare.

T. Mogami, "Deep Neural Network Training without Multiplications", 2020.
"""

from __future__ import annotations

import math

import numpy as np

from . import _int_add
from .rule import Rule

__all__ = ["IntAddRule", "RoundedRule"]

_LOG2_E = np.float32(math.log2(math.e))
# Time of a nonzero scalar beside that of its products, in products.
_SCALAR_COST = 24
# Rows in which zeros are counted.
_SAMPLED = 256


class RoundedRule(Rule):
    """Exact products of operands rounded to bfloat16.

    Sums of products are float32 (a product of two such numbers is exact in it); results of other
    operations are rounded to bfloat16 again. Master weights and running means stay float32.
    """

    def effective(self, weights: np.ndarray) -> np.ndarray:
        return _int_add.round_bf16(weights)

    def sums(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return _int_add.round_bf16(x) @ w

    def weight_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return _int_add.round_bf16(x).T @ _int_add.round_bf16(gradient)

    def input_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return _int_add.round_bf16(gradient) @ w.T

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return _rounded(np.multiply, a, b)

    def quotient(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return _rounded(np.divide, a, b)

    def square_root(self, a: np.ndarray) -> np.ndarray:
        return _rounded(np.sqrt, a)

    def exponential(self, a: np.ndarray) -> np.ndarray:
        return _rounded(np.exp, a)


def _rounded(function: np.ufunc, *operands: np.ndarray) -> np.ndarray:
    return _int_add.round_bf16(function(*map(_int_add.round_bf16, operands)))


class IntAddRule(Rule):
    """Integer additions of bit patterns for products, subtractions for quotients.

    A square root halves a pattern; an exponential is a product with log2(e), in fixed point, as a
    pattern. `nmahw.train._int_add` has the bits of all four. Sums are float32 additions in
    ascending order of what is summed over.

    Parameters
    ----------
    bf16 : bool
        Round every operand to bfloat16 (nearest, ties to even); results are bfloat16 then, by the
        sums of patterns themselves. Sums, master weights and running means stay float32.
    mean_error_constant : float
        Added to the sum of patterns as a part of the mantissa's unit, 0..1/2, rounded to the
        format's last bit; taken from differences and before the halving for a square root.
    """

    def __init__(self, bf16: bool = False, mean_error_constant: float = 0.0):
        self.bf16 = bf16
        unused = 16 if bf16 else 0
        self.constant = round(mean_error_constant * 2 ** (23 - unused)) << unused

    def _operand(self, a: np.ndarray) -> np.ndarray:
        return _int_add.round_bf16(a) if self.bf16 else a

    def effective(self, weights: np.ndarray) -> np.ndarray:
        return self._operand(weights)

    def sums(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return _int_add.multiply_sum(self._operand(x), w, self.constant)

    def weight_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        x, gradient = self._operand(x), self._operand(gradient)
        # Products commute, so it is the same sums whichever operand's zeros are left out.
        # Odd, so that the rows counted are not all of the same column of images.
        part = slice(None, None, len(x) // _SAMPLED | 1)
        by_x = np.count_nonzero(x[part]) * (gradient.shape[1] + _SCALAR_COST)
        by_gradient = np.count_nonzero(gradient[part]) * (x.shape[1] + _SCALAR_COST)
        if by_x < by_gradient:
            return _int_add.multiply_sum(x.T, gradient, self.constant)
        return np.ascontiguousarray(_int_add.multiply_sum(gradient.T, x, self.constant).T)

    def input_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return _int_add.multiply_sum(self._operand(gradient), w.T, self.constant)

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return _int_add.product(self._operand(a), self._operand(b), self.constant)

    def quotient(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return _int_add.quotient(self._operand(a), self._operand(b), self.constant)

    def square_root(self, a: np.ndarray) -> np.ndarray:
        return self._cut(_int_add.square_root(self._operand(a), self.constant))

    def exponential(self, a: np.ndarray) -> np.ndarray:
        return self._cut(_int_add.exponential(self.product(a, _LOG2_E)))

    def _cut(self, a: np.ndarray) -> np.ndarray:
        """Bits that bfloat16 has not, left out."""
        return (a.view(np.int32) & np.int32(-0x10000)).view(np.float32) if self.bf16 else a
