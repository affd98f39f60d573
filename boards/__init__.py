"""Boards: one file each, found by listing this folder (installed as ``nmahw.boards``).

A board says which device it carries, in which package, its clock, and where the pins are that an
accelerator needs: clock, reset button, the serial line to the host. Most of that is taken from
amaranth-boards, where it has been tried by many (`PlatformBoard`).

To add a board, add a file with a `Board` subclass that has a `name`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from ..registry import Registry

if TYPE_CHECKING:
    from ..devices import Device, Pll

__all__ = ["Board", "PlatformBoard", "Pin", "BOARDS"]


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
    #: The device's package and speed grade, as the vendor abbreviates them; "" where the device's
    #: own entry says it.
    package: ClassVar[str] = ""
    speed: ClassVar[str] = ""
    #: Option that tells nextpnr a sibling of the device (another identity, the same fabric).
    place_option: ClassVar[str] = ""
    #: Frequency of the oscillator, hertz.
    clock_hz: ClassVar[int]
    #: Where the oscillator is.
    clock: ClassVar[Pin]
    #: Whether that pin belongs to the PLL, as it may on an iCE40.
    clock_at_pll: ClassVar[bool] = False
    #: A button that can serve as reset, None where the board has none.
    reset: ClassVar[Pin | None]
    #: Serial line, host to FPGA.
    uart_rx: ClassVar[Pin]
    #: Serial line, FPGA to host.
    uart_tx: ClassVar[Pin]
    #: The program that flashes it, and its arguments; the file's name follows them.
    flasher: ClassVar[str] = "openFPGALoader"
    flash: ClassVar[tuple[str, ...]]
    #: What Linux calls the serial line when nothing else is plugged in.
    port: ClassVar[str] = "/dev/ttyUSB0"
    #: What has to be connected or soldered first; "" when nothing.
    wiring: ClassVar[str] = ""

    @classmethod
    def fpga(cls) -> Device:
        """The device, in the package and speed grade that this board has."""
        from ..devices import device
        plain = device(cls.device)
        if cls.package:
            plain = plain.rules.in_package(plain, cls.package, cls.speed)
        if cls.place_option:
            plain = replace(plain, arguments=(cls.place_option, *plain.arguments[1:]))
        return plain

    @classmethod
    def pll(cls, target_hz: float) -> Pll | None:
        """The fastest clock not above `target_hz` that the device makes of the oscillator's."""
        device = cls.fpga()
        return device.rules.pll(device, cls.clock_hz, target_hz, cls.clock_at_pll)


#: Name and number of a resource, as in amaranth-boards.
_Resource = tuple[str, int]


class PlatformBoard(Board):
    """A board that amaranth-boards describes.

    A subclass with a `name` gets `clock_hz`, `clock`, `reset`, `uart_rx`, `uart_tx`, `package` and
    `speed` from its `platform`, unless it has its own.
    """

    #: Class of amaranth-boards.
    platform: ClassVar[type]
    #: The serial line: a resource, or two pins (receive, transmit) of a connector as
    #: ``(connector, number, pin)``.
    uart: ClassVar[_Resource | tuple[tuple[str, int, str], tuple[str, int, str]]] = ("uart", 0)
    #: The button that resets; None where there is none.
    reset_button: ClassVar[_Resource | None] = ("button", 0)

    def __init_subclass__(cls):
        super().__init_subclass__()
        if "name" not in cls.__dict__:
            return
        platform = cls.platform
        clock = _resource(platform, (platform.default_clk, 0))
        found = {"clock_hz": round(clock.clock.frequency), "clock": _pin(clock),
                 "reset": None if cls.reset_button is None
                 else _pin(_resource(platform, cls.reset_button)),
                 "package": platform.package if hasattr(platform, "package") else "",
                 "speed": getattr(platform, "speed", "")}
        if isinstance(cls.uart[0], tuple):
            found |= {name: Pin(_connector_pin(platform, *place), attributes=found["clock"]
                                .attributes)
                      for name, place in zip(("uart_rx", "uart_tx"), cls.uart, strict=True)}
        else:
            line = _resource(platform, cls.uart)
            found |= {f"uart_{end}": _pin(line, end) for end in ("rx", "tx")}
        own = {name for base in cls.__mro__ if base is not Board for name in base.__dict__}
        for name, value in found.items():
            if name not in own:
                setattr(cls, name, value)


def _resource(platform: type, wanted: _Resource):
    return next(item for item in platform.resources if (item.name, item.number) == wanted)


def _pin(resource, signal: str = "") -> Pin:
    """The pin of a resource with one, or of one of its signals."""
    part = next(item for item in resource.ios if not signal or item.name == signal)
    attributes = dict(resource.attrs)
    if signal:
        attributes |= part.attrs
        part = part.ios[0]
    name, = part.names
    return Pin(name, part.invert, tuple((key, str(value)) for key, value in attributes.items()))


def _connector_pin(platform: type, connector: str, number: int, pin: str) -> str:
    return next(item.mapping[pin] for item in platform.connectors
                if (item.name, item.number) == (connector, number))


#: Every board there is.
BOARDS: Registry[Board] = Registry(__name__, Board, "board")
