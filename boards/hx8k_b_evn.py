"""Lattice iCE40HX-8K breakout board (EB85)."""

from amaranth_boards.ice40_hx8k_b_evn import ICE40HX8KBEVNPlatform

from . import PlatformBoard

__all__ = ["Hx8kBreakout"]


class Hx8kBreakout(PlatformBoard):
    """iCE40 HX8K with an FTDI FT2232H; it has no button."""

    name = "hx8k_b_evn"
    title = "iCE40HX8K-B-EVN"
    device = "ice40-hx8k"
    platform = ICE40HX8KBEVNPlatform
    reset_button = None
    flash = ("-b", "ice40_generic")
    # The first of the two belongs to the programmer.
    port = "/dev/ttyUSB1"
