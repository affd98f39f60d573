"""Loops of quantisation-aware training: sums over windows and their gradients, and what follows.

Arrays have axes (channel, y, x, batch), float32: the images of a batch lie side by side, so that
inner loops run over them whatever the network's sizes, and vector instructions carry them out.
A *padded* input is (channels * height * width, batch), borders included; `offsets` says where in it
each tap of a window lies from the window's first, in the IR's order channel, y, x.
"""

import numba
import numpy as np

__all__ = ["affine_relu_pool", "channel_moments", "input_gradient", "scatter",
           "scatter_normalised", "weight_gradient", "window_sums"]

_jit = numba.njit(cache=True, nogil=True)


@_jit
def window_sums(x: np.ndarray, offsets: np.ndarray, weights: np.ndarray, stride: int, pitch: int,
                result: np.ndarray) -> None:
    """Sums of `weights` (N, K) over every window of padded `x`, into (N, rows, columns, batch).

    Parameters
    ----------
    offsets : int64 array (K,)
    stride : int
        From a window to the next in its row.
    pitch : int
        From a row of windows to the next.
    """
    channels, rows, columns, batch = result.shape
    taps = len(offsets)
    whole = taps - taps % 4
    for r in range(rows):
        for c in range(columns):
            base = r * pitch + c * stride
            for n in range(channels):
                line = result[n, r, c]
                line[:] = 0
                # Four at a time, because loading and storing the sums takes longer than adding.
                for t in range(0, whole, 4):
                    x0, x1 = x[base + offsets[t]], x[base + offsets[t + 1]]
                    x2, x3 = x[base + offsets[t + 2]], x[base + offsets[t + 3]]
                    w0, w1 = weights[n, t], weights[n, t + 1]
                    w2, w3 = weights[n, t + 2], weights[n, t + 3]
                    for b in range(batch):
                        line[b] += w0 * x0[b] + w1 * x1[b] + w2 * x2[b] + w3 * x3[b]
                for t in range(whole, taps):
                    x0, w0 = x[base + offsets[t]], weights[n, t]
                    for b in range(batch):
                        line[b] += w0 * x0[b]


@_jit
def input_gradient(gradient: np.ndarray, offsets: np.ndarray, weights: np.ndarray, stride: int,
                   pitch: int, result: np.ndarray) -> None:
    """Gradient of the padded input, added to `result`; arguments as in `window_sums`."""
    channels, rows, columns, batch = gradient.shape
    whole = channels - channels % 4
    for r in range(rows):
        for c in range(columns):
            base = r * pitch + c * stride
            for t in range(len(offsets)):
                line = result[base + offsets[t]]
                for n in range(0, whole, 4):
                    g0, g1 = gradient[n, r, c], gradient[n + 1, r, c]
                    g2, g3 = gradient[n + 2, r, c], gradient[n + 3, r, c]
                    w0, w1 = weights[n, t], weights[n + 1, t]
                    w2, w3 = weights[n + 2, t], weights[n + 3, t]
                    for b in range(batch):
                        line[b] += w0 * g0[b] + w1 * g1[b] + w2 * g2[b] + w3 * g3[b]
                for n in range(whole, channels):
                    g0, w0 = gradient[n, r, c], weights[n, t]
                    for b in range(batch):
                        line[b] += w0 * g0[b]


@_jit
def weight_gradient(gradient: np.ndarray, x: np.ndarray, offsets: np.ndarray, stride: int,
                    pitch: int, result: np.ndarray) -> None:
    """Gradient of the weights into `result` (N, K); arguments as in `window_sums`."""
    channels, rows, columns, batch = gradient.shape
    taps = len(offsets)
    lanes = np.empty((5, batch), np.float32)
    for n in range(channels):
        for start in range(0, taps, 5):
            count = min(5, taps - start)
            lanes[:] = 0
            for r in range(rows):
                for c in range(columns):
                    base = r * pitch + c * stride
                    line = gradient[n, r, c]
                    if count == 5:
                        x0, x1 = x[base + offsets[start]], x[base + offsets[start + 1]]
                        x2, x3 = x[base + offsets[start + 2]], x[base + offsets[start + 3]]
                        x4 = x[base + offsets[start + 4]]
                        s0, s1, s2, s3, s4 = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4]
                        for b in range(batch):
                            value = line[b]
                            s0[b] += value * x0[b]
                            s1[b] += value * x1[b]
                            s2[b] += value * x2[b]
                            s3[b] += value * x3[b]
                            s4[b] += value * x4[b]
                    else:
                        for k in range(count):
                            x0, s0 = x[base + offsets[start + k]], lanes[k]
                            for b in range(batch):
                                s0[b] += line[b] * x0[b]
            for k in range(count):
                total = 0.0
                for b in range(batch):
                    total += lanes[k, b]
                result[n, start + k] = total


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


@_jit
def affine_relu_pool(sums: np.ndarray, factor: np.ndarray, offset: np.ndarray, size: int,
                     high: float) -> tuple[np.ndarray, np.ndarray]:
    """Largest ``sum * factor + offset`` of each window, then ReLU, or rounding into 0 .. `high`.

    Parameters
    ----------
    sums : float32 array (channels, height, width, batch)
    factor, offset : float32 array (channels,)
    size : int
        Side of the windows; 1 for no pooling.
    high : float
        Largest code; results are ``clip(floor(z + 1/2), 0, high)``. 0: results are ``max(z, 0)``.

    Returns
    -------
    result : float32 array (channels, rows, columns, batch)
    place : int8 array, same shape
        Where in its window the largest was; -1 where no gradient passes, because the value was
        rectified or clipped.
    """
    channels, height, width, batch = sums.shape
    rows, columns = height // size, width // size
    result = np.empty((channels, rows, columns, batch), np.float32)
    place = np.empty((channels, rows, columns, batch), np.int8)
    half, zero, limit = np.float32(0.5), np.float32(0), np.float32(high)
    top = limit + half if limit > 0 else np.float32(np.inf)
    where = np.empty(batch, np.int32)
    for k in range(channels):
        f, o = factor[k], offset[k]
        for r in range(rows):
            for c in range(columns):
                best = result[k, r, c]
                line = sums[k, r * size, c * size]
                for b in range(batch):
                    best[b] = line[b] * f + o
                    where[b] = 0
                for at in range(1, size * size):
                    line = sums[k, r * size + at // size, c * size + at % size]
                    for b in range(batch):
                        value = line[b] * f + o
                        larger = value > best[b]
                        best[b] = value if larger else best[b]
                        where[b] = np.int32(at) if larger else where[b]
                for b in range(batch):
                    value = best[b]
                    place[k, r, c, b] = where[b] if value > zero and value < top else -1
                if limit > 0:
                    for b in range(batch):
                        best[b] = min(max(np.floor(best[b] + half), zero), limit)
                else:
                    for b in range(batch):
                        best[b] = max(best[b], zero)
    return result, place


@_jit
def scatter(gradient: np.ndarray, place: np.ndarray, factor: np.ndarray, size: int,
            result: np.ndarray) -> np.ndarray:
    """Gradient of the sums into zeroed `result`; gives that of the offset (channels,)."""
    channels, rows, columns, batch = gradient.shape
    total = np.zeros(channels, np.float64)
    lanes = np.empty(batch, np.float32)
    zero = np.float32(0)
    for k in range(channels):
        f = factor[k]
        lanes[:] = 0
        for r in range(rows):
            for c in range(columns):
                line, where = gradient[k, r, c], place[k, r, c]
                for b in range(batch):
                    lanes[b] += line[b] if where[b] >= 0 else zero
                for at in range(size * size):
                    target = result[k, r * size + at // size, c * size + at % size]
                    for b in range(batch):
                        target[b] = line[b] * f if where[b] == at else zero
        for b in range(batch):
            total[k] += lanes[b]
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
    channels, height, width, batch = sums.shape
    rows, columns = gradient.shape[1:3]
    offset_total, scale_total = np.zeros(channels, np.float64), np.zeros(channels, np.float64)
    lanes, scaled = np.empty(batch, np.float32), np.empty(batch, np.float32)
    zero = np.float32(0)
    for k in range(channels):
        lanes[:] = 0
        scaled[:] = 0
        middle = mean[k]
        for r in range(rows):
            for c in range(columns):
                line, where = gradient[k, r, c], place[k, r, c]
                for at in range(size * size):
                    s = sums[k, r * size + at // size, c * size + at % size]
                    for b in range(batch):
                        value = line[b] if where[b] == at else zero
                        lanes[b] += value
                        scaled[b] += value * (s[b] - middle)
        for b in range(batch):
            offset_total[k] += lanes[b]
            scale_total[k] += scaled[b]
        scale_total[k] *= inverse[k]
        factor = scale[k] * inverse[k]
        count = batch * height * width
        slope = np.float32(-factor * inverse[k] * scale_total[k] / count)
        constant = np.float32(-factor * offset_total[k] / count - slope * middle)
        for y in range(height):
            for x in range(width):
                s, target = sums[k, y, x], result[k, y, x]
                for b in range(batch):
                    target[b] = s[b] * slope + constant
        for r in range(rows):
            for c in range(columns):
                line, where = gradient[k, r, c], place[k, r, c]
                for at in range(size * size):
                    target = result[k, r * size + at // size, c * size + at % size]
                    for b in range(batch):
                        target[b] += line[b] * factor if where[b] == at else zero
    return scale_total, offset_total
