"""Muse Lab iCESugar v1.5 (github.com/wuxx/icesugar)."""

from amaranth_boards.icesugar import ICESugarPlatform

from . import PlatformBoard

__all__ = ["ICESugar"]


class ICESugar(PlatformBoard):
    """iCE40 UP5K with a programmer that looks like a memory stick."""

    name = "icesugar"
    title = "iCESugar v1.5"
    device = "ice40-up5k"
    platform = ICESugarPlatform
    clock_at_pll = True
    reset_button = None
    flasher = "icesprog"
    flash = ()
    port = "/dev/ttyACM0"
    wiring = "without icesprog, copy the bitstream onto the drive iCELink that the board shows"
