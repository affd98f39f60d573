"""A training in exact integers: the state, and what goes round it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError, UsageError
from ..layers import Layer
from ..layers.bias import Bias
from ..layers.conv2d import Conv2d
from ..layers.dense import Dense
from ..layers.flatten import Flatten
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from ..layers.requantise import Requantise
from ..network import Network
from . import integer_kernels as kernels
from .augment import shift_images
from .integer_forward import LAYOUT
from .integer_plan import IntegerPlan, Widths
from .methods import EpochResult, Progress, Trainer

if TYPE_CHECKING:
    from .dataset import Dataset
    from .methods.exact_integers import ExactIntegers
    from .topology import Topology

__all__ = ["EXPONENTIALS", "IntegerTrainer"]

# Images between two reports of progress; a multiple of every batch.
_CHUNK = 4096
# Second words of the seeds of what is drawn once: initial weights, lane registers.
_WEIGHTS, _LANES = 2**32, 2**32 + 1
#: Terms of softmax: round(2^15 * 2^(-i / 16)).
EXPONENTIALS = np.array([round(2**15 * 2**(-i / 16)) for i in range(16)], np.int32)


class IntegerTrainer(Trainer):
    """See docs/training.md, "Exact integers: the specification".

    Attributes
    ----------
    masters : int32 array
        Weights, then biases of each layer, one layer after the other.
    lanes : uint32 array
        One register for each output of each layer.
    weights, biases : int32 arrays
        What follows from the masters and enters sums.

    The other arrays are working memory of `nmahw.train.integer_kernels`.
    """

    def __init__(self, method: ExactIntegers, topology: Topology, dataset: Dataset, epochs: int,
                 seed: int):
        self.method, self.topology, self.epochs, self.seed = method, topology, epochs, seed
        self._input_format = dataset.input_format
        shape = self._input_format.shape
        if method.shift_images and len(shape) == 1:
            raise UsageError(f"shift_images must be 0 for a data set without rows and columns, "
                             f"not {method.shift_images}")
        widths = Widths(method.weight_bits, method.master_bits, method.activation_bits,
                        method.gradient_bits)
        plan = IntegerPlan.of(topology, shape, dataset.high, widths,
                              method.weight_range, method.activation_range, method.gradient_range,
                              method.hidden_gradient_range)
        batch_shift = method.batch.bit_length() - 1
        plan.check(widths, method.batch,
                   tuple(int(rate) + batch_shift for rate in method.rates(epochs)))
        self.plan, self._batch_shift = plan, batch_shift
        self.high = 2**widths.activation - 1
        self.gradient_limit = 2**(widths.gradient - 1) - 1
        low_shift = widths.master - widths.weight
        self.limits = np.array([2**(widths.master - 1) - 1, low_shift, (1 << low_shift) >> 1,
                                 2**(widths.weight - 1) - 1], np.int32)
        self.stochastic = method.rounding == "stochastic"
        softmax = method.loss == "softmax"
        shift = plan.margin_shift - 4 if softmax else \
            plan.margin_shift + plan.gradient_range - widths.gradient + 1
        self.loss_form = np.array([softmax, shift, 1 << plan.margin_shift, widths.gradient - 1],
                                   np.int64)
        most = max(self.high, self.gradient_limit) + max(self.limits[3], self.gradient_limit)
        self.squares = None if method.product == "exact" else \
            np.array([s * s // 4 for s in range(int(most) + 1)], np.int32)
        sizes = plan.sizes
        self.layout = plan.layout(0)
        self._input_codes = self._code_table(dataset.high)
        self.masters = self._initial(widths)
        self.lanes = np.random.default_rng((seed, _LANES)).integers(
            1, 2**32, sizes["lanes"], dtype=np.uint32)
        self.weights = np.zeros(sizes["weights"], np.int32)
        self.biases = np.zeros(sizes["lanes"], np.int32)
        self._derive()
        self.values = np.zeros(sizes["values"], np.int32)
        self.sums = np.zeros(sizes["sums"], np.int32)
        self.places = np.zeros(sizes["positions"], np.int32)
        self.gradients = np.zeros(sizes["positions"], np.int32)
        self.spread = np.zeros(sizes["spread"], np.int32)
        self.totals = np.zeros(sizes["weights"], np.int32)
        self.used = np.zeros(sizes["values"], np.uint8)
        self.reached = np.zeros(len(plan.layers), np.int64)
        self.line = np.zeros(max(layer.outputs for layer in plan.layers), np.int32)

    def _initial(self, widths: Widths) -> np.ndarray:
        """Uniform masters of variance 2 / taps (He et al. 2015); biases zero."""
        rng = np.random.default_rng((self.seed, _WEIGHTS))
        parts = []
        for layer in self.plan.layers:
            unit = 2.0 ** (widths.master - 1 - layer.weight_range)
            bound = min(int(np.sqrt(6 / layer.taps) * unit), 2**(widths.master - 1) - 1)
            parts += [rng.integers(-bound, bound + 1, layer.taps * layer.outputs),
                      np.zeros(layer.outputs, np.int64)]
        return np.concatenate(parts).astype(np.int32)

    def _code_table(self, high: int) -> np.ndarray | None:
        """Activation code of every code of the data set; None if they are the same bytes."""
        shift = self.plan.input_shift
        if not shift and high <= min(self.high, 255):
            return None
        codes = (np.arange(high + 1) + ((1 << shift) >> 1)) >> shift
        return np.minimum(codes, self.high).astype(np.uint8 if self.high < 256 else np.uint16)

    def _derive(self) -> None:
        """Weights and biases of the masters."""
        shift, half, limit = self.limits[1:]
        self.weights[:] = np.clip((self.masters + half) >> shift, -limit, limit)
        for layer, row in zip(self.plan.layers, self.rows(), strict=True):
            masters = self.masters[row["bias"]:row["bias"] + layer.outputs].astype(np.int64)
            by = layer.bias_shift
            self.biases[row["lanes"]:row["lanes"] + layer.outputs] = \
                masters << by if by >= 0 else (masters + (1 << (-by - 1))) >> -by

    def rows(self) -> list[dict[str, int]]:
        """The rows of the layout, by the names of its columns."""
        return [dict(zip(LAYOUT, row, strict=True)) for row in self.layout.tolist()]

    def codes(self, x: np.ndarray) -> np.ndarray:
        """Activation codes (images, values) of the data set's codes."""
        flat = x.reshape(len(x), -1)
        if self._input_codes is None:
            return flat
        # By a table: large arrays between are slower than all the rest.
        return self._input_codes[flat]

    def epoch(self, index: int, x: np.ndarray, y: np.ndarray, progress: Progress) -> EpochResult:
        rng = np.random.default_rng((self.seed, index))
        order = rng.permutation(len(x))
        codes = self.codes(shift_images(x, self.method.shift_images, rng))
        self.set_rate(self.method.rate_at(index, self.epochs))
        loss, right = 0.0, 0
        for start in range(0, len(order), _CHUNK):
            chunk = order[start:start + _CHUNK]
            part = self._train(chunk, codes, y)
            loss, right = loss + part[0], right + part[1]
            done = start + len(chunk)
            progress(done, loss / done)
        return EpochResult(loss / len(order), right / len(order))

    def set_rate(self, rate: int) -> None:
        """Train at 2^-`rate` from now on."""
        self.layout = self.plan.layout(rate + self._batch_shift)

    def _train(self, order: np.ndarray, codes: np.ndarray, y: np.ndarray) -> tuple[float, int]:
        return kernels.train_images(
            self.layout, order, codes, y, self.method.batch, self.plan.layers[0].padding,
            self.masters, self.weights, self.biases, self.lanes, self.values, self.sums,
            self.places, self.gradients, self.spread, self.totals, self.used, self.reached,
            self.line, self.loss_form, EXPONENTIALS, self.high, self.gradient_limit,
            self.limits, self.stochastic, self.squares)

    def scores(self, x: np.ndarray) -> np.ndarray:
        return kernels.infer(self.layout, self.codes(x), self.plan.layers[0].padding,
                             self.weights, self.biases, self.values, self.sums, self.places,
                             self.high, self.squares)

    def state(self) -> dict[str, np.ndarray]:
        return {"masters": self.masters.copy(), "lanes": self.lanes.copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        for name in ("masters", "lanes"):
            mine, given = getattr(self, name), state.get(name)
            if given is None or given.shape != mine.shape or given.dtype != mine.dtype:
                raise ModelError(f"a state of this training must hold {name} of {mine.dtype} "
                                 f"{mine.shape}")
        limit = int(self.limits[0])
        if np.abs(state["masters"]).max() > limit or not state["lanes"].all():
            raise ModelError(f"a state of this training must hold masters of -{limit}..{limit} "
                             f"and no lane register of 0")
        self.masters[:], self.lanes[:] = state["masters"], state["lanes"]
        self._derive()

    def layer_weights(self, index: int, masters: bool = False) -> np.ndarray:
        """Weights of a layer as the IR has them: (out, in, y, x) or (out, in)."""
        layer, row = self.plan.layers[index], self.rows()[index]
        flat = (self.masters if masters else self.weights)[row["weights"]:row["bias"]]
        if layer.dense:
            return flat.reshape(layer.taps, layer.outputs).T.astype(np.int64)
        return flat.reshape(layer.outputs, layer.channels, layer.size,
                            layer.size).astype(np.int64)

    def network(self, x: np.ndarray, title: str, metadata: Mapping[str, str]) -> Network:
        layers: list[Layer] = []
        if self.plan.input_shift or self._input_format.high > self.high:
            layers.append(Requantise(self.plan.input_shift, 0, self.high))
        planes = len(self._input_format.shape) == 3
        for index, (layer, row) in enumerate(zip(self.plan.layers, self.rows(), strict=True)):
            if layer.dense and planes:
                layers.append(Flatten())
                planes = False
            weights = self.layer_weights(index)
            layers.append(Dense(weights) if layer.dense
                          else Conv2d(weights, 1, layer.padding))
            layers.append(Bias(self.biases[row["lanes"]:row["lanes"] + layer.outputs]))
            if index < len(self.plan.layers) - 1:
                layers += [ReLU(), Requantise(layer.requantise_shift, 0, self.high)]
            if layer.pool > 1:
                layers.append(MaxPool(layer.pool, layer.pool))
        return Network(self._input_format, tuple(layers), title, metadata)
