"""tinyVision UPduino v3 (upduino.readthedocs.io)."""

from amaranth_boards.upduino_v3 import UpduinoV3Platform

from . import Pin, PlatformBoard

__all__ = ["UPduino3"]


class _Platform(UpduinoV3Platform):
    # The oscillator inside the device is good for 10 % only, too little for a serial line.
    default_clk = "clk12"


class UPduino3(PlatformBoard):
    """iCE40 UP5K with an FTDI FT232H, whose serial line is not wired to the device."""

    name = "upduino_v3"
    title = "UPduino v3"
    device = "ice40-up5k"
    platform = _Platform
    uart_rx = Pin("28", attributes=(("PULLUP", "1"),))
    uart_tx = Pin("38")
    uart = (("j", 0, "20"), ("j", 0, "19"))
    reset_button = None
    flash = ("-b", "ice40_generic")
    wiring = ("solder jumper OSC (the 12 MHz oscillator to pin 20); a 3.3 V serial adapter at pins "
              "28 (receive) and 38 (transmit)")
