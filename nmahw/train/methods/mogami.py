"""Training in floating point with integer additions for products (T. Mogami, 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from ...errors import UsageError
from ...network import Network
from ..dataset import Dataset
from ..export import quantised_network
from ..gradient import LOSSES, GradientTrainer
from ..int_add_rule import IntAddRule, RoundedRule
from ..layers import build
from ..optimisers import Sgd
from ..rule import Rule
from ..topology import Topology
from . import Method

__all__ = ["Mogami"]

_FORMATS = ("fp32", "bf16")
_PRODUCTS = ("int_add", "exact")


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

    product: str = field(default="int_add", metadata={
        "help": "int_add, or exact for the same training with true products"})
    float_format: str = field(default="fp32", metadata={"help": "of operands: fp32 or bf16"})
    mean_error_constant: float = field(default=0.0, metadata={
        "help": "added to each sum of mantissas, 0 to below 0.5; 0.0566 makes the mean error 0"})
    batch: int = field(default=64, metadata={"help": "images of a step"})
    rate_log2: int = field(default=-5, metadata={"help": "binary logarithm of the first rate"})
    halvings: int = field(default=5, metadata={
        "help": "how often the rate halves over the second half of the epochs"})
    momentum: float = field(default=0.9, metadata={"help": "0 to below 1"})
    decay: float = field(default=0.0, metadata={"help": "weight decay, 0 to below 1"})
    loss: str = field(default="softmax", metadata={
        "help": "softmax, squared_hinge or squared_error"})
    shift: int = field(default=0, metadata={
        "help": "pixels by which training images are moved at random"})

    def __post_init__(self):
        for what, value, known in (("product", self.product, _PRODUCTS),
                                   ("float_format", self.float_format, _FORMATS),
                                   ("loss", self.loss, tuple(LOSSES))):
            if value not in known:
                raise UsageError(f"{what} must be one of {', '.join(known)}, not {value!r}")
        for what, value, low, high in (("batch", self.batch, 1, 65536),
                                       ("rate_log2", self.rate_log2, -24, 4),
                                       ("halvings", self.halvings, 0, 24),
                                       ("shift", self.shift, 0, 64)):
            if not low <= value <= high:
                raise UsageError(f"{what} must be an integer of {low}..{high}, not {value}")
        for what, value, end in (("mean_error_constant", self.mean_error_constant, 0.5),
                                 ("momentum", self.momentum, 1), ("decay", self.decay, 1)):
            if not 0 <= value < end:
                raise UsageError(f"{what} must be a number from 0 to below {end}, not {value}")

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
