"""Compiled loops of exact integer training: loss, backward, update, and whole batches.

`nmahw.train.integer_forward` tells how arrays are laid out; docs/training.md specifies every step.
"""

import numba
import numpy as np

from .integer_forward import (
    BACKWARD_SHIFT,
    BIAS,
    BIAS_CODE_SHIFT,
    BIAS_SHIFT,
    CHANNELS,
    DENSE,
    HEIGHT,
    LANES,
    OUTPUTS,
    PADDING_AFTER,
    POOLED_COLUMNS,
    POOLED_ROWS,
    POSITIONS,
    SIZE,
    SUMS,
    UPDATE_SHIFT,
    VALUES,
    WEIGHTS,
    WIDTH,
    forward,
    load_image,
    product,
    shifted,
)

__all__ = ["backward", "image_loss", "infer", "train_images", "update"]

_jit = numba.njit(cache=True, nogil=True)
# Softmax by powers of two: fraction bits of an exponent.
_EXPONENT_BITS = 4


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
            code = min(shifted(short, -shift), limit)
            gradient[n] = -code if n == y else code
        return loss
    total, best = 0, scores[0]
    for n in range(len(scores)):
        best = max(best, scores[n])
    for n in range(len(scores)):
        below = shifted(best - scores[n], -shift)
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
    outputs, size, channels = row[OUTPUTS], row[SIZE], row[CHANNELS]
    height, width = row[HEIGHT], row[WIDTH]
    plane, taps = height * width, channels * size * size
    x = values[row[VALUES]:]
    g = gradients[row[POSITIONS]:]
    w = weights[row[WEIGHTS]:row[WEIGHTS] + taps * outputs]
    reached[index] += 1
    if row[DENSE]:
        if len(totals):
            total = totals[row[WEIGHTS]:]
            for k in range(taps):
                if x[k] != 0:
                    for n in range(outputs):
                        total[k * outputs + n] = np.int32(
                            total[k * outputs + n] + product(x[k], g[n], squares))
            total = totals[row[BIAS]:]
            for n in range(outputs):
                total[n] = np.int32(total[n] + g[n])
        if index == 0:
            return False
        for k in range(taps):
            d = np.int32(0)
            if x[k] != 0:
                line = w[k * outputs:(k + 1) * outputs]
                for n in range(outputs):
                    d = np.int32(d + product(line[n], g[n], squares))
            spread[k] = d
    else:
        total, place = totals[row[WEIGHTS]:], places[row[POSITIONS]:]
        bias = totals[row[BIAS]:]
        if index:
            spread[:channels * plane] = 0
        count = row[POOLED_ROWS] * row[POOLED_COLUMNS]
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
                                total[tap + j] + product(x[start + j], code, squares))
                            if index:
                                spread[start + j] = np.int32(
                                    spread[start + j] + product(w[tap + j], code, squares))
        if index == 0:
            return False
    return _round_gradient(layout, index, x, spread, gradients, lanes, limit, stochastic)


@_jit
def _round_gradient(layout, index, x, spread, gradients, lanes, limit, stochastic):
    """`spread`, as the gradient of the layer before, in its format; zero where it was closed."""
    before, row = layout[index - 1], layout[index]
    pad = before[PADDING_AFTER]
    rows, columns = before[POOLED_ROWS], before[POOLED_COLUMNS]
    height, width = rows + 2 * pad, columns + 2 * pad
    out = gradients[before[POSITIONS]:]
    shift = row[BACKWARD_SHIFT]
    mask, half = (1 << shift) - 1, (1 << shift) >> 1
    seen, position = False, 0
    for n in range(before[OUTPUTS]):
        lane = lanes[before[LANES] + n]
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
        lanes[before[LANES] + n] = lane
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
    outputs = row[OUTPUTS]
    taps = row[CHANNELS] * row[SIZE] * row[SIZE]
    shift = np.int32(row[UPDATE_SHIFT])
    mask, half = np.uint32((1 << shift) - 1), np.int32((1 << shift) >> 1)
    lane = lanes[row[LANES]:row[LANES] + outputs]
    master = masters[row[WEIGHTS]:row[WEIGHTS] + taps * outputs]
    weight = weights[row[WEIGHTS]:row[WEIGHTS] + taps * outputs]
    line = line[:outputs]
    if row[DENSE]:
        x, g = values[row[VALUES]:], gradients[row[POSITIONS]:]
        for k in range(taps):
            low = k * outputs
            if at_once:
                code = x[k]
                if code == 0:
                    continue
                for n in range(outputs):
                    line[n] = product(code, g[n], squares)
            else:
                if used[row[VALUES] + k] == 0:
                    continue
                used[row[VALUES] + k] = 0
                total = totals[row[WEIGHTS] + low:row[WEIGHTS] + low + outputs]
                line[:] = total
                total[:] = 0
            _dense_row(line, lane, master[low:low + outputs], weight[low:low + outputs], mask,
                       half, shift, limits, stochastic)
    else:
        total = totals[row[WEIGHTS]:]
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
    code_shift, bias_shift = row[BIAS_CODE_SHIFT], row[BIAS_SHIFT]
    for n in range(outputs):
        addend = half
        if stochastic:
            lane[n] = _next(lane[n])
            addend = np.int32(lane[n] & mask)
        step = gradients[row[POSITIONS] + n] if at_once else totals[row[BIAS] + n]
        totals_at = row[BIAS] + n
        if not at_once:
            totals[totals_at] = 0
        moved = _move(step << code_shift, addend, shift, masters[totals_at], limits[0])
        masters[totals_at] = moved
        biases[row[LANES] + n] = shifted(moved, bias_shift)


@_jit
def train_images(layout, order, images, y, batch, input_padding, masters, weights, biases, lanes,
                 values, sums, places, gradients, spread, totals, used, reached, line, loss_form,
                 exponentials, high, gradient_limit, limits, stochastic, squares):
    """Train on the images that `order` names, a batch at a time; loss and right answers, summed."""
    last, loss, right = len(layout) - 1, 0.0, 0
    none = totals[:0]
    first_score, scores_count = layout[last, SUMS], layout[last, OUTPUTS]
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
            g = gradients[layout[last, POSITIONS]:]
            loss += image_loss(scores, label, g, loss_form, exponentials)
            seen = False
            for n in range(scores_count):
                seen = seen or g[n] != 0
            index = last
            while seen:
                dense = layout[index, DENSE] != 0
                at_once = dense and batch == 1
                if dense and not at_once:
                    base = layout[index, VALUES]
                    for k in range(base, base + layout[index, CHANNELS]):
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
    count, first = layout[last, OUTPUTS], layout[last, SUMS]
    result = np.empty((len(images), count), np.int64)
    for at in range(len(images)):
        load_image(images[at], values, layout, input_padding)
        forward(layout, weights, biases, values, sums, places, high, squares)
        result[at] = sums[first:first + count]
    return result
