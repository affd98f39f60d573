"""AdderNet's L1 distance: weights past the activations' range, networks, quantisation."""

import itertools

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import random_images

from nmahw.arith import Operand
from nmahw.arith.l1 import L1
from nmahw.design import Design
from nmahw.devices import FlowOptions, device
from nmahw.errors import ModelError
from nmahw.floatnet import FloatConv2d, FloatDense, FloatFlatten, FloatNetwork, FloatReLU
from nmahw.frontends import read_float_model
from nmahw.layers.bias import Bias
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.relu import ReLU
from nmahw.layers.requantise import Requantise
from nmahw.network import Network
from nmahw.quantise import quantise
from nmahw.tensor import TensorFormat
from rtl import run_accelerator, step_results

rng = np.random.default_rng(11)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 5, 6])
def test_golden_is_the_distance(bits, signed):
    arithmetic = L1(Operand(bits, signed), Operand(bits + 2, True))
    x, w = (np.array(operand.values) for operand in (arithmetic.activation, arithmetic.weight))
    table = arithmetic.compute(x[:, None], w[None])
    assert table.tolist() == [[-abs(a - b) for b in w.tolist()] for a in x.tolist()]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [4, pytest.param(5, marks=pytest.mark.long),
                                  pytest.param(6, marks=pytest.mark.long)])
def test_hardware_is_exhaustively_the_distance(bits, signed):
    arithmetic = L1(Operand(bits, signed), Operand(bits + 2, True))
    pairs = list(itertools.product(arithmetic.activation.values, arithmetic.weight.values))
    assert step_results(arithmetic, pairs) == [-abs(x - w) for x, w in pairs]


@pytest.mark.parametrize("signed", [False, True])
def test_hardware_at_the_corners_of_eight_bits(signed):
    arithmetic = L1(Operand(8, signed), Operand(16, True))
    x = arithmetic.activation
    near = [-32768, x.low - 1, x.low, x.low + 1, 0, 1, x.high - 1, x.high, x.high + 1, 32767]
    pairs = list(itertools.product([x.low, x.low + 1, 0, 1, x.high - 1, x.high], near))
    # The psum from above is at its limits, too.
    for psum in (0, x.high - x.low):
        assert step_results(arithmetic, pairs, psum) == [-abs(a - b) - psum for a, b in pairs]


@given(bits=st.integers(1, 16), signed=st.booleans(), data=st.data())
def test_clamping_is_exact(bits, signed, data):
    """``|x - w| = |x - clamp(w)| + |w - clamp(w)|``, in codes and offsets."""
    arithmetic = L1(Operand(bits, signed), Operand(16, True))
    x = data.draw(st.integers(arithmetic.activation.low, arithmetic.activation.high))
    weights = data.draw(st.lists(st.integers(-2**15, 2**15 - 1), min_size=1, max_size=5))
    codes = arithmetic.encode_weights(np.array(weights)[:, None])
    high = arithmetic.activation.high
    held = [high - int(code) % 2**bits for code in codes]
    offset = arithmetic.step_offset(np.array(weights)[:, None], Operand(1, False))
    assert sum(abs(x - w) for w in weights) == sum(abs(x - w) for w in held) + int(offset[0])


def l1_network(fmt: TensorFormat, limit: int) -> Network:
    def weights(*shape):
        return rng.integers(-limit, limit + 1, shape)

    def bias(channels, taps):
        return Bias(rng.integers(0, limit, channels) + taps * limit // 2)

    high = 7 if fmt.signed else 15
    behind = (Requantise(2, -8, 7),) if fmt.signed else (ReLU(), Requantise(3, 0, high))
    return Network(fmt, (
        Conv2d(weights(4, fmt.shape[0], 3, 3), 1, 1, "l1"), bias(4, 9 * fmt.shape[0]), *behind,
        MaxPool(2, 2), Conv2d(weights(3, 4, 2, 2), 1, 0, "l1"), bias(3, 16), *behind,
        Flatten(), Dense(weights(5, 12), "l1"), bias(5, 12), *behind,
        Dense(weights(3, 5), "l1")))


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (4, 9)])
@pytest.mark.parametrize("low, high, limit", [(0, 15, 60), (-8, 7, 30), (0, 15, 8)])
def test_networks(low, high, limit, shape):
    network = l1_network(TensorFormat((2, 6, 7), low, high), limit)
    assert any(network.predict(random_images(network, 4, 1)).ravel() != 0)
    design = Design.of(network, "l1", *shape)
    assert design.arithmetic.activation == Operand(4, low < 0)
    images = random_images(network, 3)
    golden = design.predict(images).tolist()
    assert golden == [oracle.predict(network, image) for image in images]
    run = run_accelerator(design, images, stall=0.3, seed=1)
    assert run.outputs == golden
    assert run.cycles_by_pass == [3 * c for c in design.schedule.cycles_by_pass]


def test_beside_passes_of_products():
    """A layer that fits no l1 pass needs weights of 1, and an engine for products."""
    network = Network(TensorFormat((3,), 0, 7), (
        Bias(np.array([1, 2, 3])), Dense(rng.integers(-9, 9, (4, 3)), "l1"),
        Bias(np.array([40, 30, 45, 9])), Requantise(1, 0, 15)))
    design = Design.of(network, "l1", 2, 2)
    assert [p.operation.name for p in design.program.passes] == ["product", "l1"]
    images = random_images(network, 4)
    assert run_accelerator(design, images, stall=0.2).outputs == design.predict(images).tolist()
    layers = (*network.layers, Dense(rng.integers(-9, 9, (2, 4))))
    with pytest.raises(ModelError, match="layer 4 dense: l1 computes the operation l1, but the "
                                         "layer must have product"):
        Design.of(Network(network.input_format, layers), "l1", 2, 2)


def float_network(signed: bool) -> FloatNetwork:
    rng = np.random.default_rng(5)

    def weights(*shape):
        return rng.normal(0.4, 0.6, shape)
    layers = (
        FloatConv2d(weights(6, 1, 3, 3), np.full(6, 4.5), "c1", 1, 1, "l1"), FloatReLU(),
        FloatConv2d(weights(5, 6, 3, 3) * 2, np.full(5, 60.0), "c2", 2, 0, "l1"), FloatReLU(),
        FloatFlatten(), FloatDense(weights(4, 45), rng.normal(0, 1, 4), "d", "l1"))
    return FloatNetwork(TensorFormat((1, 8, 8), -128 if signed else 0, 127 if signed else 255),
                        1 / 128, layers)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits, tolerance", [(8, 0.05), (6, 0.2)])
def test_quantised_on_one_scale(signed, bits, tolerance):
    network = float_network(signed)
    fmt = network.input_format
    images = np.random.default_rng(bits).integers(fmt.low, fmt.high + 1, (40, *fmt.shape))
    images[:, :, :, 4:] //= 3
    integer = quantise(network, images[:30], activation_bits=bits)
    real, codes = network.predict(images), integer.predict(images).astype(float)
    scale = network.input_scale * 2.0**sum(layer.shift for layer in integer.layers
                                           if isinstance(layer, Requantise))
    error = codes * scale - real
    assert np.sqrt((error**2).mean()) < tolerance * real.std()
    assert abs(error.mean()) < tolerance * real.std() / 3
    matrices = [layer for layer in integer.layers if layer.is_matrix]
    assert [layer.operation.name for layer in matrices] == ["l1"] * 3
    Design.of(integer, "l1", 2, 2)


def test_quantisation_that_loses_nothing():
    weights = rng.integers(-300, 300, (3, 5))
    network = FloatNetwork(TensorFormat((5,), 0, 15), 0.25, (
        FloatDense(weights * 0.25, [1.0, -2.0, 0.5], "d", "l1"),))
    images = rng.integers(0, 16, (20, 5))
    integer = quantise(network, images, weight_bits=4)
    assert integer.layers[0].weights.tolist() == weights.tolist()
    assert (integer.predict(images) * 0.25).tolist() == network.predict(images).tolist()


def test_weights_too_far_for_sixteen_bits_are_refused():
    network = FloatNetwork(TensorFormat((1,), 0, 15), 2.0**-12, (
        FloatDense([[9.0]], [0.0], "far", "l1"),))
    with pytest.raises(ModelError, match="dense far: weights must be at most 32767 steps of the "
                                         "activations' code, whose scale they share, not 3.69e"):
        quantise(network, np.array([[3], [7]]))


ARRAYS = {"c.weight": rng.normal(size=(2, 1, 3, 3)), "bn.weight": np.ones(2),
          "bn.bias": np.array([1.0, -2.0]), "bn.running_mean": np.array([0.5, 0.25]),
          "bn.running_var": np.ones(2), "d.weight": rng.normal(size=(3, 8))}


def read(folder, architecture, **arrays):
    np.savez(folder / "m.npz", architecture=architecture, input_shape=(1, 4, 4),
             **{**ARRAYS, **arrays})
    return read_float_model(folder / "m.npz")


def test_npz_says_which_layers_are_l1(tmp_path):
    network = read(tmp_path, "conv2d:c operation=l1, batch_norm:bn eps=0, relu, flatten, "
                             "dense:d operation=l1")
    conv, _, _, dense = network.layers
    assert conv.operation.name == dense.operation.name == "l1"
    assert conv.bias.tolist() == [0.5, -2.25]
    image = rng.integers(0, 256, (1, 1, 4, 4))
    x, w = image[0, 0] / 255, ARRAYS["c.weight"]
    hidden = [max(b - sum(abs(x[i + di, j + dj] - w[c, 0, di, dj])
                          for di in range(3) for dj in range(3)), 0)
              for c, b in enumerate([0.5, -2.25]) for i in range(2) for j in range(2)]
    expected = [-sum(abs(h - v) for h, v in zip(hidden, row, strict=True))
                for row in ARRAYS["d.weight"]]
    assert np.allclose(network.predict(image)[0], expected, atol=1e-5)


def test_a_shift_before_an_l1_layer_moves_its_weights(tmp_path):
    arrays = {"bn.weight": np.ones(1), "bn.bias": np.array([0.5]),
              "bn.running_mean": np.array([0.2]), "bn.running_var": np.ones(1)}
    network = read(tmp_path, "batch_norm:bn eps=0, conv2d:c operation=l1", **arrays)
    assert np.allclose(network.layers[0].weights, ARRAYS["c.weight"] - 0.3)


def test_refuses_a_scale_at_an_l1_layer(tmp_path):
    with pytest.raises(ModelError, match="batch norm bn must not scale what goes into or comes "
                                         r"from a layer of the operation l1 \(c\)"):
        read(tmp_path, "conv2d:c operation=l1, batch_norm:bn",
             **{"bn.weight": np.array([1.0, 2.0])})


def test_refuses_an_unknown_operation(tmp_path):
    with pytest.raises(Exception, match="operation must be one of .*l1, product, not 'l2'"):
        read(tmp_path, "conv2d:c operation=l2")


def test_an_element_is_two_carry_chains():
    """No look-up table beside them: the figure that the array's area rests on."""
    from amaranth.back import rtlil

    from nmahw.synthesise import synthesise
    element = L1(Operand(8, False), Operand(8, True)).create(row=3)
    cells = synthesise(rtlil.convert(element, name="top", emit_src=False), device("ecp5-25k"),
                       FlowOptions()).cells
    # 8 bits and sign, 11 bits of psum, and the half that makes each chain's carry.
    assert cells["CCU2C"] == 5 + 6
    assert cells.get("LUT4", 0) == 0
