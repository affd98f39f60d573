"""An arithmetic's weight codes and step offsets as words of a graph.

Both are defined in numpy. Here they become tables, and what the tables rest on is checked: that
each tap's weight has a field of its own in the code and adds its own part to the offset, or, where
taps have a code together, that an unused tap is one of weight 0.
"""

from collections.abc import Sequence

import numpy as np

from ..arith import Arithmetic, Operand
from ..errors import ModelError
from .aig import FALSE, Graph, Word

__all__ = ["MOST_JOINT_BITS", "Encoding"]

#: Weight bits of one element, where its taps have a code together: all of them are listed.
MOST_JOINT_BITS = 20
#: Bits of one weight: all of them are listed.
MOST_WEIGHT_BITS = 16
_SAMPLES = 4096


class Encoding:
    """Tables of one arithmetic.

    Parameters
    ----------
    arithmetic : Arithmetic

    Attributes
    ----------
    weights : int64 array
        All weights, the lowest first.
    has_code : bool array
        Which of them have a code.
    joint : bool
        Whether an element's taps have a code, or an offset, together.

    Raises
    ------
    ModelError
        The encoding is beyond these tables; the message says how.
    """

    def __init__(self, arithmetic: Arithmetic):
        if arithmetic.weight.bits > MOST_WEIGHT_BITS:
            raise ModelError(f"{arithmetic} must have weights of at most {MOST_WEIGHT_BITS} bits "
                             f"to be proved or mutated, not {arithmetic.weight.bits}")
        self.arithmetic = arithmetic
        self.weights = np.array(arithmetic.weight.values, dtype=np.int64)
        self.has_code = arithmetic.project(self.weights) == self.weights
        known = np.where(self.has_code, self.weights, 0)
        # Tables are addressed by bit patterns: the negative weights behind the others.
        self._known = np.roll(known, arithmetic.weight.low)
        self.unused_code = self._encode(np.zeros((1, arithmetic.taps), dtype=np.int64), False)[0]
        self._fields = [self._tap_codes(tap) for tap in range(arithmetic.taps)]
        self._tap_offsets = np.asarray(arithmetic.step_offset(self._known[None],
                                                              arithmetic.activation))
        self.joint = not self._separate()
        if self.joint:
            self._join()

    def _encode(self, weights: np.ndarray, used: np.ndarray | bool) -> list[int]:
        used = np.broadcast_to(used, weights.shape)
        return [int(code) for code in self.arithmetic.encode_weights(
            np.where(used, weights, 0), used)]

    def _tap_codes(self, tap: int) -> np.ndarray:
        """What each weight of one tap changes in the unused code."""
        weights = np.zeros((len(self._known), self.arithmetic.taps), dtype=np.int64)
        weights[:, tap] = self._known
        used = np.arange(self.arithmetic.taps) == tap
        return np.array([code ^ self.unused_code for code in self._encode(weights, used)],
                        dtype=object)

    def _separate(self) -> bool:
        """Whether codes and offsets of random weights are made of what each tap gives alone."""
        a = self.arithmetic
        rng = np.random.default_rng(0)
        picked = rng.integers(0, len(self._known), (_SAMPLES, a.taps))
        used = rng.random(picked.shape) < 0.8
        for row, code in enumerate(self._encode(self._known[picked], used)):
            for tap in np.flatnonzero(used[row]):
                code ^= self._fields[tap][picked[row, tap]]
            if code != self.unused_code:
                return False
        offsets = a.step_offset(self._known[picked].T, a.activation)
        return bool((offsets == self._tap_offsets[picked].sum(axis=1)).all())

    def _join(self) -> None:
        a = self.arithmetic
        bits = a.taps * a.weight.bits
        if bits > MOST_JOINT_BITS:
            raise ModelError(f"{a} must have at most {MOST_JOINT_BITS} bits of weights an element "
                             f"to be proved, not {bits}: its taps have a code together")
        index = np.arange(1 << bits)
        mask = (1 << a.weight.bits) - 1
        self._patterns = np.stack([self._known[index >> (tap * a.weight.bits) & mask]
                                   for tap in range(a.taps)], axis=1)
        codes = a.encode_weights(self._patterns, np.ones(self._patterns.shape, dtype=bool))
        self._joint_codes = codes if a.weight_code_bits > 62 else codes.astype(np.int64)
        rng = np.random.default_rng(0)
        picked = self._patterns[rng.integers(0, len(index), _SAMPLES)]
        used = rng.random(picked.shape) < 0.8
        if self._encode(picked, used) != self._encode(np.where(used, picked, 0), True):
            raise ModelError(f"{a} must have the code of weight 0 for unused taps to be proved")

    # Words.

    def admissible(self, graph: Graph, w: Word) -> int:
        """Literal that holds when a weight has a code."""
        return graph.table(w, np.roll(self.has_code, self.arithmetic.weight.low), 1)[0]

    def code(self, graph: Graph, w: Sequence[Word], used: Sequence[int]) -> Word:
        """Weight code of an element."""
        width = self.arithmetic.weight_code_bits
        if self.joint:
            return graph.table(self._index(graph, w, used), self._joint_codes, width)
        code = graph.constant(self.unused_code, width)
        for fields, word, gate in zip(self._fields, w, used, strict=True):
            field = graph.table(word, fields, width)
            code = [graph.xor(c, graph.and_(f, gate)) for c, f in zip(code, field, strict=True)]
        return code

    def offset(self, graph: Graph, w: Sequence[Word], used: Sequence[int], width: int,
               activation: Operand | None = None) -> Word:
        """Step offset of an element, of all activations or of those that span `activation`."""
        activation = activation or self.arithmetic.activation
        if self.joint:
            offsets = self.arithmetic.step_offset(self._patterns.T, activation)
            return graph.table(self._index(graph, w, used), offsets, width)
        total = graph.constant(0, width)
        for word, gate in zip(w, used, strict=True):
            part = graph.table(word, self._tap_offsets, width)
            total = graph.add(total, [graph.and_(bit, gate) for bit in part])
        return total

    def _index(self, graph: Graph, w: Sequence[Word], used: Sequence[int]) -> Word:
        return [graph.and_(bit, gate) if gate != FALSE else FALSE
                for word, gate in zip(w, used, strict=True) for bit in word]
