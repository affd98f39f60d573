"""Layers against the oracle, and what they refuse."""

import numpy as np
import oracle
import pytest
from networks import NETWORKS, random_images

from nmahw.errors import ModelError
from nmahw.layers import LAYERS
from nmahw.layers.arg_max import ArgMax
from nmahw.layers.average_pool import AveragePool
from nmahw.layers.bias import Bias
from nmahw.layers.channel_scale import ChannelScale
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.requantise import Requantise
from nmahw.network import Network
from nmahw.tensor import TensorFormat

EXAMPLES = [(kind.name, fmt, layer) for kind in LAYERS
            for fmt, layer in kind.examples(np.random.default_rng(3))]


@pytest.mark.parametrize("name, fmt, layer", EXAMPLES,
                         ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(EXAMPLES)])
def test_equals_the_oracle(name, fmt, layer):
    rng = np.random.default_rng(1)
    x = rng.integers(fmt.low, fmt.high + 1, (5, *fmt.shape))
    x[0], x[1] = fmt.low, fmt.high
    result = layer.compute(x, fmt)
    output = layer.output_format(fmt)
    assert result.shape == (5, *output.shape)
    assert result.min() >= output.low and result.max() <= output.high
    if hasattr(oracle, name):
        assert result.tolist() == [oracle.compute(image.tolist(), layer) for image in x]
    assert layer == layer and hash(layer) == hash(layer)


def test_every_shipped_layer_has_an_oracle():
    shipped = {kind.name for kind in LAYERS if kind.__module__.startswith("nmahw.layers.")}
    names = {"conv2d", "dense", "bias", "channel_scale", "relu", "requantise", "max_pool",
             "average_pool", "flatten", "arg_max", "softmax"}
    assert names <= shipped
    assert all(hasattr(oracle, name) for name in names)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_equal_the_oracle(name):
    network = NETWORKS[name]
    images = random_images(network, 4)
    assert network.predict(images).tolist() == [oracle.predict(network, i) for i in images]


def test_sums_use_the_narrowest_exact_float():
    fmt = TensorFormat((400,), 0, 2**20)
    weights = np.full((1, 400), 2**20 - 1)
    x = np.full((1, 400), 2**20)
    assert Dense(weights).compute(x, fmt).tolist() == [[400 * 2**20 * (2**20 - 1)]]
    with pytest.raises(ModelError, match="below 2"):
        Network(TensorFormat((400,), 0, 2**30), (Dense(weights),))


@pytest.mark.parametrize("make, words", [
    (lambda: Conv2d(np.ones((2, 3))), "conv2d weights must be a non-empty integer array with 4"),
    (lambda: Conv2d(np.ones((1, 1, 3, 3))), "integer array"),
    (lambda: Conv2d(np.ones((1, 1, 3, 3), int), stride=0), r"stride must be an integer of 1\.\."),
    (lambda: Conv2d(np.ones((1, 1, 3, 3), int), padding=3), r"padding must be an integer of 0"),
    (lambda: Dense(np.zeros((0, 3), int)), "non-empty"),
    (lambda: Dense(np.array([[np.nan]])), "integer array"),
    (lambda: Bias(np.array([[1]])), "1 axes"),
    (lambda: ChannelScale(np.ones((3, 1), int), np.ones((3, 1), int)),
     r"signs must have shape \(channels, 2\), not \(3, 1\)"),
    (lambda: ChannelScale(np.ones((3, 2)), np.ones((3, 2), int)), "signs must be a non-empty int"),
    (lambda: ChannelScale(np.full((3, 2), 2), np.ones((3, 2), int)),
     r"channel_scale signs must lie in -1\.\.1, not 2\.\.2"),
    (lambda: ChannelScale(np.ones((3, 2), int), np.array([[0, 31], [1, 2], [32, 0]])),
     r"channel_scale shifts must lie in 0\.\.31, not 0\.\.32"),
    (lambda: ChannelScale(np.ones((3, 2), int), np.full((3, 2), -1)), r"not -1\.\.-1"),
    (lambda: ChannelScale(np.ones((3, 2), int), np.ones((2, 2), int)),
     "as many signs as shifts, not 3 and 2"),
    (lambda: Requantise(41, 0, 1), r"shift must be an integer of 0\.\.40, not 41"),
    (lambda: Requantise(1, 5, 1), "low must not exceed high"),
    (lambda: AveragePool(3, 3), "power of two"),
    (lambda: MaxPool(True, 1), "must be an integer"),
    (lambda: MaxPool(17, 1), r"1\.\.16"),
])
def test_refuses_parameters(make, words):
    with pytest.raises(ModelError, match=words):
        make()


@pytest.mark.parametrize("layers, words", [
    ((Dense(np.ones((2, 4), int)),), r"layer 0 \(dense\): .* put flatten before it"),
    ((Conv2d(np.ones((1, 2, 3, 3), int)),), r"layer 0 \(conv2d\)"),
    ((Conv2d(np.ones((1, 1, 9, 3), int)),), "must not be larger"),
    ((MaxPool(5, 1),), "window 5x5"),
    ((Bias(np.ones(3, int)),), "3 values"),
    ((ChannelScale(np.ones((3, 2), int), np.ones((3, 2), int)),),
     r"layer 0 \(channel_scale\): channel_scale of 3 channels must get as many, not \(1, 4, 4\)"),
    ((ChannelScale(np.ones((1, 2), int), np.full((1, 2), 23)),
      ChannelScale(np.ones((1, 2), int), np.full((1, 2), 31))),
     r"layer 1 \(channel_scale\): channel_scale terms must stay below 2.53, but can reach"),
    ((ArgMax(),), "put flatten before it"),
    ((), "at least one layer"),
])
def test_refuses_chains(layers, words):
    with pytest.raises(ModelError, match=words):
        Network(TensorFormat((1, 4, 4), 0, 3), layers)


def test_arg_max_must_be_last():
    with pytest.raises(ModelError, match=r"layer 0 \(arg_max\) must be the last"):
        Network(TensorFormat((4,), 0, 3), (ArgMax(), Bias(np.ones(1, int))))
