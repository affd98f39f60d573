"""What all training methods share: data sets, the loop, checkpoints, records, the command line."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from nmahw.bundled import load_sample
from nmahw.cli import run as run_cli
from nmahw.cli.train import _words
from nmahw.errors import EnvironmentProblem, ModelError, TrainingError, UsageError
from nmahw.files import alone
from nmahw.network import Network
from nmahw.train import datasets
from nmahw.train.checkpoint import Checkpoint, EpochRecord
from nmahw.train.curve import draw_curve
from nmahw.train.datasets import DATASETS, fingerprint, load_dataset, mnist
from nmahw.train.methods import METHODS, EpochResult, Method, Trainer
from nmahw.train.methods.exact_integers import ExactIntegers
from nmahw.train.methods.nma import Nma
from nmahw.train.methods.quantised import Quantised
from nmahw.train.run import checkpoint_path, command_of, record_path, restored, scores_of, train
from nmahw.train.settings import portable, setting_text, settings_table, with_settings
from nmahw.train.topology import Topology


@pytest.fixture
def cli(capsys):
    """Run a command line in this process: exit code, standard output, standard error."""
    def call(*arguments):
        code = run_cli([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err
    return call


@pytest.fixture
def small(tmp_path):
    """A file of few digits that is trained on in a moment."""
    sample = load_sample("digits-sample", "train")
    np.savez(tmp_path / "small.npz", x=sample.x[:400], y=sample.y[:400])
    return tmp_path / "small.npz"


TINY = Topology.of("64-8-10")


# Data sets.

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


# Settings.

@dataclass(frozen=True)
class Settings(ExactIntegers):
    name: ClassVar[str] = "settings"
    part: float = field(default=0.5, metadata={"help": "a part"})
    flag: bool = field(default=False, metadata={"help": "a flag"})
    sizes: tuple[int, ...] = field(default=(1, 2), metadata={"help": "sizes"})


def test_settings_are_read_as_their_defaults_are():
    method = with_settings(Settings(), ["part=1e-3", "flag=true", "sizes=3,4,5", "rate=7",
                                        "loss=softmax"])
    assert (method.part, method.flag, method.sizes, method.rate, method.loss) == (
        0.001, True, (3, 4, 5), 7, "softmax")
    again = with_settings(Settings(), [f"{name}={setting_text(getattr(method, name))}"
                                       for name, _, _ in settings_table(Settings)])
    assert again == method


@pytest.mark.parametrize("setting, word", [
    ("rate", "FIELD=VALUE"), ("speed=3", "must be one of weight_bits"), ("rate=x", "an integer"),
    ("rate=1_0", "an integer"), ("rate=1.5", "an integer"), ("part=much", "a number"),
    ("flag=maybe", "true or false"), ("sizes=1,b", "separated by commas"),
    ("rate=99", "rate must be an integer of")])
def test_settings_that_cannot_be_read(setting, word):
    with pytest.raises(UsageError, match=word):
        with_settings(Settings(), [setting])


@pytest.mark.parametrize("method", list(METHODS), ids=lambda method: method.name)
def test_every_method_explains_itself(method):
    assert method.summary and method.needs is not None
    for name, _, text in settings_table(method):
        assert text, name
    made = method()
    assert with_settings(made, [f"{name}={setting_text(getattr(made, name))}"
                                for name, _, _ in settings_table(method)
                                if getattr(made, name) is not None]) == made


# The loop.

@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    dataset = load_dataset("digits")
    method = ExactIntegers(rate=7)
    return method, dataset, train(method, TINY, dataset, 3, 4, folder / "tiny.npz")


def test_the_record_tells_how_it_was_made(trained):
    method, dataset, run = trained
    record = json.loads(run.paths["record"].read_text())
    assert record == json.loads(json.dumps(run.record))
    assert record["method"] == {"name": "exact_integers"} | {
        name: getattr(method, name) for name, _, _ in settings_table(ExactIntegers)}
    assert record["data"] == {"name": "digits", "sha256": fingerprint(dataset), "train": 1235,
                              "validation": 112, "test": 450}
    assert [entry["epoch"] for entry in record["history"]] == [1, 2, 3]
    best = max(entry["validation_accuracy"] for entry in record["history"])
    assert record["validation_accuracy"] == best
    assert record["multiplications"] == method.multiplications and record["seed"] == 4
    assert {"nmahw", "numpy", "numba", "python"} <= set(record["versions"])
    assert str(run.paths["record"].parent) not in run.paths["record"].read_text()


def test_the_network_is_that_of_the_best_epoch(trained):
    method, dataset, run = trained
    network = Network.load(run.paths["network"])
    best = run.record["best_epoch"]
    trainer = method.trainer(TINY, dataset, 3, 4)
    for index in range(best):
        trainer.epoch(index, dataset.x_train, dataset.y_train, lambda images, loss: None)
    np.testing.assert_array_equal(network.predict(dataset.x_test), trainer.scores(dataset.x_test))
    right = np.mean(network.classify(dataset.x_test) == dataset.y_test)
    assert run.record["network_test_accuracy"] == run.record["test_accuracy"] == right
    assert network.metadata["accuracy"] == f"{right:.4f}"
    assert network.metadata["sample"] == "digits-sample"


def test_the_command_makes_the_same_again(trained, cli, tmp_path):
    method, _, run = trained
    words = run.record["command"].split()
    assert words[0] == "nmahw"
    assert command_of(method, TINY, "digits", 3, 4) == run.record["command"]
    code, out, err = cli(*words[1:], "-o", tmp_path / "again.npz")
    assert code == 0, err
    assert Network.load(tmp_path / "again.npz").layers == run.network.layers


def test_a_finished_training_is_not_trained_again(trained, monkeypatch):
    method, dataset, run = trained
    before = run.paths["checkpoint"].read_bytes()
    seen = []
    again = train(method, TINY, dataset, 3, 4, run.paths["network"], on_epoch=seen.append,
                  on_progress=lambda *progress: pytest.fail("trained again"))
    assert seen == run.history and again.network == run.network
    assert again.record["resumed_after_epoch"] == 0
    assert run.paths["checkpoint"].read_bytes() == before


@pytest.mark.parametrize("change, word", [
    (dict(method=ExactIntegers(rate=8)), "method"), (dict(epochs=4), "epochs"),
    (dict(seed=5), "seed"), (dict(topology=Topology.of("64-9-10")), "topology"),
    (dict(dataset="other"), "data")])
def test_checkpoints_of_other_trainings_are_refused(trained, change, word):
    method, dataset, run = trained
    if "dataset" in change:
        change = {"dataset": load_dataset("digits", split=1)}
    arguments = dict(method=method, topology=TINY, dataset=dataset, epochs=3, seed=4) | change
    with pytest.raises(UsageError, match=f"must be of {word} .*--restart"):
        train(**arguments, out=run.paths["network"])


def test_restart_begins_anew(small, tmp_path):
    dataset = load_dataset(small)
    train(ExactIntegers(rate=7), TINY, dataset, 1, 1, tmp_path / "n.npz")
    run = train(ExactIntegers(rate=7), TINY, dataset, 1, 2, tmp_path / "n.npz", resume=False)
    assert run.record["seed"] == 2


def test_damaged_checkpoints(trained, tmp_path):
    method, dataset, run = trained
    content = run.paths["checkpoint"].read_bytes()
    out = tmp_path / "n.npz"
    rng = np.random.default_rng(0)
    damaged = [content[:size] for size in (0, 20, len(content) // 2, len(content) - 1)]
    for place in rng.integers(0, len(content), 30).tolist():
        damaged.append(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1:])
    same = Checkpoint.load(run.paths["checkpoint"])
    for text in damaged:
        checkpoint_path(out).write_bytes(text)
        try:
            found = Checkpoint.load(checkpoint_path(out))
        except ModelError as error:
            assert "damaged" in str(error) or "version" in str(error)
            continue
        # What is damaged does not matter to a reader of archives (dates, for one).
        assert found.history == same.history
        for name, array in same.last.items():
            np.testing.assert_array_equal(array, found.last[name])
    checkpoint_path(out).write_bytes(content[:100])
    with pytest.raises(ModelError, match="--restart"):
        train(method, TINY, dataset, 3, 4, out)


def test_a_checkpoint_with_a_changed_array_is_refused(trained, tmp_path):
    *_, run = trained
    with np.load(run.paths["checkpoint"]) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["last.masters"] = arrays["last.masters"] + 1
    np.savez(tmp_path / "changed.npz", **arrays)
    with pytest.raises(ModelError, match="SHA-256"):
        Checkpoint.load(tmp_path / "changed.npz")


def test_pickles_are_not_loaded(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array([object()], dtype=object))
    (tmp_path / "bad.npz").write_bytes(buffer.getvalue())
    with pytest.raises(ModelError, match="damaged"):
        Checkpoint.load(tmp_path / "bad.npz")


class Astray(Trainer):
    """Its loss is no number in the second epoch."""

    def __init__(self, result):
        self.result, self.epochs = result, 0

    def epoch(self, index, x, y, progress):
        self.epochs += 1
        if index == 0:
            return EpochResult(1.0, 0.5)
        if self.result is None:
            raise TrainingError("the sums of layer 1 (dense 10) must be finite, not nan")
        return EpochResult(self.result, 0.1)

    def scores(self, x):
        return np.eye(10)[np.zeros(len(x), int)]

    def state(self):
        return {"epochs": np.array(self.epochs)}

    def restore(self, state):
        self.epochs = int(state["epochs"])

    def network(self, x, title, metadata):
        raise ModelError("a network must have no residual connection")


@dataclass(frozen=True)
class AstrayMethod(Method):
    name: ClassVar[str] = "astray"
    summary: ClassVar[str] = "goes astray"

    result: float = 1.0

    def trainer(self, topology, dataset, epochs, seed):
        return Astray(None if self.result == 0 else self.result)


@pytest.mark.parametrize("result, word", [
    (float("nan"), "loss must be finite, not nan"), (float("inf"), "not inf"),
    (0.0, r"layer 1 \(dense 10\)")])
def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(small, tmp_path, result, word):
    dataset, out = load_dataset(small), tmp_path / "n.npz"
    with pytest.raises(TrainingError, match=f"epoch 2: .*{word}.* after epoch 1") as caught:
        train(AstrayMethod(result), TINY, dataset, 5, 0, out)
    assert caught.value.exit_code == 7 and not out.exists()
    kept = Checkpoint.load(checkpoint_path(out))
    assert kept.epochs_done == 1 and int(kept.last["epochs"]) == 1


@pytest.mark.parametrize("method, array", [
    (Nma(gate="exact"), "model.0.weights"), (Quantised(warm_up=1), "fixed.0.weights")])
def test_what_a_relu_hides_is_found(method, array):
    dataset = load_dataset("digits")
    trainer = method.trainer(TINY, dataset, 3, 0)
    trainer.epoch(0, dataset.x_train, dataset.y_train, lambda images, loss: None)
    state = trainer.state()
    state[array].flat[0] = np.nan
    trainer.restore(state)
    with np.errstate(invalid="ignore"), \
            pytest.raises(TrainingError, match="weights must be finite.* of layer 0 "):
        trainer.epoch(1, dataset.x_train, dataset.y_train, lambda images, loss: None)


def test_what_the_ir_cannot_hold_still_has_a_record(small, tmp_path):
    run = train(AstrayMethod(), TINY, load_dataset(small), 1, 0, tmp_path / "n.npz")
    assert run.network is None and not (tmp_path / "n.npz").exists()
    assert "residual" in json.loads(record_path(tmp_path / "n.npz").read_text())["network"]


@pytest.mark.parametrize("change, word", [
    (dict(epochs=0), "epochs must be"), (dict(seed=-1), "seed must be"),
    (dict(seed=2**32), "seed must be"), (dict(out="n.txt"), "NAME.npz"),
    (dict(topology=Topology.of("64-8-9")), "must end with 10 features"),
    (dict(topology=Topology.of("65-8-10")), "must get 65 inputs")])
def test_arguments_out_of_range(small, tmp_path, change, word):
    arguments = dict(method=ExactIntegers(), topology=TINY, dataset=load_dataset(small), epochs=1,
                     seed=0, out="n.npz") | change
    with pytest.raises(UsageError, match=word):
        train(**arguments | {"out": tmp_path / arguments["out"]})


def test_nothing_can_be_written(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="must be writable"):
        train(ExactIntegers(), TINY, load_dataset(small), 1, 0, tmp_path / "file" / "n.npz")


def test_a_missing_package_is_named(small, tmp_path):
    class Needs(AstrayMethod):
        name = "needs"
        needs = ("no_such_package",)

    with pytest.raises(EnvironmentProblem, match=r"no_such_package .* 'nmahw\[train\]'"):
        train(Needs(), TINY, load_dataset(small), 1, 0, tmp_path / "n.npz")


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_learning_curve(tmp_path, suffix):
    history = [EpochRecord(n, 1 / n, 0.9, 0.8 + n / 100, 1.0, 10.0) for n in (1, 2, 3)]
    paths = [draw_curve(history, 3, "a $title$", tmp_path / f"{n}{suffix}") for n in "ab"]
    one, other = (path.read_bytes() for path in paths)
    assert one == other and len(one) > 2000
    assert one.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")


def test_a_curve_of_another_kind(tmp_path):
    with pytest.raises(UsageError, match=".svg or .png"):
        draw_curve([], 1, "", tmp_path / "a.pdf")


# The command line.

def test_train_then_evaluate(cli, small, tmp_path):
    out = tmp_path / "n.npz"
    code, text, err = cli("train", small, "--epochs", 2, "--set", "rate=7", "--bits", "6/12/6/6",
                          "-o", out)
    assert code == 0, err
    assert {entry.name for entry in tmp_path.iterdir()} == {
        "small.npz", "n.npz", "n.json", "n.svg", "n.checkpoint.npz"}
    record = json.loads((tmp_path / "n.json").read_text())
    assert record["method"]["weight_bits"] == 6 and record["method"]["rate"] == 7
    assert record["topology"] == "64-64-10"
    percent = f"{100 * record['network_test_accuracy']:.2f} %"
    assert f"as a network {percent}" in text and "epoch 2: loss" in err
    for file in (out, tmp_path / "n.checkpoint.npz"):
        code, text, err = cli("evaluate", file, small)
        assert code == 0 and f"{percent} of the test images of small" in text, err
    assert "of the validation images" in cli("evaluate", out, small, "--part", "validation")[1]


def test_evaluate_tells_when_parts_were_others(cli, trained, tmp_path):
    for file in (trained[2].paths["network"], trained[2].paths["checkpoint"]):
        code, text, err = cli("evaluate", file, "digits")
        assert code == 0 and "may have been trained on" not in text + err
        code, text, err = cli("evaluate", file, "digits", "--split", "1")
        assert code == 0 and "test images may have been trained on" in text + err


def test_records_have_no_folders_of_this_machine(tmp_path):
    assert portable(str(tmp_path / "model.npz")) == "model.npz"
    assert portable("trained/model.npz") == "trained/model.npz" and portable(3) == 3
    command = _words("digits", "quantised", "digits", None, 1, 0,
                     [f"start={tmp_path / 'model.npz'}", "shift=1"], None, 0)
    assert "--set start=model.npz --set shift=1" in command


@pytest.mark.parametrize("arguments, code, word", [
    (["--method", "magic"], 2, "exact_integers"), (["--bits", "8x8"], 2, "WEIGHT/MASTER"),
    (["--topology", "64-x-10"], 2, "topology must be"), (["--epochs", "0"], 2, "epochs"),
    (["--topology", "64-8-7"], 2, "10 features"), (["--set", "rate=1.5"], 2, "an integer"),
    (["--plot", "a.txt"], 2, ".svg or .png"), (["--bits", "1/1/1/1"], 2, "weight_bits must be"),
    (["--validation", "0"], 2, "validation"), (["--data", "x.npz"], 2, "--data must not"),
    (["--seed", "-1"], 2, "seed")])
def test_train_refuses(cli, small, tmp_path, arguments, code, word):
    found, _, err = cli("train", small, *arguments, "-o", tmp_path / "n.npz")
    assert found == code and word in err and "Traceback" not in err
    assert not (tmp_path / "n.npz").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_evaluate_refuses_damaged_files(cli, small, tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    code, _, err = cli("evaluate", tmp_path / "bad.npz", small)
    assert code == 3 and "bad.npz" in err and "Traceback" not in err


def test_evaluate_refuses_other_images(cli, trained, small):
    code, _, err = cli("evaluate", "lenet5-w4a4", small)
    assert code == 3 and "must have shape" in err
    assert cli("evaluate", "digits-w4a4", small, "--part", "all")[0] == 2


def test_evaluate_refuses_more_classes_or_another_range(cli, trained, tmp_path):
    digits = load_dataset("digits")
    # One image of an eleventh class; codes beyond those of the training.
    for name, high, classes in (("more", 16, 11), ("brighter", 17, 10)):
        y = digits.y_test.copy()
        y[0] = classes - 1
        x = digits.x_test.copy()
        x[0, 0] = high
        np.savez(tmp_path / f"{name}.npz", x_train=digits.x_train, y_train=digits.y_train,
                 x_test=x, y_test=y)
    code, _, err = cli("evaluate", "digits-w4a4", tmp_path / "more.npz")
    assert code == 2 and "must know the 11 classes" in err
    code, _, err = cli("evaluate", trained[2].paths["checkpoint"], tmp_path / "brighter.npz")
    assert code == 3 and "judged on images of 0..16, not 0..17" in err, err


def test_two_trainings_do_not_share_an_output(trained, tmp_path):
    method, dataset, _ = trained
    with alone(checkpoint_path(tmp_path / "n.npz"), "training"), \
            pytest.raises(EnvironmentProblem, match="one training at a time"):
        train(method, Topology.of("digits"), dataset, 1, 0, tmp_path / "n.npz")
    assert not list(tmp_path.iterdir())


def test_an_adder_network_without_batch_norm_is_remarked(cli, tmp_path):
    method = METHODS.get("addernet")()
    assert "layer 1 (Dense) has no batch_norm" in method.remark(
        Topology.of("flatten, dense 8, relu, dense 3, batch_norm"))
    for shape in ((64,), (1, 8, 8)):
        assert method.remark(Topology.of(method.default_topology(shape, 10))) == ""
    code, out, err = cli("train", "digits", "--method", "addernet", "--topology", "64-8-10",
                         "--epochs", 1, "-o", tmp_path / "n.npz")
    assert code == 0 and "hardly learns" in out + err


def test_evaluate_scores_the_best_epoch(trained):
    method, dataset, run = trained
    checkpoint, trainer = restored(run.paths["checkpoint"], dataset)
    assert checkpoint.best_epoch == run.record["best_epoch"]
    np.testing.assert_array_equal(scores_of(trainer, dataset.x_test),
                                  run.network.predict(dataset.x_test))


def test_list_shows_every_method_and_setting(cli):
    code, out, err = cli("train", "--list")
    assert code == 0, err
    for method in METHODS:
        assert method.name in out and method.summary in out
        for name, _, _ in settings_table(method):
            assert name in out


def test_without_numba(monkeypatch, cli, small, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    code, _, err = cli("train", small, "-o", tmp_path / "n.npz")
    assert code == 6 and "pip install 'nmahw[train]'" in err


def test_a_kill_loses_at_most_an_epoch(small, tmp_path):
    """Killed hard in the middle, the same command ends with the bits of an unbroken training."""
    words = [sys.executable, "-m", "nmahw", "train", str(small), "--epochs", "60", "--set",
             "rate=8", "-o"]
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    process = subprocess.Popen([*words, str(tmp_path / "killed.npz")], env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = checkpoint_path(tmp_path / "killed.npz")
    while not path.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()
    after = Checkpoint.load(path).epochs_done
    for name in ("killed", "whole"):
        done = subprocess.run([*words, str(tmp_path / f"{name}.npz")], capture_output=True,
                              text=True, env=environment)
        assert done.returncode == 0, done.stderr
    one, other = (Checkpoint.load(checkpoint_path(tmp_path / f"{name}.npz"))
                  for name in ("killed", "whole"))
    assert after >= 1 and json.loads((tmp_path / "killed.json").read_text())[
        "resumed_after_epoch"] in (after, 0)
    for part in ("last", "best"):
        for name, array in getattr(other, part).items():
            np.testing.assert_array_equal(array, getattr(one, part)[name])
    assert [entry.loss for entry in one.history] == [entry.loss for entry in other.history]


def test_the_folder_is_the_registry():
    assert {"mnist", "digits"} <= set(DATASETS.names())
    for source in DATASETS:
        assert source.summary and source.__module__.startswith(datasets.__name__)
