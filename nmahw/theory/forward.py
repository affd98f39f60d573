"""NMAs of forward propagation: sections 4.1.1 and 4.2.1 of the paper, and any network of the IR.

Layers as the paper numbers them. Fully connected: inputs and weights; four intermediate neurons a
product; products; sums; activations, which stand beside the next weights: 4 L - 3 layers for L
layers of neurons. Convolutional: sums and activations are one layer, 3 L - 2 for L - 1
convolutions. As a product neuron only adds, sums could read intermediate neurons: 2 L - 1 would do.

Where values repeat, *shared* graphs have one product neuron for each different pair of values, and
no duplicate input and weight neurons (section 4.2.1, "not all components distinct"). They are
made for an example and only valid for values that repeat in the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import ModelError
from ..layers import Layer
from ..network import Network
from ..tensor import TensorFormat
from .builder import Builder, indexed
from .functions import SIGMOID, Activation
from .graph import Function, Graph, Kind
from .terms import Terms, conv_terms, dense_terms, layer_terms

__all__ = ["convolutional", "fully_connected", "network_feeds", "network_graph"]


@dataclass(eq=False)
class _Stage:
    """A matrix layer and what follows it."""

    terms: Terms
    #: Whether given biases are added to the sums.
    bias: bool = False
    #: What comes after, and how many values it gives each time.
    functions: list[tuple[Function, int]] = field(default_factory=list)
    #: Whether activations have a layer of their own behind the sums.
    separate: bool = False


def fully_connected(sizes: Sequence[int], activation: Activation = SIGMOID) -> Graph:
    """Figures 1 and 2: a fully connected network.

    Feeds: ``X1`` (U_1,), and ``W1``, ``W2``, ... as (U_{l+1}, U_l) arrays, flattened: in the IR's
    order, which is the paper's transposed.

    Parameters
    ----------
    sizes : sequence of int
        Neurons U_1, U_2, ... of the network's layers, at least two.
    activation : Activation

    Raises
    ------
    ModelError
        Fewer than two sizes, or one below 1.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ModelError(f"a fully connected network must have at least two layers of at least one "
                         f"neuron, not {tuple(sizes)}")
    stages = [_Stage(dense_terms(a, b), functions=[(activation.value, b)], separate=True)
              for a, b in zip(sizes, sizes[1:], strict=False)]
    return _chain("forward, " + "-".join(map(str, sizes)), stages)


def convolutional(map_shape: tuple[int, int], kernel_sizes: Sequence[int],
                  activation: Activation = SIGMOID,
                  example: tuple[np.ndarray, Sequence[np.ndarray]] | None = None) -> Graph:
    """Figure 4: one map, one f x f kernel a layer, stride 1, no padding.

    Feeds: ``X1`` (Hx Wx,), ``W1``, ``W2``, ... (f f,).

    Parameters
    ----------
    map_shape : tuple of int
        Hx, Wx.
    kernel_sizes : sequence of int
        f of each layer.
    activation : Activation
    example : array (Hx, Wx) and arrays (f, f), optional
        A map and kernels whose equal values are to share products.
    """
    stages, shape = [], (1, *map_shape)
    for f in kernel_sizes:
        terms = conv_terms(shape, (1, 1, f, f))
        shape = terms.output_shape
        stages.append(_Stage(terms, functions=[(activation.value, terms.sizes[0])]))
    if example is not None:
        example = example[0], list(example[1])
    return _chain(f"forward, {map_shape[0]}x{map_shape[1]} under kernels of "
                  + ", ".join(f"{f}x{f}" for f in kernel_sizes), stages, example=example)


def network_graph(network: Network, example: np.ndarray | None = None) -> Graph:
    """The NMA of a network of the IR.

    Sums, biases and what changes no shape are one layer of neurons; pooling has one of its own.
    Feeds are those of `network_feeds`.

    Parameters
    ----------
    network : Network
        Of sums of products.
    example : integer array (*input shape), optional
        An input whose repeated values, and those of all layers behind it, are to share products.

    Raises
    ------
    ModelError
        The network has no matrix layer, or one that is no sum of products.
    """
    stages, before = _network_stages(network)
    given = None
    if example is not None:
        x = network.check_input(np.asarray(example)[None])
        weights = [layer.weights for layer in network.layers if layer.is_matrix]
        given = x[0], weights
    biases = [feed for name, feed in network_feeds(network).items() if name.startswith("B")]
    return _chain(f"forward, {network.title}", stages, before, given, biases)


def network_feeds(network: Network, x: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """What the graph of a network is given: ``X1`` (batch, inputs), ``W1``, ``B1``, ..., flattened.

    Biases are those of the bias layers right behind matrix layers, one value for each sum.
    """
    feeds = {} if x is None else {"X1": (x := network.check_input(x)).reshape(len(x), -1)}
    index = 0
    for place, layer in enumerate(network.layers):
        if layer.is_matrix:
            index += 1
            feeds[f"W{index}"] = layer.weights.reshape(-1)
            shape = network.formats[place + 1].shape
            if _is_bias(network.layers, place + 1):
                values = network.layers[place + 1].values
                feeds[f"B{index}"] = np.repeat(values, int(np.prod(shape[1:])))
    return feeds


def _is_bias(layers: Sequence[Layer], place: int) -> bool:
    return place < len(layers) and layers[place].name == "bias"


def _network_stages(network: Network) -> tuple[list[_Stage], list[tuple[Function, int]]]:
    """Stages, and what is done to the input before the first of them."""
    stages: list[_Stage] = []
    before: list[tuple[Function, int]] = []
    for place, (layer, fmt) in enumerate(zip(network.layers, network.formats, strict=False)):
        if layer.is_matrix:
            stages.append(_Stage(layer_terms(layer, fmt), _is_bias(network.layers, place + 1)))
        elif not (stages and stages[-1].bias and network.layers[place - 1].is_matrix):
            functions = stages[-1].functions if stages else before
            functions.append((_layer_function(layer, fmt), network.formats[place + 1].size))
    if not stages:
        raise ModelError(f"{network.title} must have a layer with weights")
    return stages, before


def _layer_function(layer: Layer, fmt: TensorFormat) -> Function:
    def compute(values: np.ndarray) -> np.ndarray:
        x = values.reshape(-1, *fmt.shape)
        return layer.compute(x, fmt).reshape(*values.shape[:-1], -1)
    return Function(layer.name, compute)


def _composed(functions: Sequence[Function]) -> Function | None:
    if len(functions) < 2:
        return functions[0] if functions else None

    def compute(values: np.ndarray) -> np.ndarray:
        for function in functions:
            values = function.compute(values)
        return values
    slope = float(np.prod([function.lipschitz for function in functions]))
    return Function(", ".join(function.name for function in functions), compute, slope)


def _runs(functions: Sequence[tuple[Function, int]], count: int
          ) -> list[tuple[Function | None, int]]:
    """Functions by the neurons that apply them: what keeps the number of values is composed."""
    runs: list[tuple[list[Function], int]] = [([], count)]
    for function, size in functions:
        if size == runs[-1][1]:
            runs[-1][0].append(function)
        else:
            runs.append(([function], size))
    return [(_composed(some), size) for some, size in runs]


def _chain(title: str, stages: Sequence[_Stage], before: Sequence[tuple[Function, int]] = (),
           example: tuple[np.ndarray, Sequence[np.ndarray]] | None = None,
           biases: Sequence[np.ndarray] = ()) -> Graph:
    b = Builder(title)
    values = None if example is None else np.asarray(example[0]).reshape(-1)
    biases = iter(biases)
    layer = 1
    if before:
        runs = [(function, size) for function, size in _runs(before, before[0][1])
                if function is not None]
        places = b.give(1, Kind.INPUT, "pixels", before[0][1], feed="X1")
        for function, size in runs:
            layer += 1
            values = None if values is None else function.compute(values)
            places = b.put(layer, Kind.ACTIVATION, f"X1.{layer}", size, sources=places,
                           function=function, representatives=_representatives(values))
    else:
        places = _given(b, 1, Kind.INPUT, "X1", stages[0].terms.sizes[1], values,
                        (1, *stages[0].terms.input_shape))
    for index, stage in enumerate(stages, 1):
        terms = stage.terms
        own = None if example is None else np.asarray(example[1][index - 1]).reshape(-1)
        weights = _given(b, layer, Kind.WEIGHT, f"W{index}", terms.sizes[2], own,
                         terms.weight_shape)
        u, v = places[terms.inputs], weights[terms.weights]
        which = np.arange(len(terms))
        if own is not None:
            u = places[_representatives(values)[terms.inputs]]
            (u, v), which = np.unique(np.stack([u, v]), axis=1, return_inverse=True)
            values = _forward(stage, values, own, next(biases) if stage.bias else 0)
        products = b.multiply(layer, u, v, f"P{index}", lambda place: "X·W")
        layer, places = _sums(b, layer, index, stage, products[which.reshape(-1)],
                              _representatives(values))
    return b.build()


def _sums(b: Builder, layer: int, index: int, stage: _Stage, products: np.ndarray,
          representatives: np.ndarray | None) -> tuple[int, np.ndarray]:
    """Sums of a stage's products, and what follows: the last layer and its places."""
    terms, name = stage.terms, f"X{index + 1}"
    (function, count), *pools = _runs(stage.functions, terms.sizes[0])
    last = {"representatives": representatives}
    label = indexed(name, (1, *terms.output_shape))
    fields = {"bias": f"B{index}" if stage.bias else None, **({} if pools else last)}
    if stage.separate:
        sums = b.add(layer + 3, products, terms.outputs, count, f"Y{index}",
                     label=indexed(f"Y{index}", (1, *terms.output_shape)))
        layer += 4
        places = b.put(layer, Kind.ACTIVATION, name, count, sources=sums, function=function,
                       label=label, **last)
    else:
        layer += 3
        places = b.add(layer, products, terms.outputs, count, name, function=function,
                       label=label, **fields)
    for number, (function, size) in enumerate(pools, 1):
        layer += 1
        places = b.put(layer, Kind.ACTIVATION, f"{name}.{number}", size, sources=places,
                       function=function, **(last if number == len(pools) else {}))
    return layer, places


def _forward(stage: _Stage, values: np.ndarray, weights: np.ndarray, bias: np.ndarray
             ) -> np.ndarray:
    """Values behind a stage, in ordinary arithmetic."""
    terms = stage.terms
    sums = np.zeros(terms.sizes[0], dtype=np.result_type(values, weights))
    np.add.at(sums, terms.outputs, values[terms.inputs] * weights[terms.weights])
    sums = sums + bias
    for function, _ in stage.functions:
        sums = function.compute(sums)
    return sums


def _representatives(values: np.ndarray | None) -> np.ndarray | None:
    """For each value the place of the first that is equal; nothing if values are not known."""
    if values is None:
        return None
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)]


def _given(b: Builder, layer: int, kind: Kind, name: str, count: int, values: np.ndarray | None,
           shape: tuple[int, ...]) -> np.ndarray:
    """Given neurons: places of all values, of which equal ones share a neuron if they are known."""
    label = indexed(name, shape)
    if values is None:
        return b.give(layer, kind, name, count, label=label)
    if len(values) != count:
        raise ModelError(f"the example of {name} must have {count} values, not {len(values)}")
    own = _representatives(values)
    picks = np.unique(own)
    places = b.give(layer, kind, name, len(picks), picks=picks, representatives=own,
                    label=lambda index: label(int(picks[index])))
    return places[np.searchsorted(picks, own)]
