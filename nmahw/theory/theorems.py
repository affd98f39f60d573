"""The theorems of the NMA paper, section 5: as printed, as corrected, and by brute force.

One map X of Hx x Wx pixels, one f x f kernel K, stride 1, no padding; Hy = Hx - f + 1. A *field* is
the set of pixels that a tap of the kernel is multiplied with. All functions take plain arrays (Hx,
Wx) and (f, f) and return counts of multiplications. The inclusion-exclusion sums run over all
subsets of equal values, as printed: they are for small cases. `docs/theory.md` has the proofs.
"""

import itertools
from collections import Counter
from dataclasses import dataclass
from math import comb

import numpy as np

from ..errors import ModelError
from ._fields import axis_blocks

__all__ = ["Bounds", "brute_force", "maximal_repeats", "minimal_repeats", "repeats_from_counts",
           "repeats_of_taps", "theorem2", "theorem3", "theorem3_bounds",
           "theorem3_bounds_of_counts",
           "theorem3_printed", "theorem3_printed_bounds", "theorem4", "theorem4_printed",
           "union_of_fields"]

#: Most equal values whose subsets the printed sums may run over.
LARGEST_TUPLE = 16


@dataclass(frozen=True)
class Bounds:
    """Least and greatest number of repeated multiplications R."""

    low: int
    high: int

    def __contains__(self, repeats: int) -> bool:
        return self.low <= repeats <= self.high


def _checked(x: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, int]:
    x, kernel = np.asarray(x), np.asarray(kernel)
    if x.ndim != 2 or kernel.ndim != 2 or not x.size or not kernel.size:
        raise ModelError(f"map and kernel must be non-empty with two axes, not of shapes "
                         f"{x.shape} and {kernel.shape}")
    height, width = (n - f + 1 for n, f in zip(x.shape, kernel.shape, strict=True))
    if height < 1 or width < 1:
        raise ModelError(f"kernel must not be larger than its map, {x.shape}, not {kernel.shape}")
    return x, kernel, height, width


def brute_force(x: np.ndarray, kernel: np.ndarray) -> int:
    """Different pairs (pixel value, weight value) that a convolution multiplies, one by one."""
    x, kernel, height, width = _checked(x, kernel)
    return len({(x[i + a, j + b].item(), kernel[a, b].item())
                for i in range(height) for j in range(width)
                for a in range(kernel.shape[0]) for b in range(kernel.shape[1])})


def _inclusion_exclusion(members: dict[object, list[set]]) -> int:
    """``sum_n sum_{i=2}^{t_n} sum_{T in T_i} (-1)^i |intersection of the sets of T|``."""
    total = 0
    for sets in members.values():
        if len(sets) > LARGEST_TUPLE:
            raise ModelError(f"inclusion-exclusion over subsets must be of at most {LARGEST_TUPLE} "
                             f"equal values, not {len(sets)}")
        for size in range(2, len(sets) + 1):
            total += (-1)**size * sum(len(set.intersection(*some))
                                      for some in itertools.combinations(sets, size))
    return total


def _field(a: int, b: int, height: int, width: int) -> set[tuple[int, int]]:
    return {(i, j) for i in range(a, a + height) for j in range(b, b + width)}


def theorem2(x: np.ndarray, kernel: np.ndarray) -> int:
    """Theorem 2 as printed, and right: any pixels, a kernel whose weights all differ.

    ``f^2 Hy Wy - R`` with ``R = sum_n sum_{i=2}^{t_n} sum_{x in T_i} (-1)^i P_x``: T_i are the
    subsets of i pixels of value n, P_x is the number of weights multiplied with all of subset x.

    Raises
    ------
    ModelError
        A value occurs more than `LARGEST_TUPLE` times, or the shapes do not fit.
    """
    x, kernel, height, width = _checked(x, kernel)
    weights_of: dict[object, list[set]] = {}
    for (i, j), value in np.ndenumerate(x):
        reached = {(a, b) for a in range(kernel.shape[0]) for b in range(kernel.shape[1])
                   if a <= i < a + height and b <= j < b + width}
        weights_of.setdefault(value.item(), []).append(reached)
    return kernel.size * height * width - _inclusion_exclusion(weights_of)


def _theorem3_repeats(x: np.ndarray, kernel: np.ndarray) -> int:
    x, kernel, height, width = _checked(x, kernel)
    fields: dict[object, list[set]] = {}
    for (a, b), value in np.ndenumerate(kernel):
        fields.setdefault(value.item(), []).append(_field(a, b, height, width))
    return _inclusion_exclusion(fields)


def theorem3_printed(x: np.ndarray, kernel: np.ndarray) -> int:
    """Theorem 3 as printed: ``f^2 Hx Wx - R``. Wrong: see `theorem3`."""
    x, kernel, *_ = _checked(x, kernel)
    return kernel.size * x.size - _theorem3_repeats(x, kernel)


def theorem3(x: np.ndarray, kernel: np.ndarray) -> int:
    """Theorem 3 corrected: ``f^2 Hy Wy - R``; pixels that all differ, any kernel.

    Raises
    ------
    ModelError
        A value occurs more than `LARGEST_TUPLE` times, or the shapes do not fit.
    """
    x, kernel, height, width = _checked(x, kernel)
    return kernel.size * height * width - _theorem3_repeats(x, kernel)


def union_of_fields(taps: np.ndarray, map_shape: tuple[int, int], stride: int = 1) -> int:
    """Pixels that at least one of some taps is multiplied with, in closed form.

    Parameters
    ----------
    taps : bool array (kernel height, kernel width)
        Which taps.
    map_shape : tuple of int
        Height and width, padding included.
    """
    taps = np.asarray(taps, dtype=bool)
    rows, columns = (axis_blocks(size, n, stride) for size, n in
                     zip(map_shape, taps.shape, strict=True))
    covered = np.einsum("ar,ab,bc->rc", rows.reached.astype(int), taps.astype(int),
                        columns.reached.astype(int)) > 0
    return int(rows.sizes @ covered @ columns.sizes)


def repeats_of_taps(taps: np.ndarray, map_shape: tuple[int, int]) -> int:
    """R of one weight value: ``t Hy Wy - |union of the fields|``, for its taps (f, f)."""
    height, width = (n - f + 1 for n, f in zip(map_shape, np.shape(taps), strict=True))
    return int(np.sum(taps)) * height * width - union_of_fields(taps, map_shape)


def theorem3_printed_bounds(kernel: np.ndarray, map_shape: tuple[int, int]) -> Bounds:
    """Bounds of Theorem 3 as printed. Wrong: they rest on r2 = r3 = 0 and 0 <= r4."""
    kernel = np.asarray(kernel)
    f = kernel.shape[0]
    each = (map_shape[0] - f + 1) * (map_shape[1] - f + 1)
    repeated = sum(count - 1 for count in Counter(kernel.ravel().tolist()).values())
    return Bounds(each * repeated, (each + (f - 1)**2) * repeated)


def theorem3_bounds(kernel: np.ndarray, map_shape: tuple[int, int]) -> Bounds:
    """Bounds of R from how far the taps of each value lie apart, Rng(a) and Rng(b) of them.

    ``R_n = (t-1) Hy Wy - Hy Rng(b) - Wy Rng(a) + r4`` with ``|r4| <= Rng(a) Rng(b)``, if Hx and Wx
    are at least 2f - 1. Both ends are reached (two taps on a diagonal; the corners of a
    rectangle).

    Raises
    ------
    ModelError
        The map is smaller than 2f - 1.
    """
    kernel = np.asarray(kernel)
    height, width = _outputs(kernel.shape, map_shape)
    low = high = 0
    for value in np.unique(kernel):
        a, b = np.nonzero(kernel == value)
        rng_a, rng_b = int(np.ptp(a)), int(np.ptp(b))
        middle = (len(a) - 1) * height * width - height * rng_b - width * rng_a
        low, high = low + middle - rng_a * rng_b, high + middle + rng_a * rng_b
    return Bounds(low, high)


def theorem3_bounds_of_counts(kernel: np.ndarray, map_shape: tuple[int, int]) -> Bounds:
    """Bounds of R from nothing but how often each value occurs: what Theorem 3 is about.

    The sum over values of `minimal_repeats` and `maximal_repeats`.
    """
    kernel = np.asarray(kernel)
    height, width = _outputs(kernel.shape, map_shape)
    counts = Counter(kernel.ravel().tolist()).values()
    return Bounds(sum(minimal_repeats(t, kernel.shape[0], height, width) for t in counts),
                  sum(maximal_repeats(t, kernel.shape[0], height, width) for t in counts))


def _outputs(kernel_shape: tuple[int, int], map_shape: tuple[int, int]) -> tuple[int, int]:
    f = kernel_shape[0]
    if kernel_shape != (f, f) or min(map_shape) < 2 * f - 1:
        raise ModelError(f"Theorem 3's bounds must be of a square f x f kernel and a map of at "
                         f"least 2f-1 = {2 * f - 1} both ways, not of {kernel_shape} and "
                         f"{tuple(map_shape)}")
    return map_shape[0] - f + 1, map_shape[1] - f + 1


def minimal_repeats(taps: int, f: int, height: int, width: int) -> int:
    """Least R of one value with `taps` taps, over all places they can have; Hx, Wx >= 2f-1.

    One, two, three or all corners of the kernel are as far apart as taps can be.
    """
    each, apart = height * width, (f - 1) * (height + width)
    if taps == 1 or f == 1:
        return (taps - 1) * each
    if taps == 2:
        return each - apart + (f - 1)**2
    return taps * each - (each + apart + ((f - 1)**2 if taps >= 4 else 0))


def maximal_repeats(taps: int, f: int, height: int, width: int) -> int:
    """Greatest R of one value with `taps` taps, over all places they can have.

    Taps in a corner, row upon row of a Young diagram, have the smallest union of fields.
    """
    rows = range(-(-taps // f), min(f, taps) + 1)
    union = min(taps + n * (width - 1) + (-(-taps // n) + width - 1) * (height - 1) for n in rows)
    return taps * height * width - union


def theorem4_printed(x: np.ndarray, errors: np.ndarray) -> int:
    """Theorem 4 as printed: ``f^2 Hx Wx - R``. Wrong, as Theorem 3 is: see `theorem4`."""
    x, errors, height, width = _checked(x, errors)
    return height * width * x.size - (errors.size * height * width - theorem4(x, errors))


def theorem4(x: np.ndarray, errors: np.ndarray) -> int:
    """Theorem 4 corrected: different products of step two of a kernel's gradient.

    The gradient is the convolution of X (Hx, Wx) with the errors ``G = dE/dX' s'(Y)`` (Hy, Wy) as
    kernel; it has f x f results. ``f^2 Hy Wy - R`` holds where only one of the two has equal
    values: Theorem 2 if it is X, Theorem 3 if it is G. Step one needs up to Hy Wy products more.

    Raises
    ------
    ModelError
        Both have equal values: then `nmahw.theory.distinct` counts.
    """
    x, errors, *_ = _checked(x, errors)
    if len(np.unique(errors)) == errors.size:
        return theorem2(x, errors)
    if len(np.unique(x)) == x.size:
        return theorem3(x, errors)
    raise ModelError("Theorem 4 must be about equal values in the map or in the errors, not in "
                     "both")


def repeats_from_counts(counts: np.ndarray) -> int:
    """``sum max(m - 1, 0)`` of multiplicities m, by the alternating sum of the paper's proof."""
    return sum((-1)**i * comb(int(m), i) for m in np.asarray(counts).ravel()
               for i in range(2, int(m) + 1))
