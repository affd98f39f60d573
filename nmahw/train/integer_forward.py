"""Compiled loops of exact integer training: from images to scores.

Layers lie in flat arrays; a row of `layout` tells where (`LAYOUT` names its columns). Values are
planes ``[channel][row][column]``, zero padding included, so that a window is a run of addresses;
a dense layer's values are channels of one position. Every operation is on 32-bit integers that
`IntegerPlan` proves wide enough. docs/training.md specifies every step.
"""

import numba
import numpy as np

__all__ = ["LAYOUT", "forward", "load_image", "product", "shifted"]

#: Columns of `layout`, one row a layer with weights.
LAYOUT = ("dense", "outputs", "channels", "height", "width", "size", "rows", "columns", "pool",
          "pooled_rows", "pooled_columns", "padding_after", "weights", "bias", "lanes", "values",
          "sums", "positions", "bias_shift", "requantise_shift", "backward_shift",
          "update_shift", "bias_code_shift")
(DENSE, OUTPUTS, CHANNELS, HEIGHT, WIDTH, SIZE, ROWS, COLUMNS, POOL, POOLED_ROWS,
 POOLED_COLUMNS, PADDING_AFTER, WEIGHTS, BIAS, LANES, VALUES, SUMS, POSITIONS,
 BIAS_SHIFT, REQUANTISE_SHIFT, BACKWARD_SHIFT, UPDATE_SHIFT, BIAS_CODE_SHIFT
 ) = range(len(LAYOUT))

# Numba's cache looks at the caller's file only: after a change here, `integer_kernels` has to be
# touched as well.
_jit = numba.njit(cache=True, nogil=True)


@_jit
def product(a, b, squares):
    """``a * b``, or by a table of quarter squares ``floor(s^2 / 4)`` if there is one."""
    if squares is None:
        return np.int32(a * b)
    return np.int32(squares[abs(a + b)] - squares[abs(a - b)])


@_jit
def shifted(value, shift):
    """``value * 2^shift``; to the right with rounding half up."""
    if shift >= 0:
        return value << shift
    return (value + (1 << (-shift - 1))) >> -shift


@_jit
def load_image(image, values, layout, input_padding):
    """Codes of an image, without padding, to the first layer's values."""
    if layout[0, DENSE]:
        for k in range(image.size):
            values[k] = image[k]
        return
    width, height, pad = layout[0, WIDTH], layout[0, HEIGHT], input_padding
    k = 0
    for c in range(layout[0, CHANNELS]):
        for r in range(pad, height - pad):
            for z in range(pad, width - pad):
                values[(c * height + r) * width + z] = image[k]
                k += 1


@_jit
def _dense_sums(values, weights, sums, inputs, outputs, squares):
    for k in range(inputs):
        x = values[k]
        if x != 0:
            row = weights[k * outputs:(k + 1) * outputs]
            for n in range(outputs):
                sums[n] = np.int32(sums[n] + product(x, row[n], squares))


@_jit
def _add_five(out, x, w, squares):
    """Five taps side by side at once: what is summed stays in registers."""
    a, b, c, d, e = w[0], w[1], w[2], w[3], w[4]
    for t in range(len(out)):
        first = np.int32(product(x[t], a, squares) + product(x[t + 1], b, squares))
        second = np.int32(product(x[t + 2], c, squares) + product(x[t + 3], d, squares))
        third = np.int32(out[t] + product(x[t + 4], e, squares))
        out[t] = np.int32(np.int32(first + second) + third)


@_jit
def _add_three(out, x, w, squares):
    a, b, c = w[0], w[1], w[2]
    for t in range(len(out)):
        first = np.int32(product(x[t], a, squares) + product(x[t + 1], b, squares))
        second = np.int32(out[t] + product(x[t + 2], c, squares))
        out[t] = np.int32(first + second)


@_jit
def _add_one(out, x, w, squares):
    a = w[0]
    for t in range(len(out)):
        out[t] = np.int32(out[t] + product(x[t], a, squares))


@_jit
def _conv_sums(values, weights, bias, sums, row, squares):
    """At stride 1 and all columns: those that lie across a row's end hold what is never read."""
    width, size, plane = row[WIDTH], row[SIZE], row[HEIGHT] * row[WIDTH]
    channels, area = row[CHANNELS], row[ROWS] * row[WIDTH]
    length = (row[ROWS] - 1) * width + row[COLUMNS]
    tap = 0
    for n in range(row[OUTPUTS]):
        out = sums[n * area:n * area + length]
        out[:] = bias[n]
        for c in range(channels):
            for i in range(size):
                j = 0
                while j < size:
                    start = c * plane + i * width + j
                    taps = 5 if size - j >= 5 else 3 if size - j >= 3 else 1
                    x, w = values[start:start + length + taps - 1], weights[tap:tap + taps]
                    if taps == 5:
                        _add_five(out, x, w, squares)
                    elif taps == 3:
                        _add_three(out, x, w, squares)
                    else:
                        _add_one(out, x, w, squares)
                    j += taps
                    tap += taps


@_jit
def forward(layout, weights, biases, values, sums, places, high, squares):
    """From the first layer's values to the sums of the last."""
    last = len(layout) - 1
    for index in range(last + 1):
        row = layout[index]
        outputs, pool, area = row[OUTPUTS], row[POOL], row[ROWS] * row[WIDTH]
        taps = row[CHANNELS] * row[SIZE] * row[SIZE]
        x = values[row[VALUES]:]
        w = weights[row[WEIGHTS]:row[WEIGHTS] + taps * outputs]
        b = biases[row[LANES]:row[LANES] + outputs]
        out = sums[row[SUMS]:]
        if row[DENSE]:
            area = 1
            out[:outputs] = b
            _dense_sums(x, w, out[:outputs], taps, outputs, squares)
        else:
            _conv_sums(x, w, b, out, row, squares)
        if index == last:
            break
        shift = row[REQUANTISE_SHIFT]
        half = (1 << shift) >> 1
        pad = row[PADDING_AFTER]
        height, width = row[POOLED_ROWS] + 2 * pad, row[POOLED_COLUMNS] + 2 * pad
        after = values[layout[index + 1, VALUES]:]
        place = places[row[POSITIONS]:]
        position = 0
        for n in range(outputs):
            for r in range(row[POOLED_ROWS]):
                for z in range(row[POOLED_COLUMNS]):
                    best, where = -1, 0
                    for i in range(pool):
                        for j in range(pool):
                            at = (r * pool + i) * row[WIDTH] + z * pool + j
                            code = (out[n * area + at] + half) >> shift
                            code = min(max(code, 0), high)
                            if code > best:
                                best, where = code, at
                    after[(n * height + r + pad) * width + z + pad] = best
                    place[position] = where
                    position += 1
