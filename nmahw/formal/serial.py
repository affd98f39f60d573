"""What serial arithmetics hold between a step's phases: stepping stones of their proofs.

Two multipliers of different structure are what SAT solvers find hardest to compare. An arithmetic
that takes a digit of one operand a phase is compared phase by phase instead: after each, its value
is guessed to be the product of the other operand with the digits so far. A guess is a chain of
additions, one of them a phase, and chosen among a few by random operands. Nothing rests on it but
the solver's time: each stone is proved from the one before, and the last one is compared with all
products.
"""

import random
from collections.abc import Sequence

import numpy as np

from ..arith import Arithmetic
from .aig import FALSE, Graph, Word

__all__ = ["chains", "equals_product", "matching"]

_SAMPLES = 24


def chains(graph: Graph, arithmetic: Arithmetic, x: Word, w: Word, width: int) -> list[list[Word]]:
    """Guesses: for each a word a phase, the last one being the product of `x` and `w`.

    Either operand's digits, the highest one first; plain or, as Booth's, each with a sign and
    the bit below it.
    """
    phases = arithmetic.phases(arithmetic.activation)
    operands = [(x, arithmetic.activation.signed), (w, arithmetic.weight.signed)]
    return [_chain(graph, serial, other, phases, is_booth, width)
            for serial, other in (operands, operands[::-1]) for is_booth in (False, True)
            if phases > 1 and len(serial[0]) >= phases]


def _chain(graph: Graph, serial: tuple[Word, bool], other: tuple[Word, bool], phases: int,
           is_booth: bool, width: int) -> list[Word]:
    digits = -(-len(serial[0]) // phases)
    bits = _extended(*serial, digits * phases)
    term = _extended(*other, width)
    total, shown = [FALSE] * width, []
    for phase in range(phases):
        low = digits * (phases - 1 - phase)
        total = ([FALSE] * digits + total)[:width]
        for index in range(digits):
            is_sign = index == digits - 1 and (is_booth or serial[1] and phase == 0)
            total = _plus(graph, total, ([FALSE] * index + term)[:width], bits[low + index],
                          is_sign)
        if is_booth and low:
            total = _plus(graph, total, term, bits[low - 1], False)
        shown.append(total)
    return shown


def _extended(word: Word, signed: bool, width: int) -> Word:
    return [*word, *[word[-1] if signed else FALSE] * width][:max(width, len(word))]


def _plus(graph: Graph, total: Word, term: Word, gate: int, negative: bool) -> Word:
    """``total`` plus or minus ``term`` if ``gate``."""
    term = [graph.and_(bit, gate) for bit in term]
    if not negative:
        return graph.add(total, term)
    return [bit ^ 1 for bit in graph.add([bit ^ 1 for bit in total], term)]


def matching(graph: Graph, condition: int, values: Sequence[Word],
             guesses: Sequence[Sequence[Word]]) -> Sequence[Word] | None:
    """The guess that random inputs do not tell from `values`, if there is one."""
    rng = random.Random(0)
    roots = [condition, *(bit for words in (values, *guesses) for word in words for bit in word)]
    inputs = [variable for variable in graph.cone(roots) if graph.operands[variable] is None]
    alive = list(guesses)
    for _ in range(_SAMPLES):
        model = {variable: bool(rng.getrandbits(1)) for variable in inputs}
        if not graph.evaluate([condition], model)[0]:
            continue
        shown = [graph.evaluate(word, model) for word in values]
        alive = [guess for guess in alive
                 if [graph.evaluate(word, model) for word in guess] == shown]
    return alive[0] if alive else None


def equals_product(graph: Graph, arithmetic: Arithmetic, x: Word, w: Word, word: Word) -> bool:
    """Whether `word` is the product of `x` and `w` for all operands, by trying them."""
    a = arithmetic
    values = [np.array(operand.values, dtype=np.int64) for operand in (a.activation, a.weight)]
    pairs = [part.ravel() for part in np.meshgrid(*values, indexing="ij")]
    known = {0: np.zeros(len(pairs[0]), dtype=bool)}
    for bits, operand in zip((x, w), pairs, strict=True):
        for index, literal in enumerate(bits):
            known[literal >> 1] = (operand >> index & 1).astype(bool)
    for variable in graph.cone(word):
        if variable not in known:
            first, second = (known[literal >> 1] ^ bool(literal & 1)
                             for literal in graph.operands[variable])
            known[variable] = first & second
    return all(np.array_equal(known[literal >> 1] ^ bool(literal & 1),
                              (pairs[0] * pairs[1] >> index & 1).astype(bool))
               for index, literal in enumerate(word))
