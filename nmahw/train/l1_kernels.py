"""Compiled loops of AdderNet's layers: L1 sums, and the clipped gradient of their inputs.

H. Chen et al., "AdderNet: Do We Really Need Multiplications in Deep Learning?", CVPR 2020.

Operands come turned, (K, S): one after the other lie the operands k of all sums. The inner loops
run over `_TILE` sums at a time, which do not depend on each other, so that vector instructions
carry them out whatever the number of channels, and each sum's order (k = 0, 1, ...) stays the same.
Results go to arrays that are given, so that those of a few images stay in the cache.
"""

import numba
import numpy as np

__all__ = ["fold_turned", "l1_input_gradient", "l1_sums", "unfold_turned"]

_jit = numba.njit(cache=True, nogil=True)
_TILE = 64
_UNROLLED = 4


@_jit
def unfold_turned(x: np.ndarray, size: int, stride: int, padding: int, result: np.ndarray) -> None:
    """Operands of every window: `result` (size * size * channels, batch * rows * columns).

    Parameters
    ----------
    x : array (batch, height, width, channels)
    size, stride, padding : int
        Zeros are what lies outside.
    result : array
    """
    batch, height, width, channels = x.shape
    rows = (height + 2 * padding - size) // stride + 1
    columns = (width + 2 * padding - size) // stride + 1
    line = np.zeros((channels, width + 2 * padding), x.dtype)
    for b in range(batch):
        for y in range(-padding, height + padding):
            if 0 <= y < height:
                for z in range(width):
                    for k in range(channels):
                        line[k, z + padding] = x[b, y, z, k]
            else:
                line[:] = 0
            for i in range(size):
                place = y + padding - i
                if place % stride or place < 0 or place // stride >= rows:
                    continue
                start = (b * rows + place // stride) * columns
                for j in range(size):
                    for k in range(channels):
                        tap = (i * size + j) * channels + k
                        if stride == 1:
                            for c in range(columns):
                                result[tap, start + c] = line[k, c + j]
                        else:
                            for c in range(columns):
                                result[tap, start + c] = line[k, c * stride + j]


@_jit
def fold_turned(patches: np.ndarray, size: int, stride: int, padding: int, result: np.ndarray
                ) -> None:
    """Sum of patches where they came from, to `result`: the transpose of `unfold_turned`."""
    batch, height, width, channels = result.shape
    rows = (height + 2 * padding - size) // stride + 1
    columns = (width + 2 * padding - size) // stride + 1
    line = np.empty((channels, width + 2 * padding), patches.dtype)
    for b in range(batch):
        for y in range(height):
            line[:] = 0
            for i in range(size):
                place = y + padding - i
                if place % stride or place < 0 or place // stride >= rows:
                    continue
                start = (b * rows + place // stride) * columns
                for j in range(size):
                    for k in range(channels):
                        tap = (i * size + j) * channels + k
                        if stride == 1:
                            for c in range(columns):
                                line[k, c + j] += patches[tap, start + c]
                        else:
                            for c in range(columns):
                                line[k, c * stride + j] += patches[tap, start + c]
            for z in range(width):
                for k in range(channels):
                    result[b, y, z, k] = line[k, z + padding]


@_jit
def l1_sums(x: np.ndarray, w: np.ndarray, result: np.ndarray) -> None:
    """``result[s, n] = -sum_k |x[k, s] - w[k, n]|``, equation 2.

    Parameters
    ----------
    x : float array (K, S)
    w : float array (K, N), of the same type
    result : float array (S, N), of the same type
    """
    taps, count = x.shape
    channels = w.shape[1]
    # Arrays made here, so that the compiler knows them apart.
    tile, sums = np.zeros((taps, _TILE), x.dtype), np.empty(_TILE, x.dtype)
    whole = taps - taps % _UNROLLED
    for start in range(0, count, _TILE):
        rows = min(_TILE, count - start)
        for k in range(taps):
            for r in range(rows):
                tile[k, r] = x[k, start + r]
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


@_jit
def l1_input_gradient(x: np.ndarray, w: np.ndarray, gradient: np.ndarray, result: np.ndarray
                      ) -> None:
    """``result[k, s] = sum_n gradient[s, n] * clip(w[k, n] - x[k, s], -1, 1)``, equations 6, 7.

    Parameters
    ----------
    x : float array (K, S)
    w : float array (K, N)
    gradient : float array (S, N)
        Of the sums; all of one type.
    result : float array (K, S)
    """
    taps, count = x.shape
    channels = w.shape[1]
    one = x.dtype.type(1)
    turned = np.zeros((channels, _TILE), x.dtype)
    line, sums = np.zeros(_TILE, x.dtype), np.empty(_TILE, x.dtype)
    whole = channels - channels % 2
    for start in range(0, count, _TILE):
        rows = min(_TILE, count - start)
        for r in range(rows):
            for n in range(channels):
                turned[n, r] = gradient[start + r, n]
        for k in range(taps):
            for r in range(rows):
                line[r] = x[k, start + r]
            sums[:] = 0
            for n in range(0, whole, 2):
                a, b = w[k, n], w[k, n + 1]
                for r in range(_TILE):
                    value = line[r]
                    sums[r] = (sums[r] + turned[n, r] * min(max(a - value, -one), one)
                               + turned[n + 1, r] * min(max(b - value, -one), one))
            for n in range(whole, channels):
                a = w[k, n]
                for r in range(_TILE):
                    sums[r] += turned[n, r] * min(max(a - line[r], -one), one)
            for r in range(rows):
                result[k, start + r] = sums[r]
