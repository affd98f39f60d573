"""Integers as sums of signed powers of two, as few as possible (Reitwiesner 1960).

The factors of a `channel_scale` in this form are what the way out is built of: a *term* is a
shifter and an adder that every channel goes through, each with its own shift and sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MAX_TERMS", "Term", "signed_digits", "terms_of"]

#: Terms that the way out can have.
MAX_TERMS = 2


def signed_digits(value: int) -> list[tuple[int, int]]:
    """Shift and sign of every term of `value`, the largest first; no two shifts are neighbours."""
    digits, shift = [], 0
    while value:
        if value & 1:
            sign = 2 - (value & 3)
            digits.append((shift, sign))
            value -= sign
        value >>= 1
        shift += 1
    return digits[::-1]


@dataclass(frozen=True)
class Term:
    """One term of all channels.

    Attributes
    ----------
    shifts : tuple of int
        Of each channel.
    signs : tuple of int
        -1, 0 (the channel has no such term) or 1.
    """

    shifts: tuple[int, ...]
    signs: tuple[int, ...]


def terms_of(factors: Sequence[int]) -> tuple[Term, ...]:
    """Terms for the factors of all channels; none if every factor is 1.

    Parameters
    ----------
    factors : sequence of int
        Each a sum of at most `MAX_TERMS` signed powers of two.
    """
    if set(factors) == {1}:
        return ()
    digits = [signed_digits(factor) for factor in factors]
    assert max(map(len, digits)) <= MAX_TERMS
    # A lone power of two goes where its shift is needed anyway.
    needed = [{d[term][0] for d in digits if len(d) == MAX_TERMS} for term in range(MAX_TERMS)]
    if not needed[1]:
        needed = needed[:1]
    columns: list[list[tuple[int, int]]] = [[] for _ in needed]
    for channel in digits:
        if len(channel) == 1:
            shift = channel[0][0]
            place = next((n for n, shifts in enumerate(needed) if shift in shifts), 0)
            needed[place].add(shift)
            channel = [channel[0] if n == place else None for n in range(len(needed))]
        for n, column in enumerate(columns):
            column.append(channel[n] if n < len(channel) else None)
    terms = []
    for column in columns:
        # Any shift will do where there is no such term: one that others have.
        spare = min((digit[0] for digit in column if digit), default=0)
        column = [digit or (spare, 0) for digit in column]
        terms.append(Term(*zip(*column, strict=True)))
    return tuple(terms)
