"""An endpoint with the two pins of a UART."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from .endpoint import Endpoint
from .uart import UartReceiver, UartTransmitter

__all__ = ["SerialEndpoint"]


class SerialEndpoint(wiring.Component):
    """See the module's text.

    Parameters
    ----------
    endpoint : Endpoint
    clock_hz : int
        Of the design's clock.
    baud : int

    Attributes
    ----------
    rx : In
        From the host, asynchronous.
    tx : Out
        To the host.
    busy : Out
        Whether the accelerator computes.
    """

    rx: In(1, init=1)
    tx: Out(1, init=1)
    busy: Out(1)

    def __init__(self, endpoint: Endpoint, clock_hz: int, baud: int):
        self._endpoint = endpoint
        self._receiver = UartReceiver(clock_hz, baud)
        self._transmitter = UartTransmitter(clock_hz, baud)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.endpoint = endpoint = self._endpoint
        m.submodules.receiver = receiver = self._receiver
        m.submodules.transmitter = transmitter = self._transmitter
        connect(m, receiver.o, endpoint.i)
        connect(m, endpoint.o, transmitter.i)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx),
                     self.busy.eq(endpoint.busy)]
        return m
