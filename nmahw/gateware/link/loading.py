"""Fills the memory of weights that are loaded, and checks all of it before it is used.

The memory counts as loaded once the CRC-32 of its bytes was right, until the next byte is written
or the next check begins. Until then it belongs to the loader.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from ...weight_store import BankLayout
from ..common import delayed
from ..loaded_weights import loading_signature

__all__ = ["Loading", "READ_CYCLES"]

#: From an address to the byte read there.
READ_CYCLES = 2


class Loading(wiring.Component):
    """See the module's text.

    Parameters
    ----------
    layout : BankLayout

    Attributes
    ----------
    load_valid, load_address, load_data : In
        A byte to write; addresses beyond the memory are ignored.
    verify : In
        A check is wanted, until `verified`.
    verified : Out
        Pulse: the check is done.
    check : Out
        The CRC-32 that it found.
    checking : Out
        It is going on: a cycle a byte.
    loaded : Out
    memory : Out
        See `loading_signature`.
    """

    def __init__(self, layout: BankLayout):
        self._size, self._crc32 = len(layout.image), layout.crc32
        super().__init__({
            "load_valid": In(1), "load_address": In(32), "load_data": In(8),
            "verify": In(1), "verified": Out(1), "check": Out(32), "checking": Out(1),
            "loaded": Out(1), "memory": Out(loading_signature(layout))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = catalog.CRC32_ISO_HDLC(data_width=8).create()
        memory = self.memory
        reading, last = Signal(), Signal()
        m.d.comb += [memory.enable.eq(~self.loaded), last.eq(memory.address == self._size - 1),
                     crc.data.eq(memory.read), self.check.eq(crc.crc),
                     crc.valid.eq(delayed(m, reading, READ_CYCLES, "reading", reset=True))]
        m.d.sync += memory.write.eq(0)
        ended = delayed(m, reading & last, READ_CYCLES + 1, "ended", reset=True)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.load_valid):
                    m.d.sync += [
                        self.loaded.eq(0), memory.data.eq(self.load_data),
                        memory.address.eq(self.load_address),
                        memory.write.eq(self.load_address < self._size)]
                with m.Elif(self.verify & ~memory.write):
                    m.d.comb += crc.start.eq(1)
                    m.d.sync += [self.loaded.eq(0), memory.address.eq(0)]
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += [self.checking.eq(1), reading.eq(1)]
                m.d.sync += memory.address.eq(memory.address + 1)
                with m.If(last):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += self.checking.eq(1)
                with m.If(ended):
                    m.d.sync += self.loaded.eq(crc.crc == self._crc32)
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.verified.eq(1)
                m.next = "IDLE"
        return m
