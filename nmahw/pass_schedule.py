"""One pass of a program on its engine: tiles, and in closed form the cycles its steps take."""

from dataclasses import dataclass, replace

from .arith import Arithmetic
from .program import Pass

__all__ = ["PassSchedule"]


@dataclass(frozen=True)
class PassSchedule:
    """One pass cut into tiles.

    Attributes
    ----------
    work : Pass
    engine : int
        Index of the engine it runs on.
    arithmetic : Arithmetic
        That engine's.
    tap_tiles, channel_tiles : int
        Tiles along the sum and along the output channels.
    phases : int
        Cycles of one step.
    last_channels : int
        Output channels of the last channel tile; all others are full.
    idle_cycles, last_idle_cycles : int
        Wait after each sum, so that the way out, which takes one channel a cycle, keeps up; in
        full and in the last channel tile.
    tile_idle_cycles : int
        Wait after each position of a tap tile that is not the last; only where weights are held,
        or read in several cycles.
    load_cycles : int
        Wait while the next tile's weights are loaded; 0 where they are not held.
    tap_base, tap_step : int
        First row of the tap table and how it advances from tile to tile (0 or 1).
    address_step : int
        What is added to the position's address from tap tile to tap tile.
    weight_base : int
        First word of weights, among those of the engine (in the same memory: see `loaded`).
    live : tuple of tuples of int, or None
        Tap tiles that each channel tile takes, if others are skipped.
    loaded : bool
        Whether the weights are loaded at start: see `nmahw.weight_store`.
    """

    work: Pass
    engine: int
    arithmetic: Arithmetic
    tap_tiles: int
    channel_tiles: int
    phases: int
    last_channels: int
    idle_cycles: int
    last_idle_cycles: int
    tile_idle_cycles: int
    load_cycles: int
    tap_base: int
    tap_step: int
    address_step: int
    weight_base: int
    live: tuple[tuple[int, ...], ...] | None = None
    loaded: bool = False

    def with_wait(self, wait_cycles: int, columns: int) -> "PassSchedule":
        """The same with at least `wait_cycles` after each step, in an array of `columns`."""
        sum_cycles = self.tap_tiles * self.phases + (self.tap_tiles - 1) * wait_cycles
        least = max(wait_cycles, self.least_cycles - sum_cycles)
        return replace(self, tile_idle_cycles=wait_cycles,
                       idle_cycles=max(least, columns - sum_cycles),
                       last_idle_cycles=max(least, self.last_channels - sum_cycles))

    @property
    def tiles(self) -> tuple[int, ...]:
        """How many tap tiles each channel tile takes."""
        if self.live is None:
            return (self.tap_tiles,) * self.channel_tiles
        return tuple(map(len, self.live))

    @property
    def words_per_tile(self) -> int:
        """Words of weight memory that a tile takes: one, or one a digit."""
        return self.phases if self.arithmetic.takes_digits else 1

    @property
    def weight_words(self) -> int:
        """Words of weight memory that the pass takes, of all the array's rows and columns."""
        return sum(self.tiles) * self.words_per_tile

    def idle(self, channel_tile: int, columns: int) -> int:
        """Wait after each sum of a channel tile, which the way out needs."""
        full = channel_tile < self.channel_tiles - 1
        if self.live is None:
            return self.idle_cycles if full else self.last_idle_cycles
        sum_cycles = self.tiles[channel_tile] * self.phases
        return max(0, (columns if full else self.last_channels) - sum_cycles,
                   self.least_cycles - sum_cycles)

    @property
    def least_cycles(self) -> int:
        """Cycles from one sum to the next at the least.

        The sequencer needs two from position to position, and the pool takes a channel again three
        cycles later at the earliest.
        """
        return 3 if self.work.pool.size > 1 else 2

    @property
    def is_held(self) -> bool:
        """Whether its weights are held over all positions."""
        return self.arithmetic.holds_weights

    @property
    def last_load_cycles(self) -> int:
        """Wait from channel tile to channel tile where weights are held."""
        return max(self.load_cycles, self.idle_cycles)

    def issue_cycles(self, columns: int) -> int:
        """Cycles from the pass's first step (or load) to its last, inclusive."""
        if self.is_held:
            waits = self.work.positions - 1
            tile = self.work.positions * self.phases
            inner = (self.tap_tiles - 1) * (tile + waits * self.tile_idle_cycles
                                            + self.load_cycles)
            full = inner + tile + waits * self.idle_cycles + self.last_load_cycles
            last = inner + tile + waits * self.last_idle_cycles
            return self.load_cycles + (self.channel_tiles - 1) * full + last
        idles = [self.idle(tile, columns) for tile in range(self.channel_tiles)]
        waits = (sum(self.tiles) - self.channel_tiles) * self.tile_idle_cycles
        return (self.work.positions * (sum(self.tiles) * self.phases + waits + sum(idles))
                - idles[-1])
