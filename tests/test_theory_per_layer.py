"""``nmahw count`` and what it shows: products of every layer of a network."""

import json
from collections import defaultdict

import numpy as np
import pytest
from networks import NETWORKS, random_images

from nmahw import bundled
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.network import Network
from nmahw.tensor import TensorFormat
from nmahw.theory.distinct import SCOPES, distinct_products
from nmahw.theory.per_layer import count_layers
from nmahw.theory.rules import RULES
from nmahw.theory.sharing import signed_digit_counts

RUNNABLE = [name for name, network in NETWORKS.items()
            if any(layer.is_matrix for layer in network.layers)]


def multiplications(layer, x, shape):
    """Every pair (activation, weight) that a layer multiplies for one image, zeros included."""
    weights = layer.weights.reshape(shape.out_channels, shape.channels, *shape.kernel)
    pad = shape.padding
    x = np.pad(x.reshape(shape.channels, shape.height, shape.width),
               ((0, 0), (pad, pad), (pad, pad)))
    _, height, width = shape.output_shape
    for o, c, a, b in np.ndindex(weights.shape):
        for i, j in np.ndindex(height, width):
            pixel = (c, i * shape.stride + a, j * shape.stride + b)
            yield o, c, pixel, int(x[pixel]), int(weights[o, c, a, b])


@pytest.mark.parametrize("name", RUNNABLE)
def test_means_over_images_equal_loops(name):
    network = NETWORKS[name]
    images = random_images(network, 3)
    inputs = [images, *network.predict(images, trace=True)[1].outputs]
    layers = [(layer, x) for layer, x in zip(network.layers, inputs, strict=False)
              if layer.is_matrix]
    counts = count_layers(network, images)
    assert len(counts) == len(layers)
    for count, (layer, x) in zip(counts, layers, strict=True):
        nonzero, digits, kernels, whole, values = 0, 0, 0, 0, 0
        for image in x:
            pairs, products = defaultdict(set), set()
            for o, c, _, value, weight in multiplications(layer, image, count.shape):
                nonzero += bool(value and weight)
                digits += int(signed_digit_counts(np.array(weight))) if value else 0
                pairs[o, c].add((value, weight))
                products.add(value * weight)
            kernels += sum(map(len, pairs.values()))
            whole += len(set().union(*pairs.values()))
            values += len(products)
        assert count.shape.macs == sum(1 for _ in multiplications(layer, x[0], count.shape))
        for found, total in ((count.nonzero_macs, nonzero), (count.sharing.unshared, digits),
                             (count.distinct["kernel", RULES[0]], kernels),
                             (count.distinct["layer", RULES[0]], whole), (count.values, values)):
            assert found == pytest.approx(total / len(x))


@pytest.mark.parametrize("name", RUNNABLE)
def test_without_images_nothing_exceeds(name):
    network = NETWORKS[name]
    images = random_images(network, 4, seed=1)
    most = count_layers(network, scopes=SCOPES)
    inputs = [images, *network.predict(images, trace=True)[1].outputs]
    layers = [(layer, x) for layer, x in zip(network.layers, inputs, strict=False)
              if layer.is_matrix]
    for bound, (layer, x) in zip(most, layers, strict=True):
        geometry = bound.shape.stride, bound.shape.padding
        for scope in SCOPES:
            for rule in RULES:
                found = distinct_products(x, layer.weights, *geometry, rule, scope)
                assert found.reshape(len(x), -1).sum(axis=1).max() <= bound.distinct[scope, rule]
        assert bound.values is None
        assert bound.nonzero_macs <= bound.shape.macs


def test_padded_zeros_are_values():
    """Of maps that have none themselves."""
    network = Network(TensorFormat((1, 3, 3), 5, 5), (Conv2d(np.full((1, 1, 2, 2), 3), 1, 1),))
    (most,), (found,) = (count_layers(network, images) for images in
                         (None, np.full((1, 1, 3, 3), 5)))
    assert most.distinct["layer", RULES[0]] == found.distinct["layer", RULES[0]] == 2


# Command line.

def test_count_shows_what_is_counted(cli, tmp_path):
    code, out, err = cli("count", "lenet5-w4a4", "--limit", 3, "--json", tmp_path / "c.json")
    assert code == 0, err
    network = bundled.load_model("lenet5-w4a4")
    expected = count_layers(network, bundled.sample_for(network).first(3).x)
    written = json.loads((tmp_path / "c.json").read_text())
    assert written["images"] == 3 and len(written["layers"]) == len(expected) == 5
    for record, layer in zip(written["layers"], expected, strict=True):
        assert record["macs"] == layer.shape.macs and f"{layer.shape.macs:,}" in out
        assert record["sharing"]["adders"] == layer.sharing.adders
        assert [entry["products"] for entry in record["distinct"]] == list(
            layer.distinct.values())
    assert "means of 3 images" in out and "gain of the whole network" in out


def test_count_takes_architectures(cli, tmp_path):
    code, out, _ = cli("count", "resnet50", "--json", tmp_path / "c.json")
    assert code == 0 and "3,948,251,904 product" in out
    assert len(json.loads((tmp_path / "c.json").read_text())["layers"]) == 54


def test_count_without_a_sample_shows_the_most(cli, tmp_path):
    network = Network(TensorFormat((3,), 0, 3), (Dense(np.array([[1, 2, 2]])),))
    network.save(tmp_path / "n.npz")
    code, out, _ = cli("count", tmp_path / "n.npz")
    assert code == 0 and "the most that any input needs" in out
    np.savez(tmp_path / "x.npz", x=np.array([[1, 2, 2]]))
    code, out, _ = cli("count", tmp_path / "n.npz", "--data", tmp_path / "x.npz")
    assert code == 0 and "means of 1 images" in out


def test_count_of_other_operations(cli, tmp_path):
    Network(TensorFormat((3,), 0, 3), (Dense(np.array([[1, 2, 2]]), "l1"),)).save(
        tmp_path / "n.npz")
    code, out, _ = cli("count", tmp_path / "n.npz")
    assert code == 0 and "l1" in out and "nothing to share" in out


@pytest.mark.parametrize("arguments, code, message", [
    (["none"], 2, "model must be an existing file or one of"),
    (["alexnet", "--data", "x.npz"], 2, "--data and --limit must not be given with alexnet"),
    (["digits-w4a4", "--data", "/nowhere.npz"], 3, "nowhere.npz"),
    (["digits-w4a4", "--limit", "0"], 2, "--limit"),
    (["digits-w4a4", "--limit", "451"], 2, "must be 1..450")])
def test_count_tells_what_is_wrong(cli, arguments, code, message):
    found, _, err = cli("count", *arguments)
    assert found == code and message in " ".join(err.split()) and "Traceback" not in err


def test_count_limit_needs_images(cli, tmp_path):
    Network(TensorFormat((1,), 0, 3), (Dense(np.array([[1]])),)).save(tmp_path / "n.npz")
    code, _, err = cli("count", tmp_path / "n.npz", "--limit", 2)
    assert code == 2 and "name them with --data" in err


def test_count_checks_first_that_it_can_write(cli, tmp_path):
    (tmp_path / "file").write_text("")
    code, out, err = cli("count", "digits-w4a4", "--json", tmp_path / "file" / "c.json")
    assert code == 6 and "file" in err and not out
