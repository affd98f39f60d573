"""The loop of every training: epochs, validation, checkpoints, the record and the `Network`."""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import EnvironmentProblem, ModelError, TrainingError, UsageError
from ..files import alone, check_writable, write_atomically
from ..network import Network
from .checkpoint import Checkpoint, EpochRecord, describe_method, method_of
from .dataset import Dataset
from .datasets import DATASETS, fingerprint
from .methods import Method, Trainer
from .settings import portable, setting_text
from .topology import Topology

__all__ = ["Run", "checkpoint_path", "command_of", "record_path", "restored",
           "scores_of", "train"]

# Raised whenever a change makes the same training give other bits.
_TRAINING_VERSION = 1
# Images scored at a time.
_BATCH = 1000


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes
    ----------
    network : Network or None
        After the best epoch; None if the IR cannot hold the topology.
    trainer : Trainer
        In the state after the best epoch.
    history : list of EpochRecord
    record : dict
        What the run's JSON file holds.
    paths : dict of str to Path
        What was written: "network", "record", "checkpoint".
    """

    network: Network | None
    trainer: Trainer
    history: list[EpochRecord]
    record: dict[str, object]
    paths: dict[str, Path]


def checkpoint_path(out: str | os.PathLike) -> Path:
    """Where the checkpoint of the training that makes `out` lies."""
    out = Path(out)
    return out.with_name(f"{out.name.removesuffix('.npz')}.checkpoint.npz")


def record_path(out: str | os.PathLike) -> Path:
    """Where the JSON of the run that makes `out` lies."""
    out = Path(out)
    return out.with_name(f"{out.name.removesuffix('.npz')}.json")


def command_of(method: Method, topology: Topology, dataset: str, epochs: int, seed: int,
               split: int = 0) -> str:
    """The command line that makes the same training."""
    words = ["nmahw", "train", dataset, "--method", method.name, "--topology", topology.text,
             "--epochs", str(epochs), "--seed", str(seed)]
    words += ["--split", str(split)] if split else []
    for item in fields(method):
        value = getattr(method, item.name)
        if value != item.default:
            words += ["--set", f"{item.name}={setting_text(portable(value))}"]
    return shlex.join(words)


def train(method: Method, topology: Topology, dataset: Dataset, epochs: int, seed: int,
          out: str | os.PathLike, *, resume: bool = True, command: str | None = None,
          on_progress: Callable[[int, int, float], None] = lambda epoch, images, loss: None,
          on_epoch: Callable[[EpochRecord], None] = lambda record: None,
          on_resume: Callable[[int], None] = lambda epochs: None) -> Run:
    """Train, and write the network, the record of the run and checkpoints.

    After each epoch the validation images decide whether it is the best so far, and a checkpoint
    replaces the one before. A training that was ended goes on from its checkpoint as if it had
    never stopped. The test images are looked at once, after the last epoch.

    Parameters
    ----------
    method, topology, dataset
    epochs : int
        At least 1.
    seed : int
        0 .. 2^32 - 1.
    out : path
        Network file, ``.npz``; `checkpoint_path` and `record_path` lie beside it.
    resume : bool
        Whether to go on from a checkpoint that is there; if not, it is written over.
    command : str, optional
        What the record calls the command; by default that of `command_of`.
    on_progress : function (epoch, images done, mean loss)
        Called now and then; `epoch` is 1 in the first.
    on_epoch : function (EpochRecord)
        Called after each epoch's checkpoint was written; first for epochs of the checkpoint.
    on_resume : function (epochs)
        Called before all others when a checkpoint is there, with the epochs that it holds.

    Returns
    -------
    Run

    Raises
    ------
    TrainingError
        The loss is not finite; the last good checkpoint is kept.
    UsageError
        Arguments out of range, or a checkpoint of another training.
    ModelError
        A damaged checkpoint.
    EnvironmentProblem
        Nothing can be written at `out`, or a package is missing.
    """
    if not isinstance(epochs, int) or not 1 <= epochs <= 100_000:
        raise UsageError(f"epochs must be an integer of 1..100000, not {epochs}")
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UsageError(f"seed must be an integer of 0..{2**32 - 1}, not {seed}")
    out = Path(out)
    if out.suffix != ".npz":
        raise UsageError(f"output must be a file NAME.npz, not {out}")
    for path in (out, record_path(out), checkpoint_path(out)):
        check_writable(path)
    shapes = topology.shapes(dataset.input_format.shape)
    if shapes[-1] != (dataset.classes,):
        raise UsageError(f"topology must end with {dataset.classes} features, one for each class "
                         f"of {dataset.name}, not with {'x'.join(map(str, shapes[-1]))}")
    require(method)
    identity = {"method": describe_method(method), "topology": topology.text, "epochs": epochs,
                "seed": seed, "data": fingerprint(dataset), "high": dataset.high,
                "version": _TRAINING_VERSION}
    trainer = method.trainer(topology, dataset, epochs, seed)
    path = checkpoint_path(out)
    command = command or command_of(method, topology, dataset.name, epochs, seed)
    with alone(path, "training"):
        checkpoint = Checkpoint(identity)
        if resume and path.exists():
            checkpoint = Checkpoint.load(path)
            checkpoint.require(identity, path)
            trainer.restore(checkpoint.last)
            on_resume(checkpoint.epochs_done)
        resumed = checkpoint.epochs_done if checkpoint.epochs_done < epochs \
            else _resumed_before(out)
        for record in checkpoint.history:
            on_epoch(record)
        for index in range(checkpoint.epochs_done, epochs):
            checkpoint = _epoch(trainer, dataset, index, checkpoint, path, on_progress)
            on_epoch(checkpoint.history[-1])
        trainer.restore(checkpoint.best)
        return _finish(method, topology, dataset, trainer, checkpoint, out, command, resumed)


def require(method: Method) -> None:
    """Make sure that the packages a method needs are installed.

    Raises
    ------
    EnvironmentProblem
        One is missing; the message has the pip command.
    """
    for name in method.needs:
        try:
            __import__(name)
        except ImportError:
            raise EnvironmentProblem(f"{name} must be installed for method {method.name}: "
                                     f"pip install 'nmahw[train]'") from None


def restored(path: Path, dataset: Dataset) -> tuple[Checkpoint, Trainer]:
    """A checkpoint, and its trainer in the state after the best epoch.

    Parameters
    ----------
    path : Path
    dataset : Dataset
        Of the same shapes and ranges as the one trained on.

    Raises
    ------
    ModelError, UsageError
        A damaged file, or one of another version or for other images.
    EnvironmentProblem
        A package is missing.
    """
    checkpoint = Checkpoint.load(path)
    identity = checkpoint.identity
    if identity.get("version") != _TRAINING_VERSION:
        raise ModelError(f"{path} must be of training version {_TRAINING_VERSION}, not "
                         f"{identity.get('version')!r}")
    if identity.get("high") != dataset.high:
        raise ModelError(f"{path} must be judged on images of 0..{identity.get('high')}, not "
                         f"0..{dataset.high}")
    method = method_of(identity["method"])
    require(method)
    trainer = method.trainer(Topology.of(identity["topology"]), dataset, identity["epochs"],
                             identity["seed"])
    trainer.restore(checkpoint.best)
    return checkpoint, trainer


def scores_of(trainer: Trainer, x: np.ndarray) -> np.ndarray:
    """Scores (images, classes), computed a batch at a time."""
    return np.concatenate([trainer.scores(x[start:start + _BATCH])
                           for start in range(0, len(x), _BATCH)])


def accuracy(trainer: Trainer, x: np.ndarray, y: np.ndarray) -> float:
    """Fraction that the trainer's own scores get right."""
    return float(np.mean(scores_of(trainer, x).argmax(axis=1) == y))


def _resumed_before(out: Path) -> int:
    """What the record of a finished training tells of where it was taken up again."""
    try:
        return int(json.loads(record_path(out).read_text())["resumed_after_epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _epoch(trainer: Trainer, dataset: Dataset, index: int, before: Checkpoint, path: Path,
           on_progress: Callable[[int, int, float], None]) -> Checkpoint:
    """The checkpoint after epoch `index`, written to `path`."""
    begun = time.perf_counter()
    try:
        # What overflows shows in the loss, which is checked: numpy need not warn as well.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            result = trainer.epoch(index, dataset.x_train, dataset.y_train,
                                   lambda images, loss: on_progress(index + 1, images, loss))
        if not math.isfinite(result.loss):
            raise TrainingError(f"loss must be finite, not {result.loss}")
    except TrainingError as error:
        kept = (f"{path} holds the training after epoch {index}" if index
                else "no epoch was finished")
        raise TrainingError(f"epoch {index + 1}: {error}; {kept}") from None
    seconds = time.perf_counter() - begun
    record = EpochRecord(index + 1, result.loss, result.accuracy,
                         accuracy(trainer, dataset.x_validation, dataset.y_validation),
                         round(seconds, 3), round(len(dataset.x_train) / max(seconds, 1e-9), 1))
    state = {name: np.array(value) for name, value in trainer.state().items()}
    after = replace(before, history=[*before.history, record], last=state)
    best = max((kept.validation_accuracy for kept in before.history), default=-1.0)
    if record.validation_accuracy >= best:
        after = replace(after, best_epoch=index + 1, best=state)
    after.save(path)
    return after


def _finish(method: Method, topology: Topology, dataset: Dataset, trainer: Trainer,
            checkpoint: Checkpoint, out: Path, command: str, resumed: int) -> Run:
    test = accuracy(trainer, dataset.x_test, dataset.y_test)
    best = checkpoint.history[checkpoint.best_epoch - 1]
    described = {name: portable(value) for name, value in describe_method(method).items()}
    record = {
        "format": "nmahw-training", "command": command, "method": described,
        "multiplications": method.multiplications, "topology": topology.text,
        "data": {"name": dataset.name, "sha256": fingerprint(dataset),
                 "train": len(dataset.x_train), "validation": len(dataset.x_validation),
                 "test": len(dataset.x_test)},
        "epochs": checkpoint.epochs_done, "seed": checkpoint.identity["seed"],
        "resumed_after_epoch": resumed, "best_epoch": checkpoint.best_epoch,
        "validation_accuracy": best.validation_accuracy, "test_accuracy": test,
        "versions": {"nmahw": __version__, "numpy": np.__version__,
                     "python": platform.python_version()} | _versions(method),
        "history": [asdict(entry) for entry in checkpoint.history]}
    paths = {"checkpoint": checkpoint_path(out)}
    metadata = {"method": method.name, "settings": json.dumps(described),
                "architecture": topology.text, "seed": str(checkpoint.identity["seed"]),
                "command": command, "test_images": str(len(dataset.x_test)),
                "data_sha256": record["data"]["sha256"],
                "validation_accuracy": f"{best.validation_accuracy:.4f}"}
    if dataset.name in DATASETS and DATASETS.get(dataset.name).sample:
        metadata["sample"] = DATASETS.get(dataset.name).sample
    for name in ("weight_bits", "activation_bits"):
        if hasattr(method, name):
            metadata[name] = str(getattr(method, name))
    title = f"{topology.text if len(topology.text) < 24 else dataset.name} {method.name}"
    network = None
    try:
        network = trainer.network(dataset.x_train, title, metadata)
    except ModelError as error:
        record["network"] = f"none: {error}"
    if network is not None:
        right = float(np.mean(network.classify(dataset.x_test) == dataset.y_test))
        record["network_test_accuracy"] = right
        network = replace(network, metadata=dict(network.metadata) | {"accuracy": f"{right:.4f}"})
        paths["network"] = network.save(out)
    paths["record"] = write_atomically(record_path(out), json.dumps(record, indent=2) + "\n")
    return Run(network, trainer, checkpoint.history, record, paths)


def _versions(method: Method) -> dict[str, str]:
    return {name: getattr(__import__(name), "__version__", "?") for name in method.needs}
