"""How many different products to expect: bounds and means for repeated pixels and weights.

The NMA paper leaves the case open in which both map and kernel have equal values (its section 7).
`nmahw.theory.distinct` counts it exactly; here is what can be said before the values are known.
Proofs in `docs/theory.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from ._fields import axis_blocks
from .distinct import pixels_met
from .theorems import Bounds, union_of_fields

__all__ = ["Expectation", "bounds_of_both", "expected_products", "expected_products_of_random"]

#: Most taps whose subsets are listed for an exact mean.
_LISTED_TAPS = 16


@dataclass(frozen=True)
class Expectation:
    """A mean, or two bounds of it.

    Attributes
    ----------
    low, high : float
        Equal where the mean is known exactly.
    """

    low: float
    high: float


def bounds_of_both(x: np.ndarray, kernel: np.ndarray) -> Bounds:
    """Bounds of the different products of one map and one kernel, whatever is repeated.

    For each weight value: at least the values in the field of one of its taps; at most all values
    of the map, the sum of the values in its taps' fields (Theorem 2), and the pixels in their union
    (Theorem 3).

    Parameters
    ----------
    x : real array (Hx, Wx)
    kernel : real array (f, f)
    """
    x, kernel = np.asarray(x), np.asarray(kernel)
    if x.ndim != 2 or kernel.ndim != 2:
        raise ModelError(f"map and kernel must have two axes, not shapes {x.shape} and "
                         f"{kernel.shape}")
    height, width = (n - f + 1 for n, f in zip(x.shape, kernel.shape, strict=True))
    if min(height, width) < 1:
        raise ModelError(f"a kernel must not be larger than its map, {x.shape}, not {kernel.shape}")
    values = np.array([len(np.unique(x[a:a + height, b:b + width]))
                       for a, b in np.ndindex(kernel.shape)]).reshape(kernel.shape)
    low = high = 0
    for weight in np.unique(kernel):
        own = kernel == weight
        low += int(values[own].max())
        high += min(len(np.unique(x)), int(values[own].sum()), union_of_fields(own, x.shape))
    return Bounds(low, high)


def _checked(probabilities: np.ndarray, what: str) -> np.ndarray:
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 1 or not probabilities.size or probabilities.min() < 0 \
            or not probabilities.sum() <= 1 + 1e-9:
        raise ModelError(f"probabilities of {what} must be at least 0 with a sum of at most 1, not "
                         f"{probabilities.tolist()}")
    return probabilities


def expected_products(weights: np.ndarray, map_shape: tuple[int, int],
                      probabilities: np.ndarray, stride: int = 1, scope: str = "layer"
                      ) -> np.ndarray:
    """Mean number of different products of given weights and random pixels, exactly.

    Pixels are independent. A weight value that meets A pixels makes a product with value v unless
    all of them differ from v: ``sum over weight values and v of 1 - (1 - p_v)^A``.

    Parameters
    ----------
    weights : real array (out_channels, channels, height, width)
    map_shape : tuple of int
        Height and width, no padding.
    probabilities : float array (values,)
        Of the values that count; the rest of 1 is that of a value that does not.
    stride, scope
        As in `nmahw.theory.distinct.distinct_products`.

    Returns
    -------
    float array
        Shaped as the result of `distinct_products`, without the batch axis.

    Raises
    ------
    ModelError
        No probabilities, or no layer.
    """
    absent = 1 - _checked(probabilities, "pixels")
    pixels, owners, shape = pixels_met(weights, map_shape, stride, scope)
    kinds, inverse = np.unique(pixels, return_inverse=True)
    mean = (1 - absent ** kinds[:, None]).sum(axis=1)[inverse.reshape(-1)]
    return np.bincount(owners, weights=mean, minlength=int(np.prod(shape))).reshape(shape)


def expected_products_of_random(f: int, map_shape: tuple[int, int], pixels: np.ndarray,
                                weights: np.ndarray) -> Expectation:
    """Mean number of different products of one random kernel on one random map.

    All pixels and all weights are independent. The taps of weight value k are a random set T, and
    the mean is that of ``1 - (1 - p_v)^A(T)`` added up over values and weights, A(T) being the size
    of the union of fields. Up to f = 4 all sets are listed. Beyond, with P the probability that T
    is not empty, ``P (1 - (1 - p_v)^(Hy Wy))`` is a lower bound and, the function being concave,
    ``P (1 - (1 - p_v)^(mean(A) / P))`` an upper one. They meet as maps grow, at the number of
    values times the mean number of different weights.

    Parameters
    ----------
    f : int
        Side of the kernel.
    map_shape : tuple of int
        Hx, Wx.
    pixels, weights : float arrays
        Probabilities of the values that count.

    Raises
    ------
    ModelError
        Probabilities that are none, or a kernel larger than the map.
    """
    if not 1 <= f <= min(map_shape):
        raise ModelError(f"kernel must have a side of 1..{min(map_shape)}, not {f}")
    pixels, weights = _checked(pixels, "pixels"), _checked(weights, "weights")
    rows, columns = (axis_blocks(size, f) for size in map_shape)
    reached = np.einsum("ar,bc->abrc", rows.reached, columns.reached).reshape(f * f, -1)
    sizes = np.outer(rows.sizes, columns.sizes).reshape(-1)
    if f * f <= _LISTED_TAPS:
        mean = sum(_listed(reached, sizes, pixels, q) for q in weights)
        return Expectation(mean, mean)
    low = high = 0.0
    outputs = (map_shape[0] - f + 1) * (map_shape[1] - f + 1)
    for q in weights:
        area = float((sizes * (1 - (1 - q) ** reached.sum(axis=0))).sum())
        there = 1 - (1 - q) ** (f * f)
        if there > 0:
            high += float(there * (1 - (1 - pixels) ** (area / there)).sum())
            low += float(there * (1 - (1 - pixels) ** outputs).sum())
    return Expectation(low, high)


def _listed(reached: np.ndarray, sizes: np.ndarray, pixels: np.ndarray, q: float) -> float:
    """Mean over all sets of taps, each in the set with probability q."""
    taps = len(reached)
    sets = np.arange(1 << taps)
    areas = np.zeros(len(sets), dtype=np.int64)
    for block, size in zip(reached.T, sizes, strict=True):
        mask = int((block.astype(np.int64) << np.arange(taps)).sum())
        areas += np.where(sets & mask, size, 0)
    count = sum(sets >> tap & 1 for tap in range(taps))
    chance = q ** count * (1 - q) ** (taps - count)
    kinds, inverse = np.unique(areas, return_inverse=True)
    chance = np.bincount(inverse.reshape(-1), weights=chance)
    return float(chance @ (1 - (1 - pixels) ** kinds[:, None]).sum(axis=1))
