"""Steps from gradients to weights, and learning rates that change over a run.

An optimiser asks each layer's own `Rule` for every product, so that a method without
multiplications has none here either. Rates are plain numbers, one or two scalars a step, worked
out outside of the arithmetic that is trained with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..errors import ModelError, TrainingError
from .layers import Layer

__all__ = ["Adam", "Hook", "Optimiser", "Sgd", "cosine"]

#: Changes a gradient before the step: layer, parameter's name, gradient; gives the new gradient.
Hook = Callable[[Layer, str, np.ndarray], np.ndarray]


def cosine(step: int, steps: int, first: float, last: float = 0.0) -> float:
    """Rate at `step` of 0 .. `steps` - 1, half a cosine from `first` to `last`.

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
    """
    return last + (first - last) * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0))) / 2


class Optimiser:
    """Moves the parameters of layers; made anew, it has seen no gradient.

    Parameters
    ----------
    parts : sequence of Layer
        As `Model.parts` gives them.
    hook : Hook, optional
        Applied to every gradient first (adaptive rates, say).
    decay : float
        Weight decay: this times each parameter called ``weights`` is added to its gradient.
    """

    #: Names of the running averages kept for each parameter.
    memories: tuple[str, ...] = ()

    def __init__(self, parts: Sequence[Layer], hook: Hook | None = None, decay: float = 0.0):
        self.parts, self.hook, self.decay = list(parts), hook, np.float32(decay)
        self.steps = 0
        self._memory = [{memory: {name: np.zeros_like(value)
                                  for name, value in part.parameters.items()}
                         for memory in self.memories} for part in self.parts]

    def step(self, rate: float, rates: Mapping[int, float] | None = None) -> None:
        """Move every parameter against the gradient that the last `backward` left.

        Parameters
        ----------
        rate : float
            Learning rate.
        rates : mapping of int to float, optional
            Another rate for the part of that index.
        """
        self.steps += 1
        for index, part in enumerate(self.parts):
            own = np.float32((rates or {}).get(index, rate))
            for name, gradient in part.gradients.items():
                value = part.parameters[name]
                if self.hook is not None:
                    gradient = self.hook(part, name, gradient)
                if self.decay and name == "weights":
                    gradient = gradient + part.rule.product(value, self.decay)
                memory = {key: arrays[name] for key, arrays in self._memory[index].items()}
                value -= self._change(part, memory, gradient, own)

    def _change(self, part: Layer, memory: Mapping[str, np.ndarray], gradient: np.ndarray,
                rate: np.float32) -> np.ndarray:
        """What is taken from the parameter; may change `memory`'s arrays in place."""
        return part.rule.product(gradient, rate)

    def require_finite(self) -> None:
        """Make sure that every parameter is a finite number.

        A loss can stay finite without: a ReLU makes 0 of what is no number.

        Raises
        ------
        TrainingError
            One is not; the message names the layer.
        """
        for part in self.parts:
            for name, value in part.parameters.items():
                if not np.isfinite(value).all():
                    raise TrainingError(f"{name} must be finite, but those of {part.label} are "
                                        f"not; a smaller rate may help")

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all running averages and the count of steps."""
        state = {f"{index}.{memory}.{name}": value.copy()
                 for index, memories in enumerate(self._memory)
                 for memory, arrays in memories.items() for name, value in arrays.items()}
        return {**state, "steps": np.array(self.steps)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ModelError
            An array is missing or has another shape.
        """
        if "steps" not in state:
            raise ModelError("the checkpoint must have the optimiser's count of steps, and has not")
        for index, memories in enumerate(self._memory):
            for memory, arrays in memories.items():
                for name, value in arrays.items():
                    key = f"{index}.{memory}.{name}"
                    if key not in state or state[key].shape != value.shape:
                        raise ModelError(f"the checkpoint must have the optimiser's {key} of "
                                         f"shape {value.shape}, and has not")
                    value[...] = state[key]
        self.steps = int(state["steps"])


class Sgd(Optimiser):
    """``v = momentum*v + g; w -= rate*v``; without momentum ``w -= rate*g``.

    Parameters
    ----------
    parts, hook, decay
        As in `Optimiser`.
    momentum : float
        0 for none.
    """

    def __init__(self, parts: Sequence[Layer], momentum: float = 0.0, hook: Hook | None = None,
                 decay: float = 0.0):
        self.momentum = np.float32(momentum)
        self.memories = ("velocity",) if momentum else ()
        super().__init__(parts, hook, decay)

    def _change(self, part, memory, gradient, rate):
        if not self.momentum:
            return part.rule.product(gradient, rate)
        velocity = memory["velocity"]
        velocity[...] = part.rule.product(velocity, self.momentum) + gradient
        return part.rule.product(velocity, rate)


class Adam(Optimiser):
    """Kingma and Ba, ICLR 2015, algorithm 1, with its default constants."""

    memories = ("mean", "square")
    BETA_MEAN, BETA_SQUARE, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)

    def _change(self, part, memory, gradient, rate):
        product = part.rule.product
        mean, square = memory["mean"], memory["square"]
        mean += product(gradient - mean, 1 - self.BETA_MEAN)
        square += product(product(gradient, gradient) - square, 1 - self.BETA_SQUARE)
        # Both corrections for the zeros at the start are scalars: they go into the rate.
        scale = math.sqrt(1 - float(self.BETA_SQUARE)**self.steps) / (
            1 - float(self.BETA_MEAN)**self.steps)
        root = part.rule.square_root(square + self.EPSILON**2)
        return product(part.rule.quotient(mean, root), np.float32(float(rate) * scale))
