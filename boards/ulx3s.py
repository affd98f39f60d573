"""Radiona ULX3S v3 (github.com/emard/ulx3s; amaranth-boards ulx3s.py): ECP5-45F or -85F."""

from . import Board, Pin

__all__ = ["Ulx3s45f", "Ulx3s85f"]

_LVCMOS33 = (("IO_TYPE", "LVCMOS33"),)


class _Ulx3s(Board):
    clock_hz = 25_000_000
    clock = Pin("G2", attributes=_LVCMOS33)
    reset = Pin("R1", attributes=(*_LVCMOS33, ("PULLMODE", "DOWN")))  # button "fire 1"
    uart_rx = Pin("M1", attributes=_LVCMOS33)
    uart_tx = Pin("L4", attributes=_LVCMOS33)
    flash = ("-b", "ulx3s")


class Ulx3s45f(_Ulx3s):
    """ULX3S with the middle ECP5."""

    name = "ulx3s_45f"
    title = "ULX3S 45F"
    device = "ecp5-45k"


class Ulx3s85f(_Ulx3s):
    """ULX3S with the largest ECP5."""

    name = "ulx3s_85f"
    title = "ULX3S 85F"
    device = "ecp5-85k"
