"""Sipeed Tang Nano 9K (Sipeed schematic 3672)."""

from amaranth_boards.tang_nano_9k import TangNano9kPlatform

from . import Pin, PlatformBoard

__all__ = ["TangNano9k"]


class TangNano9k(PlatformBoard):
    """Gowin GW1NR-9 with a BL702 as programmer and serial line."""

    name = "tang_nano_9k"
    title = "Tang Nano 9K"
    device = "gw1nr-9"
    platform = TangNano9kPlatform
    # Bank 3, where the buttons are, runs on 1.8 V.
    reset = Pin("4", inverted=True, attributes=(("IO_TYPE", "LVCMOS18"), ("PULL_MODE", "UP")))
    flash = ("-b", "tangnano9k")
    # The first of the two belongs to the programmer.
    port = "/dev/ttyUSB1"
