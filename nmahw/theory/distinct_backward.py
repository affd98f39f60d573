"""How many different products the gradient of a convolution's weights needs: Theorem 4, counted.

The gradient multiplies every error with all inputs in its window (the paper, section 5.2, step
two). An error value g meets the inputs in the windows of all places where the error is g, so

    different products = sum over g of |values in the union of the windows of the places of g|

whatever is repeated. Windows are bit sets over input values, found by f + f unions of shifted
maps; the errors' places, sorted by value, say which windows to unite. Where there are too many
values for bit sets, pairs are listed and sorted.
"""

from collections.abc import Iterator

import numpy as np

from ..errors import ModelError
from ._fields import popcount
from .distinct import scope_owners
from .rules import RULES, Rule

__all__ = ["distinct_gradient_products", "distinct_slope_products"]

# Values up to which inputs are kept as bit sets.
_MANY = 1 << 12
# Bytes of windows gathered at a time: what fits a cache.
_CACHED = 1 << 22


def distinct_slope_products(errors: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Different products of step one: error times slope of the nonlinearity.

    Parameters
    ----------
    errors, slopes : real arrays (batch, ...)
        Of one shape.

    Returns
    -------
    int64 array (batch,)
    """
    errors, slopes = np.asarray(errors), np.asarray(slopes)
    if errors.shape != slopes.shape or errors.ndim < 1:
        raise ModelError(f"errors and slopes must be of one shape, not {errors.shape} and "
                         f"{slopes.shape}")
    return np.array([len(np.unique(np.stack([e.ravel(), s.ravel()]), axis=1).T)
                     for e, s in zip(errors, slopes, strict=True)], dtype=np.int64)


def distinct_gradient_products(x: np.ndarray, errors: np.ndarray, kernel: tuple[int, int],
                               stride: int = 1, padding: int = 0, rule: Rule = RULES[0],
                               scope: str = "layer") -> np.ndarray:
    """Number of different products of inputs and errors, for each image.

    Parameters
    ----------
    x : real array (batch, channels, height, width)
    errors : real array (batch, out_channels, output height, output width)
        Step one's results, of the convolution's sums.
    kernel : tuple of int
        Height and width.
    stride, padding : int
        Of the convolution. Padded zeros are values like any other.
    rule : Rule
    scope : str
        One of `nmahw.theory.distinct.SCOPES`.

    Returns
    -------
    int64 array
        Shaped as the result of `nmahw.theory.distinct.distinct_products`.

    Raises
    ------
    ModelError
        Shapes that do not fit each other.
    UsageError
        Unknown scope.
    """
    x, errors = _checked(x, errors, kernel, stride, padding)
    owner, shape = scope_owners((errors.shape[1], x.shape[1]), scope)
    result = np.zeros((len(x), int(np.prod(shape))), dtype=np.int64)
    for image, (maps, own) in enumerate(zip(x, errors, strict=True)):
        inputs, input_counts = rule.operands(maps)
        kinds, codes = np.unique(inputs, return_inverse=True)
        codes = np.where(input_counts, codes.reshape(inputs.shape), -1)
        values, error_counts = rule.operands(own.reshape(len(own), -1))
        error_kinds, error_codes = np.unique(values, return_inverse=True)
        error_codes = np.where(error_counts, error_codes.reshape(values.shape), -1)
        geometry = (kernel, stride, own.shape[1:])
        if len(kinds) <= _MANY:
            _by_bits(result[image], owner, codes, len(kinds), error_codes, len(error_kinds),
                     geometry)
        else:
            _by_pairs(result[image], owner, codes, error_codes, len(error_kinds), geometry)
    return result.reshape(len(x), *shape)


def _checked(x: np.ndarray, errors: np.ndarray, kernel: tuple[int, int], stride: int, padding: int
             ) -> tuple[np.ndarray, np.ndarray]:
    x, errors = np.asarray(x), np.asarray(errors)
    if x.ndim != 4 or errors.ndim != 4 or len(x) != len(errors) or not x.size or not errors.size:
        raise ModelError(f"maps and errors must be non-empty with four axes, for as many images, "
                         f"not of shapes {x.shape} and {errors.shape}")
    if stride < 1 or padding < 0:
        raise ModelError(f"stride must be at least 1 and padding at least 0, not {stride} and "
                         f"{padding}")
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    expected = tuple((size - taps) // stride + 1
                     for size, taps in zip(x.shape[2:], kernel, strict=True))
    if errors.shape[2:] != expected:
        raise ModelError(f"errors must be {expected} for maps of {x.shape[2:]} (padded) under a "
                         f"kernel of {tuple(kernel)}, not {errors.shape[2:]}")
    return x, errors


def _shifts(maps: np.ndarray, kernel: tuple[int, int], stride: int, shape: tuple[int, int]
            ) -> Iterator[np.ndarray]:
    """The part of (height, width, ...) that each tap meets, (output height, output width, ...)."""
    rows, columns = ((n - 1) * stride + 1 for n in shape)
    for a in range(kernel[0]):
        for b in range(kernel[1]):
            yield maps[a:a + rows:stride, b:b + columns:stride]


def _windows(codes: np.ndarray, count: int, geometry: tuple) -> np.ndarray:
    """Values in the window of every error, of one channel: uint64 array (errors, words)."""
    present = np.zeros((codes.size, -(-count // 64) * 64), dtype=bool)
    kept = np.flatnonzero(codes >= 0)
    present[kept, codes.reshape(-1)[kept]] = True
    words = np.packbits(present, axis=1).view(np.uint64).reshape(*codes.shape, -1)
    united = np.zeros((*geometry[2], words.shape[-1]), dtype=np.uint64)
    for shifted in _shifts(words, *geometry):
        united |= shifted
    return united.reshape(-1, words.shape[-1])


def _by_bits(result: np.ndarray, owner: np.ndarray, codes: np.ndarray, count: int,
             error_codes: np.ndarray, error_count: int, geometry: tuple) -> None:
    # Groups (out channel, error value) of places, and where each begins.
    places = np.flatnonzero(error_codes.reshape(-1) >= 0)
    if not len(places):
        return
    out, position = np.divmod(places, error_codes.shape[1])
    group = out * error_count + error_codes.reshape(-1)[places]
    order = np.argsort(group, kind="stable")
    group, position = group[order], position[order]
    first = np.flatnonzero(np.diff(group, prepend=-1))
    kinds = group[first]
    words = -(-count // 64)
    pieces = _pieces(first, len(group), max(1, _CACHED // (8 * words)))
    # What each scope has of each error value; scopes of one kernel need no memory of it.
    shared = owner.size > len(np.unique(owner))
    seen = np.zeros((len(result) * error_count, words), dtype=np.uint64) if shared else None
    for channel, own in enumerate(codes):
        windows = _windows(own, count, geometry)
        for low, high in pieces:
            end = first[high] if high < len(first) else len(group)
            met = np.bitwise_or.reduceat(windows[position[first[low]:end]],
                                         first[low:high] - first[low], axis=0)
            scope = owner[kinds[low:high] // error_count, channel]
            if seen is None:
                np.add.at(result, scope, popcount(met).sum(axis=1, dtype=np.int64))
            else:
                np.bitwise_or.at(seen, scope * error_count + kinds[low:high] % error_count, met)
    if seen is not None:
        result += popcount(seen).reshape(len(result), -1).sum(axis=1, dtype=np.int64)


def _pieces(first: np.ndarray, count: int, most: int) -> list[tuple[int, int]]:
    """Runs of groups of at most `most` members (one group at least)."""
    pieces, low = [], 0
    ends = np.append(first[1:], count)
    while low < len(first):
        high = max(low + 1, int(np.searchsorted(ends, first[low] + most, side="right")))
        pieces.append((low, high))
        low = high
    return pieces


def _by_pairs(result: np.ndarray, owner: np.ndarray, codes: np.ndarray, error_codes: np.ndarray,
              error_count: int, geometry: tuple) -> None:
    for scope in range(len(result)):
        found = [np.zeros(0, dtype=np.int64)]
        for out, channel in np.argwhere(owner == scope):
            errors = error_codes[out].reshape(geometry[2])
            pairs = [np.where((shifted >= 0) & (errors >= 0), shifted * error_count + errors, -1)
                     for shifted in _shifts(codes[channel], *geometry)]
            found.append(np.unique(np.stack(pairs)))
        pairs = np.unique(np.concatenate(found))
        result[scope] = len(pairs) - int((pairs < 0).any())
