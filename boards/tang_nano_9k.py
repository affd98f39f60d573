"""Sipeed Tang Nano 9K (Sipeed schematic 3672; amaranth-boards tang_nano_9k.py)."""

from . import Board, Pin

__all__ = ["TangNano9k"]

_LVCMOS33 = (("IO_TYPE", "LVCMOS33"),)


class TangNano9k(Board):
    """Gowin GW1NR-9 with a BL702 as programmer and serial line."""

    name = "tang_nano_9k"
    title = "Tang Nano 9K"
    device = "gw1nr-9"
    clock_hz = 27_000_000
    clock = Pin("52", attributes=_LVCMOS33)
    # Bank 3, where the buttons are, runs on 1.8 V.
    reset = Pin("4", inverted=True, attributes=(("IO_TYPE", "LVCMOS18"), ("PULL_MODE", "UP")))
    uart_rx = Pin("18", attributes=(*_LVCMOS33, ("PULL_MODE", "UP")))
    uart_tx = Pin("17", attributes=_LVCMOS33)
    flash = ("-b", "tangnano9k")
