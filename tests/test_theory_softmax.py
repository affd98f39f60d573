"""Softmax as neurons: real functions, and those of the fixed-point unit."""

import math

import numpy as np
import pytest

from nmahw.errors import UsageError
from nmahw.layers.softmax import BASES, Softmax
from nmahw.tensor import TensorFormat
from nmahw.theory.gates import ExactGate
from nmahw.theory.graph import Kind
from nmahw.theory.softmax import real_functions, softmax_graph, table_functions

rng = np.random.default_rng(4)
COUNTS = [1, 2, 3, 5, 8, 10]


def true_softmax(z: np.ndarray, shift: int, base: str) -> np.ndarray:
    terms = np.exp2((z - z.max(axis=-1, keepdims=True)) / 2.0**shift * BASES[base])
    return terms / terms.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("count", COUNTS)
def test_layers_and_neurons(count):
    graph = softmax_graph(count, real_functions())
    assert graph.depth == 5 + 2 * math.ceil(math.log2(count))
    assert graph.products == 0
    # One ReLU for each comparison; exponents, terms, results, one logarithm.
    assert graph.totals[Kind.ACTIVATION] == (count - 1) + 3 * count + 1
    assert set(graph.totals) <= {Kind.INPUT, Kind.SUM, Kind.ACTIVATION}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("count", COUNTS)
def test_real_functions_are_the_softmax(count, base):
    z = rng.normal(0, 8, (50, count))
    graph = softmax_graph(count, real_functions(0.25, base))
    evaluation = graph.evaluate({"Z": z}, ExactGate())
    bounds = graph.error_bounds(evaluation, ExactGate())["Y"]
    off = np.abs(evaluation["Y"] - true_softmax(z, 2, base))
    assert (off <= bounds).all() and bounds.max() < 1e-11


@pytest.mark.parametrize("layer", [
    Softmax(3), Softmax(5, 12, 10), Softmax(0, 4, 3, "2"), Softmax(4, 8, 8, "e", 3)], ids=str)
@pytest.mark.parametrize("count", COUNTS)
def test_table_functions_are_the_unit(count, layer):
    z = rng.integers(-300, 300, (200, count))
    z[0] = 299
    graph = softmax_graph(count, table_functions(layer))
    result = graph.evaluate({"Z": z}, ExactGate())["Y"]
    assert result.tolist() == layer.compute(z, TensorFormat((count,), -300, 299)).tolist()
    real = softmax_graph(count, real_functions(
        layer.steps / 2.0**layer.shift, layer.base)).evaluate(
        {"Z": z.astype(float)}, ExactGate())["Y"]
    assert np.abs(result / 2.0**layer.bits - real).max() <= layer.error_bound(count) + 1e-12


def test_no_exponential_overflows():
    z = np.array([[1e6, -1e6, 1e6 - 1]])
    result = softmax_graph(3, real_functions()).evaluate({"Z": z}, ExactGate())["Y"]
    assert np.abs(result - true_softmax(z, 0, "e")).max() < 1e-9


def test_refuses_no_inputs():
    with pytest.raises(UsageError, match="softmax must have at least one input, not 0"):
        softmax_graph(0, real_functions())
