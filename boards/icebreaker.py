"""1BitSquared iCEBreaker v1.0 (github.com/icebreaker-fpga)."""

from amaranth_boards.icebreaker import ICEBreakerPlatform

from . import PlatformBoard

__all__ = ["ICEBreaker"]


class ICEBreaker(PlatformBoard):
    """iCE40 UP5K with an FTDI FT2232H."""

    name = "icebreaker"
    title = "iCEBreaker v1.0"
    device = "ice40-up5k"
    platform = ICEBreakerPlatform
    clock_at_pll = True
    flash = ("-b", "ice40_generic")
    # The first of the two belongs to the programmer.
    port = "/dev/ttyUSB1"
