"""Batch norm's passes over its values, compiled, and sums and biases of channels for all layers.

What multiplies is for ordinary arithmetic only; `channel_sums` and `add_to_channels` only add.

Values are (rows, channels). Rows are handled 16 at a time as one long row, so that vector
instructions are used whatever the number of channels.
"""

import numba
import numpy as np

__all__ = ["add_to_channels", "centre", "channel_sums", "normalise", "normalise_backward",
           "product_sums"]

_jit = numba.njit(cache=True, nogil=True)
_ROWS = 16


@_jit
def _fold_sums(sums: np.ndarray, channels: int) -> np.ndarray:
    result = np.zeros(channels, sums.dtype)
    for i in range(len(sums)):
        result[i % channels] += sums[i]
    return result


@_jit
def _tiled(values: np.ndarray) -> np.ndarray:
    channels = len(values)
    result = np.empty(channels * _ROWS, values.dtype)
    for i in range(len(result)):
        result[i] = values[i % channels]
    return result


@_jit
def channel_sums(x: np.ndarray) -> np.ndarray:
    """Sum over rows (channels,) of `x` (rows, channels)."""
    channels = x.shape[1]
    width = channels * _ROWS
    flat = x.reshape(-1)
    sums = np.zeros(width, x.dtype)
    for start in range(0, len(flat), width):
        for i in range(min(width, len(flat) - start)):
            sums[i] += flat[start + i]
    return _fold_sums(sums, channels)


@_jit
def add_to_channels(x: np.ndarray, values: np.ndarray) -> None:
    """Add `values` (channels,) to every row of `x` (rows, channels), in place."""
    wide = _tiled(values)
    flat = x.reshape(-1)
    for start in range(0, len(flat), len(wide)):
        for i in range(min(len(wide), len(flat) - start)):
            flat[start + i] += wide[i]


@_jit
def product_sums(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sum over rows (channels,) of ``x * y`` (rows, channels)."""
    channels = x.shape[1]
    width = channels * _ROWS
    a, b = x.reshape(-1), y.reshape(-1)
    sums = np.zeros(width, x.dtype)
    for start in range(0, len(a), width):
        for i in range(min(width, len(a) - start)):
            sums[i] += a[start + i] * b[start + i]
    return _fold_sums(sums, channels)


@_jit
def centre(x: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``x - mean``, and the sums over rows of its squares."""
    channels = x.shape[1]
    width = channels * _ROWS
    flat, means = x.reshape(-1), _tiled(mean)
    result = np.empty(len(flat), x.dtype)
    sums = np.zeros(width, x.dtype)
    for start in range(0, len(flat), width):
        for i in range(min(width, len(flat) - start)):
            value = flat[start + i] - means[i]
            result[start + i] = value
            sums[i] += value * value
    return result.reshape(x.shape), _fold_sums(sums, channels)


@_jit
def normalise(centred: np.ndarray, inverse: np.ndarray, scale: np.ndarray, offset: np.ndarray
              ) -> tuple[np.ndarray, np.ndarray]:
    """``normal = centred * inverse`` (in place of `centred`), and ``normal * scale + offset``."""
    width = centred.shape[1] * _ROWS
    flat = centred.reshape(-1)
    inverses, scales, offsets = _tiled(inverse), _tiled(scale), _tiled(offset)
    result = np.empty(len(flat), centred.dtype)
    for start in range(0, len(flat), width):
        for i in range(min(width, len(flat) - start)):
            value = flat[start + i] * inverses[i]
            flat[start + i] = value
            result[start + i] = value * scales[i] + offsets[i]
    return centred, result.reshape(centred.shape)


@_jit
def normalise_backward(gradient: np.ndarray, normal: np.ndarray, factor: np.ndarray,
                       mean: np.ndarray, along: np.ndarray) -> np.ndarray:
    """``factor * (gradient - mean - normal * along)``; per channel: `factor`, `mean`, `along`."""
    width = gradient.shape[1] * _ROWS
    g, normals = gradient.reshape(-1), normal.reshape(-1)
    factors, means, alongs = _tiled(factor), _tiled(mean), _tiled(along)
    result = np.empty(len(g), gradient.dtype)
    for start in range(0, len(g), width):
        for i in range(min(width, len(g) - start)):
            result[start + i] = factors[i] * (g[start + i] - means[i]
                                              - normals[start + i] * alongs[i])
    return result.reshape(gradient.shape)
