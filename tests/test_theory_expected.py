"""Bounds and means of distinct products, against enumeration and random samples."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmahw.errors import ModelError
from nmahw.theory.distinct import SCOPES, distinct_products, pixels_met
from nmahw.theory.expected import (
    bounds_of_both,
    expected_products,
    expected_products_of_random,
)
from nmahw.theory.rules import Rule
from nmahw.theory.theorems import brute_force, union_of_fields

SAMPLES = 1500


def agrees(counts, expected):
    """Whether a sample's mean is within five standard errors.

    A rare loss that no sample shows has no variance there: its mean, if small, stands for it.
    """
    variance = np.maximum(counts.var(axis=0, ddof=1), np.abs(counts.max(axis=0) - expected))
    return (np.abs(counts.mean(axis=0) - expected) <= 5 * np.sqrt(variance / len(counts))
            + 1e-9).all()


@given(st.integers(1, 3), st.integers(0, 4), st.integers(0, 4), st.integers(1, 6),
       st.integers(1, 9), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_bounds_of_both_hold(f, more, wider, pixels, weights, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, pixels, (f + more, f + wider))
    kernel = rng.integers(0, weights, (f, f))
    found, bounds = brute_force(x, kernel), bounds_of_both(x, kernel)
    assert found in bounds
    assert bounds.high <= min(len(np.unique(x)) * len(np.unique(kernel)),
                              kernel.size * (more + 1) * (wider + 1))


def test_bounds_of_both_are_reached():
    """Every value in every field; and fields that have nothing in common."""
    flat = np.zeros((4, 4), dtype=int), np.array([[1, 1], [2, 2]])
    assert bounds_of_both(*flat).low == bounds_of_both(*flat).high == brute_force(*flat) == 2
    apart = np.arange(4).reshape(2, 2), np.ones((2, 2), dtype=int)
    assert bounds_of_both(*apart).high == brute_force(*apart) == 4
    alike = np.array([[1, 1], [1, 2]]), np.array([[1, 1], [1, 3]])
    assert bounds_of_both(*alike).low == brute_force(*alike) == 2


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3),
       st.integers(1, 2), st.sampled_from(SCOPES), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_pixels_met_are_products_where_all_pixels_differ(out, channels, f, more, stride, scope,
                                                         seed):
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 3, (out, channels, f, f))
    size = f + more
    x = np.arange(channels * size * size).reshape(1, channels, size, size)
    pixels, owners, shape = pixels_met(weights, (size, size), stride, scope)
    summed = np.bincount(owners, weights=pixels, minlength=int(np.prod(shape))).reshape(shape)
    assert np.array_equal(summed, distinct_products(x, weights, stride, scope=scope)[0])


def test_pixels_met_of_one_kernel_are_unions_of_fields():
    kernel = np.array([[1, 1, 2], [2, 1, 3], [3, 3, 3]])
    pixels, _, _ = pixels_met(kernel[None, None], (7, 9))
    assert pixels.tolist() == [union_of_fields(kernel == n, (7, 9)) for n in (1, 2, 3)]


@pytest.mark.parametrize("probabilities", [
    [0.25] * 4, [0.5, 0.3, 0.2], [0.6, 0.1], [0.9]])
@pytest.mark.parametrize("scope", SCOPES)
def test_mean_of_given_weights(probabilities, scope):
    """What the probabilities lack is that of zeros, which do not count."""
    rng = np.random.default_rng(7)
    weights = rng.choice([-2, -1, 1], (3, 2, 3, 3))
    x = rng.choice(len(probabilities) + 1, (SAMPLES, 2, 5, 4),
                   p=[1 - sum(probabilities), *probabilities])
    counts = distinct_products(x, weights, rule=Rule(zeros=False), scope=scope)
    assert agrees(counts, expected_products(weights, (5, 4), probabilities, scope=scope))


@pytest.mark.parametrize("f, map_shape, pixels, weights", [
    (2, (3, 4), [0.5, 0.5], [0.5, 0.5]), (3, (5, 5), [0.1] * 10, [0.25] * 4),
    (3, (4, 6), [0.7, 0.2, 0.1], [0.6, 0.3, 0.1]), (4, (6, 6), [1 / 16] * 16, [1 / 8] * 8)])
def test_mean_of_random_kernels_is_exact(f, map_shape, pixels, weights):
    rng = np.random.default_rng(8)
    x = rng.choice(len(pixels), (SAMPLES, 1, *map_shape), p=pixels)
    kernels = rng.choice(len(weights), (SAMPLES, 1, 1, f, f), p=weights)
    counts = np.array([distinct_products(image[None], kernel)[0]
                       for image, kernel in zip(x, kernels, strict=True)])
    mean = expected_products_of_random(f, map_shape, pixels, weights)
    assert mean.low == mean.high and agrees(counts, mean.low)


def test_mean_of_random_kernels_by_listing_everything():
    """All 2^4 maps and 2^4 kernels of 2 x 2 on 2 x 2, and 2^6 maps of 2 x 3."""
    for shape in ((2, 2), (2, 3)):
        counts = [brute_force(np.reshape(x, shape), np.reshape(kernel, (2, 2)))
                  for x in itertools.product(range(2), repeat=shape[0] * shape[1])
                  for kernel in itertools.product(range(2), repeat=4)]
        mean = expected_products_of_random(2, shape, [0.5, 0.5], [0.5, 0.5])
        assert mean.low == pytest.approx(np.mean(counts))


def test_mean_of_large_random_kernels_lies_between_its_bounds():
    rng = np.random.default_rng(9)
    pixels, weights = np.full(32, 1 / 32), np.full(12, 1 / 12)
    mean = expected_products_of_random(5, (10, 10), pixels, weights)
    counts = np.array([distinct_products(rng.integers(0, 32, (1, 1, 10, 10)),
                                         rng.integers(0, 12, (1, 1, 5, 5)))[0]
                       for _ in range(SAMPLES)])
    assert mean.low < counts.mean() < mean.high


@pytest.mark.parametrize("f", [2, 3, 4])
def test_bounds_of_the_mean_hold_where_it_is_exact(f, monkeypatch):
    from nmahw.theory import expected
    arguments = f, (f + 2, f + 3), [0.5, 0.2, 0.2], [0.4, 0.4, 0.1]
    exact = expected_products_of_random(*arguments)
    monkeypatch.setattr(expected, "_LISTED_TAPS", 0)
    bounds = expected_products_of_random(*arguments)
    assert bounds.low <= exact.low <= bounds.high


def test_upper_bound_of_the_mean_is_exact_for_rare_pixels(monkeypatch):
    """A value that hardly occurs is met in proportion to the pixels met: nothing is concave."""
    from nmahw.theory import expected
    arguments = 3, (6, 7), [1e-9], [0.4, 0.05]
    exact = expected_products_of_random(*arguments)
    monkeypatch.setattr(expected, "_LISTED_TAPS", 0)
    assert expected_products_of_random(*arguments).high == pytest.approx(exact.low, rel=1e-6)


def test_bounds_of_the_mean_meet_on_large_maps():
    """At values times mean number of different weights: what sharing tends to, whatever the map."""
    q, r = 16, 15
    mean = expected_products_of_random(5, (224, 224), np.full(q, 1 / q), np.full(r, 1 / r))
    limit = q * r * (1 - (1 - 1 / r)**25)
    assert mean.low == pytest.approx(limit) and mean.high == pytest.approx(limit)
    exact = expected_products_of_random(3, (224, 224), np.full(q, 1 / q), np.full(r, 1 / r))
    assert exact.low == pytest.approx(q * r * (1 - (1 - 1 / r)**9))


@pytest.mark.parametrize("call, message", [
    (lambda: expected_products_of_random(4, (3, 3), [1.0], [1.0]), "side of 1..3, not 4"),
    (lambda: expected_products_of_random(2, (3, 3), [0.8, 0.8], [1.0]), "pixels must be at least"),
    (lambda: expected_products_of_random(2, (3, 3), [1.0], [-0.1]), "weights must be at least"),
    (lambda: bounds_of_both(np.zeros(3), np.zeros((2, 2))), "two axes"),
    (lambda: bounds_of_both(np.zeros((2, 2)), np.zeros((3, 3))), "kernel must not be larger"),
    (lambda: expected_products(np.zeros((1, 1, 2, 2)), (1, 1), [1.0]), "kernel must not be")])
def test_what_is_wrong_is_told(call, message):
    with pytest.raises(ModelError, match=message):
        call()
