"""Checkpoints of trainings: going on, what is refused, damage, a kill."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_trainings import TINY, small_file, train_tiny

from nmahw.errors import EnvironmentProblem, ModelError, UsageError
from nmahw.files import alone
from nmahw.train.checkpoint import Checkpoint
from nmahw.train.datasets import load_dataset
from nmahw.train.methods.exact_integers import ExactIntegers
from nmahw.train.run import checkpoint_path, restored, scores_of, train
from nmahw.train.topology import Topology


@pytest.fixture
def small(tmp_path):
    return small_file(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("trained"))


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


def test_two_trainings_do_not_share_an_output(trained, tmp_path):
    method, dataset, _ = trained
    with alone(checkpoint_path(tmp_path / "n.npz"), "training"), \
            pytest.raises(EnvironmentProblem, match="one training at a time"):
        train(method, Topology.of("digits"), dataset, 1, 0, tmp_path / "n.npz")
    assert not list(tmp_path.iterdir())


def test_evaluate_scores_the_best_epoch(trained):
    method, dataset, run = trained
    checkpoint, trainer = restored(run.paths["checkpoint"], dataset)
    assert checkpoint.best_epoch == run.record["best_epoch"]
    np.testing.assert_array_equal(scores_of(trainer, dataset.x_test),
                                  run.network.predict(dataset.x_test))


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
