"""The fast count of distinct products against loops over every multiplication."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmahw import bundled
from nmahw.errors import ModelError, UsageError
from nmahw.theory import _fields, distinct
from nmahw.theory.distinct import SCOPES, distinct_products, distinct_values
from nmahw.theory.rules import RULES, Rule


def odd_part(n):
    while n and n % 2 == 0:
        n //= 2
    return n


def operand(value, rule):
    """What stands for an operand, or None if products with it do not count."""
    if not rule.signs:
        value = abs(value)
    if not rule.shifts:
        value = odd_part(value)
    if (value == 0 and not rule.zeros) or (abs(value) == 1 and not rule.ones):
        return None
    return value


def multiplications(image, weights, stride, padding):
    """Every multiplication of a layer: output channel, input channel, pixel, weight."""
    channels, height, width = image.shape
    for o, c, a, b in np.ndindex(weights.shape):
        for i in range(0, height + 2 * padding - weights.shape[2] + 1, stride):
            for j in range(0, width + 2 * padding - weights.shape[3] + 1, stride):
                y, x = i + a - padding, j + b - padding
                inside = 0 <= y < height and 0 <= x < width
                yield o, c, int(image[c, y, x]) if inside else 0, int(weights[o, c, a, b])


def brute_force(image, weights, stride, padding, rule, scope):
    out, channels = weights.shape[:2]
    shape = {"kernel": (out, channels), "filter": (out,), "channel": (channels,), "layer": ()}
    result = np.zeros(shape[scope], dtype=int)
    seen = set()
    for o, c, x, w in multiplications(image, weights, stride, padding):
        where = {"kernel": (o, c), "filter": (o,), "channel": (c,), "layer": ()}[scope]
        pair = (operand(x, rule), operand(w, rule))
        if None not in pair and (where, pair) not in seen:
            seen.add((where, pair))
            result[where] += 1
    return result


rules = st.builds(Rule, st.booleans(), st.booleans(), st.booleans(), st.booleans())


@st.composite
def layers(draw):
    channels, out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    padding = draw(st.integers(0, min(kernel) - 1))
    height, width = (draw(st.integers(max(k - 2 * padding, 1), 7)) for k in kernel)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    span = draw(st.sampled_from([1, 2, 4, 20, 10**6, 10**12]))
    low = draw(st.sampled_from([0, -span]))
    # Products stay below 2^63.
    weight_span = draw(st.sampled_from([1, 2, 8, 10**6]))
    return (rng.integers(low, span + 1, (draw(st.integers(1, 3)), channels, height, width)),
            rng.integers(-weight_span, weight_span + 1, (out, channels, *kernel)),
            draw(st.integers(1, 3)), padding)


@given(layers(), rules, st.sampled_from(SCOPES))
@settings(max_examples=200, deadline=None)
def test_equals_brute_force(layer, rule, scope):
    x, weights, stride, padding = layer
    fast = distinct_products(x, weights, stride, padding, rule, scope)
    expected = [brute_force(image, weights, stride, padding, rule, scope) for image in x]
    assert np.array_equal(fast, expected)


@given(layers(), rules, st.sampled_from(SCOPES), st.sampled_from([1, 5, 100]),
       st.sampled_from([64, 1 << 12, 1 << 26]))
@settings(max_examples=60, deadline=None)
def test_cutting_the_work_into_pieces_changes_nothing(layer, rule, scope, many, largest):
    x, weights, stride, padding = layer
    whole = distinct_products(x, weights, stride, padding, rule, scope)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "_MANY", many)
        patch.setattr(distinct, "_CACHED", largest)
        patch.setattr(_fields, "_LARGEST", largest)
        pieces = distinct_products(x, weights, stride, padding, rule, scope)
        values = distinct_values(x, weights, stride, padding) if x.max() < 10**6 else None
    assert np.array_equal(whole, pieces)
    if values is not None:
        assert np.array_equal(values, distinct_values(x, weights, stride, padding))


@given(layers().filter(lambda layer: layer[0].max() <= 10**6), rules)
@settings(max_examples=100, deadline=None)
def test_distinct_values_equal_brute_force(layer, rule):
    x, weights, stride, padding = layer
    for image, count in zip(x, distinct_values(x, weights, stride, padding, rule), strict=True):
        pairs = ((operand(a, rule), operand(w, rule))
                 for _, _, a, w in multiplications(image, weights, stride, padding))
        assert count == len({pair[0] * pair[1] for pair in pairs if None not in pair})


@given(layers())
@settings(max_examples=50, deadline=None)
def test_wider_scopes_and_stricter_rules_need_fewer(layer):
    totals = {scope: distinct_products(*layer, scope=scope).reshape(len(layer[0]), -1).sum(axis=1)
              for scope in SCOPES}
    assert (totals["layer"] <= np.minimum(totals["filter"], totals["channel"])).all()
    assert (np.maximum(totals["filter"], totals["channel"]) <= totals["kernel"]).all()
    assert (distinct_values(*layer) <= totals["layer"]).all()
    for rule in RULES:
        assert (distinct_products(*layer, rule) <= totals["layer"]).all()


def test_dense_layers_are_convolutions_of_one_pixel():
    rng = np.random.default_rng(3)
    x, weights = rng.integers(0, 4, (5, 12)), rng.integers(-2, 3, (7, 12))
    fast = distinct_products(x, weights)
    assert fast.tolist() == [len({(int(a), int(w)) for row in weights
                                  for a, w in zip(image, row, strict=True)}) for image in x]


def test_real_numbers():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1, 2, 9, 9)).round(1)
    weights = rng.normal(size=(3, 2, 3, 3)).round(1)
    tenths = [np.rint(10 * a).astype(int) for a in (x, weights)]
    assert distinct_products(x, weights) == distinct_products(*tenths)
    with pytest.raises(ModelError, match="must be integers where shifts are free"):
        distinct_products(x, weights, rule=RULES[-1])


def test_large_layer_saturates_at_the_product_of_the_ranges():
    """224 x 224 x 64 under 64 x 64 kernels: every value meets every weight."""
    rng = np.random.default_rng(5)
    x, weights = rng.integers(0, 256, (1, 64, 224, 224)), rng.integers(-127, 128, (64, 64, 3, 3))
    assert distinct_products(x, weights, 1, 1).tolist() == [256 * 255]
    kernels = distinct_products(x, weights, 1, 1, scope="kernel")
    kinds = np.apply_along_axis(lambda w: len(np.unique(w)), 2, weights.reshape(64, 64, 9))
    assert np.array_equal(kernels[0], 256 * kinds)


def test_large_layer_whose_pixels_and_weights_all_differ():
    rng = np.random.default_rng(6)
    x = rng.permutation(8 * 200 * 200).reshape(1, 8, 200, 200)
    weights = rng.permutation(8 * 8 * 9).reshape(8, 8, 3, 3)
    assert distinct_products(x, weights).tolist() == [weights.size * 198 * 198]


def test_bundled_lenet5():
    """Layers of a real network, whose totals are the products of seen values and weights."""
    network = bundled.load_model("lenet5-w4a4")
    image = bundled.load_sample("mnist-sample").x[:1]
    _, trace = network.predict(image, trace=True)
    x, layer = trace.outputs[0], network.layers[1]
    expected = brute_force(x[0], layer.weights, layer.stride, layer.padding, Rule(), "layer")
    assert distinct_products(x, layer.weights, layer.stride, layer.padding) == expected
    assert expected <= 16 * math.prod(layer.weights.shape)


@pytest.mark.parametrize("x, weights, arguments, message", [
    (np.zeros((1, 2, 3, 3)), np.zeros((1, 2, 4, 4)), {}, "kernel must not be larger"),
    (np.zeros((1, 2, 3, 3)), np.zeros((1, 3, 2, 2)), {}, "as many input channels"),
    (np.zeros((1, 3, 3)), np.zeros((1, 2, 2)), {}, "4 axes each"),
    (np.zeros((1, 2)), np.zeros((1, 2, 1, 1)), {}, "4 axes each"),
    (np.zeros((0, 2)), np.zeros((1, 2)), {}, "non-empty"),
    (np.zeros((1, 2)), np.zeros((1, 2), dtype=complex), {}, "must be real"),
    (np.zeros((1, 2)), np.zeros((1, 2)), {"stride": 0}, "stride must be at least 1")])
def test_what_is_no_layer_is_refused(x, weights, arguments, message):
    with pytest.raises(ModelError, match=message):
        distinct_products(x, weights, **arguments)


def test_values_must_fit():
    with pytest.raises(ModelError, match="must be integers"):
        distinct_values(np.ones((1, 1)), np.ones((1, 1), dtype=int))
    with pytest.raises(ModelError, match="must be below 2.63, but can reach 18446744073709551616"):
        distinct_values(np.array([[-(1 << 32)]]), np.array([[1 << 32]]))


def test_unknown_scope_lists_those_there_are():
    with pytest.raises(UsageError, match="kernel, filter, channel, layer, not 'map'"):
        distinct_products(np.zeros((1, 2)), np.zeros((1, 2)), scope="map")
