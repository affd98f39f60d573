"""Softmax as an architecture: neurons that add, and four functions of one argument; no product.

The paper's section 7 asks for softmax. Its quotient needs no gate: in logarithms it is a
difference, ``softmax(z)_i = exp(z_i - log(sum_j exp(z_j)))``, so that a layer of exponential
neurons, one logarithmic neuron and a second layer of exponential neurons are enough. So that no
exponential overflows, differences from the largest input are taken first; the larger of two is
``b + relu(a - b)``, a tree of which finds the largest in ``2 ceil(log2 n)`` layers.

The functions are real ones, or those of the fixed-point unit (`nmahw.layers.softmax`) as tables and
shifts. With those the graph gives the unit's results, integer for integer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..layers.softmax import BASES, Softmax
from .builder import Builder, indexed
from .functions import RELU
from .graph import Function, Graph, Kind

__all__ = ["SoftmaxFunctions", "real_functions", "softmax_graph", "table_functions"]

_ONE = math.log2(math.e)


@dataclass(frozen=True)
class SoftmaxFunctions:
    """What the neurons of a softmax apply to what they have added up.

    Attributes
    ----------
    exponent : Function
        Of a difference from the largest input.
    term : Function
        ``2^-exponent``.
    logarithm : Function
        Binary logarithm of the sum of all terms, 1 or more.
    result : Function
        ``2^-(exponent + logarithm)``.
    """

    exponent: Function
    term: Function
    logarithm: Function
    result: Function


def real_functions(unit: float = 1.0, base: str = "e") -> SoftmaxFunctions:
    """Those of real numbers, for inputs whose unit stands for `unit`."""
    scale = BASES[base] * unit
    power = Function("2^-u", lambda u: 2.0**-np.asarray(u), math.log(2))
    return SoftmaxFunctions(Function("s d", lambda d: np.asarray(d) * scale, scale), power,
                            Function("log2", np.log2, _ONE), power)


def table_functions(layer: Softmax) -> SoftmaxFunctions:
    """Those of the fixed-point unit, on integers."""
    powers = np.array(layer.powers, dtype=np.int64)
    logarithms = np.array(layer.logarithms, dtype=np.int64)
    steps, guard = layer.table_bits, layer.term_bits - layer.bits

    def exponent(d: np.ndarray) -> np.ndarray:
        multiplier, shift = layer.factor
        scaled = np.minimum(d, layer.largest_difference) * multiplier
        if shift <= 0:
            return scaled << -shift
        return (scaled + (1 << (shift - 1))) >> shift

    def term(u: np.ndarray) -> np.ndarray:
        whole = np.minimum(u >> steps, 62)
        twice = (powers[u & (len(powers) - 1)] << 1) >> whole
        return (twice + 1) >> 1

    def logarithm(total: np.ndarray) -> np.ndarray:
        leading = np.zeros_like(total)
        for place in range(layer.term_bits, 62):
            leading = np.where(total >> place != 0, place, leading)
        behind = total - (np.ones_like(total) << leading)
        entry = (behind << layer.mantissa_bits) >> leading
        return ((leading - layer.term_bits) << steps) + logarithms[entry]

    def result(v: np.ndarray) -> np.ndarray:
        return np.minimum(term(v + (guard << steps)), (1 << layer.bits) - 1)

    return SoftmaxFunctions(Function("exponent", exponent), Function("term", term),
                            Function("logarithm", logarithm), Function("result", result))


def softmax_graph(count: int, functions: SoftmaxFunctions) -> Graph:
    """The architecture for `count` inputs, which are fed as ``Z``; results are the group ``Y``.

    It has ``5 + 2 ceil(log2 count)`` layers.

    Raises
    ------
    UsageError
        No inputs.
    """
    if count < 1:
        raise UsageError(f"a softmax must have at least one input, not {count}")
    builder = Builder(f"softmax of {count}")
    inputs = builder.give(1, Kind.INPUT, "Z", count, label=indexed("z", (count,)))
    layer, largest = 1, inputs
    while len(largest) > 1:
        # b and max(a - b, 0), then their sum; who is left without a partner is handed on.
        pairs = len(largest) // 2
        a, rest = largest[:pairs], largest[pairs:]
        name = f"layer {layer + 1}"
        above = builder.put(layer + 1, Kind.ACTIVATION, f"relu, {name}", pairs,
                            sources=np.stack([a, rest[:pairs]], axis=1).reshape(-1),
                            first=np.arange(0, 2 * pairs + 1, 2),
                            negative=np.tile([False, True], pairs), function=RELU.value)
        kept = _handed_on(builder, layer + 1, rest, "candidates")
        inputs = _handed_on(builder, layer + 1, inputs, "inputs")
        sources = np.concatenate([np.stack([above, kept[:pairs]], axis=1).reshape(-1),
                                  kept[pairs:]])
        first = np.concatenate([np.arange(0, 2 * pairs + 1, 2),
                                2 * pairs + 1 + np.arange(len(kept) - pairs)])
        largest = builder.put(layer + 2, Kind.SUM, f"larger, layer {layer + 2}", len(kept),
                              sources=sources, first=first)
        inputs = _handed_on(builder, layer + 2, inputs, "inputs")
        layer += 2
    exponents = builder.put(
        layer + 1, Kind.ACTIVATION, "U", count,
        sources=np.stack([np.full(count, largest[0]), inputs], axis=1).reshape(-1),
        first=np.arange(0, 2 * count + 1, 2), negative=np.tile([False, True], count),
        function=functions.exponent, label=indexed("u", (count,)))
    terms = builder.put(layer + 2, Kind.ACTIVATION, "E", count, sources=exponents,
                        function=functions.term, label=indexed("e", (count,)))
    exponents = _handed_on(builder, layer + 2, exponents, "exponents")
    logarithm = builder.put(layer + 3, Kind.ACTIVATION, "G", 1, sources=terms,
                            first=np.array([0, count]), function=functions.logarithm)
    exponents = _handed_on(builder, layer + 3, exponents, "exponents")
    builder.put(layer + 4, Kind.ACTIVATION, "Y", count,
                sources=np.stack([exponents, np.full(count, logarithm[0])], axis=1).reshape(-1),
                first=np.arange(0, 2 * count + 1, 2), function=functions.result,
                label=indexed("y", (count,)))
    return builder.build()


def _handed_on(builder: Builder, layer: int, places: np.ndarray, name: str) -> np.ndarray:
    """Neurons with the values of `places` of the layer before."""
    return builder.put(layer, Kind.SUM, f"{name}, layer {layer}", len(places), sources=places,
                       first=np.arange(len(places) + 1))
