"""Checkpoints: where a training stands after an epoch, in one file that is whole or absent.

An ``.npz`` archive with a JSON text ``header`` and arrays ``last.NAME`` (the trainer's state) and
``best.NAME`` (its state after the best epoch). The header holds a SHA-256 over everything else.
Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ..errors import ModelError, UsageError
from ..files import write_atomically
from .methods import METHODS, Method

__all__ = ["Checkpoint", "EpochRecord", "FORMAT_VERSION", "describe_method", "is_checkpoint",
           "method_of"]

#: Version of the file format; a reader refuses versions it does not know.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class EpochRecord:
    """One epoch as the record of a run has it.

    Attributes
    ----------
    epoch : int
        1 for the first.
    loss, train_accuracy : float
        Means over the training images, while the weights were changing.
    validation_accuracy : float
        After the epoch, by the trainer's own scores.
    seconds : float
        Of training, without validation.
    images_per_s : float
    """

    epoch: int
    loss: float
    train_accuracy: float
    validation_accuracy: float
    seconds: float
    images_per_s: float


@dataclass(frozen=True)
class Checkpoint:
    """A training after `epochs_done` epochs.

    Attributes
    ----------
    identity : mapping
        What decides every bit of the training: method with all fields, topology, data set's
        fingerprint, epochs planned, seed, version of nmahw's training.
    history : list of EpochRecord
    last : mapping of str to array
        The trainer's state.
    best_epoch : int
        Epoch of `best`, 1 for the first; 0 when there is none yet.
    best : mapping of str to array
        State after the epoch with the best validation accuracy, the last of equals.
    """

    identity: Mapping[str, object]
    history: list[EpochRecord] = field(default_factory=list)
    last: Mapping[str, np.ndarray] = field(default_factory=dict)
    best_epoch: int = 0
    best: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def epochs_done(self) -> int:
        """Number of epochs that were trained."""
        return len(self.history)

    def save(self, path: str | os.PathLike) -> Path:
        """Write it to one file, atomically.

        Raises
        ------
        EnvironmentProblem
            `path` cannot be written.
        """
        arrays = {f"last.{name}": array for name, array in self.last.items()}
        arrays |= {f"best.{name}": array for name, array in self.best.items()}
        header = {"format": "nmahw-checkpoint", "version": FORMAT_VERSION,
                  "identity": dict(self.identity), "best_epoch": self.best_epoch,
                  "history": [asdict(record) for record in self.history]}
        header["sha256"] = _digest(header, arrays)
        buffer = io.BytesIO()
        np.savez(buffer, header=np.array(json.dumps(header, sort_keys=True)), **arrays)
        return write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike) -> Checkpoint:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            The file is missing, damaged, of another kind or of an unknown version.
        """
        path = Path(path)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(str(arrays.pop("header")))
            if header.get("format") != "nmahw-checkpoint":
                raise ModelError(f"{path} must be a checkpoint written by nmahw")
            if header.get("version") != FORMAT_VERSION:
                raise ModelError(f"{path}: checkpoint version must be {FORMAT_VERSION}, not "
                                 f"{header.get('version')!r}")
            if header.pop("sha256", None) != _digest(header, arrays):
                raise ModelError(f"{path} is damaged: its content does not have the SHA-256 it "
                                 f"names; --restart begins anew")
            _check_header(header)
            parts = {part: {name.removeprefix(f"{part}."): array for name, array in arrays.items()
                            if name.startswith(f"{part}.")} for part in ("last", "best")}
            return cls(header["identity"], [EpochRecord(**record) for record in header["history"]],
                       parts["last"], header["best_epoch"], parts["best"])
        except FileNotFoundError:
            raise ModelError(f"checkpoint {path} does not exist") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
                zipfile.BadZipFile, zipfile.zlib.error, NotImplementedError) as error:
            raise ModelError(f"{path} is damaged or not a checkpoint "
                             f"({type(error).__name__}); --restart begins anew") from None

    def require(self, identity: Mapping[str, object], path: Path) -> None:
        """Make sure that it belongs to the training `identity`.

        Raises
        ------
        UsageError
            It does not; the message names what differs.
        """
        # Through JSON, as the file has it: tuples become lists.
        wanted, found = json.loads(json.dumps(dict(identity))), dict(self.identity)
        for key in sorted(wanted | found):
            if wanted.get(key) != found.get(key):
                raise UsageError(f"checkpoint {path} must be of "
                                 f"{_difference(key, wanted.get(key), found.get(key))}: give the "
                                 f"same, or --restart to begin anew")


def is_checkpoint(path: str | os.PathLike) -> bool:
    """Whether the file is an archive with a checkpoint's header."""
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return "header" in archive.files
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile):
        return False


def describe_method(method: Method) -> dict[str, object]:
    """Name and all fields."""
    return {"name": method.name, **asdict(method)}


def method_of(described: Mapping[str, object]) -> Method:
    """The method that `describe_method` described.

    Raises
    ------
    UsageError, ModelError
        Unknown method, or fields it does not have.
    """
    fields = dict(described)
    kind = METHODS.get(str(fields.pop("name", None)))
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value
                       for name, value in fields.items()})
    except TypeError:
        raise ModelError(f"method {kind.name} must have other fields than {', '.join(fields)}: "
                         f"the checkpoint is of another version of nmahw") from None


def _digest(header: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f" {name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _check_header(header: Mapping[str, object]) -> None:
    """Make sure that a header's parts are of their kinds; ValueError otherwise."""
    identity, epochs = header["identity"], len(header["history"])
    kinds = {"method": dict, "topology": str, "epochs": int, "seed": int, "data": str,
             "high": int, "version": int}
    if not isinstance(identity, dict) or not all(
            isinstance(identity.get(name), kind) for name, kind in kinds.items()):
        raise ValueError("identity")
    if not isinstance(header["best_epoch"], int) or not 0 <= header["best_epoch"] <= epochs:
        raise ValueError("best_epoch")


def _difference(key: str, wanted: object, found: object) -> str:
    """What a checkpoint must be of, and what it is of instead."""
    if key == "data":
        return "data with these images and parts, but is of other images, --split or --validation"
    if isinstance(wanted, Mapping) and isinstance(found, Mapping) \
            and wanted.get("name") == found.get("name"):
        # Only the fields that differ: all of them are too many to find one.
        name = next(name for name in sorted(wanted | found) if wanted.get(name) != found.get(name))
        key, wanted, found = f"{key} {wanted.get('name')} with {name}", wanted.get(name), \
            found.get(name)
    elif isinstance(wanted, Mapping) and isinstance(found, Mapping):
        wanted, found = wanted.get("name"), found.get("name")
    return f"{key} {_short(wanted)}, but is of {_short(found)}"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 200 else f"{text[:200]}..."
