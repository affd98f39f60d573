"""1BitSquared iCEBreaker v1.0 (github.com/icebreaker-fpga; amaranth-boards icebreaker.py)."""

from . import Board, Pin

__all__ = ["ICEBreaker"]


class ICEBreaker(Board):
    """iCE40 UP5K with an FTDI FT2232H."""

    name = "icebreaker"
    title = "iCEBreaker v1.0"
    device = "ice40-up5k"
    clock_hz = 12_000_000
    clock = Pin("35")
    reset = Pin("10", inverted=True)
    uart_rx = Pin("6", attributes=(("PULLUP", "1"),))
    uart_tx = Pin("9")
    flash = ("-b", "ice40_generic")
