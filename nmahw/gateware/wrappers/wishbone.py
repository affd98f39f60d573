"""Wishbone B4 (OpenCores, 2010): a control and data port of 32 bits.

One port for both modes. Every access takes two cycles: it happens in the first, and is answered in
the second. A classic master holds its strobe until the answer; a pipelined one is stalled until
then (B4, section 5.2: a standard slave behind a pipelined master).
"""

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from ._register_file import RegisterWrapper
from ._registers import ADDRESS_BITS, WORD_BITS

__all__ = ["Wishbone"]


class Wishbone(RegisterWrapper):
    """A slave with 32 registers.

    Attributes
    ----------
    wb_cyc, wb_stb, wb_we, wb_adr, wb_sel, wb_dat_w : In
        `wb_adr` counts words of 32 bits.
    wb_ack, wb_err, wb_stall, wb_dat_r : Out
        `wb_err` answers an access that the table of registers does not list, and a write of less
        than a whole word; neither changes anything.
    irq : Out
        A result waits.
    """

    name = "wishbone"
    title = "Wishbone B4 slave, classic and pipelined"
    top = "nmahw_wishbone"

    wb_cyc: In(1)
    wb_stb: In(1)
    wb_we: In(1)
    wb_adr: In(ADDRESS_BITS)
    wb_sel: In(WORD_BITS // 8)
    wb_dat_w: In(WORD_BITS)
    wb_dat_r: Out(WORD_BITS)
    wb_ack: Out(1)
    wb_err: Out(1)
    wb_stall: Out(1)
    irq: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers = registers = self._registers
        asked = Signal()
        part = Signal()
        whole = ~self.wb_we | self.wb_sel.all()
        begins = self.wb_cyc & self.wb_stb & ~asked
        m.d.sync += [asked.eq(begins), part.eq(begins & ~whole)]
        good = registers.listed & ~part
        m.d.comb += [
            registers.request.eq(begins & whole), registers.address.eq(self.wb_adr),
            registers.write.eq(self.wb_we), registers.data.eq(self.wb_dat_w),
            self.wb_dat_r.eq(registers.value), self.wb_ack.eq(asked & good),
            self.wb_err.eq(asked & ~good), self.wb_stall.eq(self.wb_cyc & ~asked),
            self.irq.eq(registers.readable),
        ]
        return m
