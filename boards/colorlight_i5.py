"""Colorlight i5 v7.0 on Muse Lab's carrier (github.com/wuxx/Colorlight-FPGA-Projects)."""

from . import Board, Pin

__all__ = ["ColorlightI5"]

_LVCMOS33 = (("IO_TYPE", "LVCMOS33"),)


class ColorlightI5(Board):
    """A cheap ECP5-25F module; the serial line goes through the carrier's CMSIS-DAP chip."""

    name = "colorlight_i5"
    title = "Colorlight i5 v7.0"
    device = "ecp5-25k"
    clock_hz = 25_000_000
    clock = Pin("P3", attributes=_LVCMOS33)
    reset = Pin("K18", inverted=True, attributes=(*_LVCMOS33, ("PULLMODE", "UP")))
    uart_rx = Pin("H18", attributes=_LVCMOS33)
    uart_tx = Pin("J17", attributes=_LVCMOS33)
    flash = ("-b", "colorlight-i5")
