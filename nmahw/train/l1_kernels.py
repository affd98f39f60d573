"""Compiled loops of AdderNet's layers: L1 sums, and the clipped gradient of their inputs.

H. Chen et al., "AdderNet: Do We Really Need Multiplications in Deep Learning?", CVPR 2020.

Rows are handled `_TILE` at a time, turned so that the rows of a tile lie side by side: the inner
loops run over rows, whose sums do not depend on each other, so that vector instructions carry
them out whatever the number of channels, and each sum's order (k = 0, 1, ...) stays the same.
"""

import numba
import numpy as np

__all__ = ["l1_input_gradient", "l1_sums"]

_jit = numba.njit(cache=True, nogil=True)
_TILE = 64
_UNROLLED = 4


@_jit
def _turn(x: np.ndarray, start: int, rows: int, tile: np.ndarray) -> None:
    """``tile[k, r] = x[start + r, k]``."""
    for k in range(x.shape[1]):
        for r in range(rows):
            tile[k, r] = x[start + r, k]


@_jit
def l1_sums(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``-sum_k |x[s, k] - w[k, n]|`` (S, N), equation 2.

    Parameters
    ----------
    x : float array (S, K)
    w : float array (K, N), of the same type
    """
    count, taps = x.shape
    channels = w.shape[1]
    result = np.empty((count, channels), x.dtype)
    tile = np.zeros((taps, _TILE), x.dtype)
    sums = np.empty(_TILE, x.dtype)
    whole = taps - taps % _UNROLLED
    for start in range(0, count, _TILE):
        rows = min(_TILE, count - start)
        _turn(x, start, rows, tile)
        for n in range(channels):
            sums[:] = 0
            for k in range(0, whole, _UNROLLED):
                a, b, c, d = w[k, n], w[k + 1, n], w[k + 2, n], w[k + 3, n]
                for r in range(_TILE):
                    sums[r] = (sums[r] + abs(tile[k, r] - a) + abs(tile[k + 1, r] - b)
                               + abs(tile[k + 2, r] - c) + abs(tile[k + 3, r] - d))
            for k in range(whole, taps):
                a = w[k, n]
                for r in range(_TILE):
                    sums[r] += abs(tile[k, r] - a)
            for r in range(rows):
                result[start + r, n] = -sums[r]
    return result


@_jit
def l1_input_gradient(x: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """``sum_n gradient[s, n] * clip(w[k, n] - x[s, k], -1, 1)`` (S, K), equations 6 and 7.

    Parameters
    ----------
    x : float array (S, K)
    w : float array (K, N)
    gradient : float array (S, N)
        Of the sums; all of one type.
    """
    count, taps = x.shape
    channels = w.shape[1]
    one = x.dtype.type(1)
    result = np.empty((count, taps), x.dtype)
    tile, turned = np.zeros((taps, _TILE), x.dtype), np.zeros((channels, _TILE), x.dtype)
    sums = np.empty(_TILE, x.dtype)
    out = np.empty((taps, _TILE), x.dtype)
    whole = channels - channels % 2
    for start in range(0, count, _TILE):
        rows = min(_TILE, count - start)
        _turn(x, start, rows, tile)
        _turn(gradient, start, rows, turned)
        for k in range(taps):
            sums[:] = 0
            for n in range(0, whole, 2):
                a, b = w[k, n], w[k, n + 1]
                for r in range(_TILE):
                    p, q = a - tile[k, r], b - tile[k, r]
                    sums[r] = (sums[r] + turned[n, r] * min(max(p, -one), one)
                               + turned[n + 1, r] * min(max(q, -one), one))
            for n in range(whole, channels):
                a = w[k, n]
                for r in range(_TILE):
                    sums[r] += turned[n, r] * min(max(a - tile[k, r], -one), one)
            for r in range(_TILE):
                out[k, r] = sums[r]
        for r in range(rows):
            for k in range(taps):
                result[start + r, k] = out[k, r]
    return result
