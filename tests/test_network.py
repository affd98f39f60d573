"""The network file, input checks, traces."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from networks import NETWORKS, random_images

import nmahw.network
from nmahw.errors import EnvironmentProblem, ModelError
from nmahw.network import Network
from nmahw.tensor import TensorFormat, bits_for_range


@pytest.fixture
def saved(tmp_path):
    return NETWORKS["lenet-like"].save(tmp_path / "net.npz")


@pytest.mark.parametrize("name", NETWORKS)
def test_file_round_trip(name, tmp_path):
    network = NETWORKS[name]
    path = network.save(tmp_path / "net.npz")
    loaded = Network.load(path)
    assert loaded == network and hash(loaded) == hash(network)
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]
    images = random_images(network, 3)
    assert np.array_equal(loaded.predict(images), network.predict(images))


def test_file_holds_no_pickle(saved):
    with zipfile.ZipFile(saved) as archive:
        for name in archive.namelist():
            np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)


@pytest.mark.parametrize("length", [0, 1, 10, 200, -1])
def test_truncated_file(saved, length):
    data = saved.read_bytes()
    saved.write_bytes(data[:length])
    with pytest.raises(ModelError, match=r"net\.npz is damaged or not a network file"):
        Network.load(saved)


def test_every_flipped_byte_is_noticed_or_harmless(saved):
    network, data = Network.load(saved), saved.read_bytes()
    for place in range(0, len(data), 37):
        saved.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1:])
        try:
            assert Network.load(saved) == network
        except ModelError:
            pass


def _with(saved, **changes):
    with np.load(saved) as archive:
        arrays = dict(archive)
    document = json.loads(str(arrays["network"]))
    document.update(changes)
    arrays["network"] = np.array(json.dumps(document))
    np.savez(saved, **arrays)


def test_foreign_files(tmp_path, saved):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ModelError, match="nmahw import"):
        Network.load(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match="damaged"):
        Network.load(path)
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(ModelError):
        Network.load(tmp_path / "x.npy")
    with pytest.raises(ModelError, match="does not exist"):
        Network.load(tmp_path / "nothing.npz")
    _with(saved, version=99)
    with pytest.raises(ModelError, match="version must be 1, not 99"):
        Network.load(saved)


def test_unknown_layer_lists_what_there_is(saved):
    with np.load(saved) as archive:
        document = json.loads(str(archive["network"]))
    document["layers"][0]["kind"] = "convolution"
    _with(saved, layers=document["layers"])
    with pytest.raises(ModelError, match="layer 0: layer must be one of .*conv2d.*'convolution'"):
        Network.load(saved)


def test_save_to_impossible_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="must be writable"):
        NETWORKS["mlp"].save(tmp_path / "file" / "net.npz")


@pytest.mark.parametrize("x, words", [
    (np.zeros((2, 13)), "integers, not float64"),
    (np.zeros((2, 12), int), r"shape \(batch, 13\)"),
    (np.full((2, 13), 16), r"lie in 0\.\.15"),
    (np.full((2, 13), -1), r"lie in 0\.\.15"),
])
def test_input_is_checked(x, words):
    with pytest.raises(ModelError, match=words):
        NETWORKS["mlp"].predict(x)


def test_empty_batch():
    assert NETWORKS["mlp"].predict(np.zeros((0, 13), int)).shape == (0, 6)


def test_trace_gives_every_layer_and_its_width():
    network = NETWORKS["averages"]
    images = random_images(network, 6)
    result, trace = network.predict(images, trace=True)
    assert np.array_equal(result, trace.outputs[-1])
    assert len(trace.outputs) == len(network.layers)
    for output, needed, bound, fmt in zip(trace.outputs, trace.needed_bits, trace.bound_bits,
                                          network.formats[1:], strict=True):
        assert output.shape == (6, *fmt.shape)
        assert needed == bits_for_range(int(output.min()), int(output.max())) <= bound == fmt.bits


def test_batches_do_not_change_results(monkeypatch):
    network = NETWORKS["lenet-like"]
    images = random_images(network, 10)
    whole = network.predict(images)
    monkeypatch.setattr(nmahw.network, "_BATCH", 3)
    assert np.array_equal(network.predict(images), whole)


@pytest.mark.parametrize("low, high, bits", [
    (0, 0, 1), (0, 1, 1), (0, 255, 8), (0, 256, 9), (-1, 0, 1), (-128, 127, 8), (-129, 0, 9),
    (-1, 255, 9), (-5, -3, 4)])
def test_bits_for_range(low, high, bits):
    assert bits_for_range(low, high) == bits


@pytest.mark.parametrize("shape", [(), (1, 2), (0,), (1, 2, -3), (1.0,)])
def test_impossible_shapes(shape):
    with pytest.raises(ModelError, match="shape must be"):
        TensorFormat(shape, 0, 1)
