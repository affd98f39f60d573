"""Lattice iCE40HX-8K breakout board (EB85; amaranth-boards ice40_hx8k_b_evn.py)."""

from . import Board, Pin

__all__ = ["Hx8kBreakout"]


class Hx8kBreakout(Board):
    """iCE40 HX8K with an FTDI FT2232H; it has no button."""

    name = "hx8k_b_evn"
    title = "iCE40HX8K-B-EVN"
    device = "ice40-hx8k"
    clock_hz = 12_000_000
    clock = Pin("J3")
    reset = None
    uart_rx = Pin("B10", attributes=(("PULLUP", "1"),))
    uart_tx = Pin("B12")
    flash = ("-b", "ice40_generic")
