"""Images and labels from ``.npz`` files with the keys of Keras (``x_test``, ``y_test``) or x, y."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ModelError, UsageError

__all__ = ["Images", "load_images"]

#: Parts of a data set.
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Images:
    """Inputs of a network and their classes.

    Attributes
    ----------
    x : integer array (images, ...)
        Input codes as stored, e.g. pixels 0..255.
    y : int64 array (images,) or None
        Class of each, when the file tells.
    """

    x: np.ndarray
    y: np.ndarray | None

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int | None) -> "Images":
        """The first `count` images (all, if None).

        Raises
        ------
        UsageError
            `count` is below 1 or above the number of images.
        """
        if count is None:
            return self
        if not 1 <= count <= len(self):
            raise UsageError(f"number of images must be 1..{len(self)}, not {count}")
        return Images(self.x[:count], None if self.y is None else self.y[:count])

    def accuracy(self, classes: np.ndarray) -> float:
        """Fraction of `classes` (images,) that equal the labels.

        Raises
        ------
        ModelError
            There are no labels.
        """
        if self.y is None:
            raise ModelError("the images must have labels to tell the accuracy, but have none")
        return float(np.mean(np.asarray(classes) == self.y))


def load_images(path: str | os.PathLike, split: str = "test") -> Images:
    """Read images, and labels if there are any.

    Parameters
    ----------
    path : path
        ``.npz`` with ``x_<split>`` (and ``y_<split>``), or ``x`` (and ``y``).
    split : str
        ``"train"`` or ``"test"``.

    Raises
    ------
    ModelError
        The file is missing or damaged, or holds no such images.
    UsageError
        Unknown split.
    """
    if split not in SPLITS:
        raise UsageError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    path = Path(path)
    try:
        if path.exists() and not zipfile.is_zipfile(path):
            raise ModelError(f"{path} is damaged or not an .npz archive of images")
        # Opened here, because np.load leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            keys = archive.files
            x_key, y_key = next(((x, y) for x, y in ((f"x_{split}", f"y_{split}"), ("x", "y"))
                                 if x in keys), (None, None))
            if x_key is None:
                raise ModelError(f"{path} must hold images as 'x_{split}' or 'x', but holds "
                                 f"{', '.join(keys) or 'nothing'}")
            x, y = archive[x_key], archive[y_key] if y_key in keys else None
            # What numpy gives for a member that is no array.
            if any(isinstance(item, bytes) for item in (x, y)):
                raise ModelError(f"{path}: '{x_key}' and '{y_key}' must be arrays")
    except FileNotFoundError:
        raise ModelError(f"image file {path} does not exist") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, SyntaxError,
            zipfile.BadZipFile, zipfile.zlib.error, NotImplementedError) as error:
        raise ModelError(f"{path} is damaged or not an .npz archive of images "
                         f"({type(error).__name__}: {error})") from None
    if x.dtype.kind not in "iu" or x.ndim < 2 or not x.size:
        raise ModelError(f"{path}: '{x_key}' must be a non-empty integer array (images, ...), "
                         f"not {x.dtype} of shape {x.shape}")
    if y is not None:
        if y.dtype.kind not in "iu" or y.shape != (len(x),):
            raise ModelError(f"{path}: '{y_key}' must be {len(x)} integers, one per image, not "
                             f"{y.dtype} of shape {y.shape}")
        y = y.astype(np.int64)
    return Images(x, y)
