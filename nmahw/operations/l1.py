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

    def apply(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return -np.abs(np.asarray(x, dtype=np.int64) - np.asarray(w, dtype=np.int64))
