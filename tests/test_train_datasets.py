"""Data sets to train on: their parts, files of one's own, MNIST, what is refused."""

import hashlib
import sys

import numpy as np
import pytest
from small_trainings import small_file

from nmahw.bundled import load_sample
from nmahw.errors import EnvironmentProblem, ModelError, UsageError
from nmahw.train import datasets
from nmahw.train.datasets import DATASETS, fingerprint, load_dataset, mnist


@pytest.fixture
def small(tmp_path):
    return small_file(tmp_path)


def test_parts_are_apart_and_proportionate():
    found = load_dataset("digits")
    parts = [found.x_train, found.x_validation, found.x_test]
    assert [len(part) for part in parts] == [1235, 112, 450]
    for part, share in ((found.y_validation, 112), (found.y_test, 450)):
        counts = np.bincount(part, minlength=10) / share
        np.testing.assert_allclose(counts, np.bincount(found.y_train) / 1235, atol=0.02)
    whole = load_sample("digits-sample")
    np.testing.assert_array_equal(found.x_test, whole.x.reshape(450, 64))


def test_splits_differ_and_are_drawn_again():
    prints = [fingerprint(load_dataset("digits", split=split)) for split in (0, 0, 1, 2)]
    assert prints[0] == prints[1] and len(set(prints)) == 3


def test_validation_images_come_from_the_training_images(small):
    whole = load_dataset(small, validation=1)
    found = load_dataset(small, validation=100)
    assert len(found.x_validation) == 100 and len(found.x_train) == 200
    np.testing.assert_array_equal(whole.x_test, found.x_test)
    rows = {row.tobytes() for row in np.concatenate([whole.x_train, whole.x_validation])}
    assert {row.tobytes() for row in found.x_validation} <= rows


def test_a_file_with_all_parts(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 4, 5), np.uint8), np.arange(60) % 3
    np.savez(tmp_path / "a.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    found = load_dataset(tmp_path / "a.npz", validation=10)
    assert found.x_train.shape == (30, 1, 4, 5) and found.classes == 3
    np.testing.assert_array_equal(found.x_test[:, 0], x[40:])


def mnist_file(path, shape=(28, 28), **changes):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 50), ("test", 20)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (count, *shape), np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 10
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("shape", [(28, 28), (784,)])
def test_mnist_from_a_file(tmp_path, shape):
    found = load_dataset("mnist", mnist_file(tmp_path / "m.npz", shape))
    assert found.x_train.shape[1:] == (1, 28, 28) and found.high == 255


@pytest.mark.parametrize("changes, word", [
    (dict(y_train=None), "must hold labels"), (dict(x_test=None), "test images as 'x_test'"),
    (dict(x_train=np.zeros((50, 9, 9), np.uint8)), "28x28"),
    (dict(y_train=np.arange(49)), "one per image"), (dict(y_test=np.arange(20) - 1), "0..999"),
    (dict(y_train=np.zeros(50)), "integers"), (dict(x_train=np.zeros((50, 28, 28))), "integer"),
    (dict(y_test=np.arange(20) + 5000), "0..999"),
    (dict(x_train=np.full((50, 28, 28), 300)), "up to 300"),
    (dict(x_train=np.full((50, 28, 28), -1)), "must lie in 0..255"),
    (dict(y_train=np.zeros(50, int), y_test=np.zeros(20, int)), "two classes")])
def test_damaged_data(tmp_path, cli, changes, word):
    path = mnist_file(tmp_path / "m.npz", **changes)
    with pytest.raises(ModelError, match=word):
        load_dataset("mnist", path)
    code, _, err = cli("train", "mnist", "--data", path, "-o", tmp_path / "n.npz")
    assert code == ModelError.exit_code and word in err and "Traceback" not in err


@pytest.mark.parametrize("size", [0, 10, 400, -30])
def test_truncated_data(tmp_path, cli, size):
    path = mnist_file(tmp_path / "m.npz")
    path.write_bytes(path.read_bytes()[:size])
    code, _, err = cli("train", "mnist", "--data", path, "-o", tmp_path / "n.npz")
    assert code == ModelError.exit_code and "damaged" in err and "Traceback" not in err


def test_unknown_data_set(cli, tmp_path):
    code, _, err = cli("train", "cifar", "-o", tmp_path / "n.npz")
    assert code == 2 and all(name in err for name in DATASETS.names())
    assert cli("train", tmp_path / "none.npz", "-o", tmp_path / "n.npz")[0] == 3


@pytest.mark.parametrize("validation", [0, -1, 10**6])
def test_validation_out_of_range(small, validation):
    with pytest.raises(UsageError, match="validation images must be 1"):
        load_dataset(small, validation=validation)


def test_mnist_is_downloaded_once_and_checked(tmp_path, monkeypatch):
    content, asked = b"the right bytes", []
    monkeypatch.setattr(mnist, "SHA256", hashlib.sha256(content).hexdigest())

    def fetch(address):
        asked.append(address)
        if address == mnist.MIRRORS[0]:
            raise OSError("no route")
        return content

    monkeypatch.setattr(mnist, "fetch", fetch)
    path = mnist.downloaded(tmp_path)
    assert path.read_bytes() == content and asked == list(mnist.MIRRORS[:2])
    assert mnist.downloaded(tmp_path) == path and len(asked) == 2
    path.write_bytes(b"damaged")
    assert mnist.downloaded(tmp_path).read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["mnist.npz"]


def test_a_mirror_that_sends_something_else(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "fetch", lambda address: b"a login page")
    with pytest.raises(EnvironmentProblem, match="another SHA-256.*") as caught:
        mnist.downloaded(tmp_path)
    assert "--data FILE.npz" in str(caught.value) and not list(tmp_path.iterdir())


def test_the_digits_without_their_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'nmahw\[train\]'"):
        load_dataset("digits")


def test_the_folder_is_the_registry():
    assert {"mnist", "digits"} <= set(DATASETS.names())
    for source in DATASETS:
        assert source.summary and source.__module__.startswith(datasets.__name__)
