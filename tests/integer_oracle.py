"""Exact integer training once more, in plain Python integers, from docs/training.md alone.

No numpy, no shifts of `nmahw.train`: formats are pairs of bits and range, and every shift is the
difference of two exponents.
"""

import math

MASK = 2**32 - 1


def half_up(value: int, shift: int) -> int:
    """``value / 2^shift`` to the nearest, halves up; to the left if `shift` is negative."""
    return value << -shift if shift <= 0 else (value + 2**(shift - 1)) // 2**shift


def clip(value: int, limit: int) -> int:
    return -limit if value < -limit else limit if value > limit else value


def xorshift(state: int) -> int:
    state ^= state << 13 & MASK
    state ^= state >> 17
    return state ^ state << 5 & MASK


class Layer:
    """Weights as nested lists: ``masters[output][channel][row][column]``."""

    def __init__(self, oracle, kind, outputs, size, padding, pool, shape, before, hidden):
        m = oracle.method
        self.kind, self.outputs, self.size, self.padding, self.pool = \
            kind, outputs, size, padding, pool
        self.channels, height, width = shape
        self.height, self.width = height + 2 * padding, width + 2 * padding
        self.rows, self.columns = self.height - size + 1, self.width - size + 1
        self.shape = outputs, self.rows // pool, self.columns // pool
        taps = self.channels * size * size
        reach = round(math.log2(math.sqrt(6 / taps))) + m.weight_range
        # Exponents: an integer v of this kind stands for v * 2^exponent.
        self.weight = reach - m.weight_bits + 1
        self.master = reach - m.master_bits + 1
        self.before = before
        self.sum = self.weight + before
        self.after = m.activation_range - m.activation_bits
        grown = m.hidden_gradient_range if hidden else m.gradient_range
        self.gradient = grown - m.gradient_bits + 1
        self.hidden = hidden


class Oracle:
    def __init__(self, method, layers, shape, high, masters, lanes):
        """`layers`: (kind, outputs, size, padding, pool) each; `masters`, `lanes`: flat lists."""
        self.method = method
        one = 0
        while 2**(one + 1) <= high:
            one += 1
        one += 2**one != high  # the least power of two that no code exceeds
        self.input_shift = max(one - method.activation_bits, 0)
        before = self.input_shift - one
        self.layers = []
        for number, spec in enumerate(layers):
            hidden = number < len(layers) - 1
            if spec[0] == "dense":
                shape = shape[0] * shape[1] * shape[2], 1, 1
            layer = Layer(self, *spec, shape, before, hidden)
            self.layers.append(layer)
            shape, before = layer.shape, layer.after
        masters, lanes = list(masters), list(lanes)
        for layer in self.layers:
            taps = layer.channels * layer.size**2
            if layer.kind == "dense":
                flat = [masters[k * layer.outputs + n] for n in range(layer.outputs)
                        for k in range(taps)]
            else:
                flat = masters[:taps * layer.outputs]
            del masters[:taps * layer.outputs]
            layer.masters = [flat[n * taps:(n + 1) * taps] for n in range(layer.outputs)]
            layer.bias_masters = masters[:layer.outputs]
            del masters[:layer.outputs]
            layer.lanes = lanes[:layer.outputs]
            del lanes[:layer.outputs]
        assert not masters and not lanes

    def draw(self, layer, output, bits):
        """What is added before a right shift by `bits`."""
        if self.method.rounding == "nearest":
            return 2**bits // 2
        layer.lanes[output] = xorshift(layer.lanes[output])
        return layer.lanes[output] % 2**bits

    def taps(self, layer):
        return [(c, i, j) for c in range(layer.channels) for i in range(layer.size)
                for j in range(layer.size)]

    def weight(self, layer, n, k):
        m = self.method
        return clip(half_up(layer.masters[n][k], m.master_bits - m.weight_bits),
                    2**(m.weight_bits - 1) - 1)

    def forward(self, image):
        """`image`: [channel][row][column]; keeps everything in the layers."""
        m = self.method
        high = 2**m.activation_bits - 1
        x = [[[min(half_up(v, self.input_shift), high) for v in line] for line in plane]
             for plane in image]
        for layer in self.layers:
            if layer.kind == "dense":
                x = [[[v]] for plane in x for line in plane for v in line]
            pad = layer.padding
            wide = [[[0] * layer.width for _ in range(layer.height)] for _ in x]
            for c, plane in enumerate(x):
                for r, line in enumerate(plane):
                    for z, value in enumerate(line):
                        wide[c][r + pad][z + pad] = value
            layer.values = wide
            layer.sums = [[[half_up(layer.bias_masters[n], layer.sum - layer.master) + sum(
                wide[c][r + i][z + j] * self.weight(layer, n, k)
                for k, (c, i, j) in enumerate(self.taps(layer)))
                for z in range(layer.columns)] for r in range(layer.rows)]
                for n in range(layer.outputs)]
            if not layer.hidden:
                break
            x, layer.places = [], []
            for plane in layer.sums:
                pooled, places = [], []
                for r in range(layer.shape[1]):
                    pooled.append([])
                    for z in range(layer.shape[2]):
                        window = [(r * layer.pool + i, z * layer.pool + j)
                                  for i in range(layer.pool) for j in range(layer.pool)]
                        codes = [min(max(half_up(plane[a][b], layer.after - layer.sum), 0), high)
                                 for a, b in window]
                        pooled[-1].append(max(codes))
                        places.append(window[codes.index(max(codes))])
                x.append(pooled)
                layer.places.append(places)
        return [plane[0][0] for plane in self.layers[-1].sums]

    def score_gradient(self, scores, label):
        m, last = self.method, self.layers[-1]
        limit = 2**(m.gradient_bits - 1) - 1
        if m.loss == "squared_hinge":
            margin = 2**-last.sum
            result = []
            for n, score in enumerate(scores):
                sign = 1 if n == label else -1
                short = max(margin - sign * score, 0)
                code = min(half_up(short, last.gradient - last.sum), limit)
                result.append(-sign * code)
            return result
        terms = []
        for score in scores:
            # Sixteenths of a halving.
            below = half_up(max(scores) - score, -4 - last.sum)
            terms.append(round(2**15 * 2**(-(below % 16) / 16)) // 2**min(below // 16, 31))
        total, unit = sum(terms), 2**(m.gradient_bits - 1)
        return [clip((term * unit + total // 2) // total - (unit if n == label else 0), limit)
                for n, term in enumerate(terms)]

    def backward(self, gradient):
        """`gradient`: of the scores, one each. Adds to the layers' totals."""
        m = self.method
        limit = 2**(m.gradient_bits - 1) - 1
        g = [[value] for value in gradient]
        for number in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[number]
            layer.g = g
            if not any(any(plane) for plane in g):
                return
            layer.reached = True
            spread = [[[0] * layer.width for _ in range(layer.height)]
                      for _ in range(layer.channels)]
            for n in range(layer.outputs):
                for p, code in enumerate(g[n]):
                    r, z = layer.places[n][p] if layer.hidden else (0, 0)
                    layer.bias_totals[n] += code
                    for k, (c, i, j) in enumerate(self.taps(layer)):
                        x = layer.values[c][r + i][z + j]
                        layer.totals[n][k] += x * code
                        layer.used[k] |= x != 0
                        spread[c][r + i][z + j] += self.weight(layer, n, k) * code
            if number == 0:
                return
            before = self.layers[number - 1]
            shift = before.gradient - layer.weight - layer.gradient
            g = []
            for n in range(before.outputs):
                g.append([])
                for r in range(before.shape[1]):
                    for z in range(before.shape[2]):
                        c, a, b = (n, r + layer.padding, z + layer.padding) \
                            if layer.kind == "conv" else \
                            ((n * before.shape[1] + r) * before.shape[2] + z, 0, 0)
                        addend = self.draw(before, n, shift)
                        code = clip((spread[c][a][b] + addend) // 2**shift, limit)
                        g[-1].append(code if layer.values[c][a][b] else 0)

    def update(self, rate):
        m = self.method
        limit = 2**(m.master_bits - 1) - 1
        batch = m.batch.bit_length() - 1
        for layer in self.layers:
            if not layer.reached:
                continue
            shift = rate + batch + layer.master - layer.before - layer.gradient
            for n in range(layer.outputs):
                for k in range(len(layer.masters[n])):
                    if layer.kind == "dense" and not layer.used[k]:
                        continue
                    step = (layer.totals[n][k] + self.draw(layer, n, shift)) // 2**shift
                    layer.masters[n][k] = clip(layer.masters[n][k] - step, limit)
                # The bias: a weight whose operand is 1.0.
                total = layer.bias_totals[n] * 2**-layer.before
                step = (total + self.draw(layer, n, shift)) // 2**shift
                layer.bias_masters[n] = clip(layer.bias_masters[n] - step, limit)

    def begin_batch(self):
        for layer in self.layers:
            taps = layer.channels * layer.size**2
            layer.totals = [[0] * taps for _ in range(layer.outputs)]
            layer.bias_totals = [0] * layer.outputs
            layer.used, layer.reached = [False] * taps, False

    def train(self, images, labels, rate):
        """One batch; the scores of each image."""
        self.begin_batch()
        scores = []
        for image, label in zip(images, labels, strict=True):
            scores.append(self.forward(image))
            self.backward(self.score_gradient(scores[-1], label))
        self.update(rate)
        return scores

    def flat_masters(self):
        flat = []
        for layer in self.layers:
            if layer.kind == "dense":
                flat += [layer.masters[n][k] for k in range(len(layer.masters[0]))
                         for n in range(layer.outputs)]
            else:
                flat += [value for weights in layer.masters for value in weights]
            flat += layer.bias_masters
        return flat

    def flat_lanes(self):
        return [lane for layer in self.layers for lane in layer.lanes]
