"""Images and classes to train on, validate with and report on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat

__all__ = ["Dataset"]


@dataclass(frozen=True)
class Dataset:
    """A data set cut in three; only the validation part may choose anything.

    Parameters
    ----------
    name : str
    x_train, x_validation, x_test : integer arrays (images, *shape)
        Input codes as stored, e.g. pixels 0..255; shape (channels, height, width) or (features,).
    y_train, y_validation, y_test : int64 arrays (images,)
        Classes 0 .. classes - 1.
    classes : int
    high : int
        Largest code that an input can have; the lowest is 0. One code is 1/high for float methods.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    high: int

    def __post_init__(self):
        for part in ("train", "validation", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            if x.dtype.kind not in "iu" or x.ndim not in (2, 4) or len(x) == 0:
                raise ModelError(f"{self.name}: {part} images must be a non-empty integer array "
                                 f"(images, features) or (images, channels, height, width), not "
                                 f"{x.dtype} of shape {x.shape}")
            if x.shape[1:] != self.x_train.shape[1:]:
                raise ModelError(f"{self.name}: {part} images must have shape "
                                 f"{self.x_train.shape[1:]}, not {x.shape[1:]}")
            if y.shape != (len(x),) or y.dtype.kind not in "iu":
                raise ModelError(f"{self.name}: {part} labels must be {len(x)} integers, not "
                                 f"{y.dtype} of shape {y.shape}")
            if y.min() < 0 or y.max() >= self.classes:
                raise ModelError(f"{self.name}: {part} labels must lie in 0..{self.classes - 1}, "
                                 f"not {y.min()}..{y.max()}")
            if x.min() < 0 or x.max() > self.high:
                raise ModelError(f"{self.name}: {part} images must lie in 0..{self.high}, not "
                                 f"{x.min()}..{x.max()}")

    @property
    def input_format(self) -> TensorFormat:
        """Shape and range of one input."""
        return TensorFormat(tuple(self.x_train.shape[1:]), 0, self.high)
