"""The theorems of the NMA paper: what holds as printed, what as corrected, what not at all."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmahw.errors import ModelError
from nmahw.theory import theorems
from nmahw.theory.distinct import distinct_products
from nmahw.theory.theorems import (
    brute_force,
    maximal_repeats,
    minimal_repeats,
    repeats_from_counts,
    repeats_of_taps,
    theorem2,
    theorem3,
    theorem3_bounds,
    theorem3_bounds_of_counts,
    theorem3_printed,
    theorem3_printed_bounds,
    theorem4,
    theorem4_printed,
    union_of_fields,
)

# The smallest kernel with an equal pair on a map of different pixels: both errors of Theorem 3.
PIXELS = np.arange(9).reshape(3, 3)
PAIR = np.array([[1, 1], [2, 3]])


@st.composite
def maps_and_kernels(draw, equal_pixels=True, equal_weights=True):
    f = draw(st.integers(1, 3))
    height, width = draw(st.integers(f, 5)), draw(st.integers(f, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    # Few enough of each value for the sums over all subsets.
    values = np.repeat(np.arange(height * width), draw(st.integers(1, 6)))
    x = rng.permutation(values[:height * width] if equal_pixels else np.arange(height * width))
    kernel = rng.integers(0, draw(st.integers(1, 9)), (f, f)) if equal_weights \
        else rng.permutation(f * f).reshape(f, f)
    return x.reshape(height, width), kernel


@given(maps_and_kernels(equal_weights=False))
@settings(max_examples=150, deadline=None)
def test_theorem2_is_right(case):
    assert theorem2(*case) == brute_force(*case)


@given(maps_and_kernels(equal_pixels=False))
@settings(max_examples=150, deadline=None)
def test_theorem3_corrected_is_right(case):
    assert theorem3(*case) == brute_force(*case)


@given(maps_and_kernels())
@settings(max_examples=150, deadline=None)
def test_both_repeated_is_what_distinct_counts(case):
    x, kernel = case
    assert distinct_products(x[None, None], kernel[None, None]) == brute_force(x, kernel)


@given(maps_and_kernels(equal_pixels=False))
@settings(max_examples=100, deadline=None)
def test_repeats_are_what_the_union_of_fields_lacks(case):
    x, kernel = case
    outputs = (x.shape[0] - len(kernel) + 1) * (x.shape[1] - len(kernel) + 1)
    repeats = sum(repeats_of_taps(kernel == value, x.shape) for value in np.unique(kernel))
    assert kernel.size * outputs - repeats == brute_force(x, kernel)


@given(st.lists(st.integers(0, 12), max_size=8))
def test_alternating_sum_counts_repeats_also_where_nothing_is(counts):
    """The proof of Theorem 2 takes u - 1, which is -1 for an empty field; the sum gives 0."""
    assert repeats_from_counts(np.array(counts)) == sum(max(count - 1, 0) for count in counts)


def test_theorem3_first_term():
    """f^2 Hx Wx counts multiplications that do not happen: each tap meets Hy Wy pixels."""
    assert brute_force(PIXELS, PAIR) == theorem3(PIXELS, PAIR) == 14
    assert theorem3_printed(PIXELS, PAIR) == 34


def test_theorem3_bounds_fail():
    repeats = PAIR.size * 4 - brute_force(PIXELS, PAIR)
    assert repeats == 2
    printed = theorem3_printed_bounds(PAIR, PIXELS.shape)
    assert (printed.low, printed.high) == (4, 5) and repeats not in printed
    assert repeats in theorem3_bounds(PAIR, PIXELS.shape)
    assert repeats in theorem3_bounds_of_counts(PAIR, PIXELS.shape)


def alternating(taps, term):
    """``sum_{i>=2} sum_{T in T_i} (-1)^i term(T)``, as r1 to r4 of the proof are defined."""
    return sum((-1)**size * term(some) for size in range(2, len(taps) + 1)
               for some in itertools.combinations(taps, size))


def rng_of(axis):
    return lambda some: max(p[axis] for p in some) - min(p[axis] for p in some)


def area(some):
    return rng_of(0)(some) * rng_of(1)(some)


TAPS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=7,
                unique=True)


@given(TAPS)
def test_r2_and_r3_are_ranges_not_zero(taps):
    assert alternating(taps, rng_of(1)) == rng_of(1)(taps)
    assert alternating(taps, rng_of(0)) == rng_of(0)(taps)


@given(TAPS)
def test_r4_lies_within_the_bounding_box(taps):
    assert abs(alternating(taps, area)) <= area(taps)


def test_r4_can_be_negative():
    """Four corners: the bound 0 <= r4 takes every term of an alternating sum for positive."""
    assert alternating([(0, 0), (0, 2), (2, 0), (2, 2)], area) == -4


def test_coefficient_of_the_smallest_coordinate_is_zero():
    """1 - (1-1)^(k-1) is 1 for k > 1 only: b_1 is the maximum of no tuple of two."""
    assert alternating([(0, 5)], lambda some: max(p[1] for p in some)) == 0
    assert alternating([(0, 5), (0, 7)], lambda some: max(p[1] for p in some)) == 7


def test_fields_overlap_if_they_do_in_both_directions():
    """Printed: "or". Two taps of a 3x3 kernel on a 4x4 map, far apart in one direction only."""
    taps = np.zeros((3, 3), dtype=bool)
    taps[0, 0] = taps[0, 2] = True
    height = width = 2
    assert 0 <= height - 1 and not 2 <= width - 1  # rows overlap, columns do not
    assert union_of_fields(taps, (4, 4)) == 2 * height * width


@given(maps_and_kernels(equal_pixels=False).filter(
    lambda case: min(case[0].shape) >= 2 * len(case[1]) - 1))
@settings(max_examples=200, deadline=None)
def test_corrected_bounds_hold(case):
    x, kernel = case
    repeats = sum(repeats_of_taps(kernel == value, x.shape) for value in np.unique(kernel))
    near, wide = theorem3_bounds(kernel, x.shape), theorem3_bounds_of_counts(kernel, x.shape)
    assert repeats in near and repeats in wide


@pytest.mark.parametrize("f, map_shape", [(2, (3, 3)), (2, (4, 6)), (3, (5, 5)), (3, (6, 8))])
def test_corrected_bounds_are_reached(f, map_shape):
    """Over every set of taps: the bounds of counts are the least and greatest R there are."""
    height, width = map_shape[0] - f + 1, map_shape[1] - f + 1
    found = {}
    for bits in range(1, 1 << f * f):
        taps = np.array([bits >> k & 1 for k in range(f * f)], dtype=bool).reshape(f, f)
        found.setdefault(int(taps.sum()), []).append(repeats_of_taps(taps, map_shape))
    for count, repeats in found.items():
        assert min(repeats) == minimal_repeats(count, f, height, width)
        assert max(repeats) == maximal_repeats(count, f, height, width)


@pytest.mark.parametrize("f, height, width", [(2, 2, 2), (3, 3, 5), (3, 9, 4), (5, 5, 24)])
def test_simple_bounds_follow(f, height, width):
    """All fields share a block of (Hy-f+1)(Wy-f+1) pixels, and none is larger than Hy Wy."""
    for taps in range(1, f * f + 1):
        low, high = (bound(taps, f, height, width) for bound in (minimal_repeats, maximal_repeats))
        assert (taps - 1) * (height - f + 1) * (width - f + 1) <= low <= high
        assert high <= (taps - 1) * height * width


def test_bounds_of_ranges_are_reached():
    """Two taps on a diagonal, and the corners of a rectangle."""
    for taps in ([(0, 0), (2, 1)], [(0, 0), (0, 2), (1, 0), (1, 2)]):
        kernel = np.arange(9).reshape(3, 3)
        for a, b in taps:
            kernel[a, b] = 99
        bounds = theorem3_bounds(kernel, (7, 6))
        repeats = repeats_of_taps(kernel == 99, (7, 6))
        assert repeats == (bounds.high if len(taps) == 2 else bounds.low)


def test_equal_pixels_need_not_save_anything():
    """Section 4.2.1 says fewer than f^2 Hy Wy: not where no field holds two equal pixels."""
    assert theorem2(np.ones((2, 2), dtype=int), np.arange(4).reshape(2, 2)) == 4


@given(maps_and_kernels(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_theorem4_corrected_is_right(case, which):
    x, errors = case
    if which:
        x = np.arange(x.size).reshape(x.shape)
    else:
        errors = np.arange(errors.size).reshape(errors.shape)
    assert theorem4(x, errors) == brute_force(x, errors)


def test_theorem4_first_term():
    x, errors = np.arange(16).reshape(4, 4), np.arange(9).reshape(3, 3)
    assert brute_force(x, errors) == theorem4(x, errors) == 2 * 2 * 3 * 3
    assert theorem4_printed(x, errors) == 2 * 2 * 4 * 4


def sigmoid_error(output, target):
    """Step one of the paper's section 5.2: (x - t) s'(y), s' = x (1 - x)."""
    return (output - target) * output * (1 - output)


def test_equal_outputs_need_not_have_equal_errors():
    """"If and only if x_ij = x_kl" forgets the targets: one output value, two errors."""
    assert sigmoid_error(0.5, 0.0) != sigmoid_error(0.5, 1.0)


def test_equal_errors_need_not_have_equal_outputs():
    """Different outputs, one target, one error: x^2 (1-x) is no injection. 1/4 and its twin."""
    twin = (3 + np.sqrt(21)) / 8
    assert twin != 0.25 and 0 < twin < 1
    assert sigmoid_error(twin, 0.0) == pytest.approx(sigmoid_error(0.25, 0.0), abs=1e-15)


def test_relu_is_not_one_to_one():
    """Section 5.2 needs a one-to-one nonlinearity: ReLU gives one output from many sums."""
    sums = np.array([-2, -1])
    assert len(set(np.maximum(sums, 0))) == 1 and len(set(sums)) == 2


@pytest.mark.parametrize("call, message", [
    (lambda: theorem2(np.zeros((5, 5), dtype=int), PAIR), "at most 16 equal values, not 25"),
    (lambda: brute_force(PAIR, PIXELS), "kernel must not be larger"),
    (lambda: brute_force(np.zeros(3), PAIR), "two axes"),
    (lambda: theorem4(np.ones((3, 3), dtype=int), np.ones((2, 2), dtype=int)), "not in both"),
    (lambda: theorem3_bounds(np.ones((3, 3)), (4, 4)), "at least 2f-1 = 5")])
def test_what_does_not_apply_is_refused(call, message):
    with pytest.raises(ModelError, match=message):
        call()


def test_every_name_is_there():
    assert all(hasattr(theorems, name) for name in theorems.__all__)
