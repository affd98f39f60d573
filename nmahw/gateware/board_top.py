"""What a board's device holds: clock, reset, and an accelerator behind the pins of a UART."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Const,
    Elaboratable,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib.cdc import FFSynchronizer

from .link.serial_endpoint import SerialEndpoint

if TYPE_CHECKING:
    from ..devices import Pll

__all__ = ["BoardTop"]

# Longer than block RAM of an iCE40 needs after configuration (3 us) at any clock it reaches.
_RESET_CYCLES = 1 << 10


class BoardTop(Elaboratable):
    """See the module's text.

    Parameters
    ----------
    endpoint : SerialEndpoint
    pll : Pll or None
        Makes the design's clock of the oscillator's; None: that is the design's clock.
    reset_inverted : bool or None
        Whether a low level of the button means reset; None without a button.

    Attributes
    ----------
    clk, button, rx, tx : Signal
        The pins.
    """

    def __init__(self, endpoint: SerialEndpoint, pll: Pll | None = None,
                 reset_inverted: bool | None = None):
        self._endpoint, self._pll, self._inverted = endpoint, pll, reset_inverted
        self.clk, self.rx, self.tx = Signal(name="clk"), Signal(name="rx"), Signal(name="tx")
        self.button = Signal(name="button")

    @property
    def ports(self) -> list[Signal]:
        """The pins that there are."""
        return [self.clk, self.rx, self.tx, *([] if self._inverted is None else [self.button])]

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(local=True)
        m.domains.raw = ClockDomain(reset_less=True, local=True)
        m.d.comb += ClockSignal("raw").eq(ClockSignal("sync"))
        locked = Signal()
        if self._pll is None:
            m.d.comb += [ClockSignal("sync").eq(self.clk), locked.eq(1)]
        else:
            made = Signal(name="made_clk")
            m.submodules.pll = self._pll.create(self.clk, made, locked)
            m.d.comb += ClockSignal("sync").eq(made)

        # Reset until the device is up, and for as long again when the button is pressed or the PLL
        # has lost its clock.
        pressed, running, in_reset = Signal(), Signal(), Signal(init=1)
        left = Signal(range(_RESET_CYCLES), init=_RESET_CYCLES - 1)
        button = Const(0) if self._inverted is None else self.button ^ self._inverted
        m.submodules.button = FFSynchronizer(button, pressed, o_domain="raw")
        m.submodules.locked = FFSynchronizer(locked, running, o_domain="raw")
        with m.If(pressed | ~running):
            m.d.raw += [left.eq(_RESET_CYCLES - 1), in_reset.eq(1)]
        with m.Elif(left != 0):
            m.d.raw += left.eq(left - 1)
        with m.Else():
            m.d.raw += in_reset.eq(0)
        m.d.comb += ResetSignal("sync").eq(in_reset)
        m.submodules.endpoint = endpoint = self._endpoint
        m.d.comb += [endpoint.rx.eq(self.rx), self.tx.eq(endpoint.tx)]
        return m
