"""Training methods: one file each, found by listing this folder.

A method is a frozen dataclass of its hyperparameters, each declared with its default, range and
meaning (`nmahw.train.hyperparameters`); the command line offers every field as
``--set FIELD=VALUE``, and the record of a run names them all. `Method.trainer` starts a training
from a seed.

A trainer is deterministic: the same method, topology, data, seed and number of epochs give the
same state, bit for bit, also when the training was ended after any epoch and goes on from
`Trainer.state`. So whatever is random in an epoch is drawn from
``np.random.default_rng((seed, epoch))`` (order of the images, augmentation) or from generators
whose state is part of `state` (an LFSR).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from ...errors import UsageError
from ...network import Network
from ...registry import Registry
from ..hyperparameters import check_settings

if TYPE_CHECKING:
    from ..dataset import Dataset
    from ..topology import Topology

__all__ = ["METHODS", "EpochResult", "Method", "Progress", "Trainer"]

#: Called now and then within an epoch: images done so far, mean loss of the epoch so far.
Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class EpochResult:
    """What an epoch showed on the training images, while the weights were changing.

    Attributes
    ----------
    loss : float
        Mean over the images; finite (a trainer raises `TrainingError` before it reports another).
    accuracy : float
        Fraction of the images that were classified right, 0..1.
    """

    loss: float
    accuracy: float


class Trainer(ABC):
    """A training under way: weights and all that the next step depends on."""

    @abstractmethod
    def epoch(self, index: int, x: np.ndarray, y: np.ndarray, progress: Progress) -> EpochResult:
        """Train on every image once.

        Parameters
        ----------
        index : int
            Epochs that were trained before; 0 for the first.
        x : integer array (images, *input shape)
            Input codes of the data set, in their stored order: the trainer shuffles.
        y : int64 array (images,)
            Classes.
        progress : Progress

        Raises
        ------
        TrainingError
            A loss that is not finite; the message names the layer where it began.
        """

    @abstractmethod
    def scores(self, x: np.ndarray) -> np.ndarray:
        """Scores (images, classes) for input codes, in the method's own arithmetic."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Everything a resumed training needs; plain arrays, no objects."""

    @abstractmethod
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ModelError
            The arrays are of another training.
        """

    @abstractmethod
    def network(self, x: np.ndarray, title: str, metadata: Mapping[str, str]) -> Network:
        """What was trained, as the IR has it.

        Parameters
        ----------
        x : integer array (images, *input shape)
            Training images, for whatever has to be calibrated.
        title, metadata
            As in `Network`.

        Raises
        ------
        ModelError
            The IR cannot hold it (residual connections); the message says why.
        """


@dataclass(frozen=True)
class Method(ABC):
    """A way to train; see the module's text.

    Raises
    ------
    UsageError
        A field out of its range.
    """

    #: As on the command line.
    name: ClassVar[str]
    #: One line for help texts and tables.
    summary: ClassVar[str]
    #: Where true multiplications remain in forward, backward or update, and why; "" when nowhere.
    multiplications: ClassVar[str] = ""
    #: How ``--bits`` is written for this method, e.g. ``"WxA"``; "" if it takes none.
    bits_form: ClassVar[str] = ""
    #: Packages of the extra ``[train]`` without which it does not run.
    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        check_settings(self)

    @classmethod
    def with_bits(cls, text: str, **options: object) -> Self:
        """The method with its widths from ``--bits``.

        Raises
        ------
        UsageError
            Widths that cannot be had, or a method that takes none.
        """
        raise UsageError(f"method {cls.name} takes no --bits, not {text!r}")

    @property
    def default_epochs(self) -> int:
        """Epochs of a training that was not told how many."""
        return 10

    def default_topology(self, shape: tuple[int, ...], classes: int) -> str:
        """Topology of a training that was not told which, for images of that shape."""
        return f"{math.prod(shape)}-64-{classes}"

    def remark(self, topology: Topology) -> str:
        """What a user should know before this topology is trained; "" for nothing."""
        return ""

    @abstractmethod
    def trainer(self, topology: Topology, dataset: Dataset, epochs: int, seed: int) -> Trainer:
        """A training that has not begun.

        Parameters
        ----------
        topology : Topology
        dataset : Dataset
            Its shapes and ranges; images come with `Trainer.epoch`.
        epochs : int
            How many there will be, for schedules.
        seed : int
            0 .. 2^32 - 1; initial weights and everything random follow from it.

        Raises
        ------
        UsageError, ModelError
            The method cannot train that topology, or needs a package that is missing.
        """


METHODS: Registry[Method] = Registry(__name__, Method, "training method")
