"""Weights cut into the tiles of an array, and as the codes that its memory holds."""

from collections.abc import Sequence

import numpy as np

from .pass_schedule import PassSchedule
from .program import Pass

__all__ = ["codes", "live_tiles", "skip_steps"]


def codes(passes: Sequence[PassSchedule], rows: int, columns: int, fill: bool = False
          ) -> np.ndarray:
    """Weight codes (words, rows, columns) of passes that have one arithmetic.

    A word is a tile, tap tiles running fastest, or a digit of one.

    Parameters
    ----------
    passes : sequence of PassSchedule
    rows, columns : int
        Of the array.
    fill : bool
        Whether columns without a channel count as used, so that a whole row's marks are equal.
        What they compute is never looked at.
    """
    arithmetic = passes[0].arithmetic
    weights = [_tiled(p, p.work.weights, rows, columns) for p in passes]
    if arithmetic.takes_digits:
        digits = [arithmetic.encode_digits(tiles, p.phases)
                  for p, tiles in zip(passes, weights, strict=True)]
        return np.concatenate([d.swapaxes(0, 1).reshape(-1, rows, columns) for d in digits])
    used = [_tiled(p, np.ones_like(p.work.weights), rows, columns, fill) for p in passes]
    return arithmetic.encode_weights(np.concatenate(weights), np.concatenate(used).astype(bool))


def _tiled(p: PassSchedule, values: np.ndarray, rows: int, columns: int, beside: int = 0
           ) -> np.ndarray:
    """Values (taps, channels) as (tiles, rows, columns, taps), 0 or `beside` outside."""
    taps = p.arithmetic.taps
    padded = np.zeros((p.tap_tiles * rows * taps, p.channel_tiles * columns), dtype=np.int64)
    padded[:p.work.taps, p.work.channels:] = beside
    padded[:p.work.taps, :p.work.channels] = values
    shaped = padded.reshape(p.tap_tiles, rows, taps, p.channel_tiles, columns)
    tiles = shaped.transpose(3, 0, 1, 4, 2)
    if p.live is not None:
        return np.concatenate([of[list(live)] for of, live in zip(tiles, p.live, strict=True)])
    return tiles.reshape(-1, rows, columns, taps)


def live_tiles(work: Pass, lanes: int, columns: int, fixed: int
               ) -> tuple[tuple[int, ...], ...] | None:
    """Tap tiles that hold a weight other than 0, by channel tile; None if all do.

    The first `fixed` ones count in any case.
    """
    starts = range(0, work.taps, lanes)
    live = tuple(tuple(tile for tile, k in enumerate(starts) if tile < fixed
                       or work.weights[k:k + lanes, c:c + columns].any())
                 for c in range(0, work.channels, columns))
    return None if all(len(tiles) == len(starts) for tiles in live) else live


def skip_steps(passes: Sequence[PassSchedule], fixed: int) -> list[int]:
    """What is added from tap tile to tap tile of the passes that skip, by weight tile.

    To the address of a dense pass, to the tap table's row otherwise. The memory and its register
    take two cycles, so an entry is there two tiles later, or one, or none, as tiles take one
    cycle, two, or more.
    """
    steps = [0] * max(p.weight_base + sum(p.tiles) for p in passes)
    for p in passes:
        unit, early = p.address_step or p.tap_step, max(0, 3 - p.phases)
        weight = p.weight_base
        for tiles in p.live or ():
            for place in range(fixed - 1, len(tiles) - 1):
                steps[weight + place - early] = unit * (tiles[place + 1] - tiles[place])
            weight += len(tiles)
    return steps
