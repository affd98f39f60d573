"""Trained models become float and integer networks that compute the same."""

import numpy as np
import pytest

from nmahw.errors import ModelError
from nmahw.tensor import TensorFormat
from nmahw.train.export import float_network, quantised_network
from nmahw.train.layers import build
from nmahw.train.rule import Rule
from nmahw.train.topology import Topology

TEXTS = ("36-7-5", "conv 3 3 padding=1, batch_norm, relu, max_pool 2, conv 4 2, relu, flatten, "
         "dense 6, batch_norm, relu, dense 5",
         "conv 4 3 stride=2 padding=1, relu, flatten, dense 5, batch_norm",
         "conv 5 3, batch_norm, relu, global_average_pool, dense 5")


def trained(text: str, rng: np.random.Generator):
    """A model with moved batch norms, and images."""
    form = TensorFormat((1, 6, 6), 0, 255)
    model = build(Topology.of(text), form.shape, Rule(), rng)
    for part in model.parts():
        for arrays in (part.parameters, part.buffers):
            for name in arrays:
                if name in ("scale", "offset", "mean", "bias"):
                    arrays[name] += rng.normal(size=arrays[name].shape).astype(np.float32)
                elif name == "variance":
                    arrays[name] = rng.uniform(0.3, 3, arrays[name].shape).astype(np.float32)
    return model, form, rng.integers(0, 256, (50, 1, 6, 6))


@pytest.mark.parametrize("text", TEXTS)
def test_float_network_computes_what_the_model_does(text):
    model, form, x = trained(text, np.random.default_rng(5))
    expected = model.forward(x.astype(np.float32) / 255, False)
    network = float_network(model, form)
    np.testing.assert_allclose(network.predict(x), expected, rtol=1e-4, atol=1e-4)
    assert np.ptp(expected) > 0.1


def test_integer_network_agrees_on_most_classes():
    model, form, x = trained(TEXTS[1], np.random.default_rng(6))
    network = quantised_network(model, form, x, "two convolutions", {"made": "here"})
    expected = model.forward(x.astype(np.float32) / 255, False).argmax(axis=1)
    assert np.mean(network.classify(x) == expected) > 0.9
    assert network.title == "two convolutions" and network.metadata["made"] == "here"


@pytest.mark.parametrize("text, message", [
    ("conv 3 3 padding=1, relu, residual 3, flatten, dense 5", "layer 2 .*residual connections"),
    ("conv 3 3, relu, batch_norm, flatten, dense 5", "layer 2 .*directly behind"),
    ("conv 3 2, global_average_pool, dense 5", "cannot over 5x5")])
def test_what_the_ir_cannot_hold(text, message):
    model, form, _ = trained(text, np.random.default_rng(7))
    with pytest.raises(ModelError, match=message):
        float_network(model, form)


def test_batch_norm_behind_distances_is_not_folded():
    model, form, _ = trained(TEXTS[2], np.random.default_rng(8))
    with pytest.raises(ModelError, match="batch norm must follow sums of products"):
        float_network(model, form, operation="l1")
