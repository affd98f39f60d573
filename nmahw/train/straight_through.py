"""Training of integer networks through float masters, for every arithmetic of small weights.

A run has two parts. The *warm-up* trains the topology in floating point, with its batch norms
(or a trained float model is read from a file). Then the network is *fixed* (`fixed_point`): batch
norm folded, steps chosen, and every forward pass is that of the integer network, while the
backward pass and the update move float masters.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

import numpy as np

from ..errors import ModelError, TrainingError, UsageError
from ..files import check_writable
from ..layers.requantise import Requantise
from ..network import Network
from .augment import shift_images
from .dataset import Dataset
from .fixed_point import FixedStage, StepChooser, fix_stages, input_shift
from .float_files import read_stages, save_stages
from .hyperparameters import integer, number, text
from .losses import softmax_cross_entropy
from .methods import EpochResult, Method, Progress, Trainer
from .optimisers import Adam, cosine
from .stages import FloatStage, Stage, geometries
from .topology import Topology
from .weight_sets import WeightSet

__all__ = ["StraightThrough", "StraightThroughTrainer"]

#: Images that steps of activations are chosen on.
_CALIBRATION = 2000
_REPORT_EVERY = 20
# A step of Adam is about its rate, here in units of the integer weights.
_RATE_BELOW = 1e6


@dataclass(frozen=True)
class StraightThrough(Method):
    """What the methods of this kind have in common.

    Raises
    ------
    UsageError
        A field out of its range.
    """

    activation_bits: int = integer(4, 1, 8, "width of activations and of the input, 1..8")
    warm_up: int = integer(10, 0, 100_000, "epochs of float training before the network is fixed; "
                                           "not if start is given")
    start: str = text("", "float model file to start from, e.g. one that keep_float wrote")
    keep_float: str = text("", "file that the float model is written to after the warm-up")
    batch: int = integer(128, 1, 4096, "images a step, 1..4096")
    float_rate: float = number(0.002, "Adam's rate in the warm-up, falling to 0 by a cosine",
                               positive=True)
    rate: float = number(0.01, "Adam's rate behind it, in steps of the integer weights; falls "
                               "likewise", positive=True, below=_RATE_BELOW)
    shift: int = integer(0, 0, 8, "augmentation: images move by up to so many pixels each way, "
                                  "0..8")

    #: Whether a width of weights is part of ``--bits``.
    fixed_weight_bits: ClassVar[int | None] = None
    multiplications: ClassVar[str] = (
        "The warm-up, gradients of weights and inputs, the loss and Adam multiply in float32. "
        "The forward pass behind the warm-up is that of the exported integer network: sums that "
        "the arithmetic carries out, and shifts.")
    bits_form: ClassVar[str] = "WxA"
    needs: ClassVar[tuple[str, ...]] = ("numba",)

    def __post_init__(self):
        super().__post_init__()
        _ = self.allowed, self.choose_steps

    @property
    @abstractmethod
    def allowed(self) -> WeightSet:
        """Integers that weights can be; raises `UsageError` for widths that cannot be had."""

    @property
    @abstractmethod
    def choose_steps(self) -> StepChooser:
        """How the real value of a weight's integer is chosen."""

    @property
    def default_epochs(self) -> int:
        return super().default_epochs + (0 if self.start else self.warm_up)

    @classmethod
    def with_bits(cls, text: str, **options: object) -> Self:
        match = re.fullmatch(r"(\d{1,2})x(\d{1,2})", text)
        if not match:
            raise UsageError(f"--bits for method {cls.name} must be WxA, e.g. 4x4, not {text!r}")
        weight, activation = map(int, match.groups())
        if "weight_bits" in {item.name for item in fields(cls)}:
            return cls(weight_bits=weight, activation_bits=activation, **options)
        if weight != cls.fixed_weight_bits:
            raise UsageError(f"weights of method {cls.name} have {cls.fixed_weight_bits} bits, "
                             f"so --bits must be {cls.fixed_weight_bits}xA, not {text!r}")
        return cls(activation_bits=activation, **options)

    def trainer(self, topology: Topology, dataset: Dataset, epochs: int, seed: int
                ) -> StraightThroughTrainer:
        return StraightThroughTrainer(self, topology, dataset, epochs, seed)


class StraightThroughTrainer(Trainer):
    """A training by `method`; see the module's text.

    Attributes
    ----------
    float_stages : list of FloatStage or None
        While warming up.
    stages : list of FixedStage
        The integer network, also of every epoch of the warm-up; empty before the first.
    """

    def __init__(self, method: StraightThrough, topology: Topology, dataset: Dataset, epochs: int,
                 seed: int):
        self.method, self.epochs, self.seed = method, epochs, seed
        self.input_format, self.classes = dataset.input_format, dataset.classes
        self.warm_up = 0 if method.start else method.warm_up
        if self.warm_up >= epochs:
            raise UsageError(f"epochs must be more than the {self.warm_up} of the warm-up, not "
                             f"{epochs}")
        if method.keep_float:
            check_writable(method.keep_float)
        plans = geometries(topology, dataset.input_format.shape)
        self.base = 1 / dataset.high
        # A float model is read when training begins, and not needed to go on.
        self.float_stages: list[FloatStage] | None = None
        if not method.start:
            rng = np.random.default_rng(seed)
            self.float_stages = [FloatStage(plan, rng) for plan in plans]
        self._float_plans = plans
        self._plans = [replace(plan, normalised=False) for plan in plans]
        self.stages: list[FixedStage] = []
        self.input_shift, self.input_high = 0, 0
        self.optimiser = Adam(self.float_stages or [])

    # Inputs.

    def _signal(self, x: np.ndarray) -> np.ndarray:
        """Codes (images, *shape) with axes (channel, y, x, batch), float32."""
        x = x.reshape(len(x), *self.input_format.shape)
        if x.ndim == 2:
            return np.ascontiguousarray(x.T, np.float32)[:, None, None, :]
        return np.ascontiguousarray(x.transpose(1, 2, 3, 0), np.float32)

    def _real(self, x: np.ndarray) -> np.ndarray:
        return self._signal(x) * np.float32(self.base)

    def _narrowed(self, x: np.ndarray) -> np.ndarray:
        """The input as the first integer layer gets it."""
        signal = self._signal(x)
        if self.input_shift == 0 and self.input_high >= self.input_format.high:
            return signal
        return np.clip(np.floor(signal * np.float32(2.0**-self.input_shift) + np.float32(0.5)),
                       0, self.input_high)

    # Training.

    def epoch(self, index: int, x: np.ndarray, y: np.ndarray, progress: Progress) -> EpochResult:
        if index == 0 and self.method.start:
            self.float_stages, self.base = read_stages(self.method.start, self._plans,
                                                       self.input_format.shape)
        if index == 0 and self.warm_up == 0:
            self._fix(x)
        warming = index < self.warm_up
        if index == self.warm_up:
            self.float_stages = None
            self.optimiser = Adam(self.stages)
        rng = np.random.default_rng((self.seed, index))
        order = rng.permutation(len(x))
        batch, total, right = self.method.batch, 0.0, 0
        for done, at in enumerate(range(0, len(x), batch)):
            chosen = order[at:at + batch]
            loss, hits = self._step(shift_images(x[chosen], self.method.shift, rng), y[chosen],
                                    self._rate(index, at / len(x)), warming)
            total, right = total + loss, right + hits
            if done % _REPORT_EVERY == 0:
                progress(at + len(chosen), total / (at + len(chosen)))
        self.optimiser.require_finite()
        if warming:
            self._fix(x)
            if index + 1 == self.warm_up and self.method.keep_float:
                save_stages(self.method.keep_float, self.float_stages, self.input_format,
                            self.base)
        return EpochResult(total / len(x), right / len(x))

    def _rate(self, index: int, within: float) -> float:
        """Adam's rate after `index` epochs and the fraction `within` of the next one."""
        if index < self.warm_up:
            return cosine(index + within, self.warm_up, self.method.float_rate)
        return cosine(index - self.warm_up + within, self.epochs - self.warm_up, self.method.rate)

    def _step(self, images: np.ndarray, y: np.ndarray, rate: float, warming: bool
              ) -> tuple[float, int]:
        stages: Sequence[Stage] = self.float_stages if warming else self.stages
        x = self._real(images) if warming else self._narrowed(images)
        unit = np.float32(1 if warming else self.stages[-1].unit)
        signal = x
        for stage in stages:
            signal = stage.forward(signal, True)
        scores = signal[:, 0, 0, :].T * unit
        losses, gradient = softmax_cross_entropy(scores, y)
        loss = float(losses.sum(dtype=np.float64))
        if not math.isfinite(loss):
            raise TrainingError(f"loss must be finite, not {loss}; {self._culprit(stages, x)} is "
                                f"the first with results that are not")
        signal = np.ascontiguousarray((gradient * (unit / len(y))).T)[:, None, None, :]
        for place in range(len(stages) - 1, -1, -1):
            signal = stages[place].backward(signal, place == 0)
        self.optimiser.step(rate)
        if not warming:
            for stage in self.stages:
                stage.clip()
        return loss, int((scores.argmax(axis=1) == y).sum())

    def _culprit(self, stages: Sequence[Stage], x: np.ndarray) -> str:
        for stage in stages:
            x = stage.forward(x, False)
            if not np.isfinite(x).all():
                return stage.label
        return "the loss"

    def _fix(self, x: np.ndarray) -> None:
        bits = self.method.activation_bits
        images = x[:_CALIBRATION]
        self.input_shift, self.input_high = input_shift(images, self.input_format.high, bits)
        self.stages = fix_stages(self.float_stages, self._real(images), self.base,
                                 self.input_shift, self.input_high, bits, self.method.allowed,
                                 self.method.choose_steps)

    # Results.

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Integer scores of the network that would be exported now."""
        if not self.stages:
            raise UsageError("a training must have had an epoch before it can give scores")
        if not all(stage.exact() for stage in self.stages):
            return self.network(x, "", {}).predict(x).reshape(len(x), -1)
        signal = self._narrowed(x)
        for stage in self.stages:
            signal = stage.forward(signal, False)
        return np.rint(signal[:, 0, 0, :].T).astype(np.int64)

    def network(self, x: np.ndarray, title: str, metadata: Mapping[str, str]) -> Network:
        if not self.stages:
            raise ModelError("a training must have had an epoch before it has a network")
        narrow = self.input_shift or self.input_high < self.input_format.high
        layers = [Requantise(self.input_shift, 0, self.input_high)] if narrow else []
        for stage in self.stages:
            layers += stage.ir_layers()
        bits = {"weight_bits": str(self._weight_bits()),
                "activation_bits": str(self.method.activation_bits)}
        return Network(self.input_format, tuple(layers), title, bits | dict(metadata))

    def _weight_bits(self) -> int:
        return getattr(self.method, "weight_bits", self.method.fixed_weight_bits)

    # State.

    def state(self) -> dict[str, np.ndarray]:
        arrays = {f"optimiser.{name}": value for name, value in self.optimiser.state().items()}
        for kind, stages in (("float", self.float_stages or []), ("fixed", self.stages)):
            for index, stage in enumerate(stages):
                arrays |= {f"{kind}.{index}.{name}": value.copy() for name, value
                           in (stage.parameters | stage.buffers).items()}
        for index, stage in enumerate(self.stages):
            arrays[f"fixed.{index}.factors"] = stage.factors
            arrays[f"fixed.{index}.plan"] = np.array(
                [stage.shift, stage.high_in, stage.high_out, stage.unit], np.float64)
        return arrays | {"input": np.array([self.input_shift, self.input_high]),
                         "warming": np.array(self.float_stages is not None)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        def take(name: str) -> np.ndarray:
            if name not in state:
                raise ModelError(f"the checkpoint must have {name}, and has not: it is of another "
                                 f"training")
            return np.array(state[name])

        self.input_shift, self.input_high = take("input").tolist()
        if not take("warming"):
            self.float_stages = None
        elif self.float_stages is None:
            self.float_stages = [FloatStage(plan, np.random.default_rng(0))
                                 for plan in self._float_plans]
        self.stages = []
        for index, plan in enumerate(self._plans):
            shift, high_in, high_out, unit = take(f"fixed.{index}.plan").tolist()
            self.stages.append(FixedStage(
                plan, self.method.allowed, take(f"fixed.{index}.factors"), int(shift),
                int(high_in), int(high_out), unit))
        for kind, stages in (("float", self.float_stages or []), ("fixed", self.stages)):
            for index, stage in enumerate(stages):
                for arrays in (stage.parameters, stage.buffers):
                    for name, value in arrays.items():
                        arrays[name] = take(f"{kind}.{index}.{name}").astype(value.dtype)
                        if arrays[name].shape != value.shape:
                            raise ModelError(f"the checkpoint's {kind}.{index}.{name} must have "
                                             f"shape {value.shape}, not {arrays[name].shape}")
        self.optimiser = Adam(self.float_stages or self.stages)
        self.optimiser.restore({name.removeprefix("optimiser."): value
                                for name, value in state.items()
                                if name.startswith("optimiser.")})
