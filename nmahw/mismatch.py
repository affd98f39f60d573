"""The hardware against the golden model, bit for bit; and where the first difference stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .cache import Cache
from .errors import MismatchError
from .network import Network
from .simulate import SimulationResult, TraceRecord, trace_image

if TYPE_CHECKING:
    from .design import Design

__all__ = ["Difference", "compare_with_golden", "first_difference", "check_cycles"]


@dataclass(frozen=True)
class Difference:
    """One result that the hardware wrote wrongly.

    Attributes
    ----------
    pass_index : int
    title : str
        Of the pass, e.g. ``"0 conv2d"``.
    channel, y, x : int
    hardware, golden : int or None
        None for a result that was never written.
    """

    pass_index: int
    title: str
    channel: int
    y: int
    x: int
    hardware: int | None
    golden: int

    def __str__(self) -> str:
        return (f"pass {self.pass_index} (layer {self.title}), channel {self.channel}, "
                f"position ({self.y}, {self.x}): {describe(self.hardware, self.golden)}")


def _hexadecimal(value: int, digits: int) -> str:
    return f"0x{value & ((1 << 4 * digits) - 1):0{digits}x}"


def describe(hardware: int | None, golden: int) -> str:
    """Both values, decimal and (two's complement) hexadecimal."""
    bits = max(value.bit_length() + 1 for value in (golden, hardware or 0))
    digits = -(-bits // 8) * 2
    if hardware is None:
        return f"hardware wrote nothing, golden {golden} ({_hexadecimal(golden, digits)})"
    return (f"hardware {hardware} ({_hexadecimal(hardware, digits)}), "
            f"golden {golden} ({_hexadecimal(golden, digits)})")


def compare_with_golden(network: Network, images: np.ndarray, result: SimulationResult,
                        design: Design | None = None, cache: Cache | None = None,
                        say: Callable[[str], None] = lambda text: None) -> np.ndarray:
    """Check that every output of every image is the golden model's.

    Parameters
    ----------
    network : Network
    images : integer array (images, *input shape)
    result : SimulationResult
        Of these images.
    design : Design, optional
        When given, the first wrong image is run again to find where it first went wrong.
    cache, say
        As for `simulate`.

    Returns
    -------
    integer array (images, outputs)
        The golden outputs.

    Raises
    ------
    MismatchError
        Names image, output element and, when found, layer, channel and position, both values
        in decimal and hexadecimal, and how many outputs differ in all.
    """
    golden = network.predict(images).reshape(len(images), -1)
    if golden.shape != result.outputs.shape:
        raise MismatchError(f"hardware must give {golden.shape} outputs, "
                            f"not {result.outputs.shape}")
    wrong = np.argwhere(golden != result.outputs)
    if not len(wrong):
        return golden
    image, element = (int(v) for v in wrong[0])
    message = (f"image {image}, output element {element}: "
               + describe(int(result.outputs[image, element]), int(golden[image, element])))
    found = None
    if design is not None:
        say(f"image {image} differs: running it again to find where")
        trace, _ = trace_image(design, images, result, image, cache, say)
        _, golden_trace = network.predict(images[image:image + 1], trace=True)
        found = first_difference(design, trace, golden_trace.outputs)
        if found is not None:
            message += f"; first wrong in {found}"
        elif trace:
            message += "; every result written to the activation memory is right"
    raise MismatchError(f"{message}; {len(wrong)} of {golden.size} outputs differ, in "
                        f"{len(np.unique(wrong[:, 0]))} of {len(golden)} images")


def first_difference(design: Design, trace: Sequence[TraceRecord],
                     golden_outputs: tuple[np.ndarray, ...]) -> Difference | None:
    """First result, pass by pass, that was written wrongly or not at all.

    Parameters
    ----------
    design : Design
    trace : sequence of TraceRecord
        What the hardware wrote for one image; passes it does not cover are left out.
    golden_outputs : tuple of integer arrays
        Of `Network.predict` with ``trace=True``, for that image alone.
    """
    program = design.program
    for index, work in enumerate(program.passes):
        golden = program.golden_for(index, golden_outputs)[0]
        written = {}
        for record in trace:
            if record.layer == index and (place := program.locate(index, record.address)):
                value, expected = record.value, int(golden[place])
                if value != expected:
                    return Difference(index, work.title, *place, value, expected)
                written[place] = value
        if written and len(written) < golden.size:
            place = next(p for p in np.ndindex(golden.shape) if p not in written)
            return Difference(index, work.title, *place, None, int(golden[place]))
    return None


def check_cycles(design: Design, result: SimulationResult) -> None:
    """Check that every pass of every image took exactly the cycles predicted.

    Holds when the output was never stalled.

    Raises
    ------
    MismatchError
        Names the image, the pass and both counts.
    """
    predicted = np.array(design.schedule.cycles_by_pass)
    wrong = np.argwhere(result.pass_cycles != predicted)
    if len(wrong):
        image, index = (int(v) for v in wrong[0])
        raise MismatchError(
            f"pass {index} (layer {design.program.passes[index].title}) must take "
            f"{predicted[index]} cycles as predicted, not {result.pass_cycles[image, index]} "
            f"(image {image}); {len(wrong)} of {result.pass_cycles.size} counts differ")
