"""Exact integer matrix products, fast: BLAS on floats while no sum can leave their mantissa."""

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat

__all__ = ["exact_matmul", "column_range", "smallest_int"]


def smallest_int(bound: int) -> type:
    """Integer type in which golden results of magnitude `bound` are kept."""
    return np.int32 if bound < 2**31 else np.int64


def exact_matmul(x: np.ndarray, weights: np.ndarray, x_magnitude: int) -> np.ndarray:
    """Integer product of `x` (..., K) and `weights` (K, N), exact.

    Every partial sum, in whatever order BLAS takes it, is an integer no larger than
    ``max_n sum_k |w[k, n]| * x_magnitude``; below 2^24 (2^53) float32 (float64) holds it.

    Raises
    ------
    ModelError
        Sums could reach 2^53.
    """
    bound = int(np.abs(weights).sum(axis=0).max()) * x_magnitude
    if bound >= 2**53:
        raise ModelError(f"sums must stay below 2^53 to be exact, but can reach {bound}")
    real = np.float32 if max(bound, x_magnitude) < 2**24 else np.float64
    product = x.astype(real, copy=False) @ weights.astype(real)
    return product.astype(smallest_int(bound))


def column_range(weights: np.ndarray, input_format: TensorFormat) -> tuple[int, int]:
    """Range of any partial sum over rows of ``x @ weights``, for weights (K, N).

    Zero counts as a possible operand, so the range holds for sums cut off anywhere.
    """
    low, high = min(input_format.low, 0), max(input_format.high, 0)
    positive = [int(v) for v in np.where(weights > 0, weights, 0).sum(axis=0)]
    negative = [int(v) for v in np.where(weights < 0, weights, 0).sum(axis=0)]
    ranges = [(p * low + n * high, p * high + n * low)
              for p, n in zip(positive, negative, strict=True)]
    return min(lo for lo, _ in ranges), max(hi for _, hi in ranges)
