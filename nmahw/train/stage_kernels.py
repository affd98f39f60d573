"""Fused loops around the sums of a layer: patches, affine and ReLU and rounding and pooling, back.

Arrays have axes (channel, batch, y, x), float32, so that inner loops run along image rows; dense
layers have y = x = 1. One sweep over the sums each way, where separate layers would take a dozen.
"""

import numba
import numpy as np

__all__ = ["affine_relu_pool", "channel_moments", "fold", "scatter", "scatter_normalised",
           "shift_images", "unfold"]

_jit = numba.njit(cache=True, nogil=True)


@_jit
def unfold(x: np.ndarray, size: int, stride: int, padding: int, result: np.ndarray) -> None:
    """Operands of every window into `result` (channels * size * size, batch * rows * columns).

    Its rows are in the IR's order: channel, y, x. What lies outside is left as it is: zeros.
    """
    channels, batch, height, width = x.shape
    rows = (height + 2 * padding - size) // stride + 1
    columns = (width + 2 * padding - size) // stride + 1
    for channel in range(channels):
        for i in range(size):
            for j in range(size):
                taps = result[(channel * size + i) * size + j]
                # Columns whose window has this tap inside.
                first = max(0, -((j - padding) // stride))
                end = min(columns, (width - 1 - j + padding) // stride + 1)
                for b in range(batch):
                    for r in range(rows):
                        y = r * stride + i - padding
                        if y < 0 or y >= height:
                            continue
                        base = (b * rows + r) * columns
                        line = x[channel, b, y]
                        for c in range(first, end):
                            taps[base + c] = line[c * stride + j - padding]


@_jit
def fold(patches: np.ndarray, size: int, stride: int, padding: int, result: np.ndarray) -> None:
    """Sum of patches where they came from, the transpose of `unfold`, into zeroed `result`."""
    channels, batch, height, width = result.shape
    rows = (height + 2 * padding - size) // stride + 1
    columns = (width + 2 * padding - size) // stride + 1
    for channel in range(channels):
        for i in range(size):
            for j in range(size):
                taps = patches[(channel * size + i) * size + j]
                first = max(0, -((j - padding) // stride))
                end = min(columns, (width - 1 - j + padding) // stride + 1)
                for b in range(batch):
                    for r in range(rows):
                        y = r * stride + i - padding
                        if y < 0 or y >= height:
                            continue
                        base = (b * rows + r) * columns
                        line = result[channel, b, y]
                        for c in range(first, end):
                            line[c * stride + j - padding] += taps[base + c]


@_jit
def channel_moments(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (float64) of every row of (N, S) sums."""
    channels, count = sums.shape
    mean, variance = np.empty(channels), np.empty(channels)
    lanes, lanes_square = np.empty(16, np.float32), np.empty(16, np.float32)
    for k in range(channels):
        # Moments about the first value, so that little cancels; float32 within blocks only.
        origin = sums[k, 0]
        total = square = 0.0
        for start in range(0, count, 1024):
            lanes[:] = 0
            lanes_square[:] = 0
            end = min(start + 1024, count)
            whole = end - (end - start) % 16
            for at in range(start, whole, 16):
                for lane in range(16):
                    value = sums[k, at + lane] - origin
                    lanes[lane] += value
                    lanes_square[lane] += value * value
            for at in range(whole, end):
                value = sums[k, at] - origin
                lanes[0] += value
                lanes_square[0] += value * value
            for lane in range(16):
                total += lanes[lane]
                square += lanes_square[lane]
        mean[k] = total / count
        variance[k] = max(square / count - mean[k] * mean[k], 0.0)
        mean[k] += origin
    return mean, variance


@numba.njit(inline="always")
def _largest(sums: np.ndarray, r: int, factor: float, offset: float, size: int, best: np.ndarray,
             where: np.ndarray) -> None:
    """Largest affine value of each window in row `r` of windows, and its place."""
    line = sums[r * size]
    for c in range(len(best)):
        best[c] = line[c * size] * factor + offset
        where[c] = 0
    for i in range(size):
        line = sums[r * size + i]
        for j in range(size):
            if i == 0 and j == 0:
                continue
            at = np.int32(i * size + j)
            for c in range(len(best)):
                value = line[c * size + j] * factor + offset
                larger = value > best[c]
                best[c] = value if larger else best[c]
                where[c] = at if larger else where[c]


@_jit
def affine_relu_pool(sums: np.ndarray, factor: np.ndarray, offset: np.ndarray, size: int,
                     high: float) -> tuple[np.ndarray, np.ndarray]:
    """Largest ``sum * factor + offset`` of each window, then ReLU, or rounding into 0 .. `high`.

    Parameters
    ----------
    sums : float32 array (channels, batch, height, width)
    factor, offset : float32 array (channels,)
    size : int
        Side of the windows; 1 for no pooling.
    high : float
        Largest code; results are ``clip(floor(z + 1/2), 0, high)``. 0: results are ``max(z, 0)``.

    Returns
    -------
    result : float32 array (channels, batch, rows, columns)
    place : int8 array, same shape
        Where in its window the largest was; -1 where no gradient passes, because the value was
        rectified or clipped.
    """
    channels, batch, height, width = sums.shape
    rows, columns = height // size, width // size
    result = np.empty((channels, batch, rows, columns), np.float32)
    place = np.empty((channels, batch, rows, columns), np.int8)
    half, zero, limit = np.float32(0.5), np.float32(0), np.float32(high)
    top = limit + half if limit > 0 else np.float32(np.inf)
    best, where = np.empty(columns, np.float32), np.empty(columns, np.int32)
    for k in range(channels):
        for b in range(batch):
            for r in range(rows):
                # A constant size is what lets the compiler use vector instructions.
                if size == 2:
                    _largest(sums[k, b], r, factor[k], offset[k], 2, best, where)
                elif size == 1:
                    _largest(sums[k, b], r, factor[k], offset[k], 1, best, where)
                else:
                    _largest(sums[k, b], r, factor[k], offset[k], size, best, where)
                for c in range(columns):
                    value = best[c]
                    place[k, b, r, c] = where[c] if value > zero and value < top else -1
                if limit > 0:
                    for c in range(columns):
                        result[k, b, r, c] = min(max(np.floor(best[c] + half), zero), limit)
                else:
                    for c in range(columns):
                        result[k, b, r, c] = max(best[c], zero)
    return result, place


@_jit
def scatter(gradient: np.ndarray, place: np.ndarray, factor: np.ndarray, size: int,
            result: np.ndarray) -> np.ndarray:
    """Gradient of the sums into zeroed `result`; gives that of the offset (channels,)."""
    channels, batch, rows, columns = gradient.shape
    total = np.zeros(channels, np.float64)
    for k in range(channels):
        for b in range(batch):
            for r in range(rows):
                for c in range(columns):
                    at = place[k, b, r, c]
                    if at >= 0:
                        value = gradient[k, b, r, c]
                        total[k] += value
                        result[k, b, r * size + at // size, c * size + at % size] = \
                            value * factor[k]
    return total


@_jit
def scatter_normalised(gradient: np.ndarray, place: np.ndarray, sums: np.ndarray,
                       mean: np.ndarray, inverse: np.ndarray, scale: np.ndarray, size: int,
                       result: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same through a batch norm; gives the gradients of its scale and of its offset.

    Parameters
    ----------
    mean, inverse : float32 array (channels,)
        Of the batch: mean, and one over the standard deviation.
    scale : float32 array (channels,)
        What the normalised sums are multiplied by.
    """
    channels, batch, height, width = sums.shape
    rows, columns = gradient.shape[2:]
    offset_total, scale_total = np.zeros(channels, np.float64), np.zeros(channels, np.float64)
    for k in range(channels):
        for b in range(batch):
            for r in range(rows):
                for c in range(columns):
                    at = place[k, b, r, c]
                    if at >= 0:
                        value = gradient[k, b, r, c]
                        offset_total[k] += value
                        scale_total[k] += value * (
                            sums[k, b, r * size + at // size, c * size + at % size] - mean[k])
        scale_total[k] *= inverse[k]
        factor = scale[k] * inverse[k]
        count = batch * height * width
        slope = np.float32(-factor * inverse[k] * scale_total[k] / count)
        constant = np.float32(-factor * offset_total[k] / count - slope * mean[k])
        for b in range(batch):
            for y in range(height):
                for x in range(width):
                    result[k, b, y, x] = sums[k, b, y, x] * slope + constant
            for r in range(rows):
                for c in range(columns):
                    at = place[k, b, r, c]
                    if at >= 0:
                        result[k, b, r * size + at // size, c * size + at % size] += \
                            gradient[k, b, r, c] * factor
    return scale_total, offset_total


@_jit
def shift_images(images: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Images (batch, channels, height, width), each moved by so many rows and columns."""
    batch, channels, height, width = images.shape
    result = np.zeros_like(images)
    for b in range(batch):
        dy, dx = down[b], right[b]
        for channel in range(channels):
            for y in range(max(dy, 0), min(height + dy, height)):
                for x in range(max(dx, 0), min(width + dx, width)):
                    result[b, channel, y, x] = images[b, channel, y - dy, x - dx]
    return result
