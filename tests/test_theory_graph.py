"""NMA graphs: their layers and neurons, and that they compute what multiplications compute."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NETWORKS, random_images

from nmahw import bundled
from nmahw.arith.gate import NONLINEARITIES
from nmahw.errors import ModelError, UsageError
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.network import Network
from nmahw.tensor import TensorFormat
from nmahw.theory.backward import (
    fully_connected_backward,
    network_gradients,
)
from nmahw.theory.builder import Builder
from nmahw.theory.distinct import distinct_products
from nmahw.theory.forward import convolutional, fully_connected, network_feeds, network_graph
from nmahw.theory.functions import IDENTITY, RELU, SIGMOID
from nmahw.theory.gates import ExactGate, GateFunctions, SmoothGate
from nmahw.theory.graph import Kind
from nmahw.theory.terms import conv_terms, dense_terms

SIZES = st.lists(st.integers(1, 5), min_size=2, max_size=5)

RUNNABLE = {name: network for name, network in NETWORKS.items()
            if any(layer.is_matrix for layer in network.layers)
            and all(layer.operation.name == "product" for layer in network.layers
                    if layer.is_matrix)}


class Addable:
    """A number that can be added, negated and looked up, and nothing else."""

    def __init__(self, value):
        self.value = int(value)

    def __add__(self, other):
        return Addable(self.value + other.value)

    def __neg__(self):
        return Addable(-self.value)


class LookUp(GateFunctions):
    """The exact gate on `Addable`: squares from a table made by adding odd numbers."""

    def __init__(self, largest):
        self.squares = [0]
        for odd in range(1, 2 * largest, 2):
            self.squares.append(self.squares[-1] + odd)

    def neuron(self, argument):
        return self._each(argument, lambda value: self.squares[abs(value)])

    def output(self, total):
        return self._each(total, lambda value: value >> 3)

    def error_bound(self, u, v):
        raise NotImplementedError

    @staticmethod
    def _each(values, function):
        return np.array([Addable(function(entry.value)) for entry in values], dtype=object)


def addable(values):
    return np.array([Addable(value) for value in np.ravel(values)], dtype=object)


@given(SIZES)
@settings(max_examples=50, deadline=None)
def test_fully_connected_layers_and_neurons(sizes):
    graph = fully_connected(sizes)
    assert graph.depth == 4 * len(sizes) - 3
    for index, (here, there) in enumerate(zip(sizes, sizes[1:], strict=False)):
        inputs, intermediates, products, sums, activations = graph.counts[4 * index:4 * index + 5]
        assert inputs[Kind.WEIGHT] == products[Kind.PRODUCT] == here * there
        assert intermediates[Kind.INTERMEDIATE] == 4 * here * there
        assert sums[Kind.SUM] == activations[Kind.ACTIVATION] == there
    assert graph.counts[0][Kind.INPUT] == sizes[0]


def ordinary(sizes, weights, x, activation):
    """Values of every layer, by matrix products."""
    values = [np.asarray(x)]
    for index, matrix in enumerate(weights):
        values.append(activation.value.compute(matrix.reshape(sizes[index + 1], -1) @ values[-1]))
    return values


@given(SIZES, st.integers(0, 2**32), st.sampled_from([RELU, IDENTITY]))
@settings(max_examples=60, deadline=None)
def test_fully_connected_forward_and_backward_equal_on_integers(sizes, seed, activation):
    rng = np.random.default_rng(seed)
    weights = [rng.integers(-3, 4, a * b) for a, b in zip(sizes, sizes[1:], strict=False)]
    x, targets = rng.integers(-9, 10, sizes[0]), rng.integers(-9, 10, sizes[-1])
    values = ordinary(sizes, weights, x, activation)
    feeds = {"X1": x} | {f"W{i}": w for i, w in enumerate(weights, 1)}
    forward = fully_connected(sizes, activation).evaluate(feeds, ExactGate())
    for index, expected in enumerate(values, 1):
        assert np.array_equal(forward[f"X{index}"], expected)

    feeds |= {f"X{i}": v for i, v in enumerate(values, 1)} | {"T": targets}
    plain, full = (fully_connected_backward(sizes, activation, gradients)
                   for gradients in (False, True))
    backward, more = plain.evaluate(feeds, ExactGate()), full.evaluate(feeds, ExactGate())
    assert plain.depth == 5 * len(sizes) - 6
    assert full.depth == 5 * len(sizes) - 4
    delta = None
    for index in range(len(sizes) - 1, 0, -1):
        error = values[-1] - targets if delta is None else \
            weights[index].reshape(sizes[index + 1], -1).T @ delta
        delta = activation.slope_of_output.compute(values[index]) * error
        assert np.array_equal(backward[f"d{index}"], delta)
        assert np.array_equal(more[f"dW{index}"].reshape(sizes[index], -1),
                              np.outer(delta, values[index - 1]))


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@given(sizes=SIZES, seed=st.integers(0, 2**32), lambda_log2=st.integers(-16, -6))
@settings(max_examples=40, deadline=None)
def test_fully_connected_with_the_smooth_gate_is_within_its_bound(nonlinearity, sizes, seed,
                                                                  lambda_log2):
    gate = SmoothGate(lambda_log2, nonlinearity)
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=a * b) for a, b in zip(sizes, sizes[1:], strict=False)]
    x, targets = rng.normal(size=sizes[0]), rng.uniform(size=sizes[-1])
    values = ordinary(sizes, [w.astype(np.longdouble) for w in weights], x, SIGMOID)
    feeds = {"X1": x} | {f"W{i}": w for i, w in enumerate(weights, 1)}
    graph = fully_connected(sizes)
    found = graph.evaluate(feeds, gate)
    bounds = graph.error_bounds(found, gate)
    for index in range(2, len(sizes) + 1):
        name = f"X{index}"
        assert (np.abs(found[name] - values[index - 1]) <= bounds[name]).all()
        assert bounds[name].max() < 1

    feeds |= {f"X{i}": v.astype(np.float64) for i, v in enumerate(values, 1)} | {"T": targets}
    graph = fully_connected_backward(sizes, gradients=True)
    found = graph.evaluate(feeds, gate)
    bounds = graph.error_bounds(found, gate)
    values = [np.asarray(feeds[f"X{i + 1}"], np.longdouble) for i in range(len(sizes))]
    delta = None
    for index in range(len(sizes) - 1, 0, -1):
        error = values[-1] - targets if delta is None else \
            weights[index].reshape(sizes[index + 1], -1).T @ delta
        delta = values[index] * (1 - values[index]) * error
        assert (np.abs(found[f"d{index}"] - delta) <= bounds[f"d{index}"]).all()
        gradient = np.outer(delta, values[index - 1]).ravel()
        assert (np.abs(found[f"dW{index}"] - gradient) <= bounds[f"dW{index}"]).all()


def test_the_smooth_gates_bound_is_of_the_right_size():
    """Within 3 times of the worst error where the Taylor remainder rules."""
    rng = np.random.default_rng(1)
    u, v = rng.uniform(-1, 1, (2, 100_000))
    gate = SmoothGate(-6)
    b = Builder("products")
    places = b.give(1, Kind.INPUT, "u", len(u)), b.give(1, Kind.INPUT, "v", len(v))
    b.multiply(1, *places, "P")
    error = np.abs(b.build().evaluate({"u": u, "v": v}, gate)["P"] - u * v)
    bound = gate.error_bound(u, v)
    assert (error <= bound).all() and bound.max() < 3 * error.max()


def test_nothing_but_additions_and_functions_of_one_argument():
    """The graph runs on numbers that know no multiplication."""
    rng = np.random.default_rng(2)
    sizes, x = (3, 4, 2), rng.integers(-9, 10, 3)
    weights = [rng.integers(-3, 4, 12), rng.integers(-3, 4, 8)]
    feeds = {"X1": x, "W1": weights[0], "W2": weights[1], "T": rng.integers(-9, 10, 2)}
    graph = fully_connected(sizes, IDENTITY)
    with pytest.raises(TypeError, match="unsupported operand"):
        Addable(2) * Addable(3)
    found = graph.evaluate({name: addable(v) for name, v in feeds.items()}, LookUp(10_000))
    expected = graph.evaluate(feeds, ExactGate())
    assert [entry.value for entry in found["X3"]] == expected["X3"].tolist()


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_convolutional_graphs(first, second, more, seed):
    height, width = first + second - 1 + more, first + second - 1 + 2 * more
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (height, width))
    kernels = [rng.integers(-2, 3, (f, f)) for f in (first, second)]
    expected, shapes = x, []
    for kernel in kernels:
        windows = np.lib.stride_tricks.sliding_window_view(expected, kernel.shape)
        expected = np.maximum(np.einsum("ijab,ab->ij", windows, kernel), 0)
        shapes.append(expected.size)
    feeds = {"X1": x.ravel(), "W1": kernels[0].ravel(), "W2": kernels[1].ravel()}
    plain = convolutional((height, width), (first, second), RELU)
    shared = convolutional((height, width), (first, second), RELU, (x, kernels))
    for graph in (plain, shared):
        assert graph.depth == 3 * 3 - 2
        assert np.array_equal(graph.evaluate(feeds, ExactGate())["X3"], expected.ravel())
        assert [c[Kind.SUM] for c in graph.counts[3::3]] == shapes
    assert plain.products == first**2 * shapes[0] + second**2 * shapes[1]
    assert shared.counts[0][Kind.INPUT] == len(np.unique(x))
    assert shared.counts[2][Kind.PRODUCT] == distinct_products(
        x[None, None], kernels[0][None, None])
    assert shared.counts[1][Kind.INTERMEDIATE] == 4 * shared.counts[2][Kind.PRODUCT]


@pytest.mark.parametrize("name", sorted(RUNNABLE))
def test_networks_of_the_ir(name):
    network = RUNNABLE[name]
    x = random_images(network, 5)
    expected = network.predict(x).reshape(len(x), -1)
    graph = network_graph(network)
    assert np.array_equal(graph.evaluate(network_feeds(network, x), ExactGate()).layers[-1],
                          expected)
    shared = network_graph(network, x[4])
    values = shared.evaluate(network_feeds(network, x[4:]), ExactGate())
    assert np.array_equal(values.layers[-1], expected[4:])
    assert shared.products <= graph.products <= network.macs


def test_lenet5_as_an_nma():
    """A network of 416,520 MAC as a graph, and what is left of its products for one image."""
    network = bundled.load_model("lenet5-w4a4")
    images = bundled.load_sample("mnist-sample").x[:2]
    graph = network_graph(network)
    # Padded zeros are no neurons: 5x5 taps meet (2 * 26 + 2 * 27 + 28) pixels each way, not 5 * 28.
    assert graph.products == network.macs - 6 * ((5 * 28)**2 - (2 * 26 + 2 * 27 + 28)**2)
    assert graph.totals[Kind.INTERMEDIATE] == 4 * graph.products
    feeds = network_feeds(network, images)
    assert np.array_equal(graph.evaluate(feeds, ExactGate()).layers[-1], network.predict(images))
    shared = network_graph(network, images[0])
    assert np.array_equal(shared.evaluate(network_feeds(network, images[:1]), ExactGate())
                          .layers[-1], network.predict(images[:1]))
    assert shared.products < 1000
    with pytest.raises(ModelError, match="it was made for another example"):
        shared.evaluate(network_feeds(network, images[1:]), ExactGate())


# What cannot be.

@pytest.mark.parametrize("call, message", [
    (lambda: fully_connected([3]), "at least two layers"),
    (lambda: fully_connected_backward([3, 0]), "at least two layers"),
    (lambda: conv_terms((1, 2, 2), (1, 1, 3, 3)), "not smaller than its kernel"),
    (lambda: network_graph(Network(TensorFormat((1, 2, 2), 0, 3), (Flatten(),))), "with weights"),
    (lambda: network_gradients(Network(TensorFormat((1, 2, 2), 0, 3), (Flatten(),))),
     "with weights"),
    (lambda: network_graph(Network(TensorFormat((2,), 0, 3), (
        Dense(np.ones((1, 2), dtype=int), "l1"),))), "sum of products, not dense of the operation"),
    (lambda: fully_connected([2, 1]).evaluate({"X1": np.zeros(2)}, SmoothGate()), "have 'W1'"),
    (lambda: fully_connected([2, 1]).evaluate({"X1": np.zeros(3)}, SmoothGate()),
     "X1 must have 2 values, not 3"),
    (lambda: fully_connected([2, 1]).evaluate(
        {"X1": np.zeros(2), "W1": np.zeros(2)}, ExactGate()), "must be integers"),
    (lambda: fully_connected([1, 1]).evaluate(
        {"X1": np.array([2**40]), "W1": np.array([1])}, ExactGate()), "must be below"),
    (lambda: convolutional((3, 3), [2], example=(np.zeros((2, 2)), [np.zeros((2, 2))])),
     "must have 9 values, not 4")])
def test_what_is_wrong_is_told(call, message):
    with pytest.raises(ModelError, match=message):
        call()


@pytest.mark.parametrize("arguments, message", [
    ((-12, "relu"), "nonlinearity must be one of"), ((3,), "lambda_log2 must be an integer")])
def test_gate_parameters(arguments, message):
    with pytest.raises(UsageError, match=message):
        SmoothGate(*arguments)


def test_dense_terms_are_the_matrix_product():
    terms = dense_terms(3, 2)
    assert (terms.outputs.tolist(), terms.inputs.tolist(), terms.weights.tolist()) == (
        [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 5])
