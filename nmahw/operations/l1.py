"""The negative L1 distance: AdderNet's similarity of activation and weight.

H. Chen et al., "AdderNet: Do We Really Need Multiplications in Deep Learning?", CVPR 2020,
equation 2: ``Y = -sum |X - F|``.
"""

import numpy as np

from . import Operation

__all__ = ["L1"]


class L1(Operation):
    """``-|x - w|``."""

    name = "l1"
    summary = "-|x - w| (AdderNet)"
    shared_scale = True

    def apply(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return -np.abs(np.asarray(x, dtype=np.int64) - np.asarray(w, dtype=np.int64))

    def real_sums(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        # One input at a time: an array of all differences would not fit the cache.
        total = np.zeros((len(x), weights.shape[1]), dtype=np.result_type(x, weights))
        for column, row in zip(x.T, weights, strict=True):
            total -= np.abs(column[:, None] - row)
        return total
