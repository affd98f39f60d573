"""AdderNet's rule: what its layers sum, and the gradients they pass on.

H. Chen et al., "AdderNet: Do We Really Need Multiplications in Deep Learning?", CVPR 2020;
equations by their numbers there. x are a layer's operands, w its filters, G the gradient of its
sums ``Y = -sum |x - w|``.

Sums take no product. The gradients do: each weighs a difference by an element of G.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .l1_kernels import fold_turned, l1_input_gradient, l1_sums, unfold_turned
from .layers import Layer, Matrix
from .norm_kernels import channel_sums
from .optimisers import Hook
from .rule import Rule

__all__ = ["AdderMatrix", "AdderRule", "adaptive_rates", "draw_filters"]

# Numbers of a buffer that stays in a second-level cache.
_CACHED = 1 << 17


class AdderRule(Rule):
    """L1 sums; batch norm, loss and update in ordinary float32 arithmetic."""

    def sums(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """``-sum_k |x[s, k] - w[k, n]|`` (2), in the type of `x`."""
        result = np.empty((len(x), w.shape[1]), x.dtype)
        l1_sums(np.ascontiguousarray(x.T), np.ascontiguousarray(w, dtype=x.dtype), result)
        return result

    def weight_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """``sum_s G[s, n] * (x[s, k] - w[k, n])`` (5), as ``x^T G - w * sum_s G``."""
        totals = np.ones(len(gradient), gradient.dtype) @ gradient
        return x.T @ gradient - w * totals

    def input_gradient(self, x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """``sum_n G[s, n] * HardTanh(w[k, n] - x[s, k])`` (6, 7)."""
        result = np.empty((x.shape[1], len(x)), x.dtype)
        l1_input_gradient(np.ascontiguousarray(x.T), w, gradient, result)
        return np.ascontiguousarray(result.T)


class AdderMatrix(Matrix):
    """A layer with weights whose convolutions, if its rule is an adder's, stay in the cache.

    Patches are made of a few images at a time, forward and again backward; otherwise as `Matrix`.
    """

    def _groups(self) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Images, their sums, and their patches (K, S), in a buffer that is used again."""
        batch, height, width, _ = self._shape
        rows, columns = ((side + 2 * self.padding - self.size) // self.stride + 1
                         for side in (height, width))
        taps = len(self.parameters["weights"])
        per_image = rows * columns
        images = max(1, min(batch, _CACHED // (taps * per_image)))
        buffer = np.empty((taps, images * per_image), self._x.dtype)
        for start in range(0, batch, images):
            part = slice(start, min(start + images, batch))
            if part.stop - start < images:
                buffer = np.empty((taps, (part.stop - start) * per_image), self._x.dtype)
            unfold_turned(self._x[part], self.size, self.stride, self.padding, buffer)
            yield part, slice(start * per_image, part.stop * per_image), buffer

    def _convolves(self) -> bool:
        return self.size is not None and isinstance(self.rule, AdderRule)

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        if not self._convolves():
            return super().forward(x, training)
        self._shape, self._x = x.shape, np.ascontiguousarray(x)
        self._w = self.rule.effective(self.parameters["weights"])
        w = np.ascontiguousarray(self._w, dtype=x.dtype)
        rows, columns = ((side + 2 * self.padding - self.size) // self.stride + 1
                         for side in x.shape[1:3])
        result = np.empty((len(x) * rows * columns, w.shape[1]), x.dtype)
        for _, sums, patches in self._groups():
            l1_sums(patches, w, result[sums])
        if "bias" in self.parameters:
            result += self.parameters["bias"]
        return result.reshape(len(x), rows, columns, -1)

    def backward(self, gradient: np.ndarray) -> np.ndarray | None:
        if not self._convolves():
            return super().backward(gradient)
        gradient = np.ascontiguousarray(gradient.reshape(-1, gradient.shape[-1]))
        totals = channel_sums(gradient)
        if "bias" in self.parameters:
            self.gradients["bias"] = totals
        along = np.zeros(self._w.shape, np.float32)
        result = np.empty(self._shape, np.float32) if self.needs_input_gradient else None
        passed = None
        for images, sums, patches in self._groups():
            part = gradient[sums]
            along += patches @ part
            if result is not None:
                if passed is None or passed.shape != patches.shape:
                    passed = np.empty_like(patches)
                l1_input_gradient(patches, self._w, part, passed)
                fold_turned(passed, self.size, self.stride, self.padding, result[images])
        self.gradients["weights"] = along - self._w * totals
        return result


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
