"""Errors of the NMA paper outside its theorems: a counterexample for each.

Those of the theorems are in test_theory_theorems.py, that of a neuron count in
test_theory_counts.py; docs/theory.md numbers them all.
"""

import re
from itertools import combinations, permutations
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmahw.theory.backward import error_to_inputs, fully_connected_backward, kernel_gradient
from nmahw.theory.builder import Builder
from nmahw.theory.distinct import distinct_products, distinct_values
from nmahw.theory.draw import figure
from nmahw.theory.forward import convolutional, fully_connected
from nmahw.theory.functions import IDENTITY, RELU
from nmahw.theory.gates import ExactGate, GateFunctions, SmoothGate
from nmahw.theory.graph import Kind
from nmahw.theory.terms import conv_terms
from nmahw.theory.theorems import brute_force, repeats_of_taps, theorem3_printed_bounds


def product_graph():
    b = Builder("one product")
    b.multiply(1, b.give(1, Kind.INPUT, "u", 1), b.give(1, Kind.INPUT, "v", 1), "P")
    return b.build()


# Sections 2 and 3.

def test_weights_between_two_layers_have_the_index_of_the_first():
    """Section 2.1.2: X^(l) = s(X^(l-1) W^(l)); W^(l) has U_l rows and X^(l-1) U_{l-1} entries."""
    sizes = 2, 3, 4
    weights = [np.ones(pair) for pair in zip(sizes, sizes[1:], strict=False)]  # W1, W2
    x1 = np.ones(sizes[0])
    with pytest.raises(ValueError):
        x1 @ weights[1]
    assert (x1 @ weights[0]).shape == (sizes[1],)


def test_last_row_of_a_map_is_met_by_the_last_row_of_its_own_layer():
    """Equation (3) has H^(L) + f_{L-1} - 1 for the last row of X^(l-1): right for l = L only."""
    rows = [9]
    for _ in range(3):
        rows.append(conv_terms((1, rows[-1], rows[-1]), (1, 1, 3, 3)).output_shape[1])
    for layer in (1, 2, 3):
        assert rows[layer] + 3 - 1 == rows[layer - 1]
    assert rows[3] + 3 - 1 != rows[0]


def test_gate_with_a_sigmoid_needs_a_bias():
    """Section 3 and Figure 1 have none, section 2 has the sigmoid: t''(0) = 0, and no product."""
    class Unbiased(GateFunctions):
        def neuron(self, argument):
            return 1 / (1 + np.exp(-argument / 256))

        def output(self, total):
            return total * 2.0**14

        def error_bound(self, u, v):
            raise NotImplementedError

    feeds = {"u": np.array([1.0]), "v": np.array([1.0])}
    assert abs(product_graph().evaluate(feeds, Unbiased())["P"][0]) < 1e-9
    biased = product_graph().evaluate(feeds, SmoothGate(-8, "sigmoid"))["P"][0]
    assert biased == pytest.approx(1, rel=1e-3)


def test_small_lambda_is_not_arbitrarily_accurate_in_floating_point():
    feeds = {"u": np.array([0.7]), "v": np.array([-0.6])}
    errors = {k: abs(product_graph().evaluate(feeds, SmoothGate(k))["P"][0] + 0.42)
              for k in (-4, -12, -24)}
    assert errors[-12] < errors[-4] and errors[-12] < errors[-24] > 1e-3


def test_a_product_takes_seven_additions_and_four_functions():
    """What "replaces multiplication with addition": the price, from the graph's lines."""
    (_, (four,), (product,)) = product_graph().layers
    additions = sum(len(group.sources) - group.count for group in (four, product))
    assert additions == 4 + 3 and four.count == 4


# Section 4.

def test_one_product_needs_four_layers():
    """Figure 1 has no layer of sums: 4 L - 3 is 5 for L = 2."""
    assert figure(1).depth == 4 and fully_connected((1, 1)).depth == 4 * 2 - 3


def test_product_neurons_only_add_so_two_layers_a_layer_suffice():
    """2 L - 1: sums of intermediate neurons, scaled once, are the sums of products."""
    rng = np.random.default_rng(1)
    sizes = 3, 2
    feeds = {"X1": rng.integers(-9, 10, 3), "W1": rng.integers(-9, 10, 6)}
    gate = ExactGate()
    found = fully_connected(sizes, IDENTITY).evaluate(feeds, gate)
    signed = found.layers[1].reshape(2, 3, 4) * [1, 1, -1, -1]
    assert np.array_equal(gate.output(signed.sum(axis=(1, 2))), found["Y1"])


def test_one_convolution_is_two_layers_of_maps():
    """Section 4.2.1 ends "if L = 1" after one convolution; with L - 1 of them, L is 2."""
    graph = convolutional((3, 3), [2])
    maps = [name for layer in graph.layers for name in (g.name for g in layer)
            if name.startswith("X")]
    assert maps == ["X1", "X2"]


def test_errors_of_hidden_maps_are_no_function_of_the_maps():
    """Section 4.2.2 evaluates "some error function" of X^(l): equal values, different errors."""
    terms = conv_terms((1, 3, 3), (1, 1, 2, 2))
    flat = {"X'": np.zeros(4, dtype=int), "T": np.array([0, 0, 0, 1]),
            "Y": np.ones(4, dtype=int), "X": np.ones(9, dtype=int)}
    last = kernel_gradient(terms, RELU).evaluate(flat, ExactGate())
    errors = error_to_inputs(terms).evaluate(
        {"G": last["G"], "W": np.array([1, 2, 3, 4])}, ExactGate())["dX"]
    assert len(set(flat["X"])) == 1 and len(set(errors)) > 1


def test_figure_3_has_no_gradients():
    """Section 4.1.2 adjusts weights "by (2)", whose products X d no neuron computes."""
    names = [group.name for layer in fully_connected_backward((2, 2, 2)).layers
             for group in layer if group.kind is Kind.PRODUCT]
    assert names == ["d2", "W2 d", "d1"]


# Section 5.

def test_fields_are_as_wide_as_the_result():
    """The proof of Theorem 2: b <= j <= b + Wx + f; right is b + Wx - f, which makes Wy columns."""
    f, width = 3, 7
    terms = conv_terms((1, f, width), (1, 1, f, f))
    for b in range(1, f + 1):
        met = set((terms.inputs[terms.weights == b - 1] % width + 1).tolist())
        assert met == set(range(b, b + width - f + 1)) != set(range(b, b + width + f + 1))


def test_tuples_are_subsets():
    """Theorem 2 with ordered tuples counts each pair of equal pixels twice."""
    x, kernel = np.array([[7, 7, 8]]), np.array([[1]])
    repeats = 3 - brute_force(x, kernel)
    equal = [place for place, value in enumerate(x[0]) if value == 7]
    ordered, subsets = (sum(len(kernel) for _ in tuples(equal, 2))
                        for tuples in (permutations, combinations))
    assert repeats == subsets == 1 and ordered == 2


def test_r1_needs_its_signs():
    """Printed: sum (-1)^i |T_i| = sum binomial(t, i) = t - 1; without signs it is 2^t - t - 1.

    R = Hy Wy r1 - Hy r2 - Wy r3 + r4, for three taps in a row: r2 = 2, r3 = r4 = 0.
    """
    taps = np.zeros((3, 3), dtype=bool)
    taps[0] = True
    height, width = 4, 5
    with_signs, without = (sum(sign**i * comb(3, i) for i in (2, 3)) for sign in (-1, 1))
    repeats = repeats_of_taps(taps, (6, 7))
    assert repeats == height * width * with_signs - height * 2
    assert repeats != height * width * without - height * 2


@given(st.integers(2, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_printed_lower_bound_fails_whenever_a_weight_repeats(f, more, wider, seed):
    """Fields of two taps are never the same set."""
    kernel = np.random.default_rng(seed).integers(0, f * f, (f, f))
    shape = 2 * f - 1 + more, 2 * f - 1 + wider
    repeats = sum(repeats_of_taps(kernel == n, shape) for n in np.unique(kernel))
    if len(np.unique(kernel)) < f * f:
        assert repeats < theorem3_printed_bounds(kernel, shape).low
    else:
        assert repeats == theorem3_printed_bounds(kernel, shape).low == 0


def test_step_one_of_backpropagation_has_more_products_than_distinct_outputs():
    """Section 5.2 counts V_L. Four equal outputs with four targets have four errors."""
    outputs, targets = np.full(4, 0.5), np.array([0.0, 0.25, 0.5, 1.0])
    pairs = set(zip((outputs - targets).tolist(), (outputs * (1 - outputs)).tolist(), strict=True))
    assert len(set(outputs)) == 1 and len(pairs) == 4


def test_different_products_may_have_one_value():
    """Distinct multiplications are pairs of factors: 2 x 6 = 3 x 4."""
    x, kernel = np.array([[[[2, 3]]]]), np.array([[[[6]]], [[[4]]]])
    assert distinct_products(x, kernel) == 4 and distinct_values(x, kernel) == 3


def test_slices_cannot_be_counted_one_by_one():
    """Section 2.2.1 leaves depth out, as slices are alike: their products coincide."""
    x, kernels = np.ones((1, 8, 4, 4), dtype=int), np.ones((8, 8, 3, 3), dtype=int)
    assert distinct_products(x, kernels, scope="kernel").sum() == 64
    assert distinct_products(x, kernels) == 1


# The list in the documentation.

ROOT = Path(__file__).parent
FILES = {"T": "test_theory_theorems.py", "E": "test_theory_errata.py",
         "C": "test_theory_counts.py", "G": "test_theory_gradients.py"}


def named_tests():
    """File and name pattern of each test in the table of errata, by the erratum's number."""
    text = (ROOT.parent / "docs" / "theory.md").read_text()
    for row in re.findall(r"^\| (\d+ \|.*) \|$", text, re.M):
        number, *_, tests = row.split(" | ")
        file = None
        for letter, name in re.findall(r"(?:\b([TECG]) )?`([\w…]+)`", tests):
            file = letter or file
            yield int(number), FILES[file], name.replace("…", r"\w*")


def test_every_erratum_has_its_test():
    numbers = set()
    for number, file, name in named_tests():
        assert re.search(rf"^def test_(\w*_)?{name}\(", (ROOT / file).read_text(), re.M), name
        numbers.add(number)
    assert numbers == set(range(1, 30))
