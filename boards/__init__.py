"""Boards: one file each, found by listing this folder (installed as ``nmahw.boards``).

A board says which device it carries, its clock, and where the pins are that an accelerator
needs: clock, reset button, the serial line to the host.

To add a board, add a file with a `Board` subclass that has a `name`.
"""

from dataclasses import dataclass
from typing import ClassVar

from ..registry import Registry

__all__ = ["Board", "Pin", "BOARDS"]


@dataclass(frozen=True)
class Pin:
    """One pin of the device's package.

    Attributes
    ----------
    location : str
        The package's name for it, e.g. ``"G2"`` or ``"52"``.
    inverted : bool
        A low level means 1.
    attributes : tuple of (str, str)
        What the vendor's constraint file has to say about it.
    """

    location: str
    inverted: bool = False
    attributes: tuple[tuple[str, str], ...] = ()


class Board:
    """What a board is. Pins are seen from the FPGA: ``uart_tx`` is driven by it."""

    #: What users type.
    name: ClassVar[str]
    #: What people call it.
    title: ClassVar[str]
    #: Name of the device (see `nmahw.devices`).
    device: ClassVar[str]
    #: Frequency of the oscillator, hertz.
    clock_hz: ClassVar[int]
    #: Where the oscillator is.
    clock: ClassVar[Pin]
    #: A button that can serve as reset, None where the board has none.
    reset: ClassVar[Pin | None]
    #: Serial line, host to FPGA.
    uart_rx: ClassVar[Pin]
    #: Serial line, FPGA to host.
    uart_tx: ClassVar[Pin]
    #: Arguments that make openFPGALoader take this board.
    flash: ClassVar[tuple[str, ...]]


#: Every board there is.
BOARDS: Registry[Board] = Registry(__name__, Board, "board")
