"""The fast count of a gradient's distinct products against loops over every multiplication."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmahw.errors import ModelError, UsageError
from nmahw.theory import distinct_backward
from nmahw.theory.distinct import SCOPES
from nmahw.theory.distinct_backward import distinct_gradient_products, distinct_slope_products
from nmahw.theory.rules import Rule
from nmahw.theory.terms import conv_terms
from nmahw.theory.theorems import brute_force, theorem4

rules = st.builds(Rule, st.booleans(), st.booleans(), st.booleans(), st.booleans())


@st.composite
def layers(draw):
    channels, out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding, stride = draw(st.integers(0, min(kernel) - 1)), draw(st.integers(1, 2))
    height, width = (draw(st.integers(max(k - 2 * padding, 1), 7)) for k in kernel)
    outputs = [(n + 2 * padding - k) // stride + 1 for n, k in zip((height, width), kernel,
                                                                   strict=True)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    span, error_span = (draw(st.sampled_from([1, 3, 20, 10**6])) for _ in range(2))
    batch = draw(st.integers(1, 2))
    return (rng.integers(-span, span + 1, (batch, channels, height, width)),
            rng.integers(-error_span, error_span + 1, (batch, out, *outputs)), kernel, stride,
            padding)


def pairs_of(image, errors, kernel, stride, padding, rule, scope):
    """Different pairs by scope, with the terms of the convolution: errors times inputs."""
    shape = errors.shape[0], image.shape[0]
    # Zeros around the map are inputs like others.
    image = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    terms = conv_terms(image.shape, (*shape, *kernel), stride)
    standing = [rule.operands(values.reshape(-1)) for values in (image, errors)]
    found = {}
    for o, i, w in zip(terms.outputs, terms.inputs, terms.weights, strict=True):
        out, channel = np.unravel_index(w, terms.weight_shape)[:2]
        where = {"kernel": (out, channel), "filter": (out,), "channel": (channel,),
                 "layer": ()}[scope]
        if standing[0][1][i] and standing[1][1][o]:
            found.setdefault(tuple(map(int, where)), set()).add(
                (int(standing[0][0][i]), int(standing[1][0][o])))
    size = {"kernel": shape, "filter": shape[:1], "channel": shape[1:], "layer": ()}[scope]
    result = np.zeros(size, dtype=int)
    for where, pairs in found.items():
        result[where] = len(pairs)
    return result


@given(layers(), rules, st.sampled_from(SCOPES), st.sampled_from([0, 2, 1 << 12]),
       st.sampled_from([8, 100, 1 << 22]))
@settings(max_examples=150, deadline=None)
def test_equals_brute_force(layer, rule, scope, many, cached):
    x, errors, *geometry = layer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct_backward, "_MANY", many)
        patch.setattr(distinct_backward, "_CACHED", cached)
        found = distinct_gradient_products(x, errors, *geometry, rule, scope)
    assert np.array_equal(found, [pairs_of(*both, *geometry, rule, scope)
                                  for both in zip(x, errors, strict=True)])


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=50, deadline=None)
def test_is_theorem_4_where_that_applies(seed, which):
    rng = np.random.default_rng(seed)
    x, errors = rng.permutation(20).reshape(4, 5), rng.permutation(6).reshape(2, 3)
    if which:
        x = x // 4
    else:
        errors = errors // 2
    found = distinct_gradient_products(x[None, None], errors[None, None], (3, 3))
    assert found == theorem4(x, errors) == brute_force(x, errors)


def test_large_layer():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (1, 3, 100, 100))
    errors = rng.integers(-2, 3, (1, 4, 98, 98))
    assert distinct_gradient_products(x, errors, (3, 3)).tolist() == [256 * 5]
    different = rng.permutation(4 * 98 * 98).reshape(1, 4, 98, 98)
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), axis=(1, 2))
    each = sum(len(np.unique(window)) for window in windows.reshape(-1, 9))
    found = distinct_gradient_products(x, different, (3, 3), scope="kernel")
    assert found.sum() == 4 * each


def test_step_one():
    errors, slopes = np.array([[1, 1, 2, 2]]), np.array([[3, 3, 3, 4]])
    assert distinct_slope_products(errors, slopes).tolist() == [3]


@pytest.mark.parametrize("x, errors, arguments, message", [
    ((1, 1, 4, 4), (1, 1, 3, 3), {}, r"errors must be \(2, 2\) for maps of \(4, 4\)"),
    ((2, 1, 4, 4), (1, 1, 2, 2), {}, "as many images"),
    ((1, 4, 4), (1, 2, 2), {}, "four axes"),
    ((1, 1, 4, 4), (1, 1, 2, 2), {"stride": 0}, "stride must be at least 1")])
def test_what_is_no_layer_is_refused(x, errors, arguments, message):
    with pytest.raises(ModelError, match=message):
        distinct_gradient_products(np.zeros(x), np.zeros(errors), (3, 3), **arguments)


def test_unknown_scope_and_shapes():
    with pytest.raises(UsageError, match="scope must be one of"):
        distinct_gradient_products(np.zeros((1, 1, 3, 3)), np.zeros((1, 1, 1, 1)), (3, 3),
                                   scope="map")
    with pytest.raises(ModelError, match="of one shape"):
        distinct_slope_products(np.zeros(3), np.zeros(4))
