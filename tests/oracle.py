"""A second golden model in plain Python integers and loops: slow, and nothing shared."""

from decimal import Context
from fractions import Fraction
from math import floor


def shape_of(x):
    return (len(x),) if not isinstance(x[0], list) else (len(x), len(x[0]), len(x[0][0]))


#: Each operation on plain integers.
OPERATIONS = {"product": lambda x, w: x * w, "l1": lambda x, w: -abs(x - w)}


def conv2d(x, layer):
    apply = OPERATIONS[layer.operation.name]
    weights, stride, pad = layer.weights.tolist(), layer.stride, layer.padding
    channels, height, width = shape_of(x)
    kernel_height, kernel_width = len(weights[0][0]), len(weights[0][0][0])

    def at(c, y, col):
        return x[c][y][col] if 0 <= y < height and 0 <= col < width else 0

    return [[[sum(apply(at(c, y * stride + dy - pad, col * stride + dx - pad), kernel[c][dy][dx])
                  for c in range(channels) for dy in range(kernel_height)
                  for dx in range(kernel_width))
              for col in range((width + 2 * pad - kernel_width) // stride + 1)]
             for y in range((height + 2 * pad - kernel_height) // stride + 1)]
            for kernel in weights]


def dense(x, layer):
    apply = OPERATIONS[layer.operation.name]
    return [sum(apply(v, w) for w, v in zip(row, x, strict=True))
            for row in layer.weights.tolist()]


def each(x, function):
    return [each(v, function) for v in x] if isinstance(x, list) else function(x)


def bias(x, layer):
    return [each(v, lambda e, b=b: e + b) for v, b in zip(x, layer.values.tolist(), strict=True)]


def channel_scale(x, layer):
    rows = zip(x, layer.signs.tolist(), layer.shifts.tolist(), strict=True)
    return [each(v, lambda e, s=s, k=k: s[0] * e * 2**k[0] + s[1] * e * 2**k[1])
            for v, s, k in rows]


def relu(x, layer):
    return each(x, lambda v: v if v > 0 else 0)


def requantise(x, layer):
    return each(x, lambda v: min(max(floor(Fraction(v, 2**layer.shift) + Fraction(1, 2)),
                                     layer.low), layer.high))


def _pool(x, layer, reduce):
    _, height, width = shape_of(x)
    size, stride = layer.size, layer.stride
    return [[[reduce([plane[y + dy][col + dx] for dy in range(size) for dx in range(size)])
              for col in range(0, width - size + 1, stride)]
             for y in range(0, height - size + 1, stride)] for plane in x]


def max_pool(x, layer):
    return _pool(x, layer, max)


def average_pool(x, layer):
    return _pool(x, layer, lambda v: floor(Fraction(sum(v), len(v)) + Fraction(1, 2)))


def flatten(x, layer):
    return [v for plane in x for row in plane for v in row] if isinstance(x[0], list) else x


def arg_max(x, layer):
    return [x.index(max(x))]


def softmax(x, layer):
    # Tables with 60 digits, everything else in fractions.
    ctx = Context(prec=60)
    terms, steps = 2**layer.term_bits, 2**layer.table_bits

    def nearest(value):
        return int(value.to_integral_value())

    def power(exponent):
        entry = nearest(ctx.multiply(terms, ctx.power(2, ctx.divide(-(exponent % steps), steps))))
        return floor(Fraction(entry, 2 ** (exponent // steps)) + Fraction(1, 2))

    multiplier, shift = layer.factor
    exponents = []
    for v in x:
        distance = min(max(x) - v, layer.largest_difference)
        exponents.append(floor(distance * multiplier / Fraction(2) ** shift + Fraction(1, 2)))
    total = Fraction(sum(power(e) for e in exponents), 1)
    leading = 0
    while total >= 2:
        total, leading = total / 2, leading + 1
    cells = 2**layer.mantissa_bits
    middle = ctx.divide(2 * floor((total - 1) * cells) + 1, 2 * cells)
    logarithm = nearest(ctx.multiply(steps, ctx.divide(ctx.ln(1 + middle), ctx.ln(2))))
    common = leading * steps + logarithm - layer.bits * steps
    return [min(power(e + common), 2**layer.bits - 1) for e in exponents]


def compute(x, layer):
    """Result of one layer for one image given as nested lists."""
    return globals()[layer.name](x, layer)


def predict(network, image):
    """Result of a network for one image."""
    x = image.tolist()
    for layer in network.layers:
        x = compute(x, layer)
    return x
