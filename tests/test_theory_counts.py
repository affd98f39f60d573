"""Closed-form counts against graphs, the paper's formulas, and known networks."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmahw import bundled
from nmahw.errors import ModelError, UsageError
from nmahw.floatnet import FloatConv2d, FloatDense, FloatFlatten, FloatNetwork
from nmahw.tensor import TensorFormat
from nmahw.theory.architectures import ARCHITECTURES, architecture
from nmahw.theory.backward import fully_connected_backward, kernel_gradient
from nmahw.theory.counts import (
    MatrixShape,
    backward_products,
    network_shapes,
    paper_convolutional_backward,
    paper_convolutional_forward,
    paper_fully_connected_backward,
    paper_fully_connected_forward,
    totals,
)
from nmahw.theory.forward import convolutional, fully_connected, network_graph
from nmahw.theory.graph import Kind
from nmahw.theory.sharing import adder_graph, odd_multiples, sharing, signed_digit_counts
from nmahw.theory.terms import conv_terms

SIZES = st.lists(st.integers(1, 6), min_size=2, max_size=6)


def layer_sizes(graph):
    return [sum(count.values()) for count in graph.counts]


# The paper's formulas.

@given(SIZES)
def test_fully_connected_forward_is_as_printed(sizes):
    printed = paper_fully_connected_forward(sizes)
    assert len(printed) == 4 * len(sizes) - 3
    assert layer_sizes(fully_connected(sizes)) == printed


@given(SIZES)
def test_fully_connected_backward_is_as_corrected(sizes):
    graph = fully_connected_backward(sizes)
    assert graph.depth == 5 * len(sizes) - 6
    assert layer_sizes(graph) == paper_fully_connected_backward(sizes, printed=False)


def test_fully_connected_backward_is_not_as_printed():
    """W d has U_{L-1} U_L products, not U_{L-1} U_L^2: W is a matrix and d a vector."""
    assert paper_fully_connected_backward((2, 2, 3))[5] == 2 * 3**2
    assert layer_sizes(fully_connected_backward((2, 2, 3)))[5] == 2 * 3


@given(st.integers(5, 8), st.integers(5, 8), st.lists(st.integers(1, 3), min_size=1, max_size=2))
@settings(max_examples=30, deadline=None)
def test_convolutional_forward_is_as_printed(height, width, kernels):
    printed = paper_convolutional_forward((height, width), kernels)
    assert layer_sizes(convolutional((height, width), kernels)) == printed


@given(st.integers(3, 7), st.integers(3, 7), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_convolutional_backward_is_as_printed(height, width, f):
    graph = kernel_gradient(conv_terms((1, height, width), (1, 1, f, f)))
    assert layer_sizes(graph) == paper_convolutional_backward((height, width), f)


@given(SIZES)
def test_gradients_are_products_that_the_paper_leaves_out(sizes):
    """As many again as the forward pass has: equation (2) multiplies."""
    plain, full = (fully_connected_backward(sizes, gradients=some) for some in (False, True))
    forward = fully_connected(sizes)
    assert full.products - plain.products == forward.products
    shapes = [MatrixShape.dense("", *pair) for pair in zip(sizes, sizes[1:], strict=False)]
    count = backward_products(shapes)
    assert plain.products == count["slopes"] + count["errors"]
    assert full.products == sum(count.values())


# Shapes.

@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 8), st.integers(1, 8),
       st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3))
@settings(max_examples=100)
def test_shapes_are_the_terms(channels, out, height, width, a, b, stride, padding):
    padding = min(padding, a - 1, b - 1)
    if height + 2 * padding < a or width + 2 * padding < b:
        return
    terms = conv_terms((channels, height, width), (out, channels, a, b), stride, padding)
    shape = MatrixShape("", channels, height, width, out, (a, b), stride, padding)
    assert (shape.outputs, shape.inputs, shape.weights) == terms.sizes
    assert shape.products == len(terms) <= shape.macs


def test_groups_divide_weights_and_products():
    whole, grouped = (MatrixShape("", 4, 5, 5, 6, (3, 3), 1, 1, groups) for groups in (1, 2))
    assert (2 * grouped.weights, 2 * grouped.products, 2 * grouped.macs) == (
        whole.weights, whole.products, whole.macs)


@pytest.mark.parametrize("name", bundled.models())
def test_bundled_networks(name):
    network = bundled.load_model(name)
    shapes = network_shapes(network)
    assert sum(shape.macs for shape in shapes) == network.macs
    count = totals(shapes)
    if any(layer.is_matrix and layer.operation.name != "product" for layer in network.layers):
        with pytest.raises(ModelError, match="must be a sum of products"):
            network_graph(network)
        return
    graph = network_graph(network)
    assert all(graph.totals[kind] == count[kind] for kind in
               (Kind.WEIGHT, Kind.INTERMEDIATE, Kind.PRODUCT, Kind.SUM))


def test_float_networks():
    network = FloatNetwork(TensorFormat((1, 4, 4), 0, 9), 1.0, (
        FloatConv2d(np.ones((2, 1, 3, 3)), np.ones(2), padding=1), FloatFlatten(),
        FloatDense(np.ones((3, 32)), np.ones(3))))
    assert network_shapes(network) == [
        MatrixShape("0 conv2d", 1, 4, 4, 2, (3, 3), 1, 1), MatrixShape.dense("2 dense", 32, 3)]


def test_weights_of_another_kind_are_not_left_out():
    other = SimpleNamespace(layers=[SimpleNamespace(name="recurrent", is_matrix=True)],
                            formats=[TensorFormat((4,), 0, 9)])
    with pytest.raises(ModelError, match="layer 0 must be a conv2d or a dense .*not recurrent"):
        network_shapes(other)


@pytest.mark.parametrize("name, weights, macs", [
    # Parameters as published, without biases and batch norm; MAC as the field's tools count.
    ("alexnet", 60_965_224 - 10_568, 724_406_816),
    ("resnet50", 25_557_032 - 53_120 - 1_000, 4_089_184_256), ("lenet5", 61_470, 416_520)])
def test_well_known_networks(name, weights, macs):
    shapes = architecture(name)
    assert sum(shape.weights for shape in shapes) == weights
    assert sum(shape.macs for shape in shapes) == macs
    assert all(a.outputs >= 1 for a in shapes)


def test_lenet5_is_the_bundled_one():
    shapes = network_shapes(bundled.load_model("lenet5-w8a8"))
    assert [s.forward for s in shapes] == [s.forward for s in ARCHITECTURES["lenet5"]()]


@pytest.mark.parametrize("call, error, message", [
    (lambda: MatrixShape("c", 1, 2, 2, 1, (3, 3)), ModelError, "must not be larger"),
    (lambda: MatrixShape("c", 3, 5, 5, 2, groups=2), ModelError, "a multiple of 2 groups"),
    (lambda: architecture("vgg"), UsageError, "alexnet, lenet5, resnet50, not 'vgg'")])
def test_what_is_wrong_is_told(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Sharing.

def fewest_digits(value):
    """Least signed digits by search over all sums of signed powers of two."""
    reached, digits = {0}, 0
    while value not in reached:
        digits += 1
        reached |= {n + s * 2**k for n in reached for k in range(9) for s in (1, -1)}
    return digits


def test_signed_digits_are_the_fewest():
    values = np.arange(-130, 131)
    assert signed_digit_counts(values).tolist() == [fewest_digits(int(v)) for v in values]


def one_adder_away(made):
    """Odd multiples that one addition or subtraction of shifted ones makes."""
    sums = {(a << k) + sign * b for a, b in product(made, repeat=2) for k in range(18)
            for sign in (1, -1)}
    return {abs(n) // (n & -n) for n in sums if n}


@given(st.lists(st.integers(1, 2**15).map(lambda n: 2 * n + 1), max_size=6))
@settings(max_examples=60, deadline=None)
def test_every_adder_adds_two_multiples_that_are_there(multiples):
    order = adder_graph(multiples)
    made = {1}
    for n in order:
        assert n in one_adder_away(made)
        made.add(n)
    assert set(multiples) <= made and len(order) == len(made) - 1 >= len(set(multiples))


@pytest.mark.parametrize("bits", range(2, 9))
def test_all_odd_multiples_need_no_helper(bits):
    weights = np.arange(-2**(bits - 1), 2**(bits - 1))
    assert adder_graph(odd_multiples(weights)) == list(range(3, 2**(bits - 1), 2))


def test_multiples_must_be_odd():
    with pytest.raises(ModelError, match="must be odd and above 1, not"):
        adder_graph([6])


def test_sharing_counts_additions():
    """Two filters on one channel: 3 x and 6 x share 3 x; 7 x is another; 0 costs nothing."""
    weights = np.array([3, 7, 6, 0]).reshape(2, 1, 1, 2)
    figures = sharing(weights, np.full((1, 1, 2), 10), np.array([11]))
    assert (figures.multiples, figures.adders) == (2, 2)
    assert figures.macs == 30 and figures.unshared == 60 and figures.shared == 30 + 2 * 11
    assert figures.gain == pytest.approx(60 / 52)


def test_sharing_of_a_channel_needs_its_own_multiples_only():
    weights = np.array([3, 5]).reshape(1, 2, 1, 1)
    figures = sharing(weights, np.ones((2, 1, 1)), np.ones(2))
    assert figures.adders == 2 and figures.shared == 2 + 1 + 1


def test_nothing_to_share():
    assert sharing(np.zeros((1, 1, 1, 1), dtype=int), np.ones((1, 1, 1)), np.ones(1)).gain == 1


@pytest.mark.parametrize("arguments, message", [
    ((np.ones((1, 1, 1, 1)), np.ones((1, 1, 1)), np.ones(1)), "weights must be integers"),
    ((np.ones((1, 1, 1, 1), dtype=int), np.ones((1, 1)), np.ones(1)), "must be of shapes")])
def test_sharing_refuses(arguments, message):
    with pytest.raises(ModelError, match=message):
        sharing(*arguments)
