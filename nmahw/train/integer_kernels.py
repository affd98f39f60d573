"""Compiled loops of exact integer training; docs/training.md specifies every step of them.

Layers lie in flat arrays; a row of `layout` tells where (`LAYOUT` names its columns). Values are
planes ``[channel][row][column]``, zero padding included, so that a window is a run of addresses;
a dense layer's values are channels of one position. Every operation is on 32-bit integers that
`IntegerPlan` proves wide enough.
"""

import numba
import numpy as np

__all__ = ["LAYOUT", "backward", "forward", "image_loss", "infer", "load_image", "move_images",
           "train_images", "update"]

#: Columns of `layout`, one row a layer with weights.
LAYOUT = ("dense", "outputs", "channels", "height", "width", "size", "rows", "columns", "pool",
          "pooled_rows", "pooled_columns", "padding_after", "weights", "bias", "lanes", "values",
          "sums", "positions", "bias_shift", "requantise_shift", "backward_shift",
          "update_shift", "bias_code_shift")
(_DENSE, _OUTPUTS, _CHANNELS, _HEIGHT, _WIDTH, _SIZE, _ROWS, _COLUMNS, _POOL, _POOLED_ROWS,
 _POOLED_COLUMNS, _PADDING_AFTER, _WEIGHTS, _BIAS, _LANES, _VALUES, _SUMS, _POSITIONS,
 _BIAS_SHIFT, _REQUANTISE_SHIFT, _BACKWARD_SHIFT, _UPDATE_SHIFT, _BIAS_CODE_SHIFT
 ) = range(len(LAYOUT))

_jit = numba.njit(cache=True, nogil=True)
_inner = numba.njit(cache=True, nogil=True, inline="always")
# Softmax by powers of two: fraction bits of an exponent, and of a term.
_EXPONENT_BITS, _TERM_BITS = 4, 15


@_jit
def _product(a, b, squares):
    """``a * b``, or by a table of quarter squares ``floor(s^2 / 4)`` if there is one."""
    if squares is None:
        return np.int32(a * b)
    return np.int32(squares[abs(a + b)] - squares[abs(a - b)])


@_jit
def _shifted(value, shift):
    """``value * 2^shift``; to the right with rounding half up."""
    if shift >= 0:
        return value << shift
    return (value + (1 << (-shift - 1))) >> -shift


@_jit
def _next(lane):
    """The register's next state: xorshift32 (Marsaglia 2003), linear, period 2^32 - 1."""
    lane = np.uint32(lane ^ np.uint32(lane << np.uint32(13)))
    lane = np.uint32(lane ^ (lane >> np.uint32(17)))
    return np.uint32(lane ^ np.uint32(lane << np.uint32(5)))


@_jit
def _clip(value, limit):
    return min(max(value, -limit), limit)


@_jit
def move_images(x, down, right, moved):
    """Images (images, channels, height, width) moved by `down` and `right` each, to `moved`."""
    height, width = x.shape[2], x.shape[3]
    for image in range(len(x)):
        dy, dx = down[image], right[image]
        for c in range(x.shape[1]):
            for r in range(height):
                for z in range(width):
                    inside = 0 <= r - dy < height and 0 <= z - dx < width
                    moved[image, c, r, z] = x[image, c, r - dy, z - dx] if inside else 0


@_jit
def load_image(image, values, layout, input_padding):
    """Codes of an image, without padding, to the first layer's values."""
    if layout[0, _DENSE]:
        for k in range(image.size):
            values[k] = image[k]
        return
    width, height, pad = layout[0, _WIDTH], layout[0, _HEIGHT], input_padding
    k = 0
    for c in range(layout[0, _CHANNELS]):
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
                sums[n] = np.int32(sums[n] + _product(x, row[n], squares))


@_jit
def _add_five(out, x, w, squares):
    """Five taps side by side at once: what is summed stays in registers."""
    a, b, c, d, e = w[0], w[1], w[2], w[3], w[4]
    for t in range(len(out)):
        first = np.int32(_product(x[t], a, squares) + _product(x[t + 1], b, squares))
        second = np.int32(_product(x[t + 2], c, squares) + _product(x[t + 3], d, squares))
        third = np.int32(out[t] + _product(x[t + 4], e, squares))
        out[t] = np.int32(np.int32(first + second) + third)


@_jit
def _add_three(out, x, w, squares):
    a, b, c = w[0], w[1], w[2]
    for t in range(len(out)):
        first = np.int32(_product(x[t], a, squares) + _product(x[t + 1], b, squares))
        second = np.int32(out[t] + _product(x[t + 2], c, squares))
        out[t] = np.int32(first + second)


@_jit
def _add_one(out, x, w, squares):
    a = w[0]
    for t in range(len(out)):
        out[t] = np.int32(out[t] + _product(x[t], a, squares))


@_jit
def _conv_sums(values, weights, bias, sums, row, squares):
    """At stride 1 and all columns: those that lie across a row's end hold what is never read."""
    width, size, plane = row[_WIDTH], row[_SIZE], row[_HEIGHT] * row[_WIDTH]
    channels, area = row[_CHANNELS], row[_ROWS] * row[_WIDTH]
    length = (row[_ROWS] - 1) * width + row[_COLUMNS]
    tap = 0
    for n in range(row[_OUTPUTS]):
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
        outputs, pool, area = row[_OUTPUTS], row[_POOL], row[_ROWS] * row[_WIDTH]
        taps = row[_CHANNELS] * row[_SIZE] * row[_SIZE]
        x = values[row[_VALUES]:]
        w = weights[row[_WEIGHTS]:row[_WEIGHTS] + taps * outputs]
        b = biases[row[_LANES]:row[_LANES] + outputs]
        out = sums[row[_SUMS]:]
        if row[_DENSE]:
            area = 1
            out[:outputs] = b
            _dense_sums(x, w, out[:outputs], taps, outputs, squares)
        else:
            _conv_sums(x, w, b, out, row, squares)
        if index == last:
            break
        shift = row[_REQUANTISE_SHIFT]
        half = (1 << shift) >> 1
        pad = row[_PADDING_AFTER]
        height, width = row[_POOLED_ROWS] + 2 * pad, row[_POOLED_COLUMNS] + 2 * pad
        after = values[layout[index + 1, _VALUES]:]
        place = places[row[_POSITIONS]:]
        position = 0
        for n in range(outputs):
            for r in range(row[_POOLED_ROWS]):
                for z in range(row[_POOLED_COLUMNS]):
                    best, where = -1, 0
                    for i in range(pool):
                        for j in range(pool):
                            at = (r * pool + i) * row[_WIDTH] + z * pool + j
                            code = (out[n * area + at] + half) >> shift
                            code = min(max(code, 0), high)
                            if code > best:
                                best, where = code, at
                    after[(n * height + r + pad) * width + z + pad] = best
                    place[position] = where
                    position += 1


@_jit
def image_loss(scores, y, gradient, settings, exponentials):
    """Gradient of an image's loss to the scores; returns the loss, which only reports.

    `settings`: whether softmax; shift of the gradient (hinge) or of the scores (softmax); margin;
    bits of a gradient without its sign.
    """
    softmax, shift, margin, bits = settings[0], settings[1], settings[2], settings[3]
    limit = (1 << bits) - 1
    loss = 0.0
    if not softmax:
        for n in range(len(scores)):
            short = margin - (scores[n] if n == y else -scores[n])
            if short <= 0:
                gradient[n] = 0
                continue
            loss += (short / margin) ** 2 / 2
            code = min(_shifted(short, -shift), limit)
            gradient[n] = -code if n == y else code
        return loss
    total, best = 0, scores[0]
    for n in range(len(scores)):
        best = max(best, scores[n])
    for n in range(len(scores)):
        below = _shifted(best - scores[n], -shift)
        whole = min(below >> _EXPONENT_BITS, 31)
        gradient[n] = exponentials[below & ((1 << _EXPONENT_BITS) - 1)] >> whole
        total += gradient[n]
    loss = np.log(total / max(gradient[y], 0.5))
    for n in range(len(scores)):
        code = ((gradient[n] << bits) + (total >> 1)) // total
        gradient[n] = _clip(code - ((1 << bits) if n == y else 0), limit)
    return loss


@_jit
def backward(layout, weights, values, places, gradients, spread, totals, reached, lanes, limit,
             stochastic, squares, index):
    """From the gradient of layer `index`'s results: gradient sums, and the layer before's.

    Returns whether that has a gradient that is not zero. Dense layers add to `totals` only if it
    is not empty: at batch 1 `update` makes the products itself.
    """
    row = layout[index]
    outputs, size, channels = row[_OUTPUTS], row[_SIZE], row[_CHANNELS]
    height, width = row[_HEIGHT], row[_WIDTH]
    plane, taps = height * width, channels * size * size
    x = values[row[_VALUES]:]
    g = gradients[row[_POSITIONS]:]
    w = weights[row[_WEIGHTS]:row[_WEIGHTS] + taps * outputs]
    reached[index] += 1
    if row[_DENSE]:
        if len(totals):
            total = totals[row[_WEIGHTS]:]
            for k in range(taps):
                if x[k] != 0:
                    for n in range(outputs):
                        total[k * outputs + n] = np.int32(
                            total[k * outputs + n] + _product(x[k], g[n], squares))
            total = totals[row[_BIAS]:]
            for n in range(outputs):
                total[n] = np.int32(total[n] + g[n])
        if index == 0:
            return False
        for k in range(taps):
            d = np.int32(0)
            if x[k] != 0:
                line = w[k * outputs:(k + 1) * outputs]
                for n in range(outputs):
                    d = np.int32(d + _product(line[n], g[n], squares))
            spread[k] = d
    else:
        total, place = totals[row[_WEIGHTS]:], places[row[_POSITIONS]:]
        bias = totals[row[_BIAS]:]
        if index:
            spread[:channels * plane] = 0
        count = row[_POOLED_ROWS] * row[_POOLED_COLUMNS]
        for n in range(outputs):
            for p in range(count):
                code = g[n * count + p]
                if code == 0:
                    continue
                bias[n] = np.int32(bias[n] + code)
                at = place[n * count + p]
                for c in range(channels):
                    for i in range(size):
                        start = c * plane + i * width + at
                        tap = ((n * channels + c) * size + i) * size
                        for j in range(size):
                            total[tap + j] = np.int32(
                                total[tap + j] + _product(x[start + j], code, squares))
                            if index:
                                spread[start + j] = np.int32(
                                    spread[start + j] + _product(w[tap + j], code, squares))
        if index == 0:
            return False
    return _round_gradient(layout, index, x, spread, gradients, lanes, limit, stochastic)


@_jit
def _round_gradient(layout, index, x, spread, gradients, lanes, limit, stochastic):
    """`spread`, as the gradient of the layer before, in its format; zero where it was closed."""
    before, row = layout[index - 1], layout[index]
    pad = before[_PADDING_AFTER]
    rows, columns = before[_POOLED_ROWS], before[_POOLED_COLUMNS]
    height, width = rows + 2 * pad, columns + 2 * pad
    out = gradients[before[_POSITIONS]:]
    shift = row[_BACKWARD_SHIFT]
    mask, half = (1 << shift) - 1, (1 << shift) >> 1
    seen, position = False, 0
    for n in range(before[_OUTPUTS]):
        lane = lanes[before[_LANES] + n]
        for r in range(rows):
            for z in range(columns):
                at = (n * height + r + pad) * width + z + pad
                addend = half
                if stochastic:
                    lane = _next(lane)
                    addend = np.int64(lane) & mask
                code = 0
                if x[at] != 0:
                    code = _clip((spread[at] + addend) >> shift, limit)
                out[position] = code
                seen = seen or code != 0
                position += 1
        lanes[before[_LANES] + n] = lane
    return seen


@_jit
def _move(sum_, addend, shift, master, limit):
    """Master minus the rounded step, saturated."""
    return np.int32(min(max(np.int32(master - np.int32(np.int32(sum_ + addend) >> (shift & 31))),
                            -limit), limit))


@_jit
def _dense_row(line, lane, master, weight, mask, half, shift, limits, stochastic):
    """Move one row of masters by the sums `line`; one draw each."""
    limit, low_shift, low_half, low_limit = limits[0], limits[1], limits[2], limits[3]
    for n in range(len(line)):
        addend = half
        if stochastic:
            lane[n] = _next(lane[n])
            addend = np.int32(lane[n] & mask)
        moved = _move(line[n], addend, shift, master[n], limit)
        master[n] = moved
        weight[n] = np.int32(min(max(np.int32(np.int32(moved + low_half) >> (low_shift & 31)),
                                     -low_limit), low_limit))


@_jit
def update(layout, masters, weights, biases, values, gradients, totals, used, lanes, line,
           limits, stochastic, squares, index, at_once):
    """Move layer `index`'s masters, and what follows from them.

    `at_once`: the products of one image are made here, row by row (dense, batch 1); otherwise
    `totals` has the sums, which are cleared. `limits`: of masters, then shift and half for the
    weights, then of weights; 32-bit.
    """
    row = layout[index]
    outputs = row[_OUTPUTS]
    taps = row[_CHANNELS] * row[_SIZE] * row[_SIZE]
    shift = np.int32(row[_UPDATE_SHIFT])
    mask, half = np.uint32((1 << shift) - 1), np.int32((1 << shift) >> 1)
    lane = lanes[row[_LANES]:row[_LANES] + outputs]
    master = masters[row[_WEIGHTS]:row[_WEIGHTS] + taps * outputs]
    weight = weights[row[_WEIGHTS]:row[_WEIGHTS] + taps * outputs]
    line = line[:outputs]
    if row[_DENSE]:
        x, g = values[row[_VALUES]:], gradients[row[_POSITIONS]:]
        for k in range(taps):
            low = k * outputs
            if at_once:
                code = x[k]
                if code == 0:
                    continue
                for n in range(outputs):
                    line[n] = _product(code, g[n], squares)
            else:
                if used[row[_VALUES] + k] == 0:
                    continue
                used[row[_VALUES] + k] = 0
                total = totals[row[_WEIGHTS] + low:row[_WEIGHTS] + low + outputs]
                line[:] = total
                total[:] = 0
            _dense_row(line, lane, master[low:low + outputs], weight[low:low + outputs], mask,
                       half, shift, limits, stochastic)
    else:
        total = totals[row[_WEIGHTS]:]
        for n in range(outputs):
            for k in range(n * taps, (n + 1) * taps):
                addend = half
                if stochastic:
                    lane[n] = _next(lane[n])
                    addend = np.int32(lane[n] & mask)
                moved = _move(total[k], addend, shift, master[k], limits[0])
                total[k] = 0
                master[k] = moved
                weight[k] = _clip((moved + limits[2]) >> limits[1], limits[3])
    code_shift, bias_shift = row[_BIAS_CODE_SHIFT], row[_BIAS_SHIFT]
    for n in range(outputs):
        addend = half
        if stochastic:
            lane[n] = _next(lane[n])
            addend = np.int32(lane[n] & mask)
        step = gradients[row[_POSITIONS] + n] if at_once else totals[row[_BIAS] + n]
        totals_at = row[_BIAS] + n
        if not at_once:
            totals[totals_at] = 0
        moved = _move(step << code_shift, addend, shift, masters[totals_at], limits[0])
        masters[totals_at] = moved
        biases[row[_LANES] + n] = _shifted(moved, bias_shift)


@_jit
def train_images(layout, order, images, y, batch, input_padding, masters, weights, biases, lanes,
                 values, sums, places, gradients, spread, totals, used, reached, line, loss_form,
                 exponentials, high, gradient_limit, limits, stochastic, squares):
    """Train on the images that `order` names, a batch at a time; loss and right answers, summed."""
    last, loss, right = len(layout) - 1, 0.0, 0
    none = totals[:0]
    first_score, scores_count = layout[last, _SUMS], layout[last, _OUTPUTS]
    for start in range(0, len(order), batch):
        for at in range(start, min(start + batch, len(order))):
            label = y[order[at]]
            load_image(images[order[at]], values, layout, input_padding)
            forward(layout, weights, biases, values, sums, places, high, squares)
            scores = sums[first_score:first_score + scores_count]
            best = 0
            for n in range(1, scores_count):
                if scores[n] > scores[best]:
                    best = n
            right += best == label
            g = gradients[layout[last, _POSITIONS]:]
            loss += image_loss(scores, label, g, loss_form, exponentials)
            seen = False
            for n in range(scores_count):
                seen = seen or g[n] != 0
            index = last
            while seen:
                dense = layout[index, _DENSE] != 0
                at_once = dense and batch == 1
                if dense and not at_once:
                    base = layout[index, _VALUES]
                    for k in range(base, base + layout[index, _CHANNELS]):
                        used[k] |= values[k] != 0
                seen = backward(layout, weights, values, places, gradients, spread,
                                none if at_once else totals, reached, lanes, gradient_limit,
                                stochastic, squares, index)
                if batch == 1:
                    update(layout, masters, weights, biases, values, gradients, totals, used,
                           lanes, line, limits, stochastic, squares, index, at_once)
                    reached[index] = 0
                index -= 1
        if batch > 1:
            for index in range(last, -1, -1):
                if reached[index]:
                    update(layout, masters, weights, biases, values, gradients, totals, used,
                           lanes, line, limits, stochastic, squares, index, False)
                    reached[index] = 0
    return loss, right


@_jit
def infer(layout, images, input_padding, weights, biases, values, sums, places, high, squares):
    """Scores (images, classes)."""
    last = len(layout) - 1
    count, first = layout[last, _OUTPUTS], layout[last, _SUMS]
    result = np.empty((len(images), count), np.int64)
    for at in range(len(images)):
        load_image(images[at], values, layout, input_padding)
        forward(layout, weights, biases, values, sums, places, high, squares)
        result[at] = sums[first:first + count]
    return result
