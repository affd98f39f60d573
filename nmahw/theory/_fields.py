"""Which values each tap of a convolution meets, as bit sets: the core of fast counting.

The *field* of a tap is the set of pixels it is multiplied with (the paper, section 5). Rows that
the same kernel rows reach are alike, and so are columns: an image falls into a few *blocks* of
alike pixels (25 for a 3x3 kernel, whatever the image's size), and a field is a union of blocks. So
one pass over the pixels finds the values of each block, and the rest is unions of small bit sets.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["AxisBlocks", "axis_blocks", "merge_local", "pixel_fields", "popcount",
           "value_fields"]

# Bytes of the largest intermediate array.
_LARGEST = 1 << 26
_WORD = 64


@dataclass(frozen=True)
class AxisBlocks:
    """Rows (or columns) of an image by the kernel rows that reach them.

    Attributes
    ----------
    block : int array (size,)
        Block of every row.
    reached : bool array (taps, blocks)
        Whether the kernel row meets the rows of the block.
    sizes : int array (blocks,)
        Number of rows of each block.
    """

    block: np.ndarray
    reached: np.ndarray
    sizes: np.ndarray


def axis_blocks(size: int, taps: int, stride: int = 1) -> AxisBlocks:
    """Blocks along one axis of `size` pixels (padding included) under `taps` kernel rows."""
    positions = (size - taps) // stride + 1
    step = np.arange(size) - np.arange(taps)[:, None]
    reached = (step >= 0) & (step % stride == 0) & (step // stride < positions)
    blocks, block, sizes = np.unique(reached, axis=1, return_inverse=True, return_counts=True)
    return AxisBlocks(block.reshape(-1), blocks, sizes)


if hasattr(np, "bitwise_count"):
    def popcount(words: np.ndarray) -> np.ndarray:
        """Set bits of each uint64."""
        return np.bitwise_count(words)
else:  # numpy 1
    _BITS = np.array([bin(n).count("1") for n in range(1 << 16)], dtype=np.uint8)

    def popcount(words: np.ndarray) -> np.ndarray:
        """Set bits of each uint64."""
        halves = np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 4)
        return _BITS[halves].sum(axis=-1)


def value_fields(codes: np.ndarray, count: int, rows: AxisBlocks, columns: AxisBlocks,
                 most: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
    """Values in the field of every tap.

    Parameters
    ----------
    codes : integer array (batch, channels, height, width)
        Values as numbers of 0..count-1; below 0 for pixels that do not count.
    count : int
        Number of values there may be.
    rows, columns : AxisBlocks
    most : int, optional
        Values that a part is to have at most; parts that fit the cache are faster.

    Yields
    ------
    slice
        Images that the next array is about.
    uint64 array (images, channels, kernel height, kernel width, words)
        A bit for every value, set if a pixel of the field has it. An image's values may come in
        several parts, which have no value in common.
    """
    batch, channels = codes.shape[:2]
    cell = _cells(channels, rows, columns)
    cells = channels * len(rows.sizes) * len(columns.sizes)
    part = min(count, _LARGEST // cells, count if most is None else most)
    part = max(_WORD, -(-part // _WORD) * _WORD)
    images = max(1, _LARGEST // (cells * part))
    for start in range(0, batch, images):
        chosen = slice(start, min(start + images, batch))
        flat = codes[chosen].reshape(chosen.stop - start, -1)
        place = (np.arange(len(flat))[:, None] * cells + cell.reshape(-1)).reshape(-1)
        flat = flat.reshape(-1)
        if count > part:
            order = np.argsort(flat, kind="stable")
            flat, place = flat[order], place[order]
        for low in range(0, count, part):
            if count > part:
                ends = np.searchsorted(flat, (low, low + part))
                value, where = flat[slice(*ends)] - low, place[slice(*ends)]
            else:
                kept = flat >= 0
                value, where = flat[kept], place[kept]
            present = np.zeros(((chosen.stop - start) * cells, part), dtype=bool)
            present[where, value] = True
            words = np.packbits(present, axis=1).view(np.uint64)
            words = words.reshape(chosen.stop - start, channels, len(rows.sizes),
                                  len(columns.sizes), -1)
            yield chosen, _unions(_unions(words, rows, 2), columns, 3)


def _cells(channels: int, rows: AxisBlocks, columns: AxisBlocks) -> np.ndarray:
    """Number of the block of each pixel (channels, height, width)."""
    return ((np.arange(channels)[:, None, None] * len(rows.sizes) + rows.block[:, None])
            * len(columns.sizes) + columns.block)


def pixel_fields(channels: int, rows: AxisBlocks, columns: AxisBlocks
                 ) -> tuple[np.ndarray, np.ndarray]:
    """Blocks in the field of every tap, and how many pixels each block has.

    Returns
    -------
    uint64 array (channels, kernel height, kernel width, words)
        A bit for every block.
    int64 array (blocks,)
    """
    cell = _cells(channels, rows, columns)
    cells = channels * len(rows.sizes) * len(columns.sizes)
    parts = [fields[0] for _, fields in value_fields(cell[None], cells, rows, columns)]
    return np.concatenate(parts, axis=-1), np.bincount(cell.reshape(-1), minlength=cells)


def merge_local(codes: np.ndarray, count: int, rows: AxisBlocks, columns: AxisBlocks
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Values of one image that occur in a single block each, and the others.

    All values of a block that occur nowhere else meet the same taps: one number stands for them. An
    image whose pixels all differ has as few such numbers as blocks.

    Parameters
    ----------
    codes, count, rows, columns
        As in `value_fields`, for one image (1, channels, height, width).

    Returns
    -------
    codes : integer array
        Block number instead of a value that occurs in one block; -1 elsewhere.
    multiplicity : int64 array
        How many values each of those numbers stands for.
    codes : integer array
        The other values as 0, 1, ...; -1 elsewhere.
    count : int
        How many those are.
    """
    cell = np.broadcast_to(_cells(codes.shape[1], rows, columns), codes.shape)
    cells = int(cell.max()) + 1
    lowest, highest = np.full(count, cells), np.full(count, -1)
    kept = codes >= 0
    np.minimum.at(lowest, codes[kept], cell[kept])
    np.maximum.at(highest, codes[kept], cell[kept])
    local = lowest == highest
    others = np.flatnonzero((highest >= 0) & ~local)
    place = np.full(count, -1)
    place[others] = np.arange(len(others))
    is_local = kept & local[codes]
    return (np.where(is_local, cell, -1), np.bincount(lowest[local], minlength=cells),
            np.where(kept & ~is_local, place[codes], -1), len(others))


def _unions(words: np.ndarray, blocks: AxisBlocks, axis: int) -> np.ndarray:
    """The axis of blocks replaced by one of taps."""
    return np.stack([np.bitwise_or.reduce(words.compress(reached, axis=axis), axis=axis)
                     for reached in blocks.reached], axis=axis)
