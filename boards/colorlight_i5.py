"""Colorlight i5 v7.0, i9 v7.2 (github.com/wuxx/Colorlight-FPGA-Projects), Muse Lab's carrier."""

from . import Board, Pin

__all__ = ["ColorlightI5", "ColorlightI9"]

_LVCMOS33 = (("IO_TYPE", "LVCMOS33"),)


class _Colorlight(Board):
    clock_hz = 25_000_000
    clock = Pin("P3", attributes=_LVCMOS33)
    # Through the carrier's CMSIS-DAP chip.
    uart_rx = Pin("H18", attributes=_LVCMOS33)
    uart_tx = Pin("J17", attributes=_LVCMOS33)
    port = "/dev/ttyACM0"


class ColorlightI5(_Colorlight):
    """A cheap ECP5-25F module."""

    name = "colorlight_i5"
    title = "Colorlight i5 v7.0"
    device = "ecp5-25k"
    reset = Pin("K18", inverted=True, attributes=(*_LVCMOS33, ("PULLMODE", "UP")))
    flash = ("-b", "colorlight-i5")


class ColorlightI9(_Colorlight):
    """The same with an ECP5-45F."""

    name = "colorlight_i9"
    title = "Colorlight i9 v7.2"
    device = "ecp5-45k"
    reset = None
    flash = ("-b", "colorlight-i9")
