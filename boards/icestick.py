"""Lattice iCEstick (EB82)."""

from amaranth_boards.icestick import ICEStickPlatform

from . import PlatformBoard

__all__ = ["ICEStick"]


class ICEStick(PlatformBoard):
    """iCE40 HX1K with an FTDI FT2232H; it has no button."""

    name = "icestick"
    title = "iCEstick"
    device = "ice40-hx1k"
    platform = ICEStickPlatform
    reset_button = None
    flash = ("-b", "ice40_generic")
    # The first of the two belongs to the programmer.
    port = "/dev/ttyUSB1"
