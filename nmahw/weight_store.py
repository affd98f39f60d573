"""Weights that are loaded at start: which passes', how they lie in memory, and the bytes to load.

Some devices have large memories that configuration cannot fill (iCE40 UltraPlus: SPRAM). Each row
of the array gets a *bank* of such memory. A bank gives one word a cycle; where the codes of a row's
elements need more bits than that, a tile takes several cycles, one *word* each.

What is the same in all tiles is not stored: a bit of a row's codes that never changes is a
constant, and two bits that are always equal are one. So the mark for unused weights costs nothing
where all weights are used.

A pass that uses its weights for many positions, and would be slowed down by reading them in
several cycles, keeps them as constants in block RAM.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .errors import ModelError, UsageError

if TYPE_CHECKING:
    from .pass_schedule import PassSchedule
    from .schedule import Schedule

__all__ = ["BankLayout", "RowBits", "WeightStore"]


@dataclass(frozen=True)
class WeightStore:
    """Memory for loaded weights.

    Parameters
    ----------
    blocks : int
        Memories there are, shared out evenly to the array's rows; 0 for as many as are wanted.
    block_bits : int
        Bits of a block's word; 0 for as wide as a row's codes. A multiple of 8.
    block_words : int
        Words of a block; 0 for as many as are wanted.
    style : str
        What synthesis calls such a memory (``ram_style``); "" for any.
    """

    blocks: int = 0
    block_bits: int = 0
    block_words: int = 0
    style: str = ""

    def bank_bits(self, rows: int) -> int:
        """Bits of a row's word; 0 for as many as are wanted.

        Raises
        ------
        UsageError
            There are fewer blocks than rows.
        """
        if not self.blocks:
            return self.block_bits
        if rows > self.blocks:
            raise UsageError(f"array rows must be at most {self.blocks}, the number of memories "
                             f"that weights are loaded into, not {rows}")
        return self.blocks // rows * self.block_bits

    def arrange(self, schedule: Schedule, passes: tuple[PassSchedule, ...]
                ) -> tuple[PassSchedule, ...]:
        """`passes` with those marked whose weights are loaded, and their waits.

        Raises
        ------
        UsageError
            Several arithmetics, one that holds its weights, or zeros to skip.
        """
        if len(schedule.engines) != 1 or schedule.engines[0].holds_weights \
                or schedule.skip_zeros:
            raise UsageError("weights can only be loaded for one arithmetic in all layers, one "
                             "that takes its weights in every step, and without skipping zeros")
        kind, bank_bits = schedule.engines[0], self.bank_bits(schedule.rows)
        reads = -(-schedule.columns * kind.weight_code_bits // bank_bits) if bank_bits else 1
        slowed = [p.work.positions > 1 and reads > p.phases for p in passes]
        if all(slowed):
            slowed = [False] * len(passes)
        # Constants and loaded weights lie in different memories.
        tiles, arranged = [0, 0], []
        for p, constant in zip(passes, slowed, strict=True):
            arranged.append(replace(p, loaded=not constant, weight_base=tiles[constant]))
            tiles[constant] += sum(p.tiles)
        cycles = BankLayout(schedule, self, tuple(arranged)).cycles
        return tuple(p.with_wait(max(0, cycles - p.phases), schedule.columns) if p.loaded else p
                     for p in arranged)


@dataclass(frozen=True)
class RowBits:
    """How the codes of a row's elements come from stored bits.

    Attributes
    ----------
    sources : tuple of int
        For each bit of the codes, column by column, the number of the stored bit; -1 for a
        constant 0, -2 for a constant 1.
    stored : bool array (tiles, stored bits)
    """

    sources: tuple[int, ...]
    stored: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, bits: int) -> RowBits:
        """Of a row's codes (tiles, columns)."""
        shifted = codes.astype(np.int64)[:, :, None] >> np.arange(bits)
        plain = (shifted & 1).astype(bool).reshape(len(codes), -1)
        numbers: dict[bytes, int] = {}
        for constant, number in ((False, -1), (True, -2)):
            numbers[np.full(len(codes), constant).tobytes()] = number
        sources, kept = [], []
        for column in plain.T:
            key = column.tobytes()
            if key not in numbers:
                numbers[key] = len(kept)
                kept.append(column)
            sources.append(numbers[key])
        stored = np.array(kept, dtype=bool).T.reshape(len(codes), len(kept))
        return cls(tuple(sources), stored)


class BankLayout:
    """Where loaded weights lie in the banks.

    Parameters
    ----------
    schedule : Schedule
    store : WeightStore
    passes : tuple of PassSchedule, optional
        By default the schedule's.
    """

    def __init__(self, schedule: Schedule, store: WeightStore,
                 passes: tuple[PassSchedule, ...] | None = None):
        self._schedule, self._store = schedule, store
        self._passes = schedule.passes if passes is None else passes
        if self.words > (store.block_words or self.words):
            raise ModelError(f"loaded weights must take at most {store.block_words:,} words of "
                             f"each row's memory, not {self.words:,}")

    def _rows(self, loaded: bool) -> list[RowBits]:
        passes = tuple(p for p in self._passes if p.loaded == loaded)
        if not passes:
            return []
        codes = self._schedule.codes_of(passes, True)
        bits = self._schedule.engines[0].weight_code_bits
        return [RowBits.of(codes[:, row], bits) for row in range(self._schedule.rows)]

    @cached_property
    def rows(self) -> list[RowBits]:
        """Loaded codes of each row."""
        return self._rows(True)

    @cached_property
    def constant_rows(self) -> list[RowBits]:
        """Codes of each row that are constants; empty when all are loaded."""
        return self._rows(False)

    @cached_property
    def bank_bits(self) -> int:
        """Bits of a bank's word, a multiple of 8."""
        widest = max(1, *(row.stored.shape[1] for row in self.rows))
        return self._store.bank_bits(self._schedule.rows) or -(-widest // 8) * 8

    @property
    def cycles(self) -> int:
        """Words of a tile, read one a cycle."""
        return max(1, *(-(-row.stored.shape[1] // self.bank_bits) for row in self.rows))

    @property
    def word_address_bits(self) -> int:
        """Low bits of a word's address that say which word of its tile."""
        return (self.cycles - 1).bit_length()

    @property
    def tiles(self) -> int:
        """Tiles that are loaded."""
        return len(self.rows[0].stored)

    @property
    def words(self) -> int:
        """Words of a bank."""
        return self.tiles << self.word_address_bits

    @property
    def byte_address_bits(self) -> tuple[int, int]:
        """Bits of a byte's address below the word's: byte in the word, then row."""
        return (self.bank_bits // 8 - 1).bit_length(), (self._schedule.rows - 1).bit_length()

    @cached_property
    def image(self) -> bytes:
        """What has to be loaded: word by word, in each row by row, little-endian."""
        in_word, in_line = self.byte_address_bits
        image = np.zeros((self.tiles, 1 << self.word_address_bits, 1 << in_line, 1 << in_word),
                         dtype=np.uint8)
        for row, bits in enumerate(self.rows):
            padded = np.zeros((self.tiles, self.cycles * self.bank_bits), dtype=bool)
            padded[:, :bits.stored.shape[1]] = bits.stored
            octets = np.packbits(padded, axis=1, bitorder="little")
            image[:, :self.cycles, row, :self.bank_bits // 8] = octets.reshape(
                self.tiles, self.cycles, -1)
        return image.tobytes()

    @cached_property
    def crc32(self) -> int:
        """CRC-32 (ISO-HDLC) of `image`."""
        return zlib.crc32(self.image)
