"""A matrix kernel whose weights are built in: the tables are logic, and nothing is loaded.

One network layer as a circuit. All taps of a sum are in the array at once, so a sum is complete
when it leaves its column and needs no accumulator.
"""

import numpy as np
from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith import Arithmetic
from ..errors import ModelError
from .array import SystolicArray
from .common import delayed
from .skew import SkewFeeder

__all__ = ["ConstantKernel", "check_constants"]


def check_constants(arithmetic: Arithmetic, weights: np.ndarray) -> None:
    """Make sure that a `ConstantKernel` can be made.

    Raises
    ------
    ModelError
        The arithmetic needs a correction column, or has no code for some weight.
    """
    if arithmetic.correction_shape(1) is not None:
        raise ModelError(f"arithmetic of constant weights must need no correction column, "
                         f"but {arithmetic.name} does")
    if np.any(weights != type(arithmetic).project(weights)):
        raise ModelError(f"{arithmetic.name} must have a code for every weight")


class ConstantKernel(wiring.Component):
    """Activations in, sums out.

    Parameters
    ----------
    arithmetic : Arithmetic
        Without a correction column.
    weights : integer array (taps, columns)
        The sum's length decides the number of rows.
    hop : int
        Columns that share one set of activation registers.

    Attributes
    ----------
    activations : In stream
        One word a slot: the activations of all taps, tap 0 lowest; missing ones do not matter.
    sums : Out
        Sums, `offsets` included; group g's are g cycles late.
    sums_valid : Out
        Whether the first group's are there in this cycle. Nobody is asked whether they are taken.

    Raises
    ------
    ModelError
        See `check_constants`.
    """

    def __init__(self, arithmetic: Arithmetic, weights: np.ndarray, hop: int = 8):
        weights = np.asarray(weights, dtype=np.int64)
        check_constants(arithmetic, weights)
        self.arithmetic, self.hop = arithmetic, hop
        self.rows, self.columns = -(-len(weights) // arithmetic.taps), weights.shape[1]
        self.phases = arithmetic.phases(arithmetic.activation)
        self.offsets = arithmetic.step_offset(weights, arithmetic.activation)
        padded = np.zeros((self.rows * arithmetic.taps, self.columns), dtype=np.int64)
        padded[:len(weights)] = weights
        self._weights = padded.reshape(self.rows, arithmetic.taps, self.columns).swapaxes(1, 2)
        super().__init__({
            "activations": In(stream.Signature(
                unsigned(self.rows * arithmetic.taps * arithmetic.activation.bits))),
            "sums": Out(arithmetic.value_shape(self.rows)).array(self.columns),
            "sums_valid": Out(1),
        })

    @property
    def macs_per_cycle(self) -> float:
        """Operations a cycle."""
        return self.rows * self.arithmetic.taps * self.columns / self.phases

    def elaborate(self, platform):
        m = Module()
        arithmetic, phases = self.arithmetic, self.phases
        m.submodules.array = array = SystolicArray(
            arithmetic, self.rows, self.columns, self.hop, weights=self._weights)
        m.submodules.feeder = feeder = SkewFeeder(arithmetic, self.rows)
        phase = Signal(range(max(phases, 2)), init=phases - 1)
        strobe = Signal(init=1)
        m.d.sync += [phase.eq(Mux(phase == 0, phases - 1, phase - 1)),
                     strobe.eq((phase == 0) if phases > 1 else 1)]
        valid = strobe & self.activations.valid
        m.d.comb += [
            feeder.word.eq(self.activations.payload), self.activations.ready.eq(feeder.taken),
            feeder.strobe.eq(strobe), feeder.phase.eq(phase), feeder.valid.eq(valid),
            feeder.active.eq(~0),
            *(array.symbols[row].eq(feeder.symbols[row]) for row in range(self.rows)),
        ]
        to_psum = self.rows + arithmetic.row_latency_cycles + arithmetic.latency_cycles
        to_value = to_psum + phases - 1 + arithmetic.column_latency_cycles
        first = delayed(m, strobe, to_psum, "first_phase")
        last = delayed(m, first, phases - 1, "last_phase")
        m.d.comb += self.sums_valid.eq(delayed(m, valid, to_value, "valid", reset=True))
        for column in range(self.columns):
            if column and column % self.hop == 0:
                first, last = (delayed(m, signal, 1, f"{name}{column}")
                               for name, signal in (("first", first), ("last", last)))
            m.submodules[f"column_unit{column}"] = unit = arithmetic.create_column_unit(self.rows)
            m.d.comb += [unit.psum.eq(array.psums[column]), unit.first.eq(first),
                         unit.last.eq(last), self.sums[column].eq(unit.value)]
        return m
