"""The product: ordinary layers.

Sums of products use BLAS on floats, exactly, while no sum can leave their mantissa.
"""

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat, smallest_int
from . import Operation

__all__ = ["Product"]


class Product(Operation):
    """``x * w``."""

    name = "product"
    summary = "x * w"

    def apply(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return np.asarray(x, dtype=np.int64) * np.asarray(w, dtype=np.int64)

    def sums(self, x: np.ndarray, weights: np.ndarray, x_format: TensorFormat) -> np.ndarray:
        """Matrix product.

        Every partial sum, in whatever order BLAS takes it, is an integer no larger than
        ``max_n sum_k |w[k, n]| * max |x|``; below 2^24 (2^53) float32 (float64) holds it.

        Raises
        ------
        ModelError
            Sums could reach 2^53.
        """
        bound = int(np.abs(weights).sum(axis=0).max()) * x_format.magnitude
        if bound >= 2**53:
            raise ModelError(f"sums must stay below 2^53 to be exact, but can reach {bound}")
        real = np.float32 if max(bound, x_format.magnitude) < 2**24 else np.float64
        product = x.astype(real, copy=False) @ weights.astype(real)
        return product.astype(smallest_int(bound))

    def real_sums(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return x @ weights

    def sum_range(self, weights: np.ndarray, x_format: TensorFormat) -> tuple[int, int]:
        low, high = min(x_format.low, 0), max(x_format.high, 0)
        positive = [int(v) for v in np.where(weights > 0, weights, 0).sum(axis=0)]
        negative = [int(v) for v in np.where(weights < 0, weights, 0).sum(axis=0)]
        ranges = [(p * low + n * high, p * high + n * low)
                  for p, n in zip(positive, negative, strict=True)]
        return min(lo for lo, _ in ranges), max(hi for _, hi in ranges)
