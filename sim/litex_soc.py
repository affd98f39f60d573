"""A LiteX system with an accelerator on its bus, as one Verilog file that `run.py` simulates.

    nmahw verilog digits-w4a4 --array 4x4 --wrapper wishbone -o build
    pip install litex migen
    python sim/litex_soc.py build/nmahw_wishbone.v build/soc.v
    python sim/run.py build/soc.v --network nmahw/data/digits-w4a4.npz

`Nmahw` is what a system of one's own needs. The rest here has no processor: the bench is the bus'
master, and its 32 words are the slave's, behind LiteX's interconnect.
"""

import argparse
import shutil
from pathlib import Path

from litex.build.generic_platform import GenericPlatform, Pins, Subsignal
from litex.soc.integration.soc import SoCRegion
from litex.soc.integration.soc_core import SoCMini
from litex.soc.interconnect import wishbone
from migen import Cat, ClockDomain, ClockSignal, Constant, Instance, Module, ResetSignal, Signal

ORIGIN = 0x3000_0000
SIZE_BYTES = 128
CLOCK_HZ = 50_000_000


class Nmahw(Module):
    """The accelerator as a slave of the system's bus.

    Parameters
    ----------
    platform : GenericPlatform
        Gets the Verilog.
    verilog : path
        What ``nmahw verilog --wrapper wishbone`` wrote.

    Attributes
    ----------
    bus : wishbone.Interface
    irq : Signal
        A result waits.
    """

    def __init__(self, platform: GenericPlatform, verilog: Path):
        self.bus = bus = wishbone.Interface(data_width=32, adr_width=30)
        self.irq = Signal()
        self.specials += Instance(
            "nmahw_wishbone", i_clk=ClockSignal(), i_rst=ResetSignal(), i_wb_cyc=bus.cyc,
            i_wb_stb=bus.stb, i_wb_we=bus.we, i_wb_adr=bus.adr[:5], i_wb_sel=bus.sel,
            i_wb_dat_w=bus.dat_w, o_wb_dat_r=bus.dat_r, o_wb_ack=bus.ack, o_wb_err=bus.err,
            o_irq=self.irq)
        platform.add_source(str(verilog))


class _Clock(Module):
    def __init__(self, platform: GenericPlatform):
        self.clock_domains.cd_sys = ClockDomain()
        self.comb += [self.cd_sys.clk.eq(platform.request("clk")),
                      self.cd_sys.rst.eq(platform.request("rst"))]


class System(SoCMini):
    """Bus, accelerator, and the bench's ports."""

    def __init__(self, platform: GenericPlatform, verilog: Path):
        super().__init__(platform, clk_freq=CLOCK_HZ, with_uart=False, with_timer=False)
        self.submodules.crg = _Clock(platform)
        self.submodules.nmahw = nmahw = Nmahw(platform, verilog)
        self.bus.add_slave("nmahw", nmahw.bus,
                           SoCRegion(origin=ORIGIN, size=SIZE_BYTES, cached=False))
        pads, master = platform.request("wb"), wishbone.Interface(data_width=32, adr_width=30)
        self.bus.add_master("bench", master)
        self.comb += [
            master.adr.eq(Cat(pads.adr, Constant(ORIGIN // SIZE_BYTES, 25))),
            *(getattr(master, name).eq(getattr(pads, name))
              for name in ("cyc", "stb", "we", "sel", "dat_w")),
            *(getattr(pads, name).eq(getattr(master, name)) for name in ("dat_r", "ack", "err")),
            # As Wishbone B4 has it for a standard slave behind a pipelined master.
            pads.stall.eq(master.cyc & ~(master.ack | master.err)),
            platform.request("irq").eq(nmahw.irq)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="LiteX system around an emitted Wishbone slave")
    parser.add_argument("verilog", type=Path, help="emitted nmahw_wishbone.v")
    parser.add_argument("output", type=Path, help="Verilog of the whole system")
    given = parser.parse_args()
    widths = {"cyc": 1, "stb": 1, "we": 1, "adr": 5, "sel": 4, "dat_w": 32, "dat_r": 32, "ack": 1,
              "err": 1, "stall": 1}
    platform = GenericPlatform("simulation", [
        ("clk", 0, Pins(1)), ("rst", 0, Pins(1)), ("irq", 0, Pins(1)),
        ("wb", 0, *(Subsignal(name, Pins(width)) for name, width in widths.items()))],
        name=given.output.stem)
    system = System(platform, given.verilog)
    system.finalize()
    text = platform.get_verilog(system, name=given.output.stem).main_source
    given.output.write_text(f"{text}\n{given.verilog.read_text()}")
    shutil.copy(given.verilog.with_suffix(".json"), given.output.with_suffix(".json"))


if __name__ == "__main__":
    main()
