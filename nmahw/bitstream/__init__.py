"""What was really built: bitstreams and routed netlists taken back and simulated.

After place and route nothing is left of the RTL's names and structure. Each device family's file
here turns what was built into a `Netlist` of look-up tables, registers and memories; that is
simulated behind the pins of the board and held against the golden model (`nmahw.verify`).

To add a family, add a file with a `Readback` subclass whose `name` is the family's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..registry import Registry
from .netlist import Netlist

if TYPE_CHECKING:
    from ..boards import Pin
    from ..workbench import Workbench

__all__ = ["READBACKS", "Netlist", "Readback"]


class Readback(ABC):
    """How a family's devices are taken back."""

    #: Name of the device family.
    name: ClassVar[str]
    #: What is taken back, for messages.
    source: ClassVar[str]
    #: Whether `take` reads the bitstream; otherwise the routed netlist.
    reads_bitstream: ClassVar[bool]

    @classmethod
    @abstractmethod
    def take(cls, path: Path, pins: Mapping[str, Pin], bench: Workbench) -> Netlist:
        """The netlist in a bitstream, or in nextpnr's routed netlist.

        Parameters
        ----------
        path : Path
        pins : mapping of str to Pin
            What the ports are called; ``so[3]`` becomes ``so_3``.
        bench : Workbench

        Raises
        ------
        BuildError
            The file is damaged, or the device is used in a way that is not modelled.
        EnvironmentProblem
            A tool is missing.
        """


#: Every family that can be taken back.
READBACKS: Registry[Readback] = Registry(__name__, Readback, "device family")
