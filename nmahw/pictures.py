"""Pictures as inputs of a network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .errors import EnvironmentProblem, ModelError
from .tensor import TensorFormat

__all__ = ["PICTURE_SUFFIXES", "read_picture"]

#: File names that are taken for pictures.
PICTURE_SUFFIXES: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm")


def read_picture(path: str | os.PathLike, shape: TensorFormat, invert: bool = False) -> np.ndarray:
    """A picture as input codes.

    It is made grey, scaled to the input's size, and its brightness 0..255 to the input's range.

    Parameters
    ----------
    path : path
    shape : TensorFormat
        Of the network's input: one channel, or a square number of features.
    invert : bool
        Dark on bright becomes bright on dark, which is how MNIST has its digits.

    Returns
    -------
    int64 array (1, *shape)

    Raises
    ------
    ModelError
        No picture, or an input that is none.
    EnvironmentProblem
        Pillow is missing.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise EnvironmentProblem("Pillow must be installed to read pictures: "
                                 "pip install 'nmahw[board]'") from None
    side = int(np.sqrt(shape.size))
    if shape.size != side * side and not (len(shape.shape) == 3 and shape.shape[0] == 1):
        raise ModelError(f"the network's input must be one grey picture, not "
                         f"{'x'.join(map(str, shape.shape))}")
    height, width = shape.shape[1:] if len(shape.shape) == 3 else (side, side)
    try:
        with Image.open(Path(path)) as picture:
            grey = np.asarray(picture.convert("L").resize((width, height), Image.BILINEAR))
    except FileNotFoundError:
        raise ModelError(f"picture {path} does not exist") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ModelError(f"{path} must be a picture, but: {error}") from None
    grey = 255 - grey.astype(np.int64) if invert else grey.astype(np.int64)
    return np.rint(grey * shape.high / 255).astype(np.int64).reshape(1, *shape.shape)
