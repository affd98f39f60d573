"""Backpropagation through multiplication gates, exact and smooth.

Forward propagation, the products of gradients and weights, and those of gradients and values all
go through gates; a product of three factors is split, (ab)c; the learning rate is a power of two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...arith import Arithmetic, Operand
from ...arith.gate import Gate, GateSigmoid
from ...errors import ModelError, UsageError
from ...network import Network
from .. import topology as plan
from ..dataset import Dataset
from ..export import quantised_network
from ..gate_rule import GateRule, Sigmoid, with_sigmoids
from ..gradient import GradientTrainer
from ..hyperparameters import choice, integer, truth
from ..integer_trainer import IntegerTrainer
from ..layers import build
from ..optimisers import Sgd
from ..rule import Rule
from ..topology import Topology
from . import Method, Trainer
from .exact_integers import ExactIntegers

__all__ = ["Nma"]

_TABLES = ("quarter_square", "rom_softplus", "rom_sigmoid")
_SMOOTH = ("softplus", "sigmoid")
# A gate's table is worth at most so many bits.
_ENTRY_BITS = range(4, 41)


class _TableTrainer(IntegerTrainer):
    """Integer training whose products are differences of two entries of `squares`, a table."""

    def __init__(self, method: Nma, topology: Topology, dataset: Dataset, epochs: int, seed: int):
        super().__init__(method.integers, topology, dataset, epochs, seed)
        if method.gate != "quarter_square":
            self.squares = _even_table(method.arithmetic)


class _SmoothTrainer(GradientTrainer):
    """Floating point; its networks are quantised after the training."""

    def network(self, x: np.ndarray, title: str, metadata: Mapping[str, str]) -> Network:
        if any(isinstance(part, Sigmoid) for part in self.model.parts()):
            raise ModelError("the IR has no sigmoid: train with --set activation=relu for a "
                             "network")
        return quantised_network(self.model, self.input_format, x, title, metadata)


@dataclass(frozen=True)
class Nma(Method):
    """Gradient descent with a gate for every product.

    Gates from tables train in integers: the steps of method exact_integers, product for product;
    with ``quarter_square`` the bits are the same, with ``rom_softplus`` and ``rom_sigmoid``
    products are those of `Nma.arithmetic`. Smooth gates train in floating point.
    """

    name = "nma"
    summary = "backpropagation through multiplication gates, exact or smooth, rate 2^-k"
    multiplications = ("none in the network trained and its gradients; the smooth gates' neurons "
                       "are exponentials and logarithms of the processor, and a network of theirs "
                       "is quantised after the training and has integer products")
    needs = ("numba",)

    gate: str = choice("quarter_square", (*_TABLES, *_SMOOTH, "exact"),
                       "from tables: quarter_square (exact), rom_softplus, rom_sigmoid; in "
                       "floating point: softplus, sigmoid, or exact (true products) to compare")
    lambda_log2: int = integer(1, -24, 1, "binary logarithm of lambda, at most 0; 1: -12 for "
                                          "rom_... gates, otherwise -4")
    double: bool = truth(False, "neurons of smooth gates in float64 instead of float32")
    activation: str = choice("relu", ("relu", "sigmoid"), "relu, or with floating point sigmoid, "
                                                          "whose derivative takes a gate too")
    loss: str = choice("squared_hinge", ("squared_hinge", "squared_error"),
                       "squared_hinge, or with floating point squared_error")
    batch: int = integer(16, 1, 1024, "images of a step, a power of two")
    rate: int = integer(3, -8, 24, "k of the learning rate 2^-k; 4 or more for smooth gates in "
                                   "convolutions")
    halvings: int = integer(3, 0, 16, "how often the rate is halved, at even distances")

    def __post_init__(self):
        super().__post_init__()
        if self.batch & (self.batch - 1):
            raise UsageError(f"batch must be a power of two, not {self.batch}")
        if self.gate in _TABLES and (self.activation, self.loss) != ("relu", "squared_hinge"):
            raise UsageError(f"gate {self.gate} must have activation relu and loss squared_hinge, "
                             f"not {self.activation} and {self.loss}")
        if self.gate in ("rom_softplus", "rom_sigmoid"):
            _ = self.arithmetic

    @property
    def integers(self) -> ExactIntegers:
        """The integer training whose products gates from tables make: 8/16/8/8 bits."""
        return ExactIntegers(batch=self.batch, rate=self.rate, halvings=self.halvings,
                             product="quarter_square")

    @property
    def step_log2(self) -> int:
        """Binary logarithm of lambda; those chosen here have about the least error."""
        if self.lambda_log2 <= 0:
            return self.lambda_log2
        return -12 if self.gate in _TABLES else -4

    @property
    def arithmetic(self) -> Arithmetic:
        """What gates ``rom_...`` compute: of codes 0..255, and weights and gradients of 8 bits.

        Its table has the entries' width at which four neurons' sum is one product: no shift.
        """
        kind = Gate if self.gate == "rom_softplus" else GateSigmoid
        for bits in _ENTRY_BITS:
            gate = kind(Operand(8, False), Operand(8, True), lambda_log2=self.step_log2,
                        entry_bits=bits)
            if gate.rom.shift == 0:
                return gate
        raise UsageError(f"lambda_log2 must leave entries of {_ENTRY_BITS.start}.."
                         f"{_ENTRY_BITS.stop - 1} bits, not be {self.step_log2}")

    @property
    def rule(self) -> Rule:
        """What stands for products in floating point."""
        if self.gate == "exact":
            return Rule()
        return GateRule(self.gate, self.step_log2, self.double)

    def trainer(self, topology: Topology, dataset: Dataset, epochs: int, seed: int) -> Trainer:
        if self.gate in _TABLES:
            return _TableTrainer(self, topology, dataset, epochs, seed)
        for index, layer in enumerate(topology.layers):
            if isinstance(layer, (plan.BatchNorm, plan.Residual, plan.GlobalAveragePool)):
                raise UsageError(f"layer {index} ({type(layer).__name__}): method nma has gates "
                                 f"for products only, and the layer takes quotients")
        rule = self.rule
        model = build(topology, dataset.input_format.shape, rule, np.random.default_rng(seed))
        if self.activation == "sigmoid":
            model = with_sigmoids(model)

        def rate(epoch: int, step: int, steps: int) -> float:
            return 2.0 ** -(self.rate + epoch * (self.halvings + 1) // epochs)

        return _SmoothTrainer(model, Sgd(model.parts()), dataset, rule, rate, seed, self.batch,
                              self.loss)


def _even_table(gate: Gate) -> np.ndarray:
    """``t(k) + t(-k)`` less its value at 0, k = 0 .. reach: a product is a difference of two."""
    entries = np.array(gate.rom.entries, dtype=np.int64)
    reach = gate.rom.reach
    even = entries[reach:] + entries[reach::-1]
    return (even - even[0]).astype(np.int32)
