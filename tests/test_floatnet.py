"""Float networks as front ends give them."""

import numpy as np
import pytest
from float_models import RNG_SEED, weights

from nmahw.errors import ModelError
from nmahw.floatnet import FloatConv2d, FloatDense, FloatNetwork, FloatReLU
from nmahw.tensor import TensorFormat


def test_float_network_checks():
    dense = FloatDense(weights(3, 4), weights(3), "head")
    with pytest.raises(ModelError, match=r"layer 1 \(dense head\): .*must get \(4,\), not \(3,\)"):
        FloatNetwork(TensorFormat((4,), 0, 255), 1 / 255, (dense, dense))
    with pytest.raises(ModelError, match="input scale must be a positive number"):
        FloatNetwork(TensorFormat((4,), 0, 255), 0, (dense,))
    with pytest.raises(ModelError, match="dense head bias must hold finite"):
        FloatDense(weights(3, 4), np.array([0, np.nan, 0]), "head")
    network = FloatNetwork(TensorFormat((4,), 0, 255), 1 / 255, (dense,))
    with pytest.raises(ModelError, match=r"shape \(batch, 4\)"):
        network.predict(np.zeros((2, 5), np.uint8))
    assert network.predict(np.zeros((0, 4), np.uint8)).shape == (0, 3)


def test_float_convolution_equals_a_plain_loop():
    layer = FloatConv2d(weights(2, 3, 3, 2), weights(2), "c", stride=2, padding=1)
    x = np.random.default_rng(RNG_SEED).normal(size=(2, 3, 6, 5)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    got = layer.compute(x)
    for (n, c, i, j), value in np.ndenumerate(got):
        window = padded[n, :, 2 * i:2 * i + 3, 2 * j:2 * j + 2]
        assert value == pytest.approx((window * layer.weights[c]).sum() + layer.bias[c], abs=1e-4)
    assert got.shape[1:] == layer.output_shape((3, 6, 5))


def test_relu_on_floats():
    assert FloatReLU().compute(np.array([[-1.5, 2.5]], np.float32)).tolist() == [[0.0, 2.5]]
