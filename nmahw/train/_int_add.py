"""Mogami's products on float32 arrays: bit patterns added as integers, in compiled loops.

A pattern is a float32 seen as an int32. bfloat16 is the upper half of it, so the same loops serve
both formats: where the lower halves of operands and constant are zero, so is that of the result.
Each operation says what bits it gives; `product` is `nmahw.arith.int_add.int_add_patterns`.
"""

from collections.abc import Callable

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

__all__ = ["exponential", "multiply_sum", "product", "quotient", "round_bf16", "square_root"]

_jit = numba.njit(cache=True, nogil=True)
_elementwise = numba.vectorize(cache=True, nopython=True)

# Of binary32: pattern of the smallest normal number, of the largest finite one, of infinity and
# of 1 (the bias); everything but the sign, and the sign.
_SMALLEST = np.int32(0x00800000)
_LARGEST = np.int32(0x7F7FFFFF)
_INFINITY = np.int32(0x7F800000)
_ONE = np.int32(0x3F800000)
_ZERO = np.int32(0)
_MAGNITUDE = np.int32(0x7FFFFFFF)
_SIGN = np.int32(-0x80000000)
_UPPER = np.int32(-0x10000)

# Bytes of the second operand that one pass works on: they stay in the second-level cache.
_BLOCK_BYTES = 1 << 17
# Rows joined to one where many are combined with the same one.
_ROWS = 32


@intrinsic
def _as_float(typing_context, pattern):
    """The float32 with the bits of an int32."""
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))
    return types.float32(types.int32), generate


@_jit
def _product_bits(x, w, constant):
    """Pattern of the product. Only conditional values, so that loops over it are vector code."""
    magnitude_x, magnitude_w = np.int32(x & _MAGNITUDE), np.int32(w & _MAGNITUDE)
    moved = np.int32(np.int32(magnitude_x - _ONE) + constant)
    # Compared before they are added: a sum of 32 bits may overflow.
    total = np.int32(moved + magnitude_w) if moved <= np.int32(_LARGEST - magnitude_w) \
        else _INFINITY
    total = total if moved >= np.int32(_SMALLEST - magnitude_w) else _ZERO
    total = _INFINITY if max(magnitude_x, magnitude_w) > _LARGEST else total
    total = _ZERO if min(magnitude_x, magnitude_w) < _SMALLEST else total
    return np.int32(total | np.int32((x ^ w) & _SIGN))


@_jit
def _quotient_bits(x, w, constant):
    """Pattern of the quotient."""
    magnitude_x, magnitude_w = np.int32(x & _MAGNITUDE), np.int32(w & _MAGNITUDE)
    difference, moved = np.int32(magnitude_x - magnitude_w), np.int32(_ONE - constant)
    total = np.int32(difference + moved) if difference <= np.int32(_LARGEST - moved) \
        else _INFINITY
    total = total if difference >= np.int32(_SMALLEST - moved) else _ZERO
    total = _ZERO if magnitude_w > _LARGEST else total
    total = _INFINITY if magnitude_x > _LARGEST else total
    total = _INFINITY if magnitude_w < _SMALLEST else total
    total = _ZERO if magnitude_x < _SMALLEST else total
    return np.int32(total | np.int32((x ^ w) & _SIGN))


@_elementwise
def _product(x, w, constant):
    return _product_bits(x, w, constant)


@_elementwise
def _quotient(x, w, constant):
    return _quotient_bits(x, w, constant)


@_jit
def _product_rows(x, w, constant, out):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = _product_bits(x[i, j], w[0, j], constant)


@_jit
def _quotient_rows(x, w, constant, out):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = _quotient_bits(x[i, j], w[0, j], constant)


@_elementwise
def _square_root(x, constant):
    magnitude = x & _MAGNITUDE
    if magnitude < _SMALLEST:
        return np.int32(0)
    if magnitude > _LARGEST:
        return _INFINITY
    return np.int32((np.int64(magnitude) + _ONE - constant) >> 1)


@_elementwise
def _power_of_two(y):
    # The fixed-point number with 23 fraction bits is the logarithm that a pattern nearly is.
    if not y >= np.float32(-126):
        return np.int32(0)
    return np.int32(_ONE + np.int32(y * np.float32(1 << 23)))


@_elementwise
def _round_bf16(x):
    if (x & _MAGNITUDE) > _INFINITY:
        return np.int32((x & _SIGN) | np.int32(0x7FC00000))
    # To the nearest, ties to the even one. The carry out of the mantissa is the exponent's.
    return np.int32((np.int64(x) + 0x7FFF + ((x >> 16) & 1)) & _UPPER)


@_jit
def _largest(a):
    """Largest magnitude of the patterns of a matrix."""
    largest = np.int32(0)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            largest = max(largest, np.int32(a[i, j] & _MAGNITUDE))
    return largest


@_jit
def _term(pattern, increment, least):
    return _as_float(np.int32(pattern + increment)) if \
        np.int32(pattern & _MAGNITUDE) >= least else np.float32(0)


@_jit
def _multiply_sum(a, b, constant, block, out):
    """Add ``sum_j a[r, j] b[j, n]`` to `out`, where no product overflows.

    Where ``a[r, j]`` is zero, nothing is added: a product of zero changes no sum. For the others
    all that depends on `a` alone is worked out before the inner loop, which then has one integer
    addition (its carry out of the sign bit flips the sign), one comparison and one float addition.
    """
    rows, count = a.shape
    width = b.shape[1]
    increments = np.empty(block + 1, np.int32)
    leasts = np.empty(block + 1, np.int32)
    places = np.empty(block + 1, np.int64)
    for start in range(0, count, block):
        for r in range(rows):
            found = 0
            for j in range(start, min(start + block, count)):
                magnitude = np.int32(a[r, j] & _MAGNITUDE)
                moved = np.int32(magnitude - _ONE + constant)
                increments[found] = np.int32(moved + (a[r, j] & _SIGN))
                # Smaller magnitudes are zero themselves, or the product is.
                leasts[found] = max(_SMALLEST, np.int32(_SMALLEST - moved))
                places[found] = j
                found += magnitude >= _SMALLEST
            sums = out[r]
            i = 0
            while i + 4 <= found:
                b0, b1, b2, b3 = (b[places[i]], b[places[i + 1]], b[places[i + 2]],
                                  b[places[i + 3]])
                i0, i1, i2, i3 = (increments[i], increments[i + 1], increments[i + 2],
                                  increments[i + 3])
                l0, l1, l2, l3 = leasts[i], leasts[i + 1], leasts[i + 2], leasts[i + 3]
                for n in range(width):
                    total = sums[n] + _term(b0[n], i0, l0)
                    total += _term(b1[n], i1, l1)
                    total += _term(b2[n], i2, l2)
                    sums[n] = total + _term(b3[n], i3, l3)
                i += 4
            while i < found:
                b0, i0, l0 = b[places[i]], increments[i], leasts[i]
                for n in range(width):
                    sums[n] += _term(b0[n], i0, l0)
                i += 1


@_jit
def _multiply_sum_any(a, b, constant, out):
    """The same for all operands, as slow as it is plain."""
    for r in range(a.shape[0]):
        for j in range(a.shape[1]):
            for n in range(b.shape[1]):
                out[r, n] += _as_float(_product_bits(a[r, j], b[j, n], constant))


def _patterns(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a, dtype=np.float32).view(np.int32)


def multiply_sum(a: np.ndarray, b: np.ndarray, constant: int = 0) -> np.ndarray:
    """``a @ b`` with `product` for every product.

    The sum of one result is float32, from 0, in ascending order of j.

    Parameters
    ----------
    a : float32 array (R, J)
        Whose zeros save time.
    b : float32 array (J, N)
    constant : int
        The mean-error constant, in units of binary32's last bit.

    Returns
    -------
    float32 array (R, N)
    """
    a, b = _patterns(a), _patterns(b)
    out = np.zeros((len(a), b.shape[1]), np.float32)
    largest = int(_largest(a)), int(_largest(b))
    if max(largest) > _LARGEST or sum(largest) - int(_ONE) + constant > _LARGEST:
        _multiply_sum_any(a, b, np.int32(constant), out)
    else:
        block = max(_BLOCK_BYTES // (4 * b.shape[1]), 16)
        _multiply_sum(a, b, np.int32(constant), min(block, a.shape[1]), out)
    return out


def _broadcast(rows: Callable, general: np.ufunc, x: np.ndarray, w: np.ndarray, constant: int
               ) -> np.ndarray:
    """By `rows`, vector code, if both are of one shape, or `x` has rows to combine with `w`."""
    x, w, constant = _patterns(x), _patterns(w), np.int32(constant)
    if w.size == 1 and w.ndim <= x.ndim:
        w = np.full(x.shape, w.reshape(()))
    if x.ndim and x.shape == w.shape:
        shape = 1, -1
    elif x.ndim == 2 and w.shape == x.shape[1:] and len(x) % _ROWS == 0:
        # Many short rows are a few long ones.
        shape, w = (-1, _ROWS * len(w)), np.tile(w, _ROWS)
    else:
        return _float(general(x, w, constant))
    out = np.empty_like(x)
    rows(x.reshape(shape), w.reshape(1, -1), constant, out.reshape(shape))
    return _float(out)


def product(x: np.ndarray, w: np.ndarray, constant: int = 0) -> np.ndarray:
    """Elementwise, broadcast: the sum of the magnitudes' patterns, less 1's, plus `constant`.

    Zero or subnormal with anything gives zero; else infinity or NaN gives infinity, as does a sum
    above the largest finite number; a sum below the smallest normal one gives zero. Signs are the
    exclusive or.
    """
    return _broadcast(_product_rows, _product, x, w, constant)


def quotient(x: np.ndarray, w: np.ndarray, constant: int = 0) -> np.ndarray:
    """Elementwise, broadcast: the difference of the patterns, plus 1's, less `constant`.

    So it undoes `product`. The relative error is 0..+12.5 % with a constant of 0. Zero or
    subnormal `x` gives zero; else infinite or NaN `x`, zero or subnormal `w` or too large a result
    gives infinity; else infinite or NaN `w` or too small a result gives zero.
    """
    return _broadcast(_quotient_rows, _quotient, x, w, constant)


def square_root(x: np.ndarray, constant: int = 0) -> np.ndarray:
    """Elementwise: half of the sum of magnitude and 1's pattern less `constant`, rounded down.

    So its `product` with itself is `x` again, or one unit less. The relative error is 0..+6.1 %
    with a constant of 0. Zero or subnormal gives zero, infinity or NaN infinity.
    """
    return _float(_square_root(_patterns(x), np.int32(constant)))


def exponential(y: np.ndarray) -> np.ndarray:
    """Elementwise ``2^y`` for ``y <= 0``: y with 23 fraction bits, added to 1's pattern.

    N. N. Schraudolph, "A Fast, Compact Approximation of the Exponential Function", 1999, without
    its constant. The relative error is 0..+6.2 %; below 2^-126 the result is 0, and for NaN.
    """
    # Vector code converts elements too whose result is then not used.
    with np.errstate(invalid="ignore"):
        return _float(_power_of_two(np.ascontiguousarray(y, dtype=np.float32)))


def round_bf16(x: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 of each element, ties to even, as float32."""
    return _float(_round_bf16(_patterns(x)))


def _float(patterns: np.ndarray) -> np.ndarray:
    return np.asarray(patterns, dtype=np.int32).view(np.float32)
