"""Steps for a column as tests drive it: which operands, in which cycle, with which values."""

from collections.abc import Iterator
from dataclasses import dataclass

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
                if len(weights):
                    values[index[0]] += int(a.step_offset(weights, a.activation)[0])
        return [int(value) for value in values]

    def cycles(self) -> Iterator[tuple[dict[str, int], int | None]]:
        """For each cycle, a step circuit's inputs and the step whose value it shows, if any."""
        a = self.arithmetic
        steps, rows, taps = self.x.shape
        phases = a.phases(a.activation)
        mask = (1 << a.activation.bits) - 1
        codes = a.encode_weights(np.where(self.used, self.w, 0), self.used)
        to_psum = a.row_latency_cycles + rows - 1 + a.latency_cycles
        to_value = to_psum + a.column_latency_cycles
        for cycle in range(to_value + steps * phases):
            inputs = {}
            for row in range(rows):
                step, phase = divmod(min(max(cycle - row, 0), steps * phases - 1), phases)
                inputs |= {
                    f"activations{row}": sum((int(x) & mask) << (tap * a.activation.bits)
                                             for tap, x in enumerate(self.x[step, row])),
                    f"active{row}": int(self.active[step, row]),
                    f"phase{row}": phases - 1 - phase}
                step = (cycle - row - a.row_latency_cycles) // phases
                inputs[f"code{row}"] = int(codes[min(max(step, 0), steps - 1), row])
            phase = (cycle - to_psum) % phases
            inputs |= {"first": int(phase == 0), "last": int(phase == phases - 1)}
            step, phase = divmod(cycle - to_value, phases)
            yield inputs, step if step >= 0 and phase == phases - 1 else None


def stimulus(arithmetic: Arithmetic, rows: int = 2, seed: int = 0) -> Stimulus:
    """Every activation with every weight that has a code, at every row, in random company.

    Some taps are unused and some rows not active, their operands arbitrary.

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
    count = min(len(x) * len(w), MOST_PAIRS)
    pairs = np.stack([
        rng.choice(len(x) * len(w), count, replace=False)
        for _ in range(rows * arithmetic.taps)], axis=1).reshape(count, rows, arithmetic.taps)
    # Once more with rows and taps that do not count.
    again = rng.permutation(count)[:max(count // 2, 16)] % count
    pairs = np.concatenate([pairs, pairs[again]])
    used, active = np.ones(pairs.shape, dtype=bool), np.ones(pairs.shape[:2], dtype=bool)
    used[count:] = rng.random(used[count:].shape) < 0.5
    active[count:] = rng.random(active[count:].shape) < 0.5
    return Stimulus(arithmetic, x[pairs // len(w)], w[pairs % len(w)], used, active)
