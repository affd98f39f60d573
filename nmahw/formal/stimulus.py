"""Steps for a column as tests drive it: which operands, in which cycle, with which values."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..arith import Arithmetic

__all__ = ["Stimulus", "stimulus"]

#: Pairs of operands that are all tried; of more, as many are taken at random.
MOST_PAIRS = 1024


@dataclass(frozen=True)
class Stimulus:
    """Steps one after the other, without a gap.

    Attributes
    ----------
    arithmetic : Arithmetic
    x, w : int64 array (steps, rows, taps)
    used : bool array (steps, rows, taps)
    active : bool array (steps, rows)
    """

    arithmetic: Arithmetic
    x: np.ndarray
    w: np.ndarray
    used: np.ndarray
    active: np.ndarray

    def values(self) -> list[int]:
        """What each step's value must be, by golden model and offsets."""
        a = self.arithmetic
        terms = np.where(self.used & self.active[..., None], a.compute(self.x, self.w), 0)
        values = terms.sum(axis=(1, 2), dtype=np.int64)
        for index in np.ndindex(self.active.shape):
            if self.active[index]:
                weights = self.w[index][self.used[index]][:, None]
                if a.holds_weights:
                    # Their codes are of all taps together; unused ones have weight 0.
                    weights = np.where(self.used[index], self.w[index], 0)[:, None]
                if len(weights):
                    values[index[0]] += int(a.step_offset(weights, a.activation)[0])
        return [int(value) for value in values]

    def cycles(self) -> Iterator[tuple[dict[str, int], int | None]]:
        """For each cycle, a step circuit's inputs and the step whose value it shows, if any."""
        a = self.arithmetic
        if not a.holds_weights:
            yield from self._cycles(0, len(self.x))
            return
        begin = 0
        codes = a.encode_weights(np.where(self.used, self.w, 0), self.used)
        while begin < len(self.x):
            # Steps with the same codes follow one another; before them, these are loaded.
            end = begin + 1
            while end < len(self.x) and (codes[end] == codes[begin]).all():
                end += 1
            yield from self._load(codes[begin])
            yield from self._cycles(begin, end)
            begin = end

    def _load(self, codes: np.ndarray) -> Iterator[tuple[dict[str, int], None]]:
        """One row after the other gets its weights, while none is active."""
        a = self.arithmetic
        rows = len(codes)
        for cycle in range(rows * a.load_cycles + a.load_latency_cycles):
            inputs = {"load_step": cycle % a.load_cycles}
            row = min(max(cycle - a.load_code_latency_cycles, 0) // a.load_cycles, rows - 1)
            inputs["load_code"] = int(codes[row])
            row, step = divmod(cycle - a.load_latency_cycles, a.load_cycles)
            inputs |= {f"load{number}": int(number == row) for number in range(rows)}
            yield inputs | {"element_load_step": step}, None

    def _cycles(self, begin: int, end: int) -> Iterator[tuple[dict[str, int], int | None]]:
        """Steps of `begin` to before `end`, until the last one's value is shown."""
        a = self.arithmetic
        steps, rows = end - begin, self.x.shape[1]
        phases = a.phases(a.activation)
        mask = (1 << a.activation.bits) - 1
        part = slice(begin, end)
        codes = a.encode_weights(np.where(self.used[part], self.w[part], 0), self.used[part])
        to_psum = a.row_latency_cycles + rows - 1 + a.latency_cycles
        to_value = to_psum + a.column_latency_cycles
        for cycle in range(to_value + steps * phases):
            inputs = {}
            for row in range(rows):
                step, phase = divmod(min(max(cycle - row, 0), steps * phases - 1), phases)
                inputs |= {
                    f"activations{row}": sum((int(x) & mask) << (tap * a.activation.bits)
                                             for tap, x in enumerate(self.x[begin + step, row])),
                    f"active{row}": int(self.active[begin + step, row]),
                    f"phase{row}": phases - 1 - phase}
                step = (cycle - row - a.row_latency_cycles) // phases
                if a.holds_weights:
                    inputs[f"load{row}"] = 0
                else:
                    inputs[f"code{row}"] = int(codes[min(max(step, 0), steps - 1), row])
            phase = (cycle - to_psum) % phases
            inputs |= {"first": int(phase == 0), "last": int(phase == phases - 1)}
            step, phase = divmod(cycle - to_value, phases)
            shown = 0 <= step and phase == phases - 1
            yield inputs, begin + step if shown else None


def stimulus(arithmetic: Arithmetic, rows: int = 2, seed: int = 0) -> Stimulus:
    """Every activation with every weight that has a code, at every row, in random company.

    Some taps are unused and some rows not active, their operands arbitrary. Where weights are held,
    they stay for as many steps as there are activations, but no more than 32.

    Parameters
    ----------
    arithmetic : Arithmetic
    rows : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    x = np.array(arithmetic.activation.values, dtype=np.int64)
    w = np.array(arithmetic.weight.values, dtype=np.int64)
    w = w[arithmetic.project(w) == w]
    # Held weights stay for many steps: so many more of these.
    held = arithmetic.holds_weights
    count = MOST_PAIRS // 2 if held else min(len(x) * len(w), MOST_PAIRS)
    pairs = np.stack([
        rng.choice(len(x) * len(w), count, replace=held)
        for _ in range(rows * arithmetic.taps)], axis=1).reshape(count, rows, arithmetic.taps)
    # Once more with rows and taps that do not count.
    again = rng.permutation(count)[:max(count // 2, 16)] % count
    pairs = np.concatenate([pairs, pairs[again]])
    used, active = np.ones(pairs.shape, dtype=bool), np.ones(pairs.shape[:2], dtype=bool)
    used[count:] = rng.random(used[count:].shape) < 0.5
    active[count:] = rng.random(active[count:].shape) < 0.5
    given = Stimulus(arithmetic, x[pairs // len(w)], w[pairs % len(w)], used, active)
    return _in_blocks(given, rng) if held else given


def _in_blocks(given: Stimulus, rng: np.random.Generator) -> Stimulus:
    """The same with weights, and which taps are used, that stay for a while."""
    length = min(len(given.arithmetic.activation.values), 32)
    first = np.arange(len(given.x)) // length * length
    # Every activation occurs in every block, if there are not too many.
    x = np.array(given.arithmetic.activation.values, dtype=np.int64)
    orders = [rng.permuted(np.resize(x, (*given.x.shape[1:], length)), axis=2)
              for _ in range(-(-len(given.x) // length))]
    activations = np.concatenate([order.transpose(2, 0, 1) for order in orders])[:len(given.x)]
    return replace(given, x=activations, w=given.w[first], used=given.used[first])
