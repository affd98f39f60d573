"""What stands for a product in the layers of `nmahw.train.layers`.

Layers and losses never multiply: they ask their `Rule`. A training method without
multiplications is a rule without them.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Rule"]


class Rule:
    """Ordinary float32 arithmetic: the exact twin that other rules are compared with."""

    def effective(self, weights: np.ndarray) -> np.ndarray:
        """What stands for master `weights` (K, N) in sums and input gradients (quantised, say).

        Gradients are taken with respect to these and applied to the masters (straight through).
        """
        return weights

    def sums(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Forward: (S, N) from operands `x` (S, K) and effective weights `w` (K, N)."""
        return x @ w

    def weight_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """(K, N) from the operands, the weights and the gradient (S, N) of the sums."""
        return x.T @ gradient

    def input_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """(S, K) from the same."""
        return gradient @ w.T

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Element by element, broadcast: batch norm, learning rates, momentum."""
        return a * b

    def quotient(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Element by element, broadcast; `b` is positive."""
        return a / b

    def square_root(self, a: np.ndarray) -> np.ndarray:
        """Element by element; `a` is positive."""
        return np.sqrt(a)

    def exponential(self, a: np.ndarray) -> np.ndarray:
        """Element by element; `a` is not positive."""
        return np.exp(a)
