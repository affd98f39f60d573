"""What sharing products could save: a model in additions, of engines that only add and shift.

*Unshared.* Every weight is a signed-digit constant (canonical: no two digits side by side). A
product with it takes one addition for each digit but the first, and one more accumulates it:
``digits(w)`` additions for every MAC whose weight (and activation, where it is known) is not zero.

*Shared.* A unit at the array's edge makes of each activation every odd multiple that some weight
needs, each by one adder from two that it has (`adder_graph`); shifts and signs are wires. Every MAC
then is one addition: ``MACs + activations x adders``.

The gain is the quotient of the two. It is bounded: with all products for free the MACs' own
additions remain, so it never exceeds the mean number of digits. Widths, multiplexers and memories
are not in the model; they are what a measurement has to add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from ..signed_digits import signed_digits

__all__ = ["Sharing", "adder_graph", "odd_multiples", "sharing", "signed_digit_counts"]


def signed_digit_counts(weights: np.ndarray) -> np.ndarray:
    """Non-zero digits of each weight's canonical signed-digit form (0 for 0)."""
    size = np.abs(np.asarray(weights, dtype=np.int64))
    # 3 n and n differ exactly where the canonical form of n has digits.
    return _ones((3 * size) ^ size)


def _ones(values: np.ndarray) -> np.ndarray:
    count = np.zeros(values.shape, dtype=np.int64)
    while values.any():
        count += values & 1
        values = values >> 1
    return count


def _odd(value: int) -> int:
    return value // (value & -value) if value else 0


def odd_multiples(weights: np.ndarray) -> list[int]:
    """Odd multiples above 1 that weights need, rising."""
    return sorted({_odd(abs(int(w))) for w in np.unique(weights)} - {0, 1})


def _reached(target: int, made: set[int]) -> bool:
    """Whether one addition of shifted multiples makes `target`."""
    return any(_odd(abs(target - a)) in made or _odd(target + a) in made for a in made)


def adder_graph(multiples: list[int]) -> list[int]:
    """Odd multiples in an order in which each takes one adder; helpers are among them.

    An adder makes one new odd multiple, so no unit has fewer adders than there are multiples;
    helpers are only added where none of those left can be reached. Greedy: not always the least.

    Parameters
    ----------
    multiples : list of int
        Odd, above 1.

    Raises
    ------
    ModelError
        A multiple is even or below 3.
    """
    if any(n < 3 or n % 2 == 0 for n in multiples):
        raise ModelError(f"multiples must be odd and above 1, not {multiples}")
    made, order, left = {1}, [], sorted(set(multiples))
    while left:
        ready = next((n for n in left if _reached(n, made)), None)
        if ready is None:
            ready = _helper(left, made)
        else:
            left.remove(ready)
        made.add(ready)
        order.append(ready)
    return order


def _helper(left: list[int], made: set[int]) -> int:
    """The multiple, one addition away, with which most of those left can be reached."""
    bits = left[-1].bit_length() + 1
    near = {n for a in made for b in made for k in range(1, bits)
            for n in (a + (b << k), abs(a - (b << k))) if n < 1 << bits} - made
    best = max(sorted(near), key=lambda n: sum(_reached(m, made | {n}) for m in left))
    if any(_reached(m, made | {best}) for m in left):
        return best
    # Two or more additions away: begin with the first of them by signed digits.
    digits = [sign << shift for shift, sign in signed_digits(left[0])]
    # Leading digits, two at first, then one more each time, until it is new.
    for count in range(2, len(digits)):
        candidate = _odd(abs(sum(digits[:count])))
        if candidate not in made:
            return candidate
    raise AssertionError("a multiple with two digits left is one addition away")


@dataclass(frozen=True)
class Sharing:
    """The model's figures for one layer and one image.

    Attributes
    ----------
    adders : int
        Of the edge unit, which serves all of the layer's weights.
    multiples : int
        Odd multiples above 1 that they need: the least number of adders.
    macs : float
        Multiply-accumulate steps with neither operand zero.
    unshared, shared : float
        Additions.
    """

    adders: int
    multiples: int
    macs: float
    unshared: float
    shared: float

    @property
    def gain(self) -> float:
        """Unshared by shared; 1 for a layer without additions."""
        return self.unshared / self.shared if self.shared else 1.0


def sharing(weights: np.ndarray, uses: np.ndarray, activations: np.ndarray) -> Sharing:
    """Additions with and without sharing.

    Parameters
    ----------
    weights : integer array (out_channels, channels, kernel height, kernel width)
    uses : real array (channels, kernel height, kernel width)
        How many activations each tap meets in an image (zero ones left out, if they are known).
    activations : real array (channels,)
        How many activations of each channel are not left out.

    Raises
    ------
    ModelError
        Weights that are no integers, or shapes that do not fit.
    """
    weights, uses, activations = map(np.asarray, (weights, uses, activations))
    if weights.dtype.kind not in "iu":
        raise ModelError(f"weights must be integers, not {weights.dtype}")
    if weights.ndim != 4 or uses.shape != weights.shape[1:] \
            or activations.shape != weights.shape[1:2]:
        raise ModelError(f"uses and activations must be of shapes {weights.shape[1:]} and "
                         f"{weights.shape[1:2]}, not {uses.shape} and {activations.shape}")
    multiples = odd_multiples(weights)
    macs = float(((weights != 0).sum(axis=0) * uses).sum())
    made = sum(len(adder_graph(odd_multiples(weights[:, c]))) * activations[c]
               for c in range(weights.shape[1]))
    return Sharing(len(adder_graph(multiples)), len(multiples), macs,
                   float((signed_digit_counts(weights).sum(axis=0) * uses).sum()),
                   macs + float(made))
