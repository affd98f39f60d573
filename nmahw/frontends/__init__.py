"""Ways in: one file per kind of model file, found by listing this folder.

A front end reads a trained model into a `FloatNetwork`. To add one, add a file with a
`FrontEnd` subclass that has a `name` and its `suffixes`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..errors import ModelError, UsageError
from ..floatnet import FloatNetwork
from ..registry import Registry
from ..tensor import TensorFormat

__all__ = ["FrontEnd", "FRONTENDS", "ImportOptions", "read_float_model"]


@dataclass(frozen=True)
class ImportOptions:
    """What a user says about a model file beside the file; None leaves it to the file.

    Parameters
    ----------
    architecture : str, optional
        Layers in order, in the language of `nmahw.frontends.npz`.
    input_shape : sequence of int, optional
        ``(channels, height, width)`` or ``(features,)``.
    input_scale : float, optional
        Real value of one step of the integer input codes.
    input_range : (int, int), optional
        Smallest and largest input code.
    input_offset : float, optional
        Real value of input code 0, when inputs were normalised to another mean; it is folded
        into the first layer's bias.
    """

    architecture: str | None = None
    input_shape: tuple[int, ...] | None = None
    input_scale: float | None = None
    input_range: tuple[int, int] | None = None
    input_offset: float | None = None

    def input_format(self, default_shape: tuple[int, ...] | None) -> tuple[TensorFormat, float]:
        """Format and scale of the input, with what nobody said filled in.

        Inputs are taken to be pixels 0..255 that were divided by 255 before training; with
        another scale, codes from 0 up to the one whose real value is 1.

        Raises
        ------
        ModelError
            No shape is known, or a value is out of range.
        """
        shape = self.input_shape if self.input_shape is not None else default_shape
        if shape is None:
            raise ModelError("the input shape must be given (channels, height, width), because "
                             "the file does not tell it: say for example 1x28x28")
        scale = 1 / 255 if self.input_scale is None else self.input_scale
        if not _is_real(scale) or not 2.0**-30 <= scale <= 2.0**30:
            raise ModelError(f"input scale must be a number of 2^-30..2^30, the real value of one "
                             f"input code, not {scale!r}")
        low, high = (0, max(round(1 / scale), 1)) if self.input_range is None \
            else self.input_range
        if not _is_real(low) or not _is_real(high) or int(low) != low or int(high) != high \
                or not -2**16 < low < high < 2**16:
            raise ModelError(f"input range must be two integers low < high below 2^16 in "
                             f"magnitude, not {low}..{high}"
                             + (": give the input range" if self.input_range is None else ""))
        if self.input_offset is not None and (
                not _is_real(self.input_offset) or abs(self.input_offset) > 2.0**30):
            raise ModelError(f"input offset must be a number of -2^30..2^30, the real value of "
                             f"input code 0, not {self.input_offset!r}")
        return TensorFormat(tuple(shape), int(low), int(high)), float(scale)


def _is_real(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) \
        and not isinstance(value, bool) and bool(np.isfinite(value))


class FrontEnd(ABC):
    """One kind of model file."""

    #: Name of the kind.
    name: ClassVar[str]
    #: Endings of its files, lower case with the dot.
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path, options: ImportOptions) -> FloatNetwork:
        """The network in the existing file `path`.

        Raises
        ------
        ModelError
            The file is damaged, foreign, or holds something that cannot be imported.
        UsageError
            The options do not suit this kind of file.
        EnvironmentProblem
            A package that reads this kind of file is missing.
        """


#: Every front end there is.
FRONTENDS: Registry[FrontEnd] = Registry(__name__, FrontEnd, "front end")


def read_float_model(path: str | os.PathLike, architecture: str | None = None,
                     input_shape: Sequence[int] | None = None,
                     input_scale: float | None = None,
                     input_range: Sequence[int] | None = None,
                     input_offset: float | None = None) -> FloatNetwork:
    """Read a trained model, by the front end that takes its suffix.

    Parameters
    ----------
    path : path
        Model file.
    architecture, input_shape, input_scale, input_range, input_offset
        See `ImportOptions`; each stands above what the file says.

    Raises
    ------
    ModelError, UsageError, EnvironmentProblem
        See `FrontEnd.read`.
    """
    path = Path(path)
    by_suffix = {suffix: front_end for front_end in FRONTENDS for suffix in front_end.suffixes}
    front_end = by_suffix.get(path.suffix.lower())
    if front_end is None:
        raise UsageError(f"a model file's suffix must be one of {', '.join(sorted(by_suffix))}, "
                         f"not {path.suffix!r} ({path})")
    if not path.is_file():
        raise ModelError(f"model file {path} {'is a folder' if path.is_dir() else 'does not exist'}"
                         )
    if input_range is not None and len(input_range) != 2:
        raise UsageError(f"input range must be two integers, not {len(input_range)}")
    options = ImportOptions(architecture,
                            None if input_shape is None else tuple(input_shape), input_scale,
                            None if input_range is None else tuple(input_range), input_offset)
    try:
        return front_end().read(path, options)
    except (ModelError, UsageError) as error:
        raise error if str(path) in str(error) else type(error)(f"{path}: {error}") from None
