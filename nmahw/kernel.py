"""A matrix product by a weight-stationary array: parameters, schedule and golden model.

The kernel computes ``sums[p, c] = sum_k operation(x[p, k], w[k, c])`` for a block of P positions
and C columns. It is what arithmetics are compared with: elements, weight loading, skewed feeding
and accumulators, but no network around them.

Time is counted in *slots*, one step each. All rows work on the same position, and positions
follow one another cyclically. A row holds the weights of its taps for P slots, no matter at which
position it begins, then it is idle for `idle_slots` while it gets its next ones; rows do so in
turn, `stagger_slots` apart. So loading hides behind computing without a second set of weights:

    row r, round j:  idle     [j (P + idle) + r stagger, idle slots long)
                     computes [j (P + idle) + r stagger + idle, P slots long)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .arith import ARITHMETICS, Arithmetic, Operand
from .errors import ModelError, UsageError
from .operations import operation
from .tensor import TensorFormat, bits_for_range

__all__ = ["Kernel"]


@dataclass(frozen=True)
class Kernel:
    """One matrix kernel.

    Parameters
    ----------
    arithmetic : Arithmetic
    rows, columns : int
        Shape of the array, 1..64 each.
    positions : int
        P, a power of two of 16..1024: results kept for each column.
    sum_bits : int
        Width of the accumulators.
    hop : int
        Columns that share one set of activation registers.
    """

    arithmetic: Arithmetic
    rows: int
    columns: int
    positions: int = 512
    sum_bits: int = 24
    hop: int = 4

    def __post_init__(self):
        for what, value in (("rows", self.rows), ("columns", self.columns)):
            if type(value) is not int or not 1 <= value <= 64:
                raise UsageError(f"array {what} must be an integer of 1..64, not {value!r}")
        if self.positions not in (1 << n for n in range(4, 11)):
            raise UsageError(f"positions must be a power of two of 16..1024, not "
                             f"{self.positions!r}")
        value = self.arithmetic.value_shape(self.rows)
        if not value.width <= self.sum_bits <= 48:
            raise UsageError(f"accumulators must have {value.width}..48 bits (a value of "
                             f"{self.arithmetic} on {self.rows} rows), not {self.sum_bits}")
        if self.rows * self.stagger_slots > self.positions + self.idle_slots:
            raise UsageError(f"positions must be at least "
                             f"{self.rows * self.stagger_slots - self.idle_slots}, so that "
                             f"{self.rows} rows can load in turn, not {self.positions}")

    @classmethod
    def of(cls, arithmetic: str, rows: int, columns: int, activation: Operand, weight: Operand,
           **options: int) -> "Kernel":
        """A kernel with the arithmetic of that name, for these operands or the nearest it takes.

        Accumulators get 24 bits, or what one step's value needs if that is more, unless
        `sum_bits` is given.
        """
        instance = ARITHMETICS.get(arithmetic).nearest(activation, weight)
        options.setdefault("sum_bits", max(24, instance.value_shape(rows).width))
        return cls(instance, rows, columns, **options)

    # Schedule.

    @property
    def phases(self) -> int:
        """Cycles of a slot."""
        return self.arithmetic.phases(self.arithmetic.activation)

    @property
    def lanes(self) -> int:
        """Activations of a slot."""
        return self.rows * self.arithmetic.taps

    @property
    def groups(self) -> int:
        """Groups of columns."""
        return -(-self.columns // self.hop)

    @property
    def begin_cycles(self) -> int:
        """From a slot's begin to the loader's `begin` for row 0; row r's is r cycles later.

        Two cycles at least: one for `take`, one for the register behind it.
        """
        arithmetic = self.arithmetic
        return max(2, arithmetic.row_latency_cycles - arithmetic.load_latency_cycles)

    @property
    def idle_slots(self) -> int:
        """Slots a row does not take part in while it loads."""
        arithmetic = self.arithmetic
        # From the first symbol that says "not active" to the first loading cycle.
        late = (self.begin_cycles + 1 + arithmetic.load_latency_cycles
                - 1 - arithmetic.row_latency_cycles)
        return -(-(arithmetic.load_cycles + late) // self.phases)

    @property
    def stagger_slots(self) -> int:
        """Slots from one row's turn to load to the next row's."""
        arithmetic = self.arithmetic
        shifting = self.columns + 2 * self.groups + 4
        # Codes are copied for a load of a cycle, or stay in their places until a longer one has
        # read them.
        if arithmetic.load_cycles == 1:
            cycles = max(shifting, self.rows + self.begin_cycles + 2
                         + arithmetic.load_latency_cycles)
        else:
            cycles = self.rows + self.begin_cycles + arithmetic.load_cycles - 1 + shifting
        return max(self.idle_slots, -(-cycles // self.phases))

    @property
    def round_slots(self) -> int:
        """Slots from a row's turn to load to its next one."""
        return self.positions + self.idle_slots

    def rounds(self, taps: int) -> int:
        """How often every row loads for sums of `taps` taps."""
        return -(-taps // self.lanes)

    def block_slots(self, rounds: int) -> int:
        """Slots of a block: `positions` sums of every column."""
        return rounds * self.round_slots + (self.rows - 1) * self.stagger_slots + 1

    @property
    def macs_per_cycle(self) -> float:
        """Operations a cycle, sustained over long sums: idle slots count, stagger does not."""
        return (self.lanes * self.columns * self.positions / self.round_slots / self.phases)

    # Golden model and memory images.

    def check(self, x: np.ndarray, weights: np.ndarray) -> None:
        """Make sure that a block can be computed.

        Raises
        ------
        ModelError
            Wrong shapes, operands out of range, weights without a code, sums too wide.
        """
        arithmetic = self.arithmetic
        if x.ndim != 2 or weights.ndim != 2 or x.shape != (self.positions, len(weights)) \
                or weights.shape[1] != self.columns:
            raise ModelError(f"a block must have activations ({self.positions}, taps) and weights "
                             f"(taps, {self.columns}), not {x.shape} and {weights.shape}")
        for what, values, operand in (("activations", x, arithmetic.activation),
                                      ("weights", weights, arithmetic.weight)):
            if values.min() < operand.low or values.max() > operand.high:
                raise ModelError(f"{what} must be of {operand}, not "
                                 f"{values.min()}..{values.max()}")
        if np.any(weights != type(arithmetic).project(weights)):
            raise ModelError(f"{arithmetic.name} must have a code for every weight")
        span = TensorFormat((1,), arithmetic.activation.low, arithmetic.activation.high)
        low, high = operation(arithmetic.operation).sum_range(weights, span)
        slack = round(arithmetic.error_bound * len(weights))
        offset = self.offsets(weights)
        bits = bits_for_range(min(low - slack + min(int(offset.min()), 0), -1),
                              high + slack + max(int(offset.max()), 0))
        if bits > self.sum_bits:
            raise ModelError(f"sums must fit {self.sum_bits} bits, but can take {bits}")

    def predict(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sums (positions, columns) of activations (positions, taps), weights (taps, columns)."""
        self.check(x, weights)
        return self.arithmetic.compute(x[:, :, None], weights[None]).sum(axis=1)

    def offsets(self, weights: np.ndarray) -> np.ndarray:
        """What has to be taken from the hardware's sums of each column: (columns,)."""
        arithmetic = self.arithmetic
        return sum((arithmetic.step_offset(weights[k:k + self.lanes], arithmetic.activation)
                    for k in range(0, len(weights), self.lanes)),
                   np.zeros(self.columns, dtype=np.int64))

    def weight_words(self, weights: np.ndarray) -> list[int]:
        """Codes in the order in which the kernel takes them: round, row, last column first."""
        taps = self.arithmetic.taps
        size = self.rounds(len(weights)) * self.lanes
        padded = np.zeros((size, self.columns), dtype=np.int64)
        padded[:len(weights)] = weights
        used = np.zeros(padded.shape, dtype=bool)
        used[:len(weights)] = True
        padded, used = (a.reshape(-1, taps, self.columns).transpose(0, 2, 1)[:, ::-1]
                        for a in (padded, used))
        return [int(c) for c in self.arithmetic.encode_weights(padded, used).ravel()]

    def activation_words(self, x: np.ndarray) -> list[int]:
        """One word a slot of the block: the activations of all rows, row 0 lowest."""
        taps, bits = self.arithmetic.taps, self.arithmetic.activation.bits
        rounds = self.rounds(x.shape[1])
        padded = np.zeros((self.positions, rounds * self.lanes), dtype=np.int64)
        padded[:, :x.shape[1]] = x
        mask = (1 << bits) - 1
        words = []
        for slot in range(self.block_slots(rounds)):
            word = 0
            for row in range(self.rows):
                turn, at = divmod(slot - row * self.stagger_slots, self.round_slots)
                if 0 <= turn < rounds and at >= self.idle_slots:
                    first = turn * self.lanes + row * taps
                    for tap in range(taps):
                        value = int(padded[slot % self.positions, first + tap]) & mask
                        word |= value << ((row * taps + tap) * bits)
            words.append(word)
        return words

    @cached_property
    def psum_cycles(self) -> int:
        """From a slot's begin to its first psum below column group 0."""
        arithmetic = self.arithmetic
        return (self.rows + arithmetic.row_latency_cycles + arithmetic.latency_cycles)

    def create(self):
        """The kernel as an Amaranth component."""
        from .gateware.kernel import MatrixKernel  # gateware needs this module
        return MatrixKernel(self)
