"""Training in floating point with integer additions for products (T. Mogami, 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from ...errors import UsageError
from ...network import Network
from ..dataset import Dataset
from ..export import quantised_network
from ..gradient import LOSSES, GradientTrainer
from ..hyperparameters import choice, integer, number
from ..int_add_rule import IntAddRule, RoundedRule
from ..layers import build
from ..optimisers import Sgd
from ..rule import Rule
from ..topology import Topology
from . import Method

__all__ = ["Mogami"]

_FORMATS = ("fp32", "bf16")


class _Trainer(GradientTrainer):
    """Its networks are quantised after the training."""

    def network(self, x: np.ndarray, title: str, metadata: Mapping[str, str]) -> Network:
        return quantised_network(self.model, self.input_format, x, title, metadata)


@dataclass(frozen=True)
class Mogami(Method):
    """Stochastic gradient descent with momentum, in which no product is a multiplication.

    Forward, backward and update; batch norm, momentum and the loss's gradient too. The learning
    rate is a power of two and halves `halvings` times over the second half of the epochs.
    """

    name = "mogami"
    summary = "float32 or bfloat16, products by integer addition of bit patterns"
    multiplications = ("none in training (--set product=exact: everywhere, to compare). The "
                       "network handed over is quantised after it and has integer products")
    bits_form = "|".join(_FORMATS)
    needs = ("numba",)

    product: str = choice("int_add", ("int_add", "exact"),
                          "int_add, or exact for the same training with true products")
    float_format: str = choice("fp32", _FORMATS, "of operands: fp32 or bf16")
    mean_error_constant: float = number(
        0.0, "added to each sum of mantissas, 0 to below 0.5; 0.0566 makes the mean error 0",
        below=0.5)
    batch: int = integer(64, 1, 65536, "images of a step")
    rate_log2: int = integer(-5, -24, 4, "binary logarithm of the first rate")
    halvings: int = integer(5, 0, 24,
                            "how often the rate halves over the second half of the epochs")
    momentum: float = number(0.9, "0 to below 1", below=1)
    decay: float = number(0.0, "weight decay, 0 to below 1", below=1)
    loss: str = choice("softmax", LOSSES, "softmax, squared_hinge or squared_error")
    shift: int = integer(0, 0, 64, "pixels by which training images are moved at random")

    @classmethod
    def with_bits(cls, text: str, **options: object) -> Self:
        if text not in _FORMATS:
            raise UsageError(f"--bits of method {cls.name} must be {' or '.join(_FORMATS)}, not "
                             f"{text!r}")
        return cls(float_format=text, **options)

    @property
    def rule(self) -> Rule:
        """What stands for products."""
        if self.product == "int_add":
            return IntAddRule(self.float_format == "bf16", self.mean_error_constant)
        return RoundedRule() if self.float_format == "bf16" else Rule()

    def rate(self, epoch: int, epochs: int) -> float:
        """Learning rate of an epoch, a power of two."""
        # Steps of equal length behind the middle.
        halved = (2 * epoch - epochs) * self.halvings // epochs + 1 if 2 * epoch >= epochs else 0
        return 2.0 ** (self.rate_log2 - min(halved, self.halvings))

    def trainer(self, topology: Topology, dataset: Dataset, epochs: int, seed: int) -> _Trainer:
        rule = self.rule
        # A sequence of its own: epochs draw from (seed, epoch).
        model = build(topology, dataset.input_format.shape, rule, np.random.default_rng(seed))
        optimiser = Sgd(model.parts(), self.momentum, decay=self.decay)
        return _Trainer(model, optimiser, dataset, rule,
                        lambda epoch, step, steps: self.rate(epoch, epochs), seed, self.batch,
                        self.loss, self.shift)
