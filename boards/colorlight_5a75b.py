"""Colorlight 5A-75B v7.0 (github.com/q3k/chubby75): a LED panel's receiver card."""

from amaranth_boards.colorlight_5a75b_r7_0 import Colorlight_5A75B_R70Platform

from . import PlatformBoard

__all__ = ["Colorlight5a75b"]


class Colorlight5a75b(PlatformBoard):
    """A very cheap ECP5-25F; LED and button of connector J19 are the serial line."""

    name = "colorlight_5a75b"
    title = "Colorlight 5A-75B v7.0"
    device = "ecp5-25k"
    platform = Colorlight_5A75B_R70Platform
    reset_button = None
    flash = ("-c", "ft2232", "--unprotect-flash")
    wiring = ("a JTAG adapter at J27 to J34; a 3.3 V serial adapter at J19: KEY+ receives, "
              "DATA_LED- transmits")
