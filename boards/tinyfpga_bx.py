"""TinyFPGA BX (tinyfpga.com/bx)."""

from amaranth_boards.tinyfpga_bx import TinyFPGABXPlatform

from . import PlatformBoard

__all__ = ["TinyFpgaBx"]


class TinyFpgaBx(PlatformBoard):
    """iCE40 LP8K with a USB bootloader."""

    name = "tinyfpga_bx"
    title = "TinyFPGA BX"
    device = "ice40-lp8k"
    platform = TinyFPGABXPlatform
    uart = (("gpio", 0, "1"), ("gpio", 0, "2"))
    reset_button = None
    flasher = "tinyprog"
    flash = ("-p",)
    wiring = "a 3.3 V serial adapter at pins 1 (receive) and 2 (transmit)"
