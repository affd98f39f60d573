"""Patches of images for sums over windows, and pooling: compiled loops on (batch, y, x, channel).

Nothing is computed here but addresses, additions and comparisons.
"""

import numba
import numpy as np

__all__ = ["fold", "max_pool", "max_unpool", "unfold"]

_jit = numba.njit(cache=True, nogil=True)


@_jit
def unfold(x: np.ndarray, size: int, stride: int, padding: int) -> np.ndarray:
    """Operands of every window: (batch * rows * columns, size * size * channels).

    Parameters
    ----------
    x : array (batch, height, width, channels)
    size, stride, padding : int
        Zeros are what lies outside.
    """
    batch, height, width, channels = x.shape
    rows = (height + 2 * padding - size) // stride + 1
    columns = (width + 2 * padding - size) // stride + 1
    result = np.zeros((batch * rows * columns, size * size * channels), x.dtype)
    lines = np.ascontiguousarray(x).reshape(batch, height, width * channels)
    for b in range(batch):
        for r in range(rows):
            for c in range(columns):
                patch = result[(b * rows + r) * columns + c]
                # Columns of the window that lie inside: one piece of memory on both sides.
                first = c * stride - padding
                left, right = max(0, -first), min(size, width - first)
                for i in range(size):
                    y = r * stride + i - padding
                    if y < 0 or y >= height:
                        continue
                    target = patch[(i * size + left) * channels:(i * size + right) * channels]
                    source = lines[b, y, (first + left) * channels:]
                    for k in range(len(target)):
                        target[k] = source[k]
    return result


@_jit
def fold(patches: np.ndarray, batch: int, height: int, width: int, channels: int, size: int,
         stride: int, padding: int) -> np.ndarray:
    """Sum of patches where they came from: the transpose of `unfold`."""
    rows = (height + 2 * padding - size) // stride + 1
    columns = (width + 2 * padding - size) // stride + 1
    result = np.zeros((batch, height, width, channels), patches.dtype)
    lines = result.reshape(batch, height, width * channels)
    for b in range(batch):
        for r in range(rows):
            for c in range(columns):
                patch = patches[(b * rows + r) * columns + c]
                first = c * stride - padding
                left, right = max(0, -first), min(size, width - first)
                for i in range(size):
                    y = r * stride + i - padding
                    if y < 0 or y >= height:
                        continue
                    source = patch[(i * size + left) * channels:(i * size + right) * channels]
                    target = lines[b, y, (first + left) * channels:]
                    for k in range(len(source)):
                        target[k] += source[k]
    return result


@_jit
def max_pool(x: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest of each window, and which it was (the first of equal ones)."""
    batch, height, width, channels = x.shape
    rows, columns = height // size, width // size
    result = np.empty((batch, rows, columns, channels), x.dtype)
    which = np.empty((batch, rows, columns, channels), np.int32)
    for b in range(batch):
        for r in range(rows):
            for c in range(columns):
                for k in range(channels):
                    best, place = x[b, r * size, c * size, k], 0
                    for i in range(size):
                        for j in range(size):
                            value = x[b, r * size + i, c * size + j, k]
                            if value > best:
                                best, place = value, i * size + j
                    result[b, r, c, k] = best
                    which[b, r, c, k] = place
    return result, which


@_jit
def max_unpool(gradient: np.ndarray, which: np.ndarray, height: int, width: int, size: int
               ) -> np.ndarray:
    """Gradients where the largest values were, zeros elsewhere."""
    batch, rows, columns, channels = gradient.shape
    result = np.zeros((batch, height, width, channels), gradient.dtype)
    for b in range(batch):
        for r in range(rows):
            for c in range(columns):
                for k in range(channels):
                    place = which[b, r, c, k]
                    result[b, r * size + place // size, c * size + place % size, k] = \
                        gradient[b, r, c, k]
    return result
