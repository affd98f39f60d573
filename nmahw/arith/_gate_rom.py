"""The table of the smooth multiplication gate: what its four neurons read, and how wrong it is.

A `GateRom` holds the nonlinearity at the bias point plus k steps of lambda, k = -reach..reach, as
integers, scaled so that the gate's output scale is a shift. It comes from a function known in
closed form (`sampled`) or from a table that somebody gives (`tabled`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN
from fractions import Fraction
from functools import lru_cache
from numbers import Integral, Real

import numpy as np

from ..errors import ModelError
from ..tensor import bits_for_range
from ._nonlinearity import CONTEXT, Nonlinearity

__all__ = ["GateRom", "sampled", "sampled_error", "step_log2", "tabled"]


@dataclass(frozen=True)
class GateRom:
    """Entries and output scale.

    Attributes
    ----------
    entries : tuple of int
        By argument k, from -reach to reach.
    shift : int
        The sum of the four neurons is ``2^shift`` products; negative if it is less than one.
    error : float
        Bound of ``|sum / 2^shift - x w|``, before the result is rounded to an integer.
    """

    entries: tuple[int, ...]
    shift: int
    error: float

    @property
    def reach(self) -> int:
        """Largest argument."""
        return len(self.entries) // 2


def _entry(t: Nonlinearity, lambda_log2: int, k: int, fraction_bits: int) -> int:
    """``2^fraction_bits t(b + k lambda)``, rounded."""
    argument = CONTEXT.add(t.bias, CONTEXT.multiply(k, CONTEXT.power(2, lambda_log2)))
    scaled = CONTEXT.multiply(t.exactly(argument), CONTEXT.power(2, fraction_bits))
    return int(scaled.to_integral_value(ROUND_HALF_EVEN, context=CONTEXT))


@lru_cache(maxsize=4096)
def _fraction_bits(t: Nonlinearity, lambda_log2: int, entry_bits: int, reach: int) -> int:
    """The most bits after the point that leave the largest entry in `entry_bits` bits."""
    # All nonlinearities in closed form are positive and rise.
    largest = t.exactly(CONTEXT.add(t.bias, CONTEXT.multiply(reach, CONTEXT.power(2, lambda_log2))))
    bits = entry_bits - math.floor(math.log2(largest))
    while _entry(t, lambda_log2, reach, bits) >= 1 << entry_bits:
        bits -= 1
    return bits


def _sampled_shift(t: Nonlinearity, lambda_log2: int, entry_bits: int, reach: int) -> int:
    # 4 lambda^2 t''(b), in entries' units.
    return (2 + 2 * lambda_log2 + t.second_derivative_log2
            + _fraction_bits(t, lambda_log2, entry_bits, reach))


def sampled_error(t: Nonlinearity, lambda_log2: int, entry_bits: int, largest_x: int,
                  largest_w: int) -> float:
    """Bound of a sampled table's error; the derivation is in `nmahw.arith.gate`.

    Parameters
    ----------
    t : Nonlinearity
    lambda_log2, entry_bits : int
    largest_x, largest_w : int
        Largest magnitudes of the operands.
    """
    step, reach = 2.0 ** lambda_log2, largest_x + largest_w
    fourth = t.fourth_derivative_bound(step * reach) / 2.0 ** t.second_derivative_log2
    taylor = fourth * step**2 * largest_x * largest_w * (largest_x**2 + largest_w**2) / 6
    rounding = 4 * 0.5 * 2.0 ** -_sampled_shift(t, lambda_log2, entry_bits, reach)
    # A hair more than the sum, for the rounding of this very calculation.
    return (taylor + rounding) * (1 + 1e-12)


@lru_cache(maxsize=64)
def sampled(t: Nonlinearity, lambda_log2: int, entry_bits: int, largest_x: int,
            largest_w: int) -> GateRom:
    """Table of a function in closed form; parameters as in `sampled_error`."""
    reach = largest_x + largest_w
    fraction_bits = _fraction_bits(t, lambda_log2, entry_bits, reach)
    return GateRom(tuple(_entry(t, lambda_log2, k, fraction_bits)
                         for k in range(-reach, reach + 1)),
                   _sampled_shift(t, lambda_log2, entry_bits, reach),
                   sampled_error(t, lambda_log2, entry_bits, largest_x, largest_w))


def tabled(values: Sequence[float], entry_bits: int, reach: int) -> GateRom:
    """Table given by somebody.

    Parameters
    ----------
    values : sequence of numbers
        t at the bias point plus k steps, k = -reach..reach. Integers only: the entries as they
        are; otherwise scaled and rounded to `entry_bits` bits.
    entry_bits : int
    reach : int

    Raises
    ------
    ModelError
        Wrong length, something else than finite numbers, integers that are too wide, or a second
        derivative at the bias point that is zero or lost in the table's rounding.
    """
    if len(values) != 2 * reach + 1:
        raise ModelError(f"table must have {2 * reach + 1} entries (arguments -{reach}..{reach} "
                         f"steps from the bias point), not {len(values)}")
    for k, value in enumerate(values, start=-reach):
        if isinstance(value, bool) or not isinstance(value, Real) or not abs(value) < 2**62:
            raise ModelError(f"table entries must be numbers below 2^62, not {value!r} at "
                             f"argument {k}")
    whole = all(isinstance(value, Integral) for value in values)
    curvature = _curvature(np.array(values, dtype=np.float64))
    largest = max(abs(value) for value in values)
    resolution = 1.0 if whole else largest * 2.0 ** -entry_bits
    if abs(curvature) * reach**2 <= resolution:
        raise ModelError(f"t'' must not be zero at the bias point: of {entry_bits}-bit entries, "
                         f"t(b+u) + t(b-u) - 2 t(b) is {curvature * reach**2:.3g} at the table's "
                         f"ends, and one unit is {resolution:.3g}")
    # 4 curvature scale = 2^shift. A table that bends downwards is kept negated.
    shift = round(math.log2(4 * abs(curvature)))
    if whole:
        entries = [int(value) * (1 if curvature > 0 else -1) for value in values]
        low, high = min(entries), max(entries)
        if bits_for_range(low, high) > entry_bits:
            raise ModelError(f"table entries must fit {entry_bits} bits, not reach from {low} to "
                             f"{high}")
    else:
        some_negative = any(value * curvature < 0 for value in values)
        limit = (1 << (entry_bits - some_negative)) - 1
        shift = math.floor(math.log2(limit / largest * 4 * abs(curvature)))
        scale = 2.0 ** shift / (4 * curvature)
        entries = [round(value * scale) for value in values]
    return GateRom(tuple(entries), shift, _residual(entries, shift))


def step_log2(arguments: Sequence[float], count: int) -> int:
    """Binary logarithm of the step between arguments.

    Raises
    ------
    ModelError
        They are not `count` numbers that rise by the same power of two.
    """
    try:
        arguments = np.asarray(arguments, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError("table arguments must be numbers") from None
    if arguments.shape != (count,):
        raise ModelError(f"table must have an argument for each of its {count} entries, not "
                         f"{arguments.size}")
    if count < 2 or not np.isfinite(arguments).all():
        raise ModelError("table arguments must be two or more finite numbers")
    steps = np.diff(arguments)
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0))
        raise ModelError(f"table arguments must rise, not go from {arguments[at]:g} to "
                         f"{arguments[at + 1]:g}")
    lambda_log2 = round(math.log2(steps.mean()))
    wrong = np.abs(steps - 2.0 ** lambda_log2) > 2.0 ** lambda_log2 * 1e-3
    if wrong.any():
        raise ModelError(f"table arguments must rise by the same power of two everywhere, not by "
                         f"{steps[int(np.argmax(wrong))]:g} after {arguments[np.argmax(wrong)]:g}")
    return lambda_log2


def _curvature(values: np.ndarray) -> float:
    """lambda^2 t'' at the middle, from the even part's best fit by powers 2, 4 and 6 of k."""
    reach = len(values) // 2
    even = values[reach + 1:] + values[reach - 1::-1] - 2 * values[reach]
    k = np.arange(1, reach + 1) / reach
    powers = np.stack([k**2, k**4, k**6], axis=1)
    return float(np.linalg.lstsq(powers, even)[0][0]) / reach**2


def _residual(entries: Sequence[int], shift: int) -> float:
    """How far sums over the table can be from products.

    With ``e(k) = T(k) + T(-k)`` the gate gives ``e(x+w) - e(x-w)``, and right would be
    ``2^shift x w``, which is the same difference of ``2^shift k^2 / 4``. So the error is a
    difference of two residuals, of arguments that are both even or both odd.
    """
    reach = len(entries) // 2
    unit = Fraction(2) ** shift
    residuals = [entries[reach + k] + entries[reach - k] - unit * k * k / 4
                 for k in range(reach + 1)]
    return float(max(max(part) - min(part) for part in (residuals[::2], residuals[1::2])) / unit)
