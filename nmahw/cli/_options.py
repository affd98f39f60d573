"""Arguments and options that several commands share, and how their texts are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ._choices import completion
from ._terminal import tell

if TYPE_CHECKING:
    from ..datasets import Images
    from ..network import Network

__all__ = ["Model", "Arithmetic", "Arithmetics", "Array", "Baud", "Data", "DeviceName", "Jobs",
           "Lockstep", "Port", "Share", "Timeout", "Weights", "load_data", "read_array",
           "read_arithmetics", "read_bits", "read_choice", "read_integers", "read_ratio",
           "read_shape"]

#: Word that stands for everything there is, or for the bundled sample.
ALL, SAMPLE = "all", "sample"

Model = Annotated[str, typer.Argument(
    metavar="MODEL", help="A bundled network ({models}) or a file written by 'nmahw import'.",
    show_default=False, autocompletion=completion("models"))]
Arithmetic = Annotated[str, typer.Option(
    "--arith", metavar="NAME", help="Arithmetic of the array's elements: {arithmetics}; by layer, "
    "for example conv=distributed,dense=bit_serial; or 'auto', the cheapest exact choice.",
    autocompletion=completion("arithmetics"))]
Arithmetics = Annotated[str, typer.Option(
    "--arith", metavar="NAME,...", help="Arithmetics, separated by commas, or 'all': "
    "{arithmetics}.", autocompletion=completion("arithmetics"))]
Array = Annotated[str, typer.Option(
    "--array", metavar="RxC", help="Rows and columns of the systolic array, for example 8x8.")]
Lockstep = Annotated[int, typer.Option(
    "--lockstep", metavar="N", min=1, help="Images computed at the same time, each by an array of "
    "its own, with common weights.")]
Share = Annotated[int, typer.Option(
    "--share", metavar="N", min=1, help="Rows that take turns at one activation memory; needs an "
    "arithmetic whose steps take as many cycles.")]
DeviceName = Annotated[str, typer.Option(
    "--device", metavar="NAME", help="Device or board: {devices}.",
    autocompletion=completion("devices"))]
Data = Annotated[str, typer.Option(
    "--data", metavar="FILE", help="Images: an .npz file with x_test and y_test (or x and y), or "
    "'sample' for the bundled sample that belongs to the network.")]
Port = Annotated[str, typer.Option(
    "--port", metavar="P", show_default=False,
    help="Where the board is: /dev/ttyUSB0, what 'nmahw board-sim' says, or tcp://HOST:PORT.")]
Baud = Annotated[int, typer.Option(
    "--baud", metavar="N", min=300, help="Of a serial port.")]
# The system's waiting knows no number much above.
Timeout = Annotated[float, typer.Option(
    "--timeout", metavar="S", min=0.01, max=86_400,
    help="Seconds an answer may take, the line's own time apart.")]
Jobs = Annotated[int, typer.Option(
    "--jobs", metavar="N", min=1, help="Programs that run at the same time.")]

Weights = Annotated[str, typer.Option(
    "--weights", metavar="WHERE", help="'constant': in the bitstream; 'loaded': in memory that the "
    "host loads at start; 'auto': loaded where they are too many for the device's block RAM and "
    "it has memory for them.")]


def _integers(text: str, separator: str) -> tuple[int, ...] | None:
    parts = text.strip().lower().split(separator)
    # int() takes more than digits: spaces, underscores, other scripts.
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return None
    return tuple(int(part) for part in parts)


def read_array(text: str) -> tuple[int, int]:
    """Rows and columns of ``"RxC"``; their range is for the design to judge."""
    numbers = _integers(text, "x")
    if numbers is None or len(numbers) != 2:
        raise UsageError(f"array must be ROWSxCOLUMNS, for example 8x8, not {text!r}")
    return numbers[0], numbers[1]


def read_bits(text: str) -> tuple[int, int]:
    """Bits of weights and activations of ``"WxA"``; their range is for the measurement to judge."""
    numbers = _integers(text, "x")
    if numbers is None or len(numbers) != 2:
        raise UsageError(f"bits must be WEIGHTxACTIVATION, for example 8x8, not {text!r}")
    return numbers[0], numbers[1]


def read_shape(text: str) -> tuple[int, ...]:
    """Axes of ``"1x28x28"`` or ``"784"``."""
    numbers = _integers(text, "x")
    if numbers is None or len(numbers) not in (1, 3) or 0 in numbers:
        raise UsageError(f"input shape must be CHANNELSxHEIGHTxWIDTH or FEATURES, for example "
                         f"1x28x28, not {text!r}")
    return numbers


def read_integers(text: str, what: str) -> int | tuple[int, ...]:
    """``"8"`` as a number, ``"8,4,4"`` as several."""
    numbers = _integers(text, ",")
    if numbers is None:
        raise UsageError(f"{what} must be a number or several separated by commas, for example 8 "
                         f"or 8,4,4, not {text!r}")
    return numbers[0] if len(numbers) == 1 else numbers


def read_ratio(text: str, what: str) -> float:
    """``"0.5"`` or ``"1/255"`` as a number."""
    try:
        over, _, under = text.partition("/")
        value = float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{what} must be a number or a fraction, for example 1/255, not {text!r}"
                         ) from None
    return value


def read_arithmetics(text: str, by_layer: bool = False) -> list[str]:
    """Names of ``"a,b"`` or ``"all"``, each known and none twice.

    With `by_layer`, choices by layer may be among them: ``"a,conv=b,dense=c,d"`` is three.
    """
    from ..arith import ARITHMETICS
    if text.strip() == ALL:
        return ARITHMETICS.names()
    names: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if by_layer and "=" in part:
            if names and "=" in names[-1]:
                names[-1] += f",{part}"
                continue
        else:
            ARITHMETICS.get(part)
        names.append(part)
    if len(set(names)) != len(names):
        raise UsageError(f"arithmetics must be different ones, not {text!r}")
    return names


def read_choice(network: "Network", text: str, rows: int, columns: int,
                device: str | None = None) -> str:
    """Arithmetics as ``--arith`` names them; what ``auto`` stands for is told."""
    from ..assignment import AUTO
    from ..choose import resolve
    if text.strip() != AUTO:
        return text
    chosen = resolve(network, AUTO, rows, columns, device)
    tell(f"auto: --arith {chosen}")
    return chosen


def load_data(network: "Network", data: str) -> "Images":
    """The images that ``--data`` names."""
    from ..bundled import sample_for
    from ..datasets import load_images
    return sample_for(network) if data == SAMPLE else load_images(Path(data))
