"""How many different products a layer needs: the fast count, for any repetition of values.

The NMA paper calls two multiplications the same when they multiply the same pixel value with the
same weight value (section 5). A *rule* says what else counts as the same or as no multiplication
at all (`nmahw.theory.rules`); a *scope* says what may share a product (`SCOPES`).

A weight value w meets the values in the union of the fields of its taps, so

    distinct products = sum over w of |values in the union of the fields of the taps of value w|

whatever is repeated, pixels, weights or both: the paper's Theorems 2 and 3 are its special cases,
and its open question is answered (`docs/theory.md`). Fields are bit sets over values
(`_fields`); time is O(pixels + taps x values / 64).
"""

from collections.abc import Iterator

import numpy as np

from ..errors import ModelError, UsageError
from ._fields import AxisBlocks, axis_blocks, merge_local, pixel_fields, popcount, value_fields
from .rules import RULES, Rule

__all__ = ["SCOPES", "distinct_products", "distinct_values", "distinct_weights",
           "layer_operands", "pixels_met", "scope_owners"]

#: What shares products: one two-dimensional kernel with its map (the paper's case), all kernels
#: of an output channel, all kernels that read an input channel, or the whole layer.
SCOPES = ("kernel", "filter", "channel", "layer")

# Bytes of the largest intermediate array: what fits a cache.
_CACHED = 1 << 22
# Values from which on it pays to look for those that meet the same taps.
_MANY = 1 << 14


def layer_operands(x: np.ndarray, weights: np.ndarray, stride: int = 1, padding: int = 0
                   ) -> tuple[np.ndarray, np.ndarray]:
    """Padded maps and kernels with four axes each; a dense layer has 1x1 maps.

    Parameters
    ----------
    x : real array (batch, channels, height, width) or (batch, features)
    weights : real array (out_channels, channels, height, width) or (out_features, features)
    stride, padding : int
        As in `nmahw.layers.conv2d.Conv2d`.

    Raises
    ------
    ModelError
        Shapes that do not fit each other.
    """
    x, weights = np.asarray(x), np.asarray(weights)
    if x.ndim not in (2, 4) or weights.ndim != x.ndim or 0 in x.shape or 0 in weights.shape:
        raise ModelError(f"maps and weights must be non-empty with 4 axes each, or 2 for a dense "
                         f"layer, not of shapes {x.shape} and {weights.shape}")
    if x.dtype.kind not in "iufb" or weights.dtype.kind not in "iufb":
        raise ModelError(f"maps and weights must be real, not {x.dtype} and {weights.dtype}")
    if x.ndim == 2:
        x, weights = x[:, :, None, None], weights[:, :, None, None]
    if x.shape[1] != weights.shape[1]:
        raise ModelError(f"weights must have as many input channels as the maps, "
                         f"{x.shape[1]}, not {weights.shape[1]}")
    if stride < 1 or padding < 0:
        raise ModelError(f"stride must be at least 1 and padding at least 0, not {stride} and "
                         f"{padding}")
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    if x.shape[2] < weights.shape[2] or x.shape[3] < weights.shape[3]:
        raise ModelError(f"a kernel must not be larger than its padded map, "
                         f"{x.shape[2]}x{x.shape[3]}, not {weights.shape[2]}x{weights.shape[3]}")
    return x, weights


def distinct_products(x: np.ndarray, weights: np.ndarray, stride: int = 1, padding: int = 0,
                      rule: Rule = RULES[0], scope: str = "layer") -> np.ndarray:
    """Number of different products of each image.

    Parameters
    ----------
    x, weights, stride, padding
        As in `layer_operands`. Padded zeros are values like any other.
    rule : Rule
    scope : str
        One of `SCOPES`. Products are counted once in each scope, not once for all of them.

    Returns
    -------
    int64 array
        (batch, out_channels, channels) for kernels, (batch, out_channels) for filters, (batch,
        channels) for channels, (batch,) for the layer.

    Raises
    ------
    ModelError
        Arrays that are no layer.
    UsageError
        Unknown scope.
    """
    x, weights = layer_operands(x, weights, stride, padding)
    owner, shape = scope_owners(weights.shape, scope)
    result = np.zeros((len(x), int(np.prod(shape))), dtype=np.int64)
    taps = _taps(weights, owner, rule)
    if taps is not None:
        tap, first, owners = taps
        codes, count = _codes(x, rule)
        rows, columns = (axis_blocks(size, taps, stride) for size, taps in
                         zip(x.shape[2:], weights.shape[2:], strict=True))
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        most = _CACHED // len(tap) * 8
        for images, fields, multiplicity in _fields(codes, count, rows, columns, most):
            fields = fields.reshape(len(fields), -1, fields.shape[-1])
            piece = max(1, _CACHED // (8 * len(tap) * fields.shape[-1]))
            for at in range(0, len(fields), piece):
                met = np.bitwise_or.reduceat(fields[at:at + piece, tap], first, axis=1)
                where = slice(images.start + at, images.start + at + len(met))
                result[where, owners[starts]] += np.add.reduceat(
                    _count(met, multiplicity), starts, axis=1)
    return result.reshape(len(x), *shape)


def _fields(codes: np.ndarray, count: int, rows: AxisBlocks, columns: AxisBlocks, most: int
            ) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
    """What `value_fields` gives, and how many values each bit stands for (None: one)."""
    if count <= _MANY:
        for images, fields in value_fields(codes, count, rows, columns, most):
            yield images, fields, None
        return
    for index in range(len(codes)):
        image = slice(index, index + 1)
        local, multiplicity, others, left = merge_local(codes[image], count, rows, columns)
        for of, total, weights in ((local, len(multiplicity), multiplicity), (others, left, None)):
            at = 0
            for _, fields in value_fields(of, total, rows, columns, most) if total else ():
                bits = fields.shape[-1] * 64
                yield image, fields, None if weights is None else weights[at:at + bits]
                at += bits


def _count(met: np.ndarray, multiplicity: np.ndarray | None) -> np.ndarray:
    """Values in each bit set of (images, groups, words)."""
    if multiplicity is None:
        return popcount(met).sum(axis=2, dtype=np.int64)
    # By bytes: what each of their 256 values stands for. Bits as packbits orders them.
    size = met.shape[-1] * 8
    padded = np.zeros(size * 8, dtype=np.int64)
    padded[:len(multiplicity)] = multiplicity
    tables = padded.reshape(size, 8) @ np.unpackbits(np.arange(256, dtype=np.uint8)[:, None],
                                                     axis=1).T.astype(np.int64)
    result = np.zeros(met.shape[:2], dtype=np.int64)
    for place, table in enumerate(tables):
        if table[-1]:
            result += table[met.view(np.uint8)[:, :, place]]
    return result


def distinct_weights(weights: np.ndarray, rule: Rule = RULES[0], scope: str = "layer"
                     ) -> np.ndarray:
    """Number of different weights that count, in each scope.

    Times the number of values that activations can have, it is the most products that any input
    needs.

    Parameters
    ----------
    weights : real array (out_channels, channels, height, width) or (out_features, features)
    rule, scope
        As in `distinct_products`.

    Returns
    -------
    int64 array
        Shaped as the result of `distinct_products`, without the batch axis.
    """
    weights = np.asarray(weights)
    weights = weights[:, :, None, None] if weights.ndim == 2 else weights
    owner, shape = scope_owners(weights.shape, scope)
    taps = _taps(weights, owner, rule)
    owners = taps[2] if taps is not None else np.zeros(0, dtype=np.int64)
    return np.bincount(owners, minlength=int(np.prod(shape))).reshape(shape)


def pixels_met(weights: np.ndarray, map_shape: tuple[int, int], stride: int = 1,
               scope: str = "layer") -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Number of pixels that each weight value of each scope is multiplied with.

    Where all pixels differ that is the number of its different products: Theorem 3.

    Parameters
    ----------
    weights : real array (out_channels, channels, height, width)
    map_shape : tuple of int
        Height and width of the maps, without padding.
    stride, scope
        As in `distinct_products`.

    Returns
    -------
    int64 array (pairs of scope and weight value,)
        Pixels.
    int64 array (pairs of scope and weight value,)
        Number of the scope.
    tuple of int
        Shape of the scopes.
    """
    _, weights = layer_operands(np.zeros((1, np.shape(weights)[1], *map_shape)), weights, stride)
    owner, shape = scope_owners(weights.shape, scope)
    tap, first, owners = _taps(weights, owner, RULES[0])
    rows, columns = (axis_blocks(size, taps, stride) for size, taps in
                     zip(map_shape, weights.shape[2:], strict=True))
    fields, sizes = pixel_fields(weights.shape[1], rows, columns)
    met = np.bitwise_or.reduceat(fields.reshape(-1, fields.shape[-1])[tap], first, axis=0)
    return _count(met[None], sizes)[0], owners, shape


def scope_owners(shape: tuple[int, ...], scope: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Number of the scope that each kernel belongs to (out_channels, channels), and their shape.

    `shape` begins with the numbers of output and input channels.

    Raises
    ------
    UsageError
        Unknown scope.
    """
    if scope not in SCOPES:
        raise UsageError(f"scope must be one of {', '.join(SCOPES)}, not {scope!r}")
    out, channels = np.indices(shape[:2])
    return {"kernel": (out * shape[1] + channels, shape[:2]), "filter": (out, shape[:1]),
            "channel": (channels, shape[1:2]), "layer": (np.zeros_like(out), ())}[scope]


def _taps(weights: np.ndarray, owner: np.ndarray, rule: Rule
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Taps (channel, row, column as one number) by owner and weight value; None if there are none.

    Returns the taps of all groups, where each group begins, and the owner of each group.
    """
    values, counts = rule.operands(weights)
    if not counts.any():
        return None
    kinds, code = np.unique(values, return_inverse=True)
    code = code.reshape(values.shape)
    per_filter = weights[0].size
    tap = np.arange(per_filter).reshape(1, *weights.shape[1:])
    group = owner[:, :, None, None] * len(kinds) + code
    # Filters that have the same weight at the same place make the same products.
    both = np.unique((group * per_filter + tap)[counts])
    group, tap = np.divmod(both, per_filter)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    return tap, first, group[first] // len(kinds)


def _codes(x: np.ndarray, rule: Rule) -> tuple[np.ndarray, int]:
    """Values as 0, 1, ... (-1 if they do not count), and how many numbers there are."""
    values, counts = rule.operands(x)
    low, high = values.min(), values.max()
    if values.dtype.kind in "iub" and int(high) - int(low) < 1 << 12:
        code, count = values.astype(np.int64) - int(low), int(high) - int(low) + 1
    else:
        kinds, code = np.unique(values, return_inverse=True)
        code, count = code.reshape(values.shape), len(kinds)
    return (code if counts.all() else np.where(counts, code, -1)), count


def distinct_values(x: np.ndarray, weights: np.ndarray, stride: int = 1, padding: int = 0,
                    rule: Rule = RULES[0]) -> np.ndarray:
    """Number of different values that an integer layer's products take, for each image.

    Less than the number of different products, as 3 x 4 = 2 x 6: no sharing of products can need
    fewer. Parameters and errors as in `distinct_products`; `rule` says which products take part,
    and with `signs` false (`shifts` false) whether values are told apart by them.

    Returns
    -------
    int64 array (batch,)
    """
    x, weights = layer_operands(x, weights, stride, padding)
    if x.dtype.kind not in "iu" or weights.dtype.kind not in "iu":
        raise ModelError(f"maps and weights must be integers, not {x.dtype} and {weights.dtype}")
    largest = [max(abs(int(values.min())), int(values.max())) for values in (x, weights)]
    if largest[0] * largest[1] >= 1 << 63:
        raise ModelError(f"products must be below 2^63, but can reach {largest[0] * largest[1]}")
    result = np.zeros(len(x), dtype=np.int64)
    taps = _taps(weights, np.zeros(weights.shape[:2], dtype=np.int64), rule)
    if taps is None:
        return result
    tap, first, _ = taps
    values, counts = rule.operands(weights)
    kinds = np.unique(values[counts])
    codes, _ = _codes(x, rule)
    operands, counted = rule.operands(x)
    rows, columns = (axis_blocks(size, taps, stride) for size, taps in
                     zip(x.shape[2:], weights.shape[2:], strict=True))
    for index in range(len(x)):
        kept = counted[index]
        if not kept.any():
            continue
        table, code = np.unique(operands[index][kept], return_inverse=True)
        own = np.full(codes[index].shape, -1)
        own[kept] = code.reshape(-1)
        found: list[np.ndarray] = []
        done = 0
        for _, fields in value_fields(own[None], len(table), rows, columns):
            flat = fields.reshape(-1, fields.shape[-1])
            met = np.bitwise_or.reduceat(flat[tap], first, axis=0)
            bits = np.unpackbits(met.view(np.uint8), axis=1).astype(bool)
            which, value = np.nonzero(bits)
            found.append(np.unique(table[value + done] * kinds[which]))
            done += bits.shape[1]
        result[index] = len(np.unique(np.concatenate(found)))
    return result
