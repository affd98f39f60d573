"""Softmax: its error bound, its hardware, its cycles, no multiplier; the same as neurons."""

import math

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_images

from nmahw.cache import Cache
from nmahw.certify import certify
from nmahw.design import Design
from nmahw.devices import device
from nmahw.errors import ModelError
from nmahw.estimate import estimate
from nmahw.layers.bias import Bias
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.relu import ReLU
from nmahw.layers.requantise import Requantise
from nmahw.layers.softmax import BASES, Softmax
from nmahw.mismatch import check_cycles, compare_with_golden
from nmahw.network import Network
from nmahw.result import flow_options
from nmahw.simulate import simulate
from nmahw.tensor import TensorFormat
from nmahw.verilog import emit, lint
from nmahw.workbench import Workbench
from rtl import run_accelerator

rng = np.random.default_rng(9)


def true_softmax(x: np.ndarray, layer: Softmax) -> np.ndarray:
    exponents = (x - x.max(axis=1, keepdims=True)) / 2.0**layer.shift * (
        BASES[layer.base] * layer.steps)
    terms = 2.0**exponents
    return terms / terms.sum(axis=1, keepdims=True)


def error(x: np.ndarray, layer: Softmax) -> float:
    """Largest error, and the order of the results checked."""
    fmt = TensorFormat(x.shape[1:], int(x.min()), int(x.max()))
    result = layer.compute(x, fmt)
    order = np.argsort(x, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(result, order, axis=1), axis=1) >= 0).all()
    output = layer.output_format(fmt)
    assert result.min() >= output.low and result.max() <= output.high
    return float(np.abs(result / 2.0**layer.bits - true_softmax(x, layer)).max())


@pytest.mark.parametrize("layer", [
    Softmax(0), Softmax(2), Softmax(3, 8, 4), Softmax(1, 12, 10), Softmax(2, 4, 2),
    Softmax(2, 16, 12), Softmax(0, 8, 8, "2"), Softmax(2, 6, 1, "2"), Softmax(4, 1, 1),
    Softmax(6, 10, 9, "e", 11), Softmax(3, 8, 8, "2", 5), Softmax(16, 8, 8, "e", 65536)], ids=str)
def test_error_of_every_triple(layer):
    """All differences from the largest feature, for three features of 0..63."""
    one, two = np.meshgrid(np.arange(64), np.arange(64))
    x = np.stack([np.full(one.size, 63), one.ravel(), two.ravel()], axis=1)
    worst = error(x, layer)
    assert worst <= layer.error_bound(3)
    # A bound that says something.
    assert layer.error_bound(3) < 0.75 or layer.table_bits < 3
    assert error(x[:, :1], layer) <= layer.error_bound(1)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_error_of_any_features(data):
    layer = Softmax(data.draw(st.integers(0, 32)), data.draw(st.integers(1, 16)),
                    data.draw(st.integers(1, 12)), data.draw(st.sampled_from(sorted(BASES))),
                    data.draw(st.integers(1, 2**data.draw(st.integers(0, 16)))))
    count = data.draw(st.integers(1, min(300, 1 << (layer.term_bits - 1))))
    span = data.draw(st.integers(1, 2**data.draw(st.integers(1, 31))))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    near = draw.integers(0, min(span, 12 << layer.shift) + 1, (20, count))
    x = np.concatenate([draw.integers(-span, span + 1, (20, count)), -near])
    assert error(x, layer) <= layer.error_bound(count)


def test_bound_of_the_usual_size():
    assert Softmax(4).error_bound(10) < 2.7 / 256
    assert Softmax(4, 8, 12).error_bound(10) < 1.1 / 256
    assert Softmax(4, 16, 12).error_bound(10) < 6e-4
    x = rng.integers(-200, 200, (20_000, 10))
    for layer in (Softmax(4), Softmax(4, 8, 12), Softmax(4, 16, 12)):
        assert layer.error_bound(10) / 4 < error(x, layer) <= layer.error_bound(10)


def test_sum_of_results_is_near_one():
    layer = Softmax(6, 12, 10)
    x = rng.integers(-500, 500, (1000, 10))
    total = layer.compute(x, TensorFormat((10,), -500, 499)).sum(axis=1) / 4096
    assert np.abs(total - 1).max() < 10 * layer.error_bound(10)


@pytest.mark.parametrize("step", [1 / 255, 2.0**-20, 2.0**15, 1.0, 0.37, 3.1e-6, 30000.4])
def test_softmax_of_features_in_other_units(step):
    layer = Softmax.of_step(step)
    assert abs(layer.steps / 2.0**layer.shift / step - 1) <= 2.0**-12
    x = np.rint(rng.normal(0, 3, (500, 10)) / step).astype(np.int64)
    assert error(x, layer) <= layer.error_bound(10)


@pytest.mark.parametrize("base", BASES)
def test_factor_is_near_the_bases_logarithm(base):
    for bits in range(1, 17):
        for table_bits in range(1, 13):
            layer = Softmax(5, bits, table_bits, base)
            multiplier, shift = layer.factor
            wanted = BASES[base] * 2.0**table_bits * layer.largest_difference / 32
            assert abs(layer.largest_difference * multiplier / 2.0**shift - wanted) <= 0.3
            assert len(layer.powers) == 1 << table_bits
            assert len(layer.logarithms) == 1 << layer.mantissa_bits


@pytest.mark.parametrize("make, words", [
    (lambda: Softmax(33), r"softmax shift must be an integer of 0\.\.32, not 33"),
    (lambda: Softmax(1, 0), r"softmax bits must be an integer of 1\.\.16, not 0"),
    (lambda: Softmax(1, 8, 13), r"softmax table_bits must be an integer of 1\.\.12, not 13"),
    (lambda: Softmax(1, 8, 8, "e", 0), r"softmax steps must be an integer of 1\.\.65536, not 0"),
    (lambda: Softmax.of_step(2.0**-21), r"whose unit stands for 2\^-20\.\.2\^15, not "),
    (lambda: Softmax(1, 8, 8, "10"), "softmax base must be one of e, 2, not '10'"),
])
def test_refuses_parameters(make, words):
    with pytest.raises(ModelError, match=words):
        make()


@pytest.mark.parametrize("layers, words", [
    ((Softmax(3),), "put flatten before it"),
    ((Flatten(), Softmax(3, 1)), "at most 16 features, not 18: give it more bits"),
    ((Flatten(), Softmax(3), ReLU()), r"layer 1 \(softmax\) must be the last one, but 1 follow"),
])
def test_refuses_chains(layers, words):
    with pytest.raises(ModelError, match=words):
        Network(TensorFormat((2, 3, 3), 0, 3), layers)


def _w(*shape: int) -> np.ndarray:
    return rng.integers(-8, 8, shape)


NETWORKS = {
    "mlp": Network(TensorFormat((6,), 0, 15), (
        Dense(_w(7, 6)), ReLU(), Requantise(4, 0, 15), Dense(_w(10, 7)), Bias(_w(10)),
        Softmax(5))),
    "alone": Network(TensorFormat((5,), -128, 127), (Softmax(4, 10, 5),)),
    "one": Network(TensorFormat((3,), 0, 7), (Dense(_w(1, 3)), Softmax(2))),
    "two, base 2": Network(TensorFormat((3,), 0, 7), (Dense(_w(2, 3)), Softmax(3, 8, 6, "2"))),
    "steep": Network(TensorFormat((4,), 0, 7), (Dense(_w(4, 4)), Softmax(0, 4, 2))),
    "positions": Network(TensorFormat((1, 5, 6), 0, 15), (
        Conv2d(_w(3, 1, 2, 2)), MaxPool(2, 2), Flatten(), Softmax(4, 8, 7))),
    "other units": Network(TensorFormat((4,), 0, 7), (
        Dense(_w(6, 4)), Softmax.of_step(0.07, 8, 6))),
    "fine, never small": Network(TensorFormat((4,), 3, 6), (Dense(_w(8, 4)), Softmax(12, 16, 4))),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_hardware_equals_golden_and_closed_form(name, tmp_path):
    network = NETWORKS[name]
    design = Design.of(network, "fabric", 2, 3)
    images = random_images(network, 6)
    golden = design.predict(images).tolist()
    assert golden == [oracle.predict(network, image) for image in images]
    run = run_accelerator(design, images, stall=0.2)
    assert run.outputs == golden
    assert run.cycles_by_pass == [len(images) * c for c in design.schedule.cycles_by_pass]
    few, many = (run_accelerator(design, random_images(network, count)).total_cycles
                 for count in (3, 5))
    assert many - few == 2 * design.cycles_per_image
    assert Network.load(network.save(tmp_path / "n.npz")) == network


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("softmax"))


def test_native_simulation_and_certificate(cache, tmp_path):
    network = NETWORKS["mlp"]
    design = Design.of(network, "shared_multiples", 2, 2)
    images = random_images(network, 200)
    result = simulate(design, images, cache=cache, stall_seed=3, stall_probability=0.3)
    compare_with_golden(network, images, result, design, cache)
    result = simulate(design, images, cache=cache)
    compare_with_golden(network, images, result, design, cache)
    check_cycles(design, result)
    emitted = list(emit(design, tmp_path, cache))
    lint([path for path in emitted if path.suffix == ".v"], top="nmahw_top")
    certificate = certify(design.rtlil(pins="serial"), device("ecp5-25k"),
                          flow_options(design.arithmetic), Workbench(cache), label="softmax")
    assert certificate.require().granted
    assert estimate(design, "ecp5-25k").resources["dsp"] == 0


def test_classes_are_those_of_the_features():
    network = NETWORKS["mlp"]
    images = random_images(network, 100)
    features = Network(network.input_format, network.layers[:-1]).predict(images)
    classes = network.classify(images)
    results = network.predict(images)
    best = np.take_along_axis(results, features.argmax(axis=1)[:, None], axis=1)
    assert (best[:, 0] == results.max(axis=1)).all()
    assert math.isclose((classes == features.argmax(axis=1)).mean(), 1, abs_tol=0.1)
