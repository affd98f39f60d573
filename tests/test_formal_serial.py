"""Stepping stones of serial arithmetics' proofs."""

import numpy as np
import pytest

from nmahw.arith import ARITHMETICS, Operand
from nmahw.formal.aig import TRUE, Graph
from nmahw.formal.serial import chains, equals_product, matching


def words(name, activation, weight):
    arithmetic = ARITHMETICS.get(name)(activation, weight)
    graph = Graph()
    x, w = graph.word(activation.bits), graph.word(weight.bits)
    return graph, arithmetic, x, w, chains(graph, arithmetic, x, w, activation.bits + weight.bits)


@pytest.mark.parametrize("name", ["bit_serial", "bit_serial_radix4"])
@pytest.mark.parametrize("signed", [False, True])
def test_chains_end_with_the_product(name, signed):
    graph, arithmetic, x, w, guesses = words(name, Operand(4, signed), Operand(3, True))
    ends = [equals_product(graph, arithmetic, x, w, chain[-1]) for chain in guesses]
    assert any(ends)
    # Booth's digits of a number without a sign lack its highest one.
    assert all(ends) or not signed
    wrong = [guesses[0][-1][0] ^ 1, *guesses[0][-1][1:]]
    assert not equals_product(graph, arithmetic, x, w, wrong)


def test_a_chain_holds_what_the_highest_digits_make():
    graph, arithmetic, x, w, (plain, *_) = words("bit_serial", Operand(4, True), Operand(3, True))
    for a, b in np.ndindex(16, 8):
        model = {bit >> 1: bool(value >> index & 1) for word, value in ((x, a), (w, b))
                 for index, bit in enumerate(word)}
        signed = a - 16 * (a > 7), b - 8 * (b > 3)
        for phase, word in enumerate(plain):
            shown = sum(bit << index for index, bit in enumerate(graph.evaluate(word, model)))
            assert shown == (signed[0] >> 3 - phase) * signed[1] % 128


def test_the_guess_is_chosen_by_random_operands():
    graph, _, x, w, guesses = words("bit_serial", Operand(4, True), Operand(4, True))
    assert matching(graph, TRUE, guesses[1], guesses) is guesses[1]
    nothing = [[0] * 8] * 4
    assert matching(graph, TRUE, nothing, guesses) is None
