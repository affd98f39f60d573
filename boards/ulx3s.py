"""Radiona ULX3S v3 (github.com/emard/ulx3s): ECP5 of four sizes, with an FTDI FT231X."""

from amaranth_boards import ulx3s

from . import PlatformBoard

__all__ = ["Ulx3s12f", "Ulx3s25f", "Ulx3s45f", "Ulx3s85f"]


class _Ulx3s(PlatformBoard):
    reset_button = ("button_fire", 0)
    flash = ("-b", "ulx3s")


class Ulx3s12f(_Ulx3s):
    """The smallest; its ECP5-12F is sold with half of the cells, but all of an ECP5-25F's work."""

    name = "ulx3s_12f"
    title = "ULX3S 12F"
    device = "ecp5-25k"
    platform = ulx3s.ULX3S_12F_Platform
    place_option = "--12k"


class Ulx3s25f(_Ulx3s):
    """As the 12F, with all cells warranted."""

    name = "ulx3s_25f"
    title = "ULX3S 25F"
    device = "ecp5-25k"
    platform = ulx3s.ULX3S_25F_Platform


class Ulx3s45f(_Ulx3s):
    """ULX3S with the middle ECP5."""

    name = "ulx3s_45f"
    title = "ULX3S 45F"
    device = "ecp5-45k"
    platform = ulx3s.ULX3S_45F_Platform


class Ulx3s85f(_Ulx3s):
    """ULX3S with the largest ECP5."""

    name = "ulx3s_85f"
    title = "ULX3S 85F"
    device = "ecp5-85k"
    platform = ulx3s.ULX3S_85F_Platform
