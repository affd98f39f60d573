"""AdderNet's rule: what its layers sum, and the gradients they pass on.

H. Chen et al., "AdderNet: Do We Really Need Multiplications in Deep Learning?", CVPR 2020;
equations by their numbers there. x are a layer's operands, w its filters, G the gradient of its
sums ``Y = -sum |x - w|``.

Sums take no product. The gradients do: each weighs a difference by an element of G.
"""

from __future__ import annotations

import numpy as np

from .l1_kernels import l1_input_gradient, l1_sums
from .layers import Layer, Matrix
from .optimisers import Hook
from .rule import Rule

__all__ = ["AdderRule", "adaptive_rates", "draw_filters"]


class AdderRule(Rule):
    """L1 sums; batch norm, loss and update in ordinary float32 arithmetic."""

    def sums(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """``-sum_k |x[s, k] - w[k, n]|`` (2), in the type of `x`."""
        return l1_sums(np.ascontiguousarray(x), np.ascontiguousarray(w, dtype=x.dtype))

    def weight_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """``sum_s G[s, n] * (x[s, k] - w[k, n])`` (5), as ``x^T G - w * sum_s G``."""
        totals = np.ones(len(gradient), gradient.dtype) @ gradient
        return x.T @ gradient - w * totals

    def input_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """``sum_n G[s, n] * HardTanh(w[k, n] - x[s, k])`` (6, 7)."""
        return l1_input_gradient(np.ascontiguousarray(x), w, gradient)


def adaptive_rates(eta: float) -> Hook:
    """Hook for an `Optimiser`: ``g * eta * sqrt(k) / ||g||_2`` (12, 13) for filters of adders.

    k is the number of a layer's weights, so every layer's filters move by `eta` in the root mean
    square, before the global rate. Other parameters keep their gradients.
    """
    def hook(part: Layer, name: str, gradient: np.ndarray) -> np.ndarray:
        if name != "weights" or not isinstance(part.rule, AdderRule):
            return gradient
        norm = max(float(np.sqrt(np.vdot(gradient, gradient))), 1e-12)
        return gradient * np.float32(eta * np.sqrt(gradient.size) / norm)
    return hook


def draw_filters(layer: Matrix, rng: np.random.Generator, deviation: float) -> None:
    """New normal filters with that standard deviation."""
    shape = layer.parameters["weights"].shape
    layer.parameters["weights"] = (rng.standard_normal(shape) * deviation).astype(np.float32)
