"""A program cut into tiles for one array: addresses, tables, memory images, exact cycle counts.

The loop nest of a pass, outermost first: channel tile, pooled row, pooled column, window row,
window column, tap tile, phase. One sum is finished before the next begins, so a column needs a
single accumulator; the weights of the next tile are there in every cycle.

Times are counted from the cycle in which the sequencer shows a step. Row r sees the step r
cycles later; `FEED_CYCLES` after that its activations are there. See `Schedule.pass_cycles` for
the closed form of a pass.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .arith import Arithmetic, Operand
from .program import Pass, Program, Rescale
from .tensor import bits_for_range

__all__ = ["Schedule", "PassSchedule", "FEED_CYCLES", "RESCALE_CYCLES"]

#: From a step at a row to its activations: tap offset, address, memory, register.
FEED_CYCLES = 4
#: Latency of a rescale on the way out: round, shift, clip.
RESCALE_CYCLES = 3
# Sequencer: program word, counters, first successor, first step; then a write's register and
# the final handshake.
_PASS_CYCLES = 5


@dataclass(frozen=True)
class PassSchedule:
    """One pass cut into tiles.

    Attributes
    ----------
    work : Pass
    tap_tiles, channel_tiles : int
        Tiles along the sum and along the output channels.
    phases : int
        Cycles of one step.
    last_channels : int
        Output channels of the last channel tile; all others are full.
    idle_cycles, last_idle_cycles : int
        Wait after each sum, so that the way out, which takes one channel a cycle, keeps up; in
        full and in the last channel tile.
    tap_base, tap_step : int
        First row of the tap table and how it advances from tile to tile (0 or 1).
    address_step : int
        What is added to the position's address from tap tile to tap tile.
    weight_base : int
        First weight tile.
    """

    work: Pass
    tap_tiles: int
    channel_tiles: int
    phases: int
    last_channels: int
    idle_cycles: int
    last_idle_cycles: int
    tap_base: int
    tap_step: int
    address_step: int
    weight_base: int

    @property
    def issue_cycles(self) -> int:
        """Cycles from the pass's first step to its last, inclusive."""
        sum_cycles = self.tap_tiles * self.phases
        full = (self.channel_tiles - 1) * self.work.positions * (sum_cycles + self.idle_cycles)
        last = self.work.positions * (sum_cycles + self.last_idle_cycles)
        return full + last - self.last_idle_cycles


@dataclass(frozen=True)
class Schedule:
    """How a program runs on an array.

    Parameters
    ----------
    program : Program
    arithmetic : Arithmetic
    rows, columns : int
        Shape of the array.
    hop : int
        Columns that share one set of activation registers; activations reach the next group of
        columns a cycle later.
    """

    program: Program
    arithmetic: Arithmetic
    rows: int
    columns: int
    hop: int = 8

    @property
    def lanes(self) -> int:
        """Activations fed in one step."""
        return self.rows * self.arithmetic.taps

    @property
    def groups(self) -> int:
        """Groups of columns, `hop` wide (the last one may be narrower)."""
        return -(-self.columns // self.hop)

    def activation_operand(self, work: Pass) -> Operand:
        """The part of the array's activation operand that a pass uses."""
        low, high = work.input_format.low, work.input_format.high
        if self.arithmetic.activation.signed:
            low = min(low, -1)
        return Operand(bits_for_range(low, high), self.arithmetic.activation.signed)

    @cached_property
    def passes(self) -> tuple[PassSchedule, ...]:
        """Every pass, cut into tiles."""
        result = []
        # Row 0 of the tap table serves all dense passes: their taps lie one after the other.
        tap_rows = 1 if any(p.is_dense for p in self.program.passes) else 0
        weight_tiles = 0
        for work in self.program.passes:
            tap_tiles = -(-work.taps // self.lanes)
            channel_tiles = -(-work.channels // self.columns)
            last_channels = work.channels - (channel_tiles - 1) * self.columns
            phases = self.arithmetic.phases(self.activation_operand(work))
            sum_cycles = tap_tiles * phases
            # The sequencer needs two cycles from position to position, and the pool takes a
            # channel again three cycles later at the earliest.
            least = 3 if work.pool.size > 1 else 2
            result.append(PassSchedule(
                work, tap_tiles, channel_tiles, phases, last_channels,
                idle_cycles=max(0, self.columns - sum_cycles, least - sum_cycles),
                last_idle_cycles=max(0, last_channels - sum_cycles, least - sum_cycles),
                tap_base=0 if work.is_dense else tap_rows,
                tap_step=0 if work.is_dense else 1,
                address_step=self.lanes if work.is_dense else 0,
                weight_base=weight_tiles))
            weight_tiles += tap_tiles * channel_tiles
            if not work.is_dense:
                tap_rows += tap_tiles
        return tuple(result)

    # Memory images.

    @cached_property
    def memory_words(self) -> int:
        """Words of each lane's activation memory, those that idle taps read past included."""
        ends = [p.work.source.base + p.tap_tiles * self.lanes for p in self.passes
                if p.work.is_dense]
        return max([self.program.memory_words, *ends])

    @property
    def weight_words(self) -> int:
        """Weight codes in all tiles, those that fill them up included."""
        tiles = sum(p.tap_tiles * p.channel_tiles for p in self.passes)
        return tiles * self.rows * self.columns

    @property
    def memory_bits(self) -> int:
        """Bits of all weight and activation memories."""
        arithmetic = self.arithmetic
        return (self.weight_words * arithmetic.weight_code_bits
                + self.lanes * self.memory_words * arithmetic.activation.bits)

    def tap_table(self) -> np.ndarray:
        """Tap offsets (table rows, lanes); idle taps have offset 0 and weights 0."""
        rows = [np.arange(self.lanes)] if any(p.work.is_dense for p in self.passes) else []
        for p in self.passes:
            if not p.work.is_dense:
                offsets = np.zeros(p.tap_tiles * self.lanes, dtype=np.int64)
                offsets[:p.work.taps] = [p.work.tap_offset(k) for k in range(p.work.taps)]
                rows.extend(offsets.reshape(-1, self.lanes))
        return np.array(rows)

    def weight_codes(self) -> np.ndarray:
        """Weight codes (tiles, rows, columns), tap tiles running fastest."""
        weights = np.concatenate([self._tiled(p, p.work.weights) for p in self.passes])
        used = np.concatenate([self._tiled(p, np.ones_like(p.work.weights)) for p in self.passes])
        return self.arithmetic.encode_weights(weights, used.astype(bool))

    def _tiled(self, p: PassSchedule, values: np.ndarray) -> np.ndarray:
        """Values (taps, channels) as tiles (tiles, rows, columns, taps of an element), 0 outside."""
        taps = self.arithmetic.taps
        padded = np.zeros((p.tap_tiles * self.lanes, p.channel_tiles * self.columns),
                          dtype=np.int64)
        padded[:p.work.taps, :p.work.channels] = values
        shaped = padded.reshape(p.tap_tiles, self.rows, taps, p.channel_tiles, self.columns)
        return shaped.transpose(3, 0, 1, 4, 2).reshape(-1, self.rows, self.columns, taps)

    @cached_property
    def offsets(self) -> tuple[np.ndarray, ...]:
        """By how much each pass's sums are too large after each tap tile (tap tiles, channels)."""
        result = []
        for p in self.passes:
            operand = self.activation_operand(p.work)
            steps = [self.arithmetic.step_offset(p.work.weights[k:k + self.lanes], operand)
                     for k in range(0, p.work.taps, self.lanes)]
            result.append(np.cumsum(np.array(steps, dtype=np.int64), axis=0))
        return tuple(result)

    @cached_property
    def sum_ranges(self) -> tuple[tuple[int, int], ...]:
        """Range of each pass's accumulators, offsets included."""
        return tuple((p.work.sums[0] + min(int(offset.min()), 0),
                      p.work.sums[1] + max(int(offset.max()), 0))
                     for p, offset in zip(self.passes, self.offsets, strict=True))

    def biases(self) -> list[int]:
        """Biases of all passes, one after the other, what offsets added taken away."""
        return [int(v) for p, offset in zip(self.passes, self.offsets, strict=True)
                for v in p.work.bias - offset[-1]]

    # Units on the way out.

    def rescales(self, slot: str) -> list[Rescale]:
        """The rescale of every pass in `slot`, ``"before"`` or ``"after"`` pooling."""
        return [getattr(p.work, slot) for p in self.passes]

    def rescale_cycles(self, slot: str) -> int:
        """Latency of that unit; 0 when no pass needs it."""
        return 0 if all(r.is_identity for r in self.rescales(slot)) else RESCALE_CYCLES

    @property
    def pool_cycles(self) -> int:
        """Latency of the pool: 3 with averages, 2 without, 0 when no pass pools."""
        pools = [p.work.pool for p in self.passes if p.work.pool.size > 1]
        return 0 if not pools else 3 if any(p.shift for p in pools) else 2

    @property
    def way_out_cycles(self) -> int:
        """From a sum in its holding register to its result at the end of the way out."""
        return 3 + self.rescale_cycles("before") + self.pool_cycles + self.rescale_cycles("after")

    # Closed-form cycle counts.

    @property
    def array_cycles(self) -> int:
        """From a step to its psum at the end of the first column."""
        arithmetic = self.arithmetic
        return (self.rows - 1 + FEED_CYCLES + arithmetic.row_latency_cycles
                + arithmetic.latency_cycles)

    def pass_cycles(self, index: int) -> int:
        """Cycles pass `index` takes, from leaving the wait state to its last write.

        Its steps, then the time the last one takes through array and column unit, then its
        channels one by one through the way out.
        """
        p = self.passes[index]
        return (p.issue_cycles + self.array_cycles + self.arithmetic.column_latency_cycles
                + p.last_channels + self.way_out_cycles + _PASS_CYCLES)

    @cached_property
    def cycles_by_pass(self) -> tuple[int, ...]:
        """`pass_cycles` of every pass."""
        return tuple(self.pass_cycles(index) for index in range(len(self.passes)))

    @cached_property
    def image_cycles(self) -> int:
        """Cycles from one image to the next when neither stream pauses.

        Whatever takes longest: the passes, each with the cycle in which the sequencer finds that
        it may begin; the elements coming in, which give way to results being stored; the last
        pass with its results going out, two cycles each, before the buffer is free again.
        """
        stored = sum(p.work.target.shape[0] * p.work.grid[0] * p.work.grid[1]
                     for p in self.passes[:-1])
        elements = self.program.network.input_format.size
        results = self.program.passes[-1].target.words
        return max(sum(self.cycles_by_pass) + len(self.passes), elements + stored,
                   self.cycles_by_pass[-1] + 2 * results + 2)
