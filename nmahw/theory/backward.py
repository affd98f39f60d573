"""NMAs of backpropagation: sections 4.1.2 and 4.2.2 of the paper, and what those leave out.

Fully connected (Figure 3): 4 layers for the error at the output, 5 more for each layer of the
network before it, 5 L - 6 in all. Products W d are U_{L-1} U_L, not U_{L-1} U_L^2 as printed. The
paper stops at the errors d; the gradients X d, which adjust the weights, are products too: with
`gradients` the graph has them, two layers further.

Convolutional (Figure 5): one graph for each kernel, the product of three factors split as (a b) c:
7 layers. For a hidden layer it needs the error of that layer's result, which the paper takes for a
function of the result; it is a sum of products itself: `error_to_inputs`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ModelError
from ..network import Network
from .builder import Builder, indexed
from .functions import RELU, SIGMOID, Activation
from .graph import Graph, Kind
from .terms import Terms, dense_terms, layer_terms

__all__ = ["error_to_inputs", "fully_connected_backward", "kernel_gradient",
           "network_gradients"]


def fully_connected_backward(sizes: Sequence[int], activation: Activation = SIGMOID,
                             gradients: bool = False) -> Graph:
    """Figure 3: errors of every layer of a fully connected network, for ``E = sum (X - T)^2 / 2``.

    Feeds: ``T`` (targets, U_L); ``X2``, ... ``XL`` (with `gradients` also ``X1``) and ``W2``, ...,
    as the forward graph has them. Results: ``d1``, ..., ``d{L-1}``, where d_l has U_{l+1} values,
    and with `gradients` ``dW1``, ..., laid out as the weights are.

    Parameters
    ----------
    sizes : sequence of int
        Neurons of the network's layers, at least two.
    activation : Activation
        Its slope is taken as a function of its output.
    gradients : bool
        Also multiply errors by inputs, as equation (2) does.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ModelError(f"a fully connected network must have at least two layers of at least one "
                         f"neuron, not {tuple(sizes)}")
    b = Builder("backward, " + "-".join(map(str, sizes)))
    last = len(sizes)
    outputs = b.give(1, Kind.INPUT, f"X{last}", sizes[-1], label=indexed(f"X{last}", sizes[-1:]))
    error = b.put(2, Kind.SUM, "e", sizes[-1], sources=outputs, bias="T", bias_negative=True,
                  label=indexed("e", sizes[-1:]))
    slope = b.put(2, Kind.ACTIVATION, f"D{last - 1}", sizes[-1], sources=outputs,
                  function=activation.slope_of_output,
                  label=indexed(f"D{last - 1}", sizes[-1:]))
    delta = b.multiply(2, slope, error, f"d{last - 1}", indexed(f"d{last - 1}", sizes[-1:]))
    layer = 4
    for index in range(last - 1, 0, -1):
        terms = dense_terms(sizes[index - 1], sizes[index])
        if gradients:
            x = b.give(layer, Kind.INPUT, f"X{index} again", sizes[index - 1], feed=f"X{index}",
                       label=indexed(f"X{index}", (sizes[index - 1],)))
            b.multiply(layer, x[terms.inputs], delta[terms.outputs], f"dW{index}",
                       indexed(f"dW{index}", terms.weight_shape))
        if index == 1:
            break
        weights = b.give(layer, Kind.WEIGHT, f"W{index}", len(terms),
                         label=indexed(f"W{index}", terms.weight_shape))
        products = b.multiply(layer, weights[terms.weights], delta[terms.outputs], f"W{index} d",
                              lambda place: "W·δ")
        before = (sizes[index - 1],)
        sums = b.add(layer + 3, products, terms.inputs, *before, f"sum{index}",
                     label=indexed("sum", before))
        slope = b.give(layer + 3, Kind.INPUT, f"D{index - 1}", *before, feed=f"X{index}",
                       function=activation.slope_of_output, label=indexed(f"D{index - 1}", before))
        delta = b.multiply(layer + 3, slope, sums, f"d{index - 1}",
                           indexed(f"d{index - 1}", before))
        layer += 5
    return b.build()


def kernel_gradient(terms: Terms, activation: Activation = SIGMOID, hidden: bool = False) -> Graph:
    """Figure 5: gradient of a layer's weights, ``sum ((dE/dX' s'(Y)) X)``, in 7 layers.

    Feeds: ``Y``, the layer's sums; ``X``, its inputs; and ``X'``, its results, with ``T``, the
    targets; with `hidden` ``dX'`` instead of both: the error of its results. Results: ``G``, step
    one, and ``dW``, laid out as the weights are.

    Parameters
    ----------
    terms : Terms
        Of one kernel, or of a whole layer.
    activation : Activation
    hidden : bool
        The layer is not the network's last.
    """
    outputs, inputs, weights = terms.sizes
    b = Builder("gradient of a kernel")
    results = terms.output_shape
    if hidden:
        given = b.give(1, Kind.INPUT, "dX'", outputs, label=indexed("dE/dX'", results))
        error = b.put(2, Kind.ACTIVATION, "dX' again", outputs, sources=given,
                      label=indexed("dE/dX'", results))
    else:
        given = b.give(1, Kind.INPUT, "X'", outputs, label=indexed("X'", results))
        error = b.put(2, Kind.SUM, "dX'", outputs, sources=given, bias="T", bias_negative=True,
                      label=indexed("dE/dX'", results))
    slope = b.give(2, Kind.INPUT, "s'(Y)", outputs, feed="Y", function=activation.slope_of_sum,
                   label=indexed("s'(Y)", results))
    g = b.multiply(2, error, slope, "G", indexed("G", results))
    x = b.give(4, Kind.INPUT, "X", inputs, label=indexed("X", terms.input_shape))
    products = b.multiply(4, g[terms.outputs], x[terms.inputs], "G X", lambda place: "G·X")
    b.add(7, products, terms.weights, weights, "dW", label=indexed("dE/dk", terms.weight_shape))
    return b.build()


def network_gradients(network: Network, activation: Activation = RELU) -> list[Graph]:
    """Figure 5 for every matrix layer of a network, in order; all of a layer's kernels in one
    graph.

    Feeds and results are those of `kernel_gradient`; all layers but the last are hidden. What lies
    between matrix layers (pooling, requantising) multiplies nothing and is not in the graphs.

    Parameters
    ----------
    network : Network
        Of sums of products.
    activation : Activation
        Of the sums, for its slope.

    Raises
    ------
    ModelError
        A matrix layer is no sum of products, or there is none.
    """
    terms = [layer_terms(layer, fmt) for layer, fmt in
             zip(network.layers, network.formats, strict=False) if layer.is_matrix]
    if not terms:
        raise ModelError(f"{network.title} must have a layer with weights")
    return [kernel_gradient(some, activation, hidden=some is not terms[-1]) for some in terms]


def error_to_inputs(terms: Terms) -> Graph:
    """What the paper leaves out: the error of a layer's inputs, ``sum G W``, in 4 layers.

    Feeds: ``G``, step one of `kernel_gradient`, and ``W``, the weights. Result: ``dX``.
    """
    outputs, inputs, weights = terms.sizes
    b = Builder("error of a layer's inputs")
    g, w = b.give(1, Kind.INPUT, "G", outputs), b.give(1, Kind.WEIGHT, "W", weights)
    products = b.multiply(1, g[terms.outputs], w[terms.weights], "G W")
    b.add(4, products, terms.inputs, inputs, "dX")
    return b.build()
