"""Weights of which only some have a code: the nearest that has one."""

from collections.abc import Iterable

import numpy as np

__all__ = ["nearest_of"]


def nearest_of(allowed: Iterable[int], weights: np.ndarray) -> np.ndarray:
    """The nearest of the `allowed` integers to each weight; of two, the smaller magnitude.

    Parameters
    ----------
    allowed : iterable of int
    weights : integer array

    Returns
    -------
    int64 array of the same shape
    """
    values = np.array(sorted(set(allowed)), dtype=np.int64)
    weights = np.asarray(weights, dtype=np.int64)
    above = np.clip(np.searchsorted(values, weights), 1, len(values) - 1)
    low, high = values[above - 1], values[above]
    below, beyond = np.abs(weights - low), np.abs(high - weights)
    take_low = (below < beyond) | ((below == beyond) & (np.abs(low) < np.abs(high)))
    return np.where(take_low, low, high)
