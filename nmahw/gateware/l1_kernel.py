"""A parallel AdderNet kernel: all distances of a few input and output channels in every cycle.

Same box as AdderNet-FPGA (github.com/mqhuangGit/AdderNet-FPGA, `conv_ctrl.v`: 16 input and 16
output channels, 8 bits): activations and weights come from memories, every output channel sums
over the input channels in a pipelined tree, scales the sum by a power of two with rounding to 8
bits, and accumulates over the positions of the convolution's window.

A sum of distances needs no absolute value on the way. Call a number *oriented* that is either
the sum of some distances or its negative. Differences are; and of two oriented numbers, the
first plus or minus the second (minus when their signs differ) is oriented again. So a tree of
add-or-subtract carry chains sums distances, and only its root is given the right sign.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith import Operand, range_shape
from .common import delayed
from .gated_add import GatedAdd

__all__ = ["ParallelKernel", "L1Kernel", "ProductKernel"]


@dataclass(frozen=True)
class ParallelKernel:
    """Parameters, golden model and hardware; `combine` says what is summed.

    Parameters
    ----------
    inputs, outputs : int
        Channels; a power of two of inputs.
    activation, weight : Operand
    shift : int
        Sums over the inputs are divided by ``2^shift``, rounded half up.
    result_bits : int
        Width that scaled sums are saturated to (signed).
    positions : int
        Scaled sums that are accumulated at most.
    """

    inputs: int = 16
    outputs: int = 16
    activation: Operand = Operand(8, True)
    weight: Operand = Operand(8, True)
    shift: int = 6
    result_bits: int = 8
    positions: int = 9

    @property
    def levels(self) -> int:
        """Levels of the tree."""
        return (self.inputs - 1).bit_length()

    @property
    def latency_cycles(self) -> int:
        """From operands to the accumulator: term, tree, scaled sum, accumulator."""
        return 1 + self.levels + 1 + 1

    @property
    def scaled_shape(self) -> Shape:
        """Of a scaled sum before saturation."""
        low, high = ((limit * self.inputs + (1 << self.shift >> 1)) >> self.shift
                     for limit in self.term_range())
        return range_shape(low, high)

    @property
    def sum_shape(self) -> Shape:
        """Of the accumulators."""
        largest = 1 << min(self.result_bits, self.scaled_shape.width) - 1
        return range_shape(-largest * self.positions, (largest - 1) * self.positions)

    def compute(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Accumulated results (outputs,) of (positions, inputs), (positions, outputs, inputs)."""
        sums = self.terms(x[:, None].astype(np.int64), weights.astype(np.int64)).sum(axis=2)
        scaled = (sums + (1 << self.shift >> 1)) >> self.shift
        limit = 1 << (self.result_bits - 1)
        return np.clip(scaled, -limit, limit - 1).sum(axis=0)

    def create(self) -> "KernelComponent":
        """The hardware."""
        return KernelComponent(self)


class L1Kernel(ParallelKernel):
    """Sums of ``-|x - w|``."""

    def term_range(self) -> tuple[int, int]:
        """Smallest and largest term."""
        x, w = self.activation, self.weight
        return -max(x.high - w.low, w.high - x.low), 0

    def terms(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Terms, elementwise."""
        return -np.abs(x - w)

    def term(self, x: Value, w: Value) -> Value:
        """What the tree gets of one activation and weight: an oriented number."""
        return x - w

    def add(self, m: Module, a: Value, b: Value, total: Signal) -> Value:
        """The sum of two numbers of the tree."""
        m.submodules += (adder := GatedAdd(a.shape(), b.shape(), total.shape(), subtract=True))
        m.d.comb += [adder.augend.eq(a), adder.addend.eq(b), adder.subtract.eq(a[-1] ^ b[-1])]
        return adder.total

    def finish(self, m: Module, root: Value) -> Value:
        """The sum itself, of the tree's root."""
        shape = signed(len(root))
        m.submodules += (adder := GatedAdd(shape, shape, shape, subtract=True))
        # Half of 2^shift, for rounding, rides on the same chain.
        m.d.comb += [adder.augend.eq(1 << self.shift >> 1), adder.addend.eq(root),
                     adder.subtract.eq(~root[-1])]
        return adder.total


class ProductKernel(ParallelKernel):
    """Sums of ``x * w``, to compare with."""

    def term_range(self) -> tuple[int, int]:
        """Smallest and largest term."""
        corners = [x * w for x in (self.activation.low, self.activation.high)
                   for w in (self.weight.low, self.weight.high)]
        return min(corners), max(corners)

    def terms(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Terms, elementwise."""
        return x * w

    def term(self, x: Value, w: Value) -> Value:
        """What the tree gets of one activation and weight."""
        return x * w

    def add(self, m: Module, a: Value, b: Value, total: Signal) -> Value:
        """The sum of two numbers of the tree."""
        return a + b

    def finish(self, m: Module, root: Value) -> Value:
        """The sum itself, of the tree's root, half of 2^shift added."""
        return root + (1 << self.shift >> 1)


class KernelComponent(wiring.Component):
    """The hardware of a `ParallelKernel`.

    Attributes
    ----------
    x, w : In
        Activation of every input, weight of every output and input.
    valid : In
        Whether they are a position to be accumulated.
    first : In
        Whether it is the first one: the accumulators begin anew.
    sums : Out
        Accumulators, `latency_cycles` later.
    """

    def __init__(self, kernel: ParallelKernel):
        self.kernel = kernel
        super().__init__({
            "x": In(kernel.activation.shape).array(kernel.inputs),
            "w": In(kernel.weight.shape).array(kernel.outputs, kernel.inputs),
            "valid": In(1), "first": In(1),
            "sums": Out(kernel.sum_shape).array(kernel.outputs),
        })

    def elaborate(self, platform):
        m = Module()
        kernel = self.kernel
        valid = delayed(m, self.valid, kernel.latency_cycles - 1, "valid", reset=True)
        kept = ~delayed(m, self.first, kernel.latency_cycles - 1, "first")
        for output in range(kernel.outputs):
            numbers = [self._registered(m, kernel.term(x, w), f"term{output}_{index}")
                       for index, (x, w) in enumerate(zip(self.x, self.w[output], strict=True))]
            level = 0
            while len(numbers) > 1:
                level += 1
                numbers = [self._registered(m, self._pair(m, a, b), f"sum{output}_{level}_{index}")
                           for index, (a, b) in enumerate(zip(numbers[::2], numbers[1::2],
                                                              strict=True))]
            scaled = self._scaled(m, numbers[0], output)
            before = Mux(kept, self.sums[output], 0)
            with m.If(valid):
                m.d.sync += self.sums[output].eq(before + scaled)
        return m

    def _registered(self, m: Module, value: Value, name: str) -> Signal:
        kept = Signal(value.shape(), name=name, reset_less=True)
        m.d.sync += kept.eq(value)
        return kept

    def _pair(self, m: Module, a: Signal, b: Signal) -> Value:
        total = Signal(signed(len(a) + 1))
        m.d.comb += total.eq(self.kernel.add(m, a, b, total))
        return total

    def _scaled(self, m: Module, root: Signal, output: int) -> Signal:
        kernel = self.kernel
        whole = kernel.finish(m, root) >> kernel.shift
        scaled = Signal(kernel.scaled_shape, name=f"scaled{output}")
        m.d.comb += scaled.eq(whole)
        if kernel.scaled_shape.width <= kernel.result_bits:
            return self._registered(m, scaled, f"result{output}")
        limit = 1 << (kernel.result_bits - 1)
        cut = Mux(scaled < -limit, -limit, Mux(scaled >= limit, limit - 1, scaled))
        return self._registered(m, cut.as_signed()[:kernel.result_bits].as_signed(),
                                f"result{output}")
