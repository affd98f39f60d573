"""Asynchronous serial line: eight bits, no parity, one stop bit.

The bit clock is a phase accumulator, so any rate up to a fifth of the clock is met closely,
whatever the ratio. Bits are sampled in their middle, counted from the start bit's edge: half a bit
is lost after ten bits when the two ends differ by 5 %, less what the edge is seen late.
"""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ...errors import UsageError

__all__ = ["UartReceiver", "UartTransmitter", "check_baud"]

_PHASE_BITS = 16
_LEAST_CLOCKS_A_BIT = 5


def check_baud(clock_hz: int, baud: int) -> None:
    """Refuse a rate that the clock cannot give.

    Raises
    ------
    UsageError
    """
    if not 0 < baud * _LEAST_CLOCKS_A_BIT <= clock_hz:
        raise UsageError(f"baud rate must be 1..{clock_hz // _LEAST_CLOCKS_A_BIT} at a clock of "
                         f"{clock_hz / 1e6:g} MHz, not {baud}")


class _BitClock:
    """A tick for every bit; `restart` puts the next one `lead` of a bit away."""

    def __init__(self, clock_hz: int, baud: int):
        check_baud(clock_hz, baud)
        # As many bits as needed for an error below 0.1 % at slow rates.
        self.bits = max(_PHASE_BITS, (clock_hz // baud).bit_length() + 10)
        self.step = round((baud << self.bits) / clock_hz)
        self.phase = Signal(self.bits)
        self.tick = Signal()

    def add_to(self, m: Module, running) -> None:
        following = Signal(self.bits + 1)
        m.d.comb += [following.eq(self.phase + self.step), self.tick.eq(following[-1] & running)]
        m.d.sync += self.phase.eq(following)


class UartReceiver(wiring.Component):
    """Line to bytes.

    Parameters
    ----------
    clock_hz, baud : int

    Attributes
    ----------
    rx : In
        Asynchronous, high when idle.
    o : Out
        Stream of bytes. A byte that is not taken before the next one is whole is lost.
    """

    def __init__(self, clock_hz: int, baud: int):
        self._bit = _BitClock(clock_hz, baud)
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        bit = self._bit
        rx = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)
        # Samples to come: of the start bit at 10, of eight data bits, of the stop bit at 1.
        left = Signal(range(11))
        shift = Signal(8)
        bit.add_to(m, left != 0)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(left == 0):
            with m.If(~rx):
                m.d.sync += [left.eq(10), bit.phase.eq(1 << (bit.bits - 1))]
        with m.Elif(bit.tick):
            m.d.sync += left.eq(left - 1)
            with m.If((left == 10) & rx):
                m.d.sync += left.eq(0)  # a glitch, no start bit
            with m.Elif(left == 1):
                # A low stop bit is noise, or a break.
                with m.If(rx):
                    m.d.sync += [self.o.payload.eq(shift), self.o.valid.eq(1)]
            with m.Else():
                m.d.sync += shift.eq(Cat(shift[1:], rx))
        return m


class UartTransmitter(wiring.Component):
    """Bytes to line.

    Attributes
    ----------
    i : In
        Stream of bytes.
    tx : Out
        High when idle.
    """

    def __init__(self, clock_hz: int, baud: int):
        self._bit = _BitClock(clock_hz, baud)
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        bit = self._bit
        left = Signal(range(11))
        shift = Signal(10, init=0x3FF)
        bit.add_to(m, left != 0)
        m.d.comb += [self.i.ready.eq(left == 0), self.tx.eq(shift[0])]
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [shift.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))), left.eq(10),
                         bit.phase.eq(0)]
        with m.Elif(bit.tick):
            m.d.sync += [shift.eq(Cat(shift[1:], Const(1, 1))), left.eq(left - 1)]
        return m
