"""NMA graphs of gradients: backpropagation through convolutions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmahw import bundled
from nmahw.theory.backward import (
    error_to_inputs,
    kernel_gradient,
    network_gradients,
)
from nmahw.theory.functions import IDENTITY, RELU
from nmahw.theory.gates import ExactGate, SmoothGate
from nmahw.theory.graph import Kind
from nmahw.theory.terms import conv_terms


def two_convolutions(activation, seed):
    """A strided, padded network of two layers: terms, kernels, sums, values, targets."""
    rng = np.random.default_rng(seed)
    first = conv_terms((2, 5, 6), (3, 2, 3, 3), stride=1, padding=1)
    layers = first, conv_terms(first.output_shape, (2, 3, 2, 2), stride=2)
    values, sums = [rng.integers(-4, 5, 2 * 5 * 6)], []
    kernels = [rng.integers(-2, 3, terms.sizes[2]) for terms in layers]
    for terms, kernel in zip(layers, kernels, strict=True):
        y = np.zeros(terms.sizes[0], dtype=int)
        for o, i, w in zip(terms.outputs, terms.inputs, terms.weights, strict=True):
            y[o] += values[-1][i] * kernel[w]
        sums.append(y)
        values.append(activation.value.compute(y))
    return layers, kernels, sums, values, rng.integers(-9, 10, values[-1].size)


def gradients_by_graphs(activation, layers, kernels, sums, values, targets):
    """One graph a kernel; between them the third, which the paper leaves out."""
    gate = ExactGate()
    last = kernel_gradient(layers[1], activation).evaluate(
        {"X'": values[2], "T": targets, "Y": sums[1], "X": values[1]}, gate)
    between = error_to_inputs(layers[1]).evaluate({"G": last["G"], "W": kernels[1]}, gate)
    hidden = kernel_gradient(layers[0], activation, hidden=True).evaluate(
        {"dX'": between["dX"], "Y": sums[0], "X": values[0]}, gate)
    return hidden["dW"], last["dW"]


def test_backpropagation_through_convolutions_equals_the_chain_rule():
    layers, kernels, sums, values, targets = case = two_convolutions(RELU, 3)
    errors = values[2] - targets
    expected = []
    for place in (1, 0):
        g = errors * (sums[place] > 0)
        gradient, before = np.zeros_like(kernels[place]), np.zeros_like(values[place])
        for o, i, w in zip(layers[place].outputs, layers[place].inputs, layers[place].weights,
                           strict=True):
            gradient[w] += g[o] * values[place][i]
            before[i] += g[o] * kernels[place][w]
        errors = before
        expected.insert(0, gradient)
    for found, gradient in zip(gradients_by_graphs(RELU, *case), expected, strict=True):
        assert np.array_equal(found, gradient)


def test_backpropagation_through_convolutions_is_the_slope_of_the_loss():
    layers, kernels, sums, values, targets = case = two_convolutions(IDENTITY, 4)

    def loss(kernels):
        x = values[0]
        for terms, kernel in zip(layers, kernels, strict=True):
            y = np.zeros(terms.sizes[0])
            np.add.at(y, terms.outputs, x[terms.inputs] * kernel[terms.weights])
            x = y
        return np.square(x - targets).sum() / 2

    # The loss is quadratic in one weight, so a central difference is its slope.
    for place, found in enumerate(gradients_by_graphs(IDENTITY, *case)):
        for index in range(len(found)):
            ends = [[np.where(np.arange(len(k)) == index, k + sign, k) if at == place else k
                     for at, k in enumerate(kernels)] for sign in (1, -1)]
            assert (loss(ends[0]) - loss(ends[1])) / 2 == found[index]


def test_gradients_of_a_networks_layers():
    """Of LeNet-5's layers, with made-up errors: the outer products of numpy."""
    network = bundled.load_model("lenet5-w4a4")
    images = bundled.load_sample("mnist-sample").x[:1]
    inputs = [images, *network.predict(images, trace=True)[1].outputs]
    graphs = network_gradients(network)
    layers = [(layer, x[0], y[0]) for layer, x, y in zip(network.layers, inputs, inputs[1:],
                                                         strict=False) if layer.is_matrix]
    assert len(graphs) == len(layers) == 5
    rng = np.random.default_rng(5)
    for index, (graph, (layer, x, y)) in enumerate(zip(graphs, layers, strict=True)):
        errors = rng.integers(-9, 10, y.shape)
        hidden = index < 4
        feeds = {"Y": y.ravel(), "X": x.ravel()} | (
            {"dX'": errors.ravel()} if hidden else {"X'": errors.ravel(), "T": 0 * errors.ravel()})
        found = graph.evaluate(feeds, ExactGate())["dW"].reshape(layer.weights.shape)
        g = errors * (y > 0)
        if layer.name == "dense":
            expected = np.outer(g, x)
        else:
            pad = layer.padding
            windows = np.lib.stride_tricks.sliding_window_view(
                np.pad(x, ((0, 0), (pad, pad), (pad, pad))), layer.weights.shape[2:], axis=(1, 2))
            expected = np.einsum("oij,cijab->ocab", g, windows)
        assert np.array_equal(found, expected)


def test_kernel_gradient_layers_and_neurons():
    """Figure 5: H W products in step one, f^2 H W in step two, f^2 sums, 7 layers."""
    graph = kernel_gradient(conv_terms((1, 6, 5), (1, 1, 3, 3)))
    assert graph.depth == 7
    assert [dict(layer) for layer in graph.counts] == [
        {Kind.INPUT: 12}, {Kind.SUM: 12, Kind.INPUT: 12}, {Kind.INTERMEDIATE: 48},
        {Kind.PRODUCT: 12, Kind.INPUT: 30}, {Kind.INTERMEDIATE: 4 * 9 * 12},
        {Kind.PRODUCT: 9 * 12}, {Kind.SUM: 9}]


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_kernel_gradient_with_the_smooth_gate_is_within_its_bound(f, outputs, seed):
    rng = np.random.default_rng(seed)
    size = f + outputs - 1
    terms = conv_terms((1, size, size), (1, 1, f, f))
    x, kernel = rng.normal(size=(size, size)), rng.normal(size=(f, f))
    windows = np.lib.stride_tricks.sliding_window_view(x, (f, f))
    sums = np.einsum("ijab,ab->ij", windows, kernel)
    results, targets = 1 / (1 + np.exp(-sums)), rng.uniform(size=sums.shape)
    errors = ((results - targets) * results * (1 - results)).astype(np.longdouble)
    gate, graph = SmoothGate(), kernel_gradient(terms)
    found = graph.evaluate({"X'": results.ravel(), "T": targets.ravel(), "Y": sums.ravel(),
                            "X": x.ravel()}, gate)
    bounds = graph.error_bounds(found, gate)
    expected = np.einsum("ijab,ij->ab", windows, errors).ravel()
    assert (np.abs(found["dW"] - expected) <= bounds["dW"]).all()
    assert bounds["dW"].max() < 1e-3
