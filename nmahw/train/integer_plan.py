"""Formats, shifts and addresses of exact integer training; docs/training.md derives them.

Every quantity is an integer times a power of two that never changes. What a number of `bits` bits
stands for follows from its range exponent: a signed integer v of a range 2^e stands for
``v * 2^(e - bits + 1)``, an activation code a of a range 2^r for ``a * 2^(r - bits)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from . import topology as plan
from .integer_forward import LAYOUT
from .topology import Topology

__all__ = ["IntegerLayer", "IntegerPlan", "Widths"]

_WORD = 2**31


@dataclass(frozen=True)
class Widths:
    """Bits of weights, masters, activation codes and gradients."""

    weight: int
    master: int
    activation: int
    gradient: int


@dataclass(frozen=True)
class IntegerLayer:
    """A layer with weights, and the ReLU and pooling behind it.

    Attributes
    ----------
    dense : bool
    channels, height, width : int
        Of its values, padding included; (features, 1, 1) for a dense layer.
    outputs, size, padding, pool : int
    padding_after : int
        Of the layer behind it.
    weight_range : int
        Exponent e of the range of its weights.
    requantise_shift, backward_shift, update_shift : int
        Right shifts of its sums, of the gradient it hands back, and of its steps at rate 2^0.
    bias_shift, bias_code_shift : int
        Left shift (to the right if negative) from a bias' master to sums; binary logarithm of the
        constant operand that a bias belongs to.
    """

    dense: bool
    channels: int
    height: int
    width: int
    outputs: int
    size: int
    padding: int
    pool: int
    padding_after: int
    weight_range: int
    requantise_shift: int
    backward_shift: int
    update_shift: int
    bias_shift: int
    bias_code_shift: int

    @property
    def taps(self) -> int:
        """Weights of one output."""
        return self.channels * self.size**2

    @property
    def rows(self) -> int:
        return self.height - self.size + 1

    @property
    def columns(self) -> int:
        return self.width - self.size + 1

    @property
    def label(self) -> str:
        return f"{'dense' if self.dense else 'conv'} {self.outputs}"


@dataclass(frozen=True)
class IntegerPlan:
    """All layers of a training.

    Attributes
    ----------
    layers : tuple of IntegerLayer
    input_shift : int
        Right shift from the data set's codes to activation codes.
    margin_shift : int
        Binary logarithm of a score that stands for 1.
    gradient_range : int
        Exponent of the range of the last layer's gradient.
    """

    layers: tuple[IntegerLayer, ...]
    input_shift: int
    margin_shift: int
    gradient_range: int

    @classmethod
    def of(cls, topology: Topology, shape: tuple[int, ...], high: int, widths: Widths,
           weight_range: int, activation_range: int, gradient_range: int, hidden_gradient_range: int
           ) -> IntegerPlan:
        """The plan of a topology for inputs of `shape` with codes 0..`high`.

        Raises
        ------
        UsageError
            A topology or ranges that the method cannot train.
        """
        groups = _groups(topology)
        shapes = topology.shapes(shape)
        # 1.0 is the largest power of two that a code of the data set can be.
        one = high.bit_length() - ((high & (high - 1)) == 0)
        input_shift = max(one - widths.activation, 0)
        range_before = widths.activation + input_shift - one
        layers = []
        for number, (index, pool) in enumerate(groups):
            part, before = topology.layers[index], shapes[index]
            dense = isinstance(part, plan.Dense)
            size, padding = (1, 0) if dense else (part.size, part.padding)
            outputs = part.features if dense else part.channels
            channels, height, width = (*before, 1, 1) if dense else before
            following = topology.layers[groups[number + 1][0]] if number + 1 < len(groups) else None
            padding_after = following.padding if isinstance(following, plan.Conv) else 0
            taps = channels * size**2
            own_range = round(math.log2(math.sqrt(6 / taps))) + weight_range
            is_last = following is None
            if is_last and not dense:
                raise UsageError(f"layer {index} (Conv): exact_integers must have a dense layer "
                                 f"at the end")
            gradient = gradient_range if is_last else hidden_gradient_range
            layers.append(IntegerLayer(
                dense, channels, height + 2 * padding, width + 2 * padding, outputs, size, padding,
                pool, padding_after, own_range,
                activation_range - own_range - range_before + widths.weight - 1,
                hidden_gradient_range - gradient - own_range + widths.weight - 1,
                own_range - widths.master + 1 - range_before + widths.activation - gradient
                + widths.gradient - 1,
                widths.activation - range_before + widths.weight - widths.master,
                widths.activation - range_before))
            margin = widths.weight - 1 + widths.activation - own_range - range_before
            range_before = activation_range
        return cls(tuple(layers), input_shift, margin, gradient_range)

    def check(self, widths: Widths, batch: int, rates: tuple[int, ...]) -> None:
        """Make sure that every shift exists and no sum leaves 32 bits.

        Raises
        ------
        UsageError
            One does; the message names the layer.
        """
        high, weight = 2**widths.activation - 1, 2**(widths.weight - 1) - 1
        gradient = 2**(widths.gradient - 1) - 1
        if not 0 <= self.margin_shift <= 30:
            way = "lower" if self.margin_shift < 0 else "higher"
            raise UsageError(f"binary logarithm of a score that stands for 1 must be 0..30, not "
                             f"{self.margin_shift}: weight_range must be {way}")
        for number, layer in enumerate(self.layers):
            name = f"layer {number} ({layer.label})"
            last = number == len(self.layers) - 1
            bias = 2**(widths.master - 1 + max(layer.bias_shift, 0))
            self._fits(f"{name}: sums", layer.taps * high * weight + 2 * bias)
            if not 0 <= layer.bias_code_shift <= 30:
                raise UsageError(f"{name}: activation_range must be at most the activation bits, "
                                 f"{widths.activation}")
            shifts = [("sums", "activation_range", 1, layer.requantise_shift)] * (not last)
            shifts += [("gradient handed back", "weight_range", -1, layer.backward_shift)] \
                * (number > 0)
            shifts += [("steps", "rate", 1, layer.update_shift + rate) for rate in rates]
            for what, field, sign, shift in shifts:
                if not 0 <= shift <= 30:
                    way = "higher" if (shift < 0) == (sign > 0) else "lower"
                    raise UsageError(f"{name}: right shift of its {what} must be 0..30, not "
                                     f"{shift}: {field} must be {way}")
            positions = layer.rows * layer.columns // layer.pool**2
            step = batch * positions * max(high, 1 << layer.bias_code_shift) * gradient
            largest = max(layer.update_shift + rate for rate in rates)
            self._fits(f"{name}: gradient sums", step + 2**largest)
            self._fits(f"{name}: gradients handed back",
                       layer.outputs * layer.size**2 * weight * gradient
                       + (1 << max(layer.backward_shift, 0)))

    @staticmethod
    def _fits(what: str, bound: int) -> None:
        if bound >= _WORD:
            raise UsageError(f"{what} must stay below 2^31, but can reach {bound}: fewer bits or a "
                             f"smaller batch are needed")

    def layout(self, rate: int) -> np.ndarray:
        """Rows of `nmahw.train.integer_forward.LAYOUT` at a learning rate of 2^-`rate`."""
        rows, offset = [], {"weights": 0, "lanes": 0, "values": 0, "sums": 0, "positions": 0}
        for layer in self.layers:
            pooled = layer.rows // layer.pool, layer.columns // layer.pool
            weights = layer.taps * layer.outputs
            rows.append(dict(
                dense=layer.dense, outputs=layer.outputs, channels=layer.channels,
                height=layer.height, width=layer.width, size=layer.size, rows=layer.rows,
                columns=layer.columns, pool=layer.pool, pooled_rows=pooled[0],
                pooled_columns=pooled[1], padding_after=layer.padding_after, **offset,
                bias=offset["weights"] + weights, bias_shift=layer.bias_shift,
                requantise_shift=layer.requantise_shift, backward_shift=layer.backward_shift,
                update_shift=layer.update_shift + rate, bias_code_shift=layer.bias_code_shift))
            offset["weights"] += weights + layer.outputs
            offset["lanes"] += layer.outputs
            offset["values"] += layer.channels * layer.height * layer.width
            offset["sums"] += layer.outputs * layer.rows * layer.width
            offset["positions"] += layer.outputs * pooled[0] * pooled[1]
        return np.array([[row[name] for name in LAYOUT] for row in rows], np.int64)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each flat array, and of a layer's most values."""
        last = self.layers[-1]
        row = dict(zip(LAYOUT, self.layout(0)[-1].tolist(), strict=True))
        return {"weights": row["bias"] + last.outputs, "lanes": row["lanes"] + last.outputs,
                "values": row["values"] + last.taps,
                "sums": row["sums"] + last.outputs, "positions": row["positions"] + last.outputs,
                "spread": max(layer.channels * layer.height * layer.width
                              for layer in self.layers)}


def _groups(topology: Topology) -> list[tuple[int, int]]:
    """Index of every layer with weights, and the side of the pooling behind it (1: none)."""
    groups: list[tuple[int, int]] = []
    rectified = True
    for index, layer in enumerate(topology.layers):
        name = f"layer {index} ({type(layer).__name__})"
        if isinstance(layer, (plan.Conv, plan.Dense)):
            if isinstance(layer, plan.Conv) and layer.stride != 1:
                raise UsageError(f"{name}: stride must be 1 for exact_integers, not {layer.stride}")
            if not rectified:
                raise UsageError(f"{name}: exact_integers must have a relu between layers with "
                                 f"weights")
            groups.append((index, 1))
            rectified = False
        elif isinstance(layer, plan.ReLU) and groups and not rectified:
            rectified = True
        elif isinstance(layer, plan.MaxPool) and groups and rectified and groups[-1][1] == 1:
            groups[-1] = (groups[-1][0], layer.size)
        elif not isinstance(layer, plan.Flatten):
            raise UsageError(f"{name}: exact_integers must have layers of conv or dense, then "
                             f"relu, then max_pool if any, and flatten")
    if rectified:
        raise UsageError("exact_integers must have a layer with weights at the end")
    return groups
