"""Small networks that together use every way the engine knows."""

from dataclasses import replace

import numpy as np
import pytest

from nmahw.layers.arg_max import ArgMax
from nmahw.layers.average_pool import AveragePool
from nmahw.layers.bias import Bias
from nmahw.layers.channel_scale import ChannelScale
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.relu import ReLU
from nmahw.layers.requantise import Requantise
from nmahw.lowering import lower
from nmahw.network import Network
from nmahw.tensor import TensorFormat

rng = np.random.default_rng(7)


def _w(*shape: int) -> np.ndarray:
    return rng.integers(-8, 8, shape)


def _b(count: int) -> np.ndarray:
    return rng.integers(-60, 60, count)


def _scale(count: int, high: int) -> ChannelScale:
    return ChannelScale(rng.integers(-1, 2, (count, 2)), rng.integers(0, high + 1, (count, 2)))


NETWORKS = {
    "lenet-like": Network(TensorFormat((1, 10, 9), 0, 15), (
        Conv2d(_w(3, 1, 3, 3), 1, 1), Bias(_b(3)), ReLU(), Requantise(4, 0, 15), MaxPool(2, 2),
        Conv2d(_w(5, 3, 2, 2)), Bias(_b(5)), ReLU(), Requantise(4, 0, 15), MaxPool(2, 2),
        Flatten(), Dense(_w(7, 10)), Bias(_b(7)), ReLU(), Requantise(4, 0, 15),
        Dense(_w(4, 7)), Bias(_b(4)))),
    "averages": Network(TensorFormat((2, 8, 7), 0, 15), (
        Conv2d(_w(4, 2, 3, 3), 1, 2), Bias(_b(4)), AveragePool(2, 2), ReLU(),
        Requantise(4, 0, 15), Conv2d(_w(3, 4, 3, 3), 1, 1), Requantise(3, 0, 15),
        AveragePool(2, 1), Flatten(), Dense(_w(5, 3 * 4 * 3)), ArgMax())),
    "mlp": Network(TensorFormat((13,), 0, 15), (
        Dense(_w(9, 13)), Bias(_b(9)), ReLU(), Requantise(4, 0, 15), Dense(_w(6, 9)),
        Bias(_b(6)), Requantise(3, -8, 7))),
    "signed, strided, overlapping": Network(TensorFormat((2, 9, 9), -8, 7), (
        Conv2d(_w(3, 2, 3, 2), 2, 1), Requantise(4, -8, 7), MaxPool(3, 1),
        Conv2d(_w(4, 3, 2, 2), 1, 1))),
    "layers on their own": Network(TensorFormat((2, 6, 6), 0, 255), (
        Requantise(4, 0, 15), MaxPool(2, 1), AveragePool(2, 1), Bias(np.array([3, -9])), ReLU(),
        Requantise(1, 0, 15), Flatten(), Bias(_b(32)), Requantise(2, -4, 7), ReLU(),
        ArgMax())),
    "one weight": Network(TensorFormat((1,), 0, 3), (Dense(np.array([[-2]])),)),
    "bound by its input": Network(TensorFormat((60,), 0, 3), (
        Dense(_w(1, 60)), Requantise(2, 0, 3), Dense(_w(2, 1)))),
    "bound by its output": Network(TensorFormat((2, 5, 4), 0, 3), (Conv2d(_w(2, 2, 1, 1)),)),
    "flatten only": Network(TensorFormat((1, 2, 2), 0, 3), (Flatten(),)),
    "scaled": Network(TensorFormat((1, 6, 7), 0, 15), (
        Conv2d(_w(5, 1, 3, 3), 1, 1), _scale(5, 4), Bias(_b(5)), ReLU(), Requantise(7, 0, 15),
        MaxPool(2, 2), Conv2d(_w(3, 5, 2, 2)), Bias(_b(3)), Requantise(4, -8, 7), Flatten(),
        Dense(_w(4, 12)), Bias(_b(4)), _scale(4, 3))),
}


def random_images(network: Network, count: int, seed: int = 0) -> np.ndarray:
    """Images over the input's whole range; the first ones at its corners."""
    fmt = network.input_format
    images = np.random.default_rng(seed).integers(fmt.low, fmt.high + 1, (count, *fmt.shape))
    for index, value in zip(range(count // 2), (fmt.high, fmt.low), strict=False):
        images[index] = value
    return images


def network_for(name: str, kind: type) -> Network:
    """The network of that name, adapted; skips the test when `kind` has nothing to do in it."""
    network = adapted(NETWORKS[name], kind)
    if all(p.operation.name != kind.operation for p in lower(network).passes):
        pytest.skip(f"{name} has no pass of the operation {kind.operation}")
    return network


def adapted(network: Network, kind: type) -> Network:
    """The network with the operation of an arithmetic and the nearest weights it has codes for.

    Sums of another operation than the product may lie all on one side of zero; then biases move
    their middle there, or rectified activations would all be zero.
    """
    layers, fmt = [], network.input_format
    for layer in network.layers:
        if layer.is_matrix:
            layer = replace(layer, weights=kind.project(layer.weights), operation=kind.operation)
        layers.append(layer)
        fmt = layer.output_format(fmt)
        if layer.is_matrix and kind.operation != "product" and not fmt.low < 0 < fmt.high:
            layers.append(Bias(np.full(fmt.shape[0], -(fmt.low + fmt.high) // 2)))
            fmt = layers[-1].output_format(fmt)
    return Network(network.input_format, tuple(layers))
