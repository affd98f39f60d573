"""Trainers that go against a gradient in mini-batches, with float32 values and a `Rule`.

What differs between methods is the rule, the optimiser and the rate; order of the images,
shifting them, the loss, the check that it is finite and the state are here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..errors import ModelError, TrainingError
from .augment import shift_images
from .dataset import Dataset
from .layers import Model
from .losses import LOSSES
from .methods import EpochResult, Progress, Trainer
from .optimisers import Optimiser
from .rule import Rule

__all__ = ["LOSSES", "GradientTrainer"]

# Images scored at a time: patches of one batch stay in the cache.
_SCORED = 64


class GradientTrainer(Trainer):
    """Mini-batch gradient descent on a `Model`.

    In every epoch ``rng = numpy.random.default_rng((seed, epoch))`` draws the order of the images,
    then the shifts of each batch. The last batch may be smaller. Gradients are divided by
    `batch`, also in a smaller one: with a power of two that is a shift.

    Parameters
    ----------
    model : Model
    optimiser : Optimiser
    dataset : Dataset
        Its shape and range.
    rule : Rule
        For the loss and the division by `batch`.
    rate : function (epoch, step, steps) -> float
        Learning rate; `epoch` from 0, `step` of 0 .. steps - 1 within the epoch.
    seed : int
    batch : int
    loss : str
        One of `nmahw.train.losses.LOSSES`.
    shift : int
        Pixels by which images are moved at random; see `nmahw.train.augment`.
    """

    def __init__(self, model: Model, optimiser: Optimiser, dataset: Dataset, rule: Rule,
                 rate: Callable[[int, int, int], float], seed: int, batch: int = 64,
                 loss: str = "softmax", shift: int = 0):
        self.model, self.optimiser, self.rule, self.rate = model, optimiser, rule, rate
        self.input_format = dataset.input_format
        self.seed, self.batch, self.loss, self.shift = seed, batch, LOSSES[loss], shift
        # What the real value of each code is; conversion of data, no part of training.
        self._values = (np.arange(dataset.high + 1) / dataset.high).astype(np.float32)

    def real(self, x: np.ndarray) -> np.ndarray:
        """Input codes as float32 of 0..1."""
        return self._values[x]

    def epoch(self, index: int, x: np.ndarray, y: np.ndarray, progress: Progress) -> EpochResult:
        rng = np.random.default_rng((self.seed, index))
        order = rng.permutation(len(x))
        steps = -(-len(x) // self.batch)
        total, right = 0.0, 0
        for step in range(steps):
            chosen = order[step * self.batch:(step + 1) * self.batch]
            codes = shift_images(x[chosen], self.shift, rng)
            loss, correct = self.step(codes, y[chosen], self.rate(index, step, steps))
            total, right = total + loss, right + correct
            if step % 64 == 63:
                done = (step + 1) * self.batch
                progress(min(done, len(x)), total / min(done, len(x)))
        self.optimiser.require_finite()
        return EpochResult(total / len(x), right / len(x))

    def step(self, codes: np.ndarray, y: np.ndarray, rate: float) -> tuple[float, int]:
        """One step on a batch: sum of the losses, and number of images classified right.

        Raises
        ------
        TrainingError
            A loss is not finite; nothing was changed but running means.
        """
        images = self.real(codes)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            scores = self.model.forward(images, True)
            losses, gradient = self.loss(scores, y, self.rule)
            loss = float(losses.sum(dtype=np.float64))
            if not np.isfinite(loss):
                raise TrainingError(f"loss must be finite, but {self.model.culprit(images)} gives "
                                    f"results that are not; a smaller rate may help")
            self.model.backward(self.rule.product(gradient, np.float32(1 / self.batch)))
            self.optimiser.step(rate)
        return loss, int((scores.argmax(axis=1) == y).sum())

    def scores(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.concatenate([self.model.forward(self.real(x[i:i + _SCORED]), False)
                                   for i in range(0, len(x), _SCORED)])

    def state(self) -> dict[str, np.ndarray]:
        return {f"model.{name}": value for name, value in self.model.state().items()} | {
            f"optimiser.{name}": value for name, value in self.optimiser.state().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        known = {"model.": {}, "optimiser.": {}}
        for name, value in state.items():
            prefix = name.partition(".")[0] + "."
            if prefix not in known:
                raise ModelError(f"the checkpoint must have arrays of a model and an optimiser, "
                                 f"not {name!r}: it is of another method")
            known[prefix][name.removeprefix(prefix)] = value
        self.model.restore(known["model."])
        self.optimiser.restore(known["optimiser."])
