"""OrangeCrab r0.2 (github.com/orangecrab-fpga): ECP5 on a Feather, with USB of its own."""

from amaranth_boards import orangecrab_r0_2

from . import PlatformBoard

__all__ = ["OrangeCrab25f", "OrangeCrab85f"]


class _OrangeCrab(PlatformBoard):
    uart = (("io", 0, "0"), ("io", 0, "1"))
    flasher = "dfu-util"
    flash = ("--alt", "0", "-D")
    wiring = "a 3.3 V serial adapter at pins 0 (receive) and 1 (transmit); hold the button to flash"


class OrangeCrab25f(_OrangeCrab):
    """The common one."""

    name = "orangecrab_25f"
    title = "OrangeCrab r0.2 25F"
    device = "ecp5-25k"
    platform = orangecrab_r0_2.OrangeCrabR0_2_25FPlatform


class OrangeCrab85f(_OrangeCrab):
    """With the largest ECP5."""

    name = "orangecrab_85f"
    title = "OrangeCrab r0.2 85F"
    device = "ecp5-85k"
    platform = orangecrab_r0_2.OrangeCrabR0_2_85FPlatform
