"""Cologne Chip GateMate evaluation board v3.2 (DS1003)."""

from . import Board, Pin

__all__ = ["GateMateEvb"]


class GateMateEvb(Board):
    """CCGM1A1 with an FTDI FT2232H, which only programs it."""

    name = "gatemate_evb"
    title = "GateMate evaluation board"
    device = "gatemate-a1"
    clock_hz = 10_000_000
    clock = Pin("IO_SB_A8", attributes=(("SCHMITT_TRIGGER", "1"),))
    # Button SW3.
    reset = Pin("IO_EB_B0", inverted=True, attributes=(("PULLUP", "1"),))
    uart_rx = Pin("IO_NB_A1", attributes=(("PULLUP", "1"),))
    uart_tx = Pin("IO_NB_A0")
    flash = ("-b", "gatemate_evb_jtag")
    wiring = "a serial adapter of the bank's voltage at IO_NB_A1 (receive) and IO_NB_A0 (transmit)"
