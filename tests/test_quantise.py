"""Quantisation: the form of the result, its accuracy, its determinism, and bad input."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nmahw import bundled
from nmahw.datasets import load_images
from nmahw.errors import ModelError, UsageError
from nmahw.floatnet import (
    FloatAveragePool,
    FloatConv2d,
    FloatDense,
    FloatFlatten,
    FloatMaxPool,
    FloatNetwork,
    FloatReLU,
)
from nmahw.network import Network
from nmahw.quantise import quantise
from nmahw.rounding import Moments, round_weights
from nmahw.tensor import TensorFormat

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def weights(*shape, scale=0.3):
    return np.random.default_rng([5, *shape]).normal(0, scale, shape).astype(np.float32)


def dense(inputs, outputs):
    return FloatDense(weights(outputs, inputs), weights(outputs), f"{inputs}-{outputs}")


def conv(inputs, outputs, size=3, **geometry):
    return FloatConv2d(weights(outputs, inputs, size, size), weights(outputs),
                       f"{inputs}-{outputs}", **geometry)


def codes(network, count=200, seed=1):
    """Smooth random images: neighbours alike, as in real ones."""
    rng = np.random.default_rng(seed)
    fmt = network.input_format
    coarse = rng.random((count, fmt.size // 2 + 1)).repeat(2, axis=1)[:, :fmt.size]
    return np.rint(fmt.low + coarse * (fmt.high - fmt.low)).astype(int).reshape(count, *fmt.shape)


def image_network(*layers, channels=1, side=10, low=0, high=255):
    return FloatNetwork(TensorFormat((channels, side, side), low, high), 1 / 255, layers)


def small_lenet():
    return image_network(
        conv(1, 4, padding=1), FloatReLU(), FloatMaxPool(2, 2), conv(4, 6), FloatReLU(),
        FloatFlatten(), dense(54, 12), FloatReLU(), dense(12, 5))


NETWORKS = {
    "small_lenet": small_lenet,
    "perceptron": lambda: FloatNetwork(TensorFormat((20,), 0, 16), 1 / 16,
                                       (dense(20, 16), FloatReLU(), dense(16, 4))),
    "one_layer": lambda: FloatNetwork(TensorFormat((20,), 0, 255), 1 / 255, (dense(20, 4),)),
    "no_relu": lambda: FloatNetwork(TensorFormat((20,), 0, 255), 1 / 255,
                                    (dense(20, 12), dense(12, 4))),
    "signed_input": lambda: image_network(conv(1, 4), FloatReLU(), FloatFlatten(), dense(256, 3),
                                          low=-128, high=127),
    "average_pool": lambda: image_network(conv(1, 4), FloatReLU(), FloatAveragePool(2, 2),
                                          FloatFlatten(), dense(64, 3)),
    "pool_then_relu": lambda: image_network(conv(1, 4), FloatMaxPool(2, 2), FloatReLU(),
                                            FloatFlatten(), dense(64, 3)),
    "average_then_relu": lambda: image_network(conv(1, 4), FloatAveragePool(2, 2), FloatReLU(),
                                               FloatFlatten(), dense(64, 3)),
    "pool_first": lambda: image_network(FloatReLU(), FloatMaxPool(2, 2), conv(1, 3), FloatFlatten(),
                                        FloatReLU(), dense(27, 3)),
    "global_pool_last": lambda: image_network(conv(1, 5), FloatReLU(), FloatAveragePool(8, 8),
                                              FloatFlatten()),
    "stride": lambda: image_network(conv(2, 4, stride=2, padding=1), FloatReLU(), FloatFlatten(),
                                    dense(100, 3), channels=2),
    "relu_last": lambda: FloatNetwork(TensorFormat((8,), 0, 255), 1 / 255,
                                      (FloatFlatten(), dense(8, 5), FloatReLU())),
}


def correlation(network, quantised, x):
    """How alike the results are, whatever the scale; they have no common zero either."""
    real = network.predict(x).reshape(len(x), -1).astype(float)
    integer = quantised.predict(x).reshape(len(x), -1).astype(float)
    return np.corrcoef(real.ravel(), integer.ravel())[0, 1]


@pytest.mark.parametrize("bits, least", [(16, 0.9995), (8, 0.9985), (4, 0.93)])
@pytest.mark.parametrize("name", NETWORKS)
def test_results_follow_the_float_network(name, bits, least):
    network = NETWORKS[name]()
    quantised = quantise(network, codes(network), bits, bits)
    assert correlation(network, quantised, codes(network, seed=2)) > least


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bits", [8, 3])
def test_form_and_ranges(name, bits):
    network = NETWORKS[name]()
    quantised = quantise(network, codes(network), bits, bits)
    limit = 2**(bits - 1) - 1
    kinds = [layer.name for layer in quantised.layers]
    first_matrix = next(i for i, layer in enumerate(quantised.layers) if layer.is_matrix)
    assert kinds.count("bias") == sum(layer.is_matrix for layer in quantised.layers)
    assert ("requantise" in kinds[:first_matrix]) == (network.input_format.bits > bits)
    if "requantise" in kinds[:first_matrix]:
        assert kinds[0] == "requantise"
    for layer, kind, following, fmt in zip(quantised.layers, kinds, kinds[1:] + [""],
                                           quantised.formats, strict=False):
        if layer.is_matrix:
            assert following == "bias" and abs(layer.weights).max() <= limit
            assert fmt.bits <= bits
        if kind == "average_pool":
            assert fmt.bits <= 8
    assert quantised.output_format.shape == network.shapes[-1]


def test_relu_is_moved_before_pooling_and_flatten():
    def kinds(name):
        network = NETWORKS[name]()
        return [layer.name for layer in quantise(network, codes(network)).layers]
    assert kinds("pool_then_relu")[:5] == ["conv2d", "bias", "relu", "requantise", "max_pool"]
    assert kinds("pool_first")[:5] == ["max_pool", "conv2d", "bias", "relu", "requantise"]
    assert kinds("average_then_relu")[:5] == ["conv2d", "bias", "requantise", "average_pool",
                                              "relu"]


def test_bits_per_layer():
    network = small_lenet()
    quantised = quantise(network, codes(network), [8, 4, 2, 6], (8, 5, 4, 3))
    matrices = [(i, layer) for i, layer in enumerate(quantised.layers) if layer.is_matrix]
    assert [int(abs(layer.weights).max()) for _, layer in matrices] <= [127, 7, 1, 31]
    assert [abs(layer.weights).max() <= limit for (_, layer), limit in
            zip(matrices, (127, 7, 1, 31), strict=True)] == [True] * 4
    assert [quantised.formats[i].bits for i, _ in matrices] == [8, 5, 4, 3]
    assert quantised.metadata["weight_bits"] == "8,4,2,6"
    assert quantised.metadata["activation_bits"] == "8,5,4,3"


def test_deterministic_and_saved_without_loss(tmp_path):
    network = small_lenet()
    first, again = (quantise(network, codes(network), 4, 4, title="t", metadata={"k": "v"})
                    for _ in range(2))
    assert first == again and first.title == "t" and first.metadata["k"] == "v"
    assert Network.load(first.save(tmp_path / "n.npz")) == first


def test_input_network_and_images_are_left_alone():
    network = small_lenet()
    x = codes(network)
    before = x.copy()
    quantise(network, x, 3, 3)
    assert (x == before).all()
    assert network.layers[0].weights.flags.writeable is False


def test_pixels_may_lack_the_channel_axis_or_be_unflattened():
    network = small_lenet()
    x = codes(network, 30)
    assert quantise(network, x[:, 0]) == quantise(network, x)
    network = NETWORKS["perceptron"]()
    x = codes(network, 30)
    assert quantise(network, x.reshape(30, 4, 5)) == quantise(network, x)


@pytest.mark.parametrize("value", [0, 3, 255])
def test_calibration_images_that_say_nothing(value):
    """Constant images: no variance to weigh errors by, but still a usable network."""
    network = small_lenet()
    x = np.full((4, 1, 10, 10), value)
    quantised = quantise(network, x, 8, 8)
    real, integer = network.predict(x)[0], quantised.predict(x)[0].astype(float)
    assert np.corrcoef(real, integer)[0, 1] > 0.9


def test_single_image_and_zero_weights():
    network = FloatNetwork(TensorFormat((20,), 0, 255), 1 / 255,
                           (FloatDense(np.zeros((6, 20)), np.ones(6)), FloatReLU(), dense(6, 3)))
    quantised = quantise(network, codes(network, 1))
    assert quantised.predict(codes(network, 2)).argmax(axis=1).tolist() == \
        network.predict(codes(network, 2)).argmax(axis=1).tolist()


@pytest.mark.parametrize("scale", [1e-25, 1e-6, 1e6, 1e25])
def test_weights_of_any_size(scale):
    network = FloatNetwork(TensorFormat((20,), 0, 255), 1 / 255, (
        FloatDense(weights(6, 20) * scale, weights(6) * scale), FloatReLU(), dense(6, 3)))
    # The second bias does not scale along, so compare what it is added to.
    network = FloatNetwork(network.input_format, network.input_scale, (
        *network.layers[:2], FloatDense(weights(3, 6), np.zeros(3))))
    quantised = quantise(network, codes(network))
    assert correlation(network, quantised, codes(network, seed=2)) > 0.998


def test_bias_that_dwarfs_the_weights_is_refused():
    network = FloatNetwork(TensorFormat((4,), 0, 255), 1 / 255,
                           (FloatDense(weights(3, 4) * 1e-30, np.ones(3), "odd"),))
    with pytest.raises(ModelError, match="dense odd: bias must be less than 2\\^52 steps"):
        quantise(network, codes(network))


@pytest.mark.parametrize("options, message", [
    ({"weight_bits": 1}, "weight bits must be an integer of 2..16, not 1"),
    ({"weight_bits": 17}, "weight bits must be .*, not 17"),
    ({"weight_bits": 4.0}, "weight bits must be .*, not 4.0"),
    ({"weight_bits": True}, "weight bits must be .*, not True"),
    ({"weight_bits": "8"}, "weight bits must be .*, not '8'"),
    ({"activation_bits": 0}, "activation bits must be an integer of 2..16, not 0"),
    ({"activation_bits": [8, 8, 8]}, "one for each of the 4 layers with weights, not 3"),
    ({"weight_bits": [8, 8, 8, 99]}, "not 99"),
    ({"weight_bits": []}, "not 0 numbers"),
])
def test_bad_bits(options, message):
    network = small_lenet()
    with pytest.raises(UsageError, match=message):
        quantise(network, codes(network, 2), **options)


@pytest.mark.parametrize("x, message", [
    (np.zeros((0, 1, 10, 10), int), "calibration images must be at least one, not none"),
    (np.zeros((3, 1, 9, 10), int), r"shape \(batch, 1, 10, 10\), not \(3, 1, 9, 10\)"),
    (np.zeros((3, 1, 10, 10)), "must be integers, not float64"),
    (np.full((3, 1, 10, 10), 256), r"must lie in 0..255, not 256..256"),
    (np.int64(3), "shape"),
])
def test_bad_calibration_images(x, message):
    with pytest.raises(ModelError, match=message):
        quantise(small_lenet(), x)


# Rounding

def moments_of(q, x):
    return Moments(np.cov(q.T, bias=True), (q - q.mean(0)).T @ (x - x.mean(0)) / len(q),
                   q.mean(0), x.mean(0))


def test_rounding_is_near_the_best_of_all_integers():
    """Exhaustive oracle: every combination of 5 weights of -2..2."""
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(20):
        x = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
        moments = moments_of(x, x)
        target = rng.uniform(-2, 2, (5, 1))
        grid = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 5), -1).reshape(-1, 5).T
        covariance = moments.quantised + moments.ridge(0.01)
        difference = grid - target
        errors = np.einsum("kn,kn->n", difference, covariance @ difference)
        got = round_weights(target, moments, 2) - target
        nearest = np.clip(np.rint(target), -2, 2) - target
        error, plain = (float((d.T @ covariance @ d)[0, 0]) for d in (got, nearest))
        assert errors.min() * (1 - 1e-9) <= error <= plain * (1 + 1e-9)
        ratios.append(error / errors.min())
    assert np.median(ratios) < 1.2


def test_retargeting_makes_up_for_quantised_operands():
    rng = np.random.default_rng(4)
    x = rng.random((500, 8))
    q = 0.8 * x
    moments, wanted = moments_of(q, x), rng.normal(size=(8, 3))
    assert moments.error(moments.target(wanted) - wanted / 0.8) < \
        0.01 * moments.error(wanted - wanted / 0.8)


# Bundled files and data sets

@pytest.mark.parametrize("name", bundled.models())
def test_bundled_networks_on_their_samples(name):
    network = bundled.load_model(name)
    sample = bundled.sample_for(network)
    assert len(sample) >= 200 and sample.y is not None
    # 256 images: two standard deviations around the accuracy on the whole test set.
    accuracy = float(network.metadata["accuracy"])
    spread = 2 * np.sqrt(accuracy * (1 - accuracy) / len(sample))
    assert sample.accuracy(network.classify(sample.x)) >= accuracy - spread
    widths = re.fullmatch(r".*-w(\d+)a(\d+)", name)
    if widths is None:
        return
    weight_bits, activation_bits = map(int, widths.groups())
    assert network.metadata["weight_bits"] == str(weight_bits)
    for index, layer in enumerate(network.layers):
        if layer.is_matrix:
            assert abs(layer.weights).max() < 2**(weight_bits - 1)
            assert network.formats[index].bits <= activation_bits


def test_bundled_names(tmp_path):
    assert {"lenet5-w8a8", "lenet5-w4a4"} <= set(bundled.models())
    assert set(bundled.samples()) == {"mnist-sample", "digits-sample"}
    with pytest.raises(UsageError, match="one of .*lenet5-w8a8.*did you mean 'lenet5-w8a8'"):
        bundled.load_model("lenet5-w8")
    with pytest.raises(UsageError, match="sample must be one of digits-sample, mnist-sample"):
        bundled.load_sample("cifar")
    network = bundled.load_model("digits-w4a4")
    assert bundled.load_model(network.save(tmp_path / "copy.npz")) == network
    plain = Network(network.input_format, network.layers)
    with pytest.raises(UsageError, match="images must be given for 'network'"):
        bundled.sample_for(plain)


def test_load_images(tmp_path):
    x, y = np.arange(24, dtype=np.uint8).reshape(6, 2, 2), np.arange(6)
    np.savez(tmp_path / "a.npz", x_train=x[:2], x_test=x, y_test=y)
    test, train = (load_images(tmp_path / "a.npz", split) for split in ("test", "train"))
    assert (test.x == x).all() and (test.y == y).all() and len(train) == 2 and train.y is None
    assert len(test.first(3)) == 3 and test.first(None) is test
    assert test.accuracy(np.array([0, 1, 2, 0, 0, 0])) == 0.5
    with pytest.raises(UsageError, match="number of images must be 1..6, not 7"):
        test.first(7)
    with pytest.raises(ModelError, match="must have labels"):
        train.accuracy(np.zeros(2))
    with pytest.raises(UsageError, match="split must be one of train, test, not 'all'"):
        load_images(tmp_path / "a.npz", "all")


@pytest.mark.parametrize("entries, message", [
    ({"z": np.ones(3, int)}, "must hold images as 'x_test' or 'x', but holds z"),
    ({"x": np.ones((3, 2))}, "'x' must be a non-empty integer array"),
    ({"x": np.ones(3, int)}, "'x' must be a non-empty integer array"),
    ({"x": np.ones((3, 2), int), "y": np.ones(2, int)}, "'y' must be 3 integers"),
])
def test_load_images_refusals(entries, message, tmp_path):
    np.savez(tmp_path / "a.npz", **entries)
    with pytest.raises(ModelError, match=message):
        load_images(tmp_path / "a.npz")


def test_load_images_damaged(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load_images(tmp_path / "none.npz")
    np.savez(tmp_path / "a.npz", x=np.ones((30, 4), np.uint8))
    whole = (tmp_path / "a.npz").read_bytes()
    np.save(tmp_path / "single.npy", np.ones((3, 2), int))
    for data in (b"", b"text", (tmp_path / "single.npy").read_bytes(), whole[:len(whole) // 2]):
        (tmp_path / "b.npz").write_bytes(data)
        with pytest.raises(ModelError, match="b.npz is damaged or not"):
            load_images(tmp_path / "b.npz")


# Accuracy on whole test sets

def test_digits_accuracy_on_its_whole_test_set():
    """Quantised from the sample's training part, as the bundled file was."""
    path = SHARED / "models" / "mlp_digits_64_32_10.npz"
    if not path.is_file():
        pytest.skip(f"trained weights are needed beside the repository: {path.name}")
    from nmahw.frontends import read_float_model
    network = read_float_model(path, input_scale=1 / 16)
    test = bundled.load_sample("digits-sample")
    train = bundled.load_sample("digits-sample", "train")
    assert test.accuracy(network.classify(test.x)) == pytest.approx(0.9689, abs=1e-4)
    for bits, least in ((8, 0.965), (4, 0.955)):
        quantised = quantise(network, train.x, bits, bits)
        assert test.accuracy(quantised.classify(test.x)) >= least


@pytest.mark.long
def test_mnist_accuracy_targets(tmp_path):
    if not (SHARED / "data" / "mnist.npz").is_file():
        pytest.skip("MNIST and trained weights are needed beside the repository")
    output = tmp_path / "accuracy.json"
    subprocess.run([sys.executable, "benchmarks/accuracy.py", "--bits", "8", "6", "4",
                    "--json", output], cwd=ROOT, check=True, timeout=500)
    found = {(row["network"], row["weight_bits"]): row for row in json.loads(output.read_text())}
    assert all(row["test_images"] == 10_000 for (name, _), row in found.items()
               if "digits" not in name)
    for key, least in {("LeNet-5", 8): 0.9925, ("LeNet-5", 6): 0.9915, ("LeNet-5", 4): 0.989,
                       ("MLP 784-64-10", 8): 0.98, ("MLP 784-64-10", 4): 0.972}.items():
        assert found[key]["accuracy"] >= least, key
        assert found[key]["accuracy"] <= 1


def test_softmax_of_the_logits():
    network = FloatNetwork(TensorFormat((9,), 0, 255), 1 / 255, (
        dense(9, 12), FloatReLU(), dense(12, 5)), "soft")
    x = codes(network)
    plain, soft = quantise(network, x, 8, 8), quantise(network, x, 8, 8, softmax_bits=8)
    assert soft.layers[:-1] == plain.layers
    logits = network.predict(x)
    terms = np.exp(logits - logits.max(axis=1, keepdims=True))
    wanted = terms / terms.sum(axis=1, keepdims=True)
    error = np.abs(soft.predict(x) / 256 - wanted)
    assert error.max() < 0.05
    assert soft.layers[-1].error_bound(5) < 0.007
    for bits in (0, 17, 8.0):
        with pytest.raises(ModelError, match=r"softmax bits must be an integer of 1\.\.16"):
            quantise(network, x, 8, 8, softmax_bits=bits)
