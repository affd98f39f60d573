"""AdderNet: layers that compare instead of multiply, from float filters to 4-bit integers.

H. Chen et al., "AdderNet: Do We Really Need Multiplications in Deep Learning?", CVPR 2020:
algorithm 1, with the quantisation of `nmahw.train.adder_quantised` after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ...errors import ModelError, UsageError
from ...network import Network
from .. import topology as plan
from ..adder import AdderMatrix, AdderRule, adaptive_rates, draw_filters
from ..adder_export import (
    check_chain,
    input_shift,
    integer_network,
    observed_steps,
    quantised_model,
    settle,
)
from ..dataset import Dataset
from ..datasets import fingerprint
from ..gradient import LOSSES, GradientTrainer
from ..hyperparameters import choice, integer, number, text
from ..layers import Matrix, MaxPool, Model, ReLU, build
from ..optimisers import Sgd, cosine
from ..rule import Rule
from ..topology import Topology
from . import EpochResult, Method, Progress

__all__ = ["AdderNet"]

# Width of the network that a float training hands over.
_FLOAT_EXPORT_BITS = 8
# Images whose activations decide how coarse grids are.
_OBSERVED = 500
# Images whose means and variances batch norm keeps after an epoch.
_SETTLED = 4000
_SCORED = 50
_KINDS = ("adder", "normal")


@dataclass(frozen=True)
class AdderNet(Method):
    """All layers adders, in float; with `bits`, then quantised and trained on."""

    name: ClassVar[str] = "addernet"
    summary: ClassVar[str] = "AdderNet: L1 distances for products, then integers and shifts"
    multiplications: ClassVar[str] = (
        "none in inference on integers; in training: the filters' gradient x^T G - w sum(G), "
        "which weighs distances, the input's HardTanh(w - x) G, adaptive rates, batch norm, "
        "softmax, momentum")
    bits_form: ClassVar[str] = "N"
    needs: ClassVar[tuple[str, ...]] = ("numba",)

    bits: int = integer(0, 0, 8, "width of activations and filters, 2..8; 0 trains in float")
    fine_tune: int = integer(3, 0, 100_000,
                             "last epochs, which train the quantised network (with bits)")
    rate: float = number(0.3, "first learning rate; half a cosine down to 0", positive=True)
    fine_rate: float = number(0.01, "the same for the epochs on the quantised network",
                              positive=True)
    eta: float = number(0.2, "root mean square of an adder layer's adapted gradient",
                        positive=True)
    momentum: float = number(0.9, "of stochastic gradient descent", below=1)
    decay: float = number(0.0, "weight decay", below=1)
    batch: int = integer(128, 1, 65536, "images of one step")
    shift: int = integer(1, 0, 64, "pixels by which training images are moved at random")
    deviation: float = number(1.0, "standard deviation of new filters", positive=True)
    first: str = choice("adder", _KINDS, "first layer with weights: adder or normal")
    last: str = choice("adder", _KINDS, "last layer with weights: adder or normal")
    terms: int = integer(2, 1, 2, "signed powers of two in a batch norm's factor (with bits)")
    loss: str = choice("softmax", LOSSES, "loss that is made small")
    start: str = text("", "checkpoint of a float training to begin from (with bits): then all "
                          "epochs train the quantised network")

    def __post_init__(self):
        if self.bits not in (0, *range(2, 9)):
            raise UsageError(f"bits must be 2..8, or 0 for float, not {self.bits}")
        if self.start and not self.bits:
            raise UsageError("start must be left out without bits: it begins the quantised part")
        super().__post_init__()

    @classmethod
    def with_bits(cls, text: str, **options: object) -> Self:
        if not text.isascii() or not text.isdigit() or not 2 <= int(text) <= 8:
            raise UsageError(f"bits of method {cls.name} must be a number of 2..8, not {text!r}")
        return replace(cls(**options), bits=int(text))

    def default_topology(self, shape: tuple[int, ...], classes: int) -> str:
        flatten = "flatten, " if len(shape) > 1 else ""
        return f"{flatten}dense 64, batch_norm, relu, dense {classes}, batch_norm"

    def remark(self, topology: Topology) -> str:
        for index, layer in enumerate(topology.layers):
            if isinstance(layer, plan.Conv | plan.Dense) \
                    and not isinstance([*topology.layers, None][index + 1], plan.BatchNorm):
                return (f"layer {index} ({type(layer).__name__}) has no batch_norm behind it: sums "
                        f"of distances are large and all of one sign, and such a network hardly "
                        f"learns")
        return ""

    def trainer(self, topology: Topology, dataset: Dataset, epochs: int, seed: int
                ) -> AdderTrainer:
        if self.bits and not self.start and self.fine_tune >= epochs:
            raise UsageError(f"epochs must be more than the {self.fine_tune} of fine_tune, not "
                             f"{epochs}")
        if any(isinstance(layer, plan.Residual) for layer in topology.layers):
            raise UsageError("method addernet trains chains of layers, not residual ones")
        rng = np.random.default_rng(seed)
        count = sum(isinstance(part, Matrix) for part in build(
            topology, dataset.input_format.shape, Rule(), np.random.default_rng(0)).parts())
        adder, normal = AdderRule(), Rule()
        rules: dict[int, Rule] = {}
        if self.first == "normal":
            rules[0] = normal
        if self.last == "normal":
            rules[count - 1] = normal
        model = build(topology, dataset.input_format.shape, adder, rng, rules, AdderMatrix)
        # The same results and gradients, of fewer values.
        for index, (one, next_one) in enumerate(pairwise(model.layers)):
            if isinstance(one, ReLU) and isinstance(next_one, MaxPool):
                model.layers[index:index + 2] = [next_one, one]
        for part in model.parts():
            if isinstance(part, Matrix) and isinstance(part.rule, AdderRule):
                draw_filters(part, rng, self.deviation)
        if self.bits:
            check_chain(model.layers)
        trainer = AdderTrainer(self, model, dataset, epochs, seed)
        if self.start:
            trainer.begin_from(_float_state(Path(self.start), self, topology, dataset))
        return trainer


def _float_state(path: Path, method: AdderNet, topology: Topology, dataset: Dataset
                 ) -> Mapping[str, np.ndarray]:
    """State after the best epoch of a float training of the same network on the same images."""
    # Checkpoints know all methods.
    from ..checkpoint import Checkpoint, describe_method
    checkpoint = Checkpoint.load(path)
    found = checkpoint.identity
    wanted = {"topology": topology.text, "data": fingerprint(dataset)}
    for key, value in wanted.items():
        if found.get(key) != value:
            raise UsageError(f"start {path} must be of {key} {value}, not {found.get(key)}")
    described = describe_method(replace(method, bits=0, start=""))
    for key in ("name", "bits", "first", "last"):
        if found["method"].get(key) != described[key]:
            raise UsageError(f"start {path} must be a training with {key} {described[key]}, not "
                             f"{found['method'].get(key)}")
    return checkpoint.best


class AdderTrainer(GradientTrainer):
    """Float epochs first, then, with bits, `fine_tune` epochs on the quantised network.

    With bits, scores are always those of integers, also while training is in float, so that
    validation compares like with like.
    """

    def __init__(self, method: AdderNet, model: Model, dataset: Dataset, epochs: int, seed: int):
        self.method = method
        self._float = model
        self._float_epochs = epochs
        if method.bits:
            self._float_epochs -= epochs if method.start else method.fine_tune
        self._fine_epochs = epochs - self._float_epochs
        #: Whether the model is the quantised one.
        self.quantised = False
        matrices = sum(isinstance(part, Matrix) for part in model.parts())
        self._steps, self._weight_steps = np.zeros(matrices), np.zeros(matrices)
        self._twin: Model | None = None
        super().__init__(model, self._optimiser(model), dataset, AdderRule(), self._rate, seed,
                         method.batch, method.loss, method.shift)
        # One code is a power of two, so that no grid needs a factor.
        self._high = dataset.high
        self._unit = 2.0 ** -round(np.log2(dataset.high))
        self._values = self._table(0)

    def _table(self, bits: int) -> np.ndarray:
        codes = np.arange(self._high + 1)
        if bits and (shift := input_shift(self._high, bits)):
            codes = np.minimum((codes + (1 << shift >> 1)) >> shift, 2**bits - 1) << shift
        return (codes * self._unit).astype(np.float32)

    def _optimiser(self, model: Model) -> Sgd:
        return Sgd(model.parts(), self.method.momentum, adaptive_rates(self.method.eta),
                   self.method.decay)

    def _rate(self, epoch: int, step: int, steps: int) -> float:
        first, epochs = self.method.rate, self._float_epochs
        if self.quantised:
            first, epoch, epochs = self.method.fine_rate, epoch - epochs, self._fine_epochs
        return cosine(epoch * steps + step, epochs * steps, first)

    def _made_twin(self, bits: int) -> Model:
        """A quantised copy of the float model, with the steps that were observed."""
        known = {n: step for n, step in enumerate(self._weight_steps) if step}
        return quantised_model(self._float, self._steps, bits, self.method.terms, known)

    def _begin_quantised(self) -> None:
        self.model = self._made_twin(self.method.bits)
        matrices = [part for part in self.model.parts() if isinstance(part, Matrix)]
        self._weight_steps = np.array([0.0 if isinstance(part.rule, AdderRule) else part.rule.step
                                       for part in matrices])
        self.optimiser = self._optimiser(self.model)
        self.quantised, self._values = True, self._table(self.method.bits)

    def begin_from(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the model of a float training's state; steps are chosen when training begins."""
        self._float.restore({name.removeprefix("model."): value for name, value in state.items()
                             if name.startswith("model.")})

    def epoch(self, index: int, x: np.ndarray, y: np.ndarray, progress: Progress) -> EpochResult:
        if self.method.bits and index >= self._float_epochs and not self.quantised:
            if self.method.start:
                self._observe(x)
            self._begin_quantised()
        result = super().epoch(index, x, y, progress)
        self._twin = None
        # Filters move so far in a step that running means are stale: batch norm's are taken anew.
        settle(self.model, self.real(x[:_SETTLED]))
        if not self.quantised:
            self._observe(x)
        return result

    def _observe(self, x: np.ndarray) -> None:
        bits = self.method.bits or _FLOAT_EXPORT_BITS
        first = self._unit * 2.0 ** input_shift(self._high, bits)
        self._steps = observed_steps(self._float, self.real(x[:_OBSERVED]), bits, first)

    def _integer_model(self) -> Model:
        """What makes scores in integers: the model itself, or the float model's twin."""
        if self.quantised:
            return self.model
        if not self._steps.all():
            raise ModelError("addernet's integers need at least one epoch of training before")
        if self._twin is None:
            self._twin = self._made_twin(self.method.bits or _FLOAT_EXPORT_BITS)
        return self._twin

    def scores(self, x: np.ndarray) -> np.ndarray:
        if not self.method.bits:
            return super().scores(x)
        return self.integer_scores(x)

    def integer_scores(self, x: np.ndarray) -> np.ndarray:
        """Scores on the integers' grids, exact in float64; `network` gives them in its own unit."""
        model = self._integer_model()
        values = self._table(self.method.bits or _FLOAT_EXPORT_BITS).astype(np.float64)
        return np.concatenate([model.forward(values[x[i:i + _SCORED]], False)
                               for i in range(0, len(x), _SCORED)])

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {"adder.quantised": np.array(self.quantised),
                                  "adder.steps": self._steps.copy(),
                                  "adder.weight_steps": self._weight_steps.copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        own = {name: state[f"adder.{name}"] for name in ("quantised", "steps", "weight_steps")
               if f"adder.{name}" in state}
        if len(own) < 3 or own["steps"].shape != self._steps.shape \
                or own["weight_steps"].shape != self._steps.shape:
            raise ModelError("the checkpoint must have the steps of an adder network's layers, "
                             "and has not: it is of another method or topology")
        self._steps, self._weight_steps = own["steps"].copy(), own["weight_steps"].copy()
        self._twin, self.quantised = None, False
        self.model, self._values = self._float, self._table(0)
        self.optimiser = self._optimiser(self._float)
        if own["quantised"]:
            if not self.method.bits:
                raise ModelError("the checkpoint must be of a float training, not of a quantised "
                                 "one")
            self._begin_quantised()
        super().restore({name: value for name, value in state.items()
                         if not name.startswith("adder.")})

    def network(self, x: np.ndarray, title: str, metadata: Mapping[str, str]) -> Network:
        try:
            check_chain(self._float.layers)
        except UsageError as error:
            raise ModelError(str(error)) from None
        bits = self.method.bits or _FLOAT_EXPORT_BITS
        return integer_network(self._integer_model(), bits, self.input_format, title,
                               {"weight_bits": str(bits), "activation_bits": str(bits),
                                **metadata})
