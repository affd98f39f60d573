"""Products of every matrix layer of a network: how many, how many different ones, what sharing
saves.

With images, figures are means over them. Without, they are the most that any input of the
network's format can need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..layers import Layer
from ..network import Network
from ..tensor import TensorFormat
from .counts import MatrixShape, network_shapes
from .distinct import distinct_products, distinct_values, distinct_weights
from .rules import RULES, Rule
from .sharing import Sharing, sharing

__all__ = ["LayerCount", "count_layers"]

# Ranges up to this are listed to see which values count.
_LISTED = 1 << 20


@dataclass(frozen=True)
class LayerCount:
    """Products of one layer, for one image.

    Attributes
    ----------
    shape : MatrixShape
    operation : str
        What the layer does to an activation and a weight; only products have what follows.
    nonzero_macs : float
        MACs without a zero operand.
    distinct : mapping of (scope, Rule) to float
        Different products, added up over the scopes.
    values : float or None
        Different values that the layer's products take; None where that is not known.
    sharing : Sharing or None
    """

    shape: MatrixShape
    operation: str
    nonzero_macs: float = 0.0
    distinct: Mapping[tuple[str, Rule], float] | None = None
    values: float | None = None
    sharing: Sharing | None = None


def count_layers(network: Network, images: np.ndarray | None = None,
                 scopes: tuple[str, ...] = ("kernel", "layer"), rules: tuple[Rule, ...] = RULES,
                 progress: Callable[[int, int], None] = lambda done, total: None
                 ) -> list[LayerCount]:
    """Products of every matrix layer.

    Parameters
    ----------
    network : Network
    images : integer array (batch, *input shape), optional
        Inputs to take the mean over, at least one.
    scopes : tuple of str
        Of `nmahw.theory.distinct.SCOPES`.
    rules : tuple of Rule
    progress : callable
        Told how many layers are done, of how many.

    Raises
    ------
    ModelError
        The images do not fit the network.
    UsageError
        Unknown scope.
    """
    inputs: list[np.ndarray | None] = [None] * len(network.layers)
    if images is not None:
        images = network.check_input(images)
        inputs = [images, *network.predict(images, trace=True)[1].outputs[:-1]]
    shapes = iter(network_shapes(network))
    chosen = [(layer, x, fmt) for layer, x, fmt in zip(network.layers, inputs, network.formats,
                                                       strict=False) if layer.is_matrix]
    result = []
    for layer, x, fmt in chosen:
        shape = next(shapes)
        progress(len(result), len(chosen))
        if layer.operation.name == "product":
            result.append(_counted(layer, x, fmt, shape, scopes, rules))
        else:
            result.append(LayerCount(shape, layer.operation.name))
    progress(len(chosen), len(chosen))
    return result


def _counted(layer: Layer, x: np.ndarray | None, fmt: TensorFormat, shape: MatrixShape,
             scopes: tuple[str, ...], rules: tuple[Rule, ...]) -> LayerCount:
    geometry = (shape.stride, shape.padding)
    weights = layer.weights
    if x is None:
        distinct = {(scope, rule): float(_most(weights, fmt, shape, rule, scope))
                    for scope in scopes for rule in rules}
        values = None
    else:
        distinct = {(scope, rule): float(distinct_products(x, weights, *geometry, rule, scope)
                                         .sum()) / len(x) for scope in scopes for rule in rules}
        values = float(distinct_values(x, weights, *geometry).mean())
    kernels = weights.reshape(shape.out_channels, shape.channels, *shape.kernel)
    maps = np.ones((1, shape.channels, shape.height, shape.width), dtype=bool) if x is None \
        else (x != 0).reshape(len(x), shape.channels, shape.height, shape.width)
    saved = sharing(kernels, _uses(maps, shape), maps.sum(axis=(0, 2, 3)) / len(maps))
    return LayerCount(shape, "product", saved.macs, distinct, values, saved)


def _uses(maps: np.ndarray, shape: MatrixShape) -> np.ndarray:
    """How many of the marked pixels each tap meets, mean over the images."""
    pad = shape.padding
    maps = np.pad(maps, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    _, height, width = shape.output_shape
    rows, columns = ((n - 1) * shape.stride + 1 for n in (height, width))
    result = np.empty((shape.channels, *shape.kernel))
    for a, b in np.ndindex(shape.kernel):
        field = maps[:, :, a:a + rows:shape.stride, b:b + columns:shape.stride]
        result[:, a, b] = field.sum(axis=(0, 2, 3)) / len(maps)
    return result


def _most(weights: np.ndarray, fmt: TensorFormat, shape: MatrixShape, rule: Rule, scope: str
          ) -> int:
    """Different products that no input of the format exceeds."""
    if fmt.high - fmt.low < _LISTED:
        values = np.arange(fmt.low, fmt.high + 1)
        if shape.padding:
            values = np.append(values, 0)
        values, counts = rule.operands(values)
        kinds = len(np.unique(values[counts]))
    else:
        kinds = fmt.high - fmt.low + 2
    positions = shape.macs // shape.weights
    per_scope = distinct_weights(weights, rule, scope) * kinds
    whole = {"kernel": (2, 3), "filter": (1, 2, 3), "channel": (0, 2, 3), "layer": (0, 1, 2, 3)}
    counted = rule.operands(weights.reshape(shape.out_channels, shape.channels, *shape.kernel))[1]
    return int(np.minimum(per_scope, counted.sum(axis=whole[scope]) * positions).sum())
