"""Sipeed Tang Nano 20K (Sipeed schematic 3921): amaranth-boards does not have it."""

from . import Board, Pin

__all__ = ["TangNano20k"]

_LVCMOS33 = (("IO_TYPE", "LVCMOS33"),)


class TangNano20k(Board):
    """Gowin GW2AR-18 with a BL616 as programmer and serial line."""

    name = "tang_nano_20k"
    title = "Tang Nano 20K"
    device = "gw2ar-18"
    clock_hz = 27_000_000
    clock = Pin("4", attributes=_LVCMOS33)
    # Button S1 gives a high level.
    reset = Pin("88", attributes=(*_LVCMOS33, ("PULL_MODE", "NONE")))
    uart_rx = Pin("70", attributes=(*_LVCMOS33, ("PULL_MODE", "UP")))
    uart_tx = Pin("69", attributes=_LVCMOS33)
    flash = ("-b", "tangnano20k")
    # The first of the two belongs to the programmer.
    port = "/dev/ttyUSB1"
