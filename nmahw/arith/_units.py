"""Base classes of the hardware in and around an array: what an arithmetic creates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..gateware.gated_add import GatedAdd

if TYPE_CHECKING:
    from . import Arithmetic

__all__ = ["Element", "CorrectionElement", "RowUnit", "LoadUnit", "ColumnUnit"]


class Element(wiring.Component):
    """One place of the array.

    Parameters
    ----------
    arithmetic : Arithmetic
    row : int
        Row it stands in, counted from 0; decides the width of the psum.
    constant : bool
        Whether an element that holds its weights has them built in.

    Attributes
    ----------
    symbol : In
        What the row unit says in this phase.
    weight : In
        Weight code; not if the arithmetic holds its weights.
    load, load_step, load_data : In
        If it does, and they are not built in: whether the element's row is loading, and what,
        in which of the `load_cycles`.
    psum_i, psum_o : In, Out
        Partial sum from the element above and to the one below.
    """

    def __init__(self, arithmetic: Arithmetic, row: int, constant: bool = False):
        self.arithmetic = arithmetic
        if not arithmetic.holds_weights:
            weights = {"weight": In(arithmetic.weight_code_bits)}
        else:
            weights = {} if constant else {
                "load": In(1), "load_step": In(range(max(arithmetic.load_cycles, 2))),
                "load_data": In(arithmetic.load_shape)}
        super().__init__({
            "symbol": In(arithmetic.symbol_shape),
            **weights,
            "psum_i": In(arithmetic.psum_shape(row) if row else unsigned(1)),
            "psum_o": Out(arithmetic.psum_shape(row + 1)),
        })

    def add_to_psum(self, m: Module, contribution: Value, gate: Value | None = None,
                    subtract: Value | None = None) -> None:
        """Make `psum_o` a register of ``psum_i + contribution``.

        It is not cleared by reset: what flows down before the first step is never looked at,
        and a reset net to every element would cost routing.

        Parameters
        ----------
        m : Module
        contribution : Value
            As wide as it needs to be; its sign bit is extended.
        gate : Value, optional
            One bit; where 0, nothing is added. Cheaper here than before, where the device's
            carry cells can do it (see `nmahw.gateware.gated_add`).
        subtract : Value, optional
            One bit; where 1, the contribution is subtracted. Likewise.
        """
        psum = Signal(self.psum_o.shape(), reset_less=True)
        inputs = {name: value for name, value in (("gate", gate), ("subtract", subtract))
                  if value is not None}
        if inputs:
            m.submodules.gated_add = adder = GatedAdd(
                self.psum_i.shape(), contribution.shape(), psum.shape(),
                **dict.fromkeys(inputs, True))
            m.d.comb += [adder.augend.eq(self.psum_i), adder.addend.eq(contribution),
                         *(getattr(adder, name).eq(value) for name, value in inputs.items())]
            m.d.sync += psum.eq(adder.total)
        else:
            m.d.sync += psum.eq(self.psum_i + contribution)
        m.d.comb += self.psum_o.eq(psum)


class CorrectionElement(wiring.Component):
    """One place of the correction column: an element without a weight, same latency.

    Attributes
    ----------
    symbol : In
    psum_i, psum_o : In, Out
        Of `correction_shape`.
    """

    def __init__(self, arithmetic: Arithmetic, row: int):
        self.arithmetic = arithmetic
        super().__init__({
            "symbol": In(arithmetic.symbol_shape),
            "psum_i": In(arithmetic.correction_shape(row) if row else unsigned(1)),
            "psum_o": Out(arithmetic.correction_shape(row + 1)),
        })


class RowUnit(wiring.Component):
    """Activations to symbols; by default, the activations as they are, 0 when not active.

    Attributes
    ----------
    activations : In
        `taps` activations side by side, held for all phases of a step.
    active : In
        Whether the row takes part in this step.
    phase : In
        Counts the phases of a step down to 0.
    symbol : Out
    """

    def __init__(self, arithmetic: Arithmetic):
        self.arithmetic = arithmetic
        super().__init__({
            "activations": In(arithmetic.activation.bits * arithmetic.taps),
            "active": In(1, init=1),
            "phase": In(range(max(arithmetic.phases(arithmetic.activation), 2))),
            "symbol": Out(arithmetic.symbol_shape),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.symbol.eq(Mux(self.active, self.activations, 0))
        return m


class LoadUnit(wiring.Component):
    """Weight codes to what elements store; by default, the code as it is.

    Attributes
    ----------
    code : In
        Weight code of the row that loads, held for all `load_cycles`, from
        `load_code_latency_cycles` after step 0 on.
    step : In
        Counts these cycles from 0.
    data : Out
        What the element gets, `load_latency_cycles` after its step.
    """

    def __init__(self, arithmetic: Arithmetic):
        self.arithmetic = arithmetic
        super().__init__({
            "code": In(arithmetic.weight_code_bits),
            "step": In(range(max(arithmetic.load_cycles, 2))),
            "data": Out(arithmetic.load_shape),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.data.eq(self.code)
        return m


class ColumnUnit(wiring.Component):
    """Psums of a step's phases to its value; by default, the psum as it is.

    Attributes
    ----------
    psum : In
    correction : In
        Psum of the correction column, in step with `psum`; only if the arithmetic has one.
    first, last : In
        Whether the psum belongs to the first, the last phase of a step.
    value : Out
        The step's value, `column_latency_cycles` after `last`.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int):
        self.arithmetic = arithmetic
        correction = arithmetic.correction_shape(rows)
        super().__init__({
            "psum": In(arithmetic.psum_shape(rows)),
            **({} if correction is None else {"correction": In(correction)}),
            "first": In(1),
            "last": In(1),
            "value": Out(arithmetic.value_shape(rows)),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.value.eq(self.psum)
        return m
