"""A program cut into tiles for its engines: addresses, tables, memory images, exact cycle counts.

An *engine* is an array with one arithmetic; every pass runs on one. The loop nest of a pass,
outermost first: channel tile, pooled row, pooled column, window row, window column, tap tile,
phase. One sum is finished before the next begins, so a column needs a single accumulator; the
weights of the next tile are there in every cycle.

An engine whose arithmetic holds its weights has the loop over tap tiles outside those over
positions: it loads a tile, then runs all positions with it; a column has a memory of sums, one
for each position.

Times are counted from the cycle in which the sequencer shows a step. Row r sees the step r
cycles later; `FEED_CYCLES` after that its activations are there. See `Schedule.pass_cycles` for
the closed form of a pass.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Shape

from .arith import Arithmetic, Operand, range_shape
from .pass_schedule import PassSchedule
from .program import Pass, Program, Rescale
from .signed_digits import Term, terms_of
from .tensor import bits_for_range
from .tiles import codes, live_tiles, skip_steps
from .weight_store import BankLayout, WeightStore

__all__ = ["Schedule", "FEED_CYCLES", "FIXED_TILES", "RESCALE_CYCLES"]

#: From a step at a row to its activations: tap offset, address, memory, register. One more where
#: rows share a memory: see `Schedule.feed_cycles`.
FEED_CYCLES = 4
#: Tap tiles at the beginning of each sum that are never skipped.
FIXED_TILES = 3
#: Latency of a rescale on the way out: round, shift, compare, clip.
RESCALE_CYCLES = 4
# Sequencer: program word, counters, first successor, first step; then a write's register and
# the final handshake.
_PASS_CYCLES = 5


@dataclass(frozen=True)
class Schedule:
    """How a program runs on its engines.

    Parameters
    ----------
    program : Program
    arithmetics : tuple of Arithmetic
        One a pass; passes with equal ones share an engine.
    rows, columns : int
        Shape of every engine's array.
    hop : int
        Columns that share one set of activation registers; activations reach the next group of
        columns a cycle later.
    skip_zeros : bool
        Whether tap tiles without a weight but zero are left out: see `skipping`.
    store : WeightStore, optional
        Memory that weights are loaded into; by default they are constants.
    images : int
        Images computed in lockstep: each has its array, accumulators and way out, all have the
        same steps and weights.
    share : int
        Rows that take turns at one activation memory, which gives each its activation once a
        step. No step takes fewer cycles.
    """

    program: Program
    arithmetics: tuple[Arithmetic, ...]
    rows: int
    columns: int
    hop: int = 8
    skip_zeros: bool = False
    store: WeightStore | None = None
    images: int = 1
    share: int = 1

    @cached_property
    def engines(self) -> tuple[Arithmetic, ...]:
        """The arithmetic of each engine."""
        return tuple(dict.fromkeys(self.arithmetics))

    @property
    def taps(self) -> int:
        """Activations fed to a row in one step, as many as any engine takes."""
        return max(arithmetic.taps for arithmetic in self.engines)

    @property
    def activation_bits(self) -> int:
        """Width of the activation memories."""
        return max(arithmetic.activation.bits for arithmetic in self.engines)

    def lanes(self, arithmetic: Arithmetic) -> int:
        """Activations an engine takes in one step."""
        return self.rows * arithmetic.taps

    @property
    def feed_cycles(self) -> int:
        """From a step at a row to its activations."""
        # What a shared memory gives goes through a register of its own to the row it is for.
        return FEED_CYCLES + (self.share > 1)

    def passes_of(self, engine: int) -> tuple[PassSchedule, ...]:
        """The passes that run on an engine."""
        return tuple(p for p in self.passes if p.engine == engine)

    @property
    def row_groups(self) -> int:
        """Groups of rows that share activation memories (the last one may be smaller)."""
        return -(-self.rows // self.share)

    @property
    def groups(self) -> int:
        """Groups of columns, `hop` wide (the last one may be narrower)."""
        return -(-self.columns // self.hop)

    @staticmethod
    def activation_operand(work: Pass, arithmetic: Arithmetic) -> Operand:
        """The part of the arithmetic's activation operand that a pass uses."""
        low, high = work.input_format.low, work.input_format.high
        if arithmetic.activation.signed:
            low = min(low, -1)
        return Operand(bits_for_range(low, high), arithmetic.activation.signed)

    @cached_property
    def passes(self) -> tuple[PassSchedule, ...]:
        """Every pass, cut into tiles."""
        return self._cut if self.store is None else self.store.arrange(self, self._cut)

    @cached_property
    def layout(self) -> BankLayout | None:
        """Where loaded weights lie; None when all are constants."""
        return None if self.store is None else BankLayout(self, self.store)

    @cached_property
    def lead_cycles(self) -> int:
        """How much later activations come, so that weights can be read in several cycles."""
        read = 0 if self.layout is None else self.layout.cycles
        return max(0, read + 1 - FEED_CYCLES - self.engines[0].row_latency_cycles)

    @cached_property
    def _cut(self) -> tuple[PassSchedule, ...]:
        result = []
        dense = self._dense_taps
        tap_rows = len(dense)
        weight_words = [0] * len(self.engines)
        for work, arithmetic in zip(self.program.passes, self.arithmetics, strict=True):
            engine, lanes = self.engines.index(arithmetic), self.lanes(arithmetic)
            tap_tiles = -(-work.taps // lanes)
            channel_tiles = -(-work.channels // self.columns)
            last_channels = work.channels - (channel_tiles - 1) * self.columns
            phases = self._phases(work, arithmetic)
            held = arithmetic.holds_weights
            sum_cycles = phases if held else tap_tiles * phases
            least = 3 if work.pool.size > 1 else 2
            result.append(PassSchedule(
                work, engine, arithmetic, tap_tiles, channel_tiles, phases, last_channels,
                idle_cycles=max(0, self.columns - sum_cycles, least - sum_cycles),
                last_idle_cycles=max(0, last_channels - sum_cycles, least - sum_cycles),
                tile_idle_cycles=max(0, 2 - phases) if held else 0,
                load_cycles=self._load_cycles(arithmetic),
                tap_base=dense.index(arithmetic.taps) if work.is_dense else tap_rows,
                tap_step=0 if work.is_dense else 1,
                address_step=lanes if work.is_dense else 0,
                weight_base=weight_words[engine],
                live=self._live(work, engine, lanes)))
            weight_words[engine] += result[-1].weight_words
            if not work.is_dense:
                tap_rows += tap_tiles
        return tuple(result)

    def _phases(self, work: Pass, arithmetic: Arithmetic) -> int:
        if arithmetic.takes_digits:
            return max(arithmetic.digits_for(work.weights), self.share)
        return arithmetic.phases(self.activation_operand(work, arithmetic))

    def _live(self, work: Pass, engine: int, lanes: int) -> tuple[tuple[int, ...], ...] | None:
        """Tap tiles that are not skipped, by channel tile; None if none is.

        Only products with zero are nothing. The first `FIXED_TILES` are always taken, because
        steps from tile to tile come from a memory.
        """
        first = next((index for index, a in enumerate(self.engines) if not a.holds_weights), None)
        if not self.skip_zeros or engine != first or work.operation.name != "product" \
                or not self.engines[engine].exact:
            return None
        return live_tiles(work, lanes, self.columns, FIXED_TILES)

    @cached_property
    def skipping(self) -> bool:
        """Whether any pass skips tap tiles, so that the sequencer has the tables for it."""
        return any(p.live is not None for p in self.passes)

    def steps(self) -> list[int]:
        """What is added from tap tile to tap tile of the passes that skip, by weight tile."""
        return skip_steps(self.passes, FIXED_TILES)

    def _load_cycles(self, arithmetic: Arithmetic) -> int:
        """From a tile's last step to the next tile's first, if weights are held."""
        if not arithmetic.holds_weights:
            return 0
        # Row r sees a step r cycles after row 0, but loads r rows' loading times after it.
        return (self.rows * (arithmetic.load_cycles - 1) + 1
                + self.load_start_cycles(arithmetic) + 1 + self._load_unit_cycles(arithmetic)
                - self.feed_cycles - arithmetic.row_latency_cycles)

    def load_start_cycles(self, arithmetic: Arithmetic) -> int:
        """From the signal to load to the loader's first count.

        Its data are at the array memory, register and load unit later, and not before the last
        step's symbol has gone by.
        """
        return max(1, self.feed_cycles + arithmetic.row_latency_cycles - 1
                   - Schedule._load_unit_cycles(arithmetic))

    @staticmethod
    def _load_unit_cycles(arithmetic: Arithmetic) -> int:
        # From the code to the data: the step goes ahead of the code.
        return arithmetic.load_latency_cycles - arithmetic.load_code_latency_cycles

    # Memory images.

    @property
    def _dense_taps(self) -> list[int]:
        # Dense passes' taps lie one after the other: they share a row of the tap table, one for
        # each number of taps an element takes.
        return sorted({arithmetic.taps for work, arithmetic in
                       zip(self.program.passes, self.arithmetics, strict=True) if work.is_dense})

    @cached_property
    def memory_words(self) -> int:
        """Words of each lane's activation memory, those that idle taps read past included."""
        ends = [p.work.source.base + p.tap_tiles * self.lanes(p.arithmetic)
                for p in self.passes if p.work.is_dense]
        return max([self.program.memory_words, *ends])

    @property
    def weight_words(self) -> int:
        """Weight codes in all tiles, those that fill them up included."""
        return sum(p.weight_words for p in self.passes) * self.rows * self.columns

    @property
    def memory_bits(self) -> int:
        """Bits of all weight and activation memories but loaded ones, and of held sums."""
        weights = self.rows * self.columns * sum(
            p.weight_words * p.arithmetic.weight_code_bits for p in self.passes if not p.loaded)
        sums = sum(self.columns * self.positions_held(engine)
                   * self.sum_shape(engine).width for engine in range(len(self.engines)))
        copies = self.images * self.row_groups * self.taps
        return weights + self.images * sums + copies * self.memory_words * self.activation_bits

    def positions_held(self, engine: int) -> int:
        """Sums that each column of an engine keeps in memory; 0 where none has to be."""
        return max([p.work.positions for p in self.passes_of(engine) if p.is_held], default=0)

    def sum_shape(self, engine: int) -> Shape:
        """Shape of an engine's accumulators."""
        ranges = [span for p, span in zip(self.passes, self.sum_ranges, strict=True)
                  if p.engine == engine]
        return range_shape(min(low for low, _ in ranges), max(high for _, high in ranges))

    def tap_table(self) -> np.ndarray:
        """Tap offsets (table rows, rows, taps); idle taps have offset 0 and unused weights."""
        parts = [np.arange(self.rows * taps).reshape(1, self.rows, taps)
                 for taps in self._dense_taps]
        for p in self.passes:
            if not p.work.is_dense:
                offsets = np.zeros(p.tap_tiles * self.lanes(p.arithmetic), dtype=np.int64)
                offsets[:p.work.taps] = [p.work.tap_offset(k) for k in range(p.work.taps)]
                parts.append(offsets.reshape(p.tap_tiles, self.rows, p.arithmetic.taps))
        # An engine that takes fewer taps uses the first lanes of each row.
        return np.concatenate([np.pad(part, ((0, 0), (0, 0), (0, self.taps - part.shape[2])))
                               for part in parts])

    def weight_codes(self, engine: int) -> np.ndarray:
        """Weight codes of an engine (words, rows, columns), digits and then tap tiles fastest."""
        return self.codes_of(self.passes_of(engine))

    def codes_of(self, passes: tuple[PassSchedule, ...], fill: bool = False) -> np.ndarray:
        """Weight codes of some passes of an engine: see `nmahw.tiles`."""
        return codes(passes, self.rows, self.columns, fill)

    @cached_property
    def offsets(self) -> tuple[np.ndarray, ...]:
        """By how much each pass's sums are too large after each tap tile (tap tiles, channels)."""
        result = []
        for p in self.passes:
            operand = self.activation_operand(p.work, p.arithmetic)
            lanes = self.lanes(p.arithmetic)
            steps = [p.arithmetic.step_offset(p.work.weights[k:k + lanes], operand)
                     for k in range(0, p.work.taps, lanes)]
            added = np.array(steps, dtype=np.int64)
            for tile, live in enumerate(p.live or ()):
                skipped = np.setdiff1d(np.arange(p.tap_tiles), live)
                added[skipped, tile * self.columns:(tile + 1) * self.columns] = 0
            result.append(np.cumsum(added, axis=0))
        return tuple(result)

    @cached_property
    def sum_ranges(self) -> tuple[tuple[int, int], ...]:
        """Range of each pass's accumulators, offsets included."""
        return tuple((p.work.sums[0] + min(int(offset.min()), 0),
                      p.work.sums[1] + max(int(offset.max()), 0))
                     for p, offset in zip(self.passes, self.offsets, strict=True))

    def biases(self) -> list[int]:
        """Biases of all passes, one after the other, what offsets added taken away."""
        # Offsets are scaled with the sums they are in.
        return [int(v) for p, offset in zip(self.passes, self.offsets, strict=True)
                for v in p.work.bias - p.work.scale * offset[-1]]

    @cached_property
    def scale_terms(self) -> tuple[Term, ...]:
        """Terms of all passes' scales, channels in the order of `biases`; none if none scales."""
        return terms_of([int(v) for p in self.passes for v in p.work.scale])

    # Units on the way out.

    @property
    def scale_cycles(self) -> int:
        """What scaling adds to the bias's latency: the shift, and an addition for a second term."""
        return len(self.scale_terms)

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
    def emit_lead_cycles(self) -> int:
        """How long before a sum shows the way out is told: its choice reaches all images."""
        return int(self.images > 1)

    @property
    def way_out_cycles(self) -> int:
        """From a sum in its holding register to its result at the end of the way out."""
        return (3 + self.scale_cycles + self.rescale_cycles("before") + self.pool_cycles
                + self.rescale_cycles("after"))

    # Closed-form cycle counts.

    def array_cycles(self, arithmetic: Arithmetic) -> int:
        """From a step to its psum at the end of the first column."""
        return (self.rows - 1 + self.feed_cycles + arithmetic.row_latency_cycles
                + arithmetic.latency_cycles)

    def pass_cycles(self, index: int) -> int:
        """Cycles pass `index` takes, from leaving the wait state to its last write.

        Its steps, then the time the last one takes through array and column unit, then its
        channels one by one through the way out.
        """
        p = self.passes[index]
        return (p.issue_cycles(self.columns) + self.array_cycles(p.arithmetic)
                + p.arithmetic.column_latency_cycles + p.last_channels + self.way_out_cycles
                + _PASS_CYCLES + self.lead_cycles)

    @cached_property
    def cycles_by_pass(self) -> tuple[int, ...]:
        """`pass_cycles` of every pass."""
        return tuple(self.pass_cycles(index) for index in range(len(self.passes)))

    @property
    def image_cycles(self) -> int:
        """Cycles from one image to the next, on average over a batch and rounded up."""
        return -(-self.batch_cycles // self.images)

    @cached_property
    def batch_cycles(self) -> int:
        """Cycles from one batch of images to the next when neither stream pauses.

        Whatever takes longest: the passes, each with the cycle in which the sequencer finds that
        it may begin; the elements coming in, which give way to results being stored; the last
        pass with its results going out, two cycles each (more with softmax), before the buffer is
        free again.
        """
        stored = sum(p.work.target.shape[0] * p.work.grid[0] * p.work.grid[1]
                     for p in self.passes[:-1])
        elements = self.images * self.program.network.input_format.size
        results = self.program.passes[-1].target.words
        softmax = self.program.softmax
        leaving = 2 * results + 2 if softmax is None else softmax.exit_cycles(results)
        # Of all images but the first, the first result has been waiting.
        leaving += (self.images - 1) * (1 if self.program.arg_max else 2 * results - 1)
        return max(sum(self.cycles_by_pass) + len(self.passes), elements + stored,
                   self.cycles_by_pass[-1] + leaving)
