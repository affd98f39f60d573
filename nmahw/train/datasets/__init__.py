"""Data sets to train on: one file each, found by listing this folder; or any ``.npz`` file.

A source gives images for training and, if it has them fixed, for the test. What is then cut off
is drawn with ``numpy.random.default_rng(split)``, class by class, so that every part holds the
classes in the same proportions: first the test images (a quarter) of a source that has none of
its own, then the validation images. The same split always gives the same parts.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...datasets import Images, load_images
from ...errors import ModelError, UsageError
from ...registry import Registry
from ..dataset import Dataset

__all__ = ["DATASETS", "Parts", "Source", "fingerprint", "load_dataset", "read_parts"]

#: Part of the training images that validates: one of so many.
VALIDATION_ONE_OF = 12
#: Part of the images that tests, where none are set apart: one of so many.
TEST_ONE_OF = 4
#: Largest code that images may have: 16 bits. Trainers keep a table with an entry for every code.
MOST_HIGH = 65535
# More are numbers, not classes.
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class Parts:
    """What a source has: images with labels.

    Attributes
    ----------
    train : Images
    test : Images or None
        None if the source sets no test images apart.
    high : int
        Largest code that an input can have.
    """

    train: Images
    test: Images | None
    high: int


class Source(ABC):
    """A data set known by name."""

    #: As on the command line.
    name: ClassVar[str]
    #: One line for help texts and tables.
    summary: ClassVar[str]
    #: Bundled sample (`nmahw.bundled`) of the same images; "" if there is none.
    sample: ClassVar[str] = ""

    @abstractmethod
    def parts(self, data: Path | None, split: int) -> Parts:
        """Its images.

        Parameters
        ----------
        data : Path, optional
            A file to read instead of what the source would download.
        split : int
            As in `load_dataset`, for sources with their own way to set test images apart.

        Raises
        ------
        EnvironmentProblem
            No network, or a package is missing.
        ModelError
            A file is damaged or of another data set.
        UsageError
            `data` is given and the source takes no file.
        """


def read_parts(path: str | os.PathLike) -> Parts:
    """Images of an ``.npz`` file with ``x_train``, ``y_train``, ``x_test``, ``y_test`` or x and y.

    Raises
    ------
    ModelError
        The file is missing or damaged, has no labels, or codes that cannot be trained on.
    """
    path = Path(path)
    train = load_images(path, "train")
    test = _test_images(path, train)
    for what, images in (("training", train), ("test", test)):
        if images is not None and images.y is None:
            raise ModelError(f"{path} must hold labels of the {what} images, as 'y_train' and "
                             f"'y_test' or 'y', but does not")
    found = [images.x for images in (train, test) if images is not None]
    high = max(int(x.max()) for x in found)
    if not 1 <= high <= MOST_HIGH:
        raise ModelError(f"{path}: the largest code of the images must lie in 1..{MOST_HIGH}, not "
                         f"be {high}")
    return Parts(train, test, high)


def _test_images(path: Path, train: Images) -> Images | None:
    """Those of 'x_test', or of 'x' when there is 'x_train' as well; None if there are none."""
    try:
        test = load_images(path, "test")
    except ModelError as error:
        if "must hold images as" in str(error):
            return None
        raise
    # One array under 'x' is found under both names.
    same = test.x.shape == train.x.shape and np.array_equal(test.x, train.x)
    return None if same else test


def load_dataset(name_or_path: str | os.PathLike, data: str | os.PathLike | None = None,
                 validation: int | None = None, split: int = 0) -> Dataset:
    """A data set, cut in three.

    Parameters
    ----------
    name_or_path : str or path
        A name of `DATASETS`, or an ``.npz`` file.
    data : path, optional
        File with the images of a named data set that would be downloaded otherwise.
    validation : int, optional
        Images of the training part set aside for validation; by default a twelfth
        (5,000 of MNIST).
    split : int
        0 .. 2^32 - 1; seed of the draw that sets images aside.

    Raises
    ------
    UsageError
        Unknown name, or a number out of range.
    ModelError
        Damaged files, or images and labels that do not fit each other.
    EnvironmentProblem
        What is needed cannot be downloaded or is not installed.
    """
    if not 0 <= split < 2**32:
        raise UsageError(f"split must be an integer of 0..{2**32 - 1}, not {split}")
    name = os.fspath(name_or_path)
    if name in DATASETS:
        parts = DATASETS.get(name)().parts(None if data is None else Path(data), split)
    elif name.endswith(".npz") or Path(name).is_file():
        if data is not None:
            raise UsageError(f"--data must not be given when the data set is a file itself: {name}")
        parts, name = read_parts(name), Path(name).stem
    else:
        raise UsageError(f"data set must be one of {', '.join(DATASETS.names())} or an .npz file, "
                         f"not {name!r}")
    rng = np.random.default_rng(split)
    train, test = parts.train, parts.test
    labels = np.concatenate([images.y for images in (train, test) if images is not None])
    if labels.min() < 0 or labels.max() >= _MOST_CLASSES:
        raise ModelError(f"{name}: labels must lie in 0..{_MOST_CLASSES - 1}, not "
                         f"{labels.min()}..{labels.max()}")
    classes = int(labels.max()) + 1
    if classes < 2:
        raise ModelError(f"{name}: labels must name at least two classes, but all are 0")
    if test is None:
        train, test = _cut(train, max(len(train) // TEST_ONE_OF, 1), rng, f"{name}: test")
    count = max(len(train) // VALIDATION_ONE_OF, 1) if validation is None else validation
    train, held = _cut(train, count, rng, f"{name}: validation")
    return Dataset(name, _planar(name, train.x), train.y, _planar(name, held.x), held.y,
                   _planar(name, test.x), test.y, classes, parts.high)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over all images, labels and ranges, to tell data sets apart."""
    digest = hashlib.sha256(f"{dataset.classes} {dataset.high}".encode())
    for part in ("train", "validation", "test"):
        for array in (getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")):
            digest.update(f" {array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _planar(name: str, x: np.ndarray) -> np.ndarray:
    """Images without a channel axis get one."""
    if x.ndim not in (2, 3, 4):
        raise ModelError(f"{name}: images must have axes (images, features), (images, height, "
                         f"width) or (images, channels, height, width), not {x.ndim} axes")
    return np.ascontiguousarray(x[:, None] if x.ndim == 3 else x)


def _cut(images: Images, count: int, rng: np.random.Generator, what: str) -> tuple[Images, Images]:
    """The rest, and `count` images in the classes' proportions; both in their stored order."""
    total = len(images)
    if total < 2:
        raise ModelError(f"{what} images must be set aside, but there is only {total} image")
    if not 1 <= count < total:
        raise UsageError(f"{what} images must be 1..{total - 1} of the {total} there are, not "
                         f"{count}")
    order = rng.permutation(total)
    # The drawn order, class by class, spread evenly: any `count` of it are proportionate.
    rank, place = np.empty(total), np.arange(total)
    for label in np.unique(images.y):
        members = order[images.y[order] == label]
        rank[members] = (np.arange(len(members)) + rng.random()) / len(members)
    chosen = np.zeros(total, bool)
    chosen[np.lexsort((place, rank))[:count]] = True
    return (Images(images.x[~chosen], images.y[~chosen]),
            Images(images.x[chosen], images.y[chosen]))


DATASETS: Registry[Source] = Registry(__name__, Source, "data set")
