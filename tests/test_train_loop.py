"""The training loop: its record, the network it leaves, and trainings that go astray."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from small_trainings import TINY, small_file, train_tiny

from nmahw.errors import EnvironmentProblem, ModelError, TrainingError, UsageError
from nmahw.network import Network
from nmahw.train.checkpoint import Checkpoint
from nmahw.train.datasets import fingerprint, load_dataset
from nmahw.train.methods import EpochResult, Method, Trainer
from nmahw.train.methods.exact_integers import ExactIntegers
from nmahw.train.methods.nma import Nma
from nmahw.train.methods.quantised import Quantised
from nmahw.train.run import checkpoint_path, command_of, record_path, train
from nmahw.train.settings import settings_table
from nmahw.train.topology import Topology


@pytest.fixture
def small(tmp_path):
    return small_file(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("trained"))


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
