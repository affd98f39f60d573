"""Device families: one file each, found by listing this folder.

A family knows the vendor's cell names, the Yosys commands that map a design onto them, and
how its nextpnr is called. It counts in the same four resources for every vendor: ``lut`` (the
vendor's logic cells), ``ff`` (flip-flops), ``dsp`` (hard multipliers) and ``block_ram``.

To add a family, add a file with a `Family` subclass that has a `name` and `devices`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from ..errors import UsageError
from ..netlist import count_cells
from ..registry import Registry
from ..weight_store import WeightStore

if TYPE_CHECKING:
    from amaranth.hdl import Instance, Signal

    from .._mapping_rules import MappingRules
    from ..boards import Pin
    from ..carry_chain import CarryChain

__all__ = ["Device", "Family", "FlowOptions", "FAMILIES", "Pll", "RESOURCES", "device",
           "device_names", "devices"]

#: The resources every family counts in, in the order reports show them.
RESOURCES: tuple[str, ...] = ("lut", "ff", "dsp", "block_ram")


@dataclass(frozen=True)
class FlowOptions:
    """How a design is mapped, placed and routed; part of every result's identity.

    Attributes
    ----------
    hard_multiplier : bool
        Let synthesis use the device's hard multipliers.
    yosys_passes : tuple of str
        Commands run after ``proc; flatten; opt`` and before mapping, e.g. ``("booth",)``.
    wide_lut : bool or None
        Let the mapper join LUTs through the slice's multiplexers; None is the family's
        default.
    target_mhz : float
        What place and route tries for; above what the designs reach, so that it never rests.
    carry_primitive : bool
        Let the family build gated and negated additions in carry cells of its own.
    block_ram_registers : bool
        Let the family move registers behind block RAMs into them.
    """

    hard_multiplier: bool = False
    yosys_passes: tuple[str, ...] = ()
    wide_lut: bool | None = None
    target_mhz: float = 300.0
    carry_primitive: bool = True
    block_ram_registers: bool = True

    def __post_init__(self):
        object.__setattr__(self, "yosys_passes", tuple(self.yosys_passes))
        if not 0 < self.target_mhz <= 2000:
            raise UsageError(f"target frequency must be 0..2000 MHz, not {self.target_mhz!r}")

    def describe(self) -> dict[str, object]:
        """The options as plain values, for keys and reports."""
        return {"hard_multiplier": self.hard_multiplier, "yosys_passes": list(self.yosys_passes),
                "wide_lut": self.wide_lut, "target_mhz": self.target_mhz,
                "carry_primitive": self.carry_primitive,
                "block_ram_registers": self.block_ram_registers}


@dataclass(frozen=True)
class Pll:
    """A clock generator's settings.

    Attributes
    ----------
    output_hz : float
    create : callable
        Gives the Amaranth instance, from the signals of the input clock, the output clock and
        ``locked``.
    """

    output_hz: float
    create: "Callable[[Signal, Signal, Signal], Instance]" = field(compare=False)


@dataclass(frozen=True)
class Device:
    """One part that designs can be built for.

    Attributes
    ----------
    name : str
        What users type.
    part : str
        The vendor's part number.
    family : str
        Name of the `Family` class.
    limits : mapping of str to int
        How much of each of `RESOURCES` there is, and of the vendor's own cells where a
        family counts them separately.
    arguments : tuple of str
        What nextpnr has to be told about the part.
    weight_store : WeightStore or None
        Large memories that configuration cannot fill, for weights that are loaded at start.
    """

    name: str
    part: str
    family: str
    limits: Mapping[str, int]
    arguments: tuple[str, ...] = field(default=())
    weight_store: WeightStore | None = None

    def __post_init__(self):
        object.__setattr__(self, "limits", MappingProxyType(dict(self.limits)))

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def rules(self) -> "type[Family]":
        """The family's class."""
        return FAMILIES.get(self.family)


class Family(ABC):
    """What the devices of one family have in common."""

    #: Name of the family.
    name: ClassVar[str]
    #: Tool (as `nmahw.toolchain.find` knows it) that places and routes.
    place_tool: ClassVar[str]
    #: Devices of the family.
    devices: ClassVar[tuple[Device, ...]]
    #: Netlist cell types that multiply.
    hard_multipliers: ClassVar[frozenset[str]]
    #: Bits of one block RAM.
    block_ram_bits: ClassVar[int]
    #: The vendor's word for what ``lut`` counts.
    lut_name: ClassVar[str] = "LUT"
    #: Yosys's own models of the cells that `carry_chain` uses, as its commands name the file.
    cell_models: ClassVar[str] = ""
    #: How Yosys maps memories, adders and products; without, designs cannot be estimated.
    mapping: ClassVar["MappingRules | None"] = None
    #: Program that makes a bitstream of what nextpnr writes with `bitstream_arguments`.
    pack_tool: ClassVar[str] = ""
    bitstream_arguments: ClassVar[tuple[str, ...]] = ()
    #: What that file is called, and the bitstream.
    packed_from: ClassVar[str] = ""
    bitstream_suffix: ClassVar[str] = ".bit"
    #: Raised whenever `finish_netlist` makes something else of the same netlist; 0 without one.
    finish_version: ClassVar[int] = 0

    @classmethod
    def has_distributed_ram(cls) -> bool:
        """Whether small memories can be made of look-up tables."""
        return cls.mapping is not None and cls.mapping.has_distributed_ram

    @classmethod
    def resource_title(cls, name: str) -> str:
        """What messages call a resource."""
        return {"lut": cls.lut_name, "ff": "FF", "dsp": "DSP", "block_ram": "block RAM",
                "distributed_ram": "memories in distributed RAM"}.get(name, name)

    @classmethod
    def finish_netlist(cls, module: dict, options: FlowOptions,
                       multiplier_registers: bool = False) -> bool:
        """Change the mapped module ``top`` of a Yosys JSON netlist in place.

        By default nothing is done.

        Parameters
        ----------
        module : dict
        options : FlowOptions
        multiplier_registers : bool
            Whether the design asks for registers before hard multipliers to be moved into them.

        Returns
        -------
        bool
            Whether anything was changed.
        """
        return False

    @classmethod
    def in_package(cls, device: Device, package: str, speed: str) -> Device:
        """`device` in another package and speed grade, as the vendor abbreviates them.

        By default devices come in one package only.
        """
        return device

    @classmethod
    def pack_arguments(cls, device: Device, source: str, target: str) -> list[str]:
        """Arguments of `pack_tool` that make the bitstream `target` of the file `source`."""
        return [source, target]

    @classmethod
    def pll(cls, device: Device, input_hz: int, target_hz: float, from_pad: bool = False
            ) -> Pll | None:
        """The fastest clock not above `target_hz` that the device can make of its oscillator's.

        With `from_pad`, the oscillator is at a pin that belongs to the PLL. By default None: there
        is no PLL, or none is known here.
        """
        return None

    @classmethod
    def carry_chain(cls, chain: "CarryChain") -> str | None:
        """Verilog of the body of a module that computes `chain` in the vendor's carry cells.

        By default None: what Yosys makes of plain additions is best.
        """
        return None

    @classmethod
    @abstractmethod
    def map_commands(cls, device: Device, options: FlowOptions) -> list[str]:
        """Yosys commands that map the flattened module ``top`` onto the device's cells."""

    @classmethod
    @abstractmethod
    def place_arguments(cls, device: Device) -> list[str]:
        """Arguments of nextpnr beside netlist, seed, target and reports."""

    @classmethod
    @abstractmethod
    def constraint_files(cls, device: Device, top_ports: Sequence[str],
                         pins: Mapping[str, "Pin"]) -> dict[str, str]:
        """Files (name to text) that `place_arguments` refers to.

        Parameters
        ----------
        device : Device
        top_ports : sequence of str
            Every bit of every port.
        pins : mapping of str to Pin
            Where some of them have to be; the others may be anywhere.

        Raises
        ------
        BuildError
            There are more ports than pins.
        """

    @classmethod
    @abstractmethod
    def at_least(cls, cells: Mapping[str, int]) -> dict[str, int]:
        """Least amount of each resource a netlist of `cells` (type to count) can need."""

    @classmethod
    def packed_luts(cls, module: dict) -> int:
        """What place and route will take of ``lut`` for a mapped module of a Yosys JSON netlist.

        By default what `at_least` counts: other cells take none.
        """
        return cls.at_least(count_cells(module))["lut"]

    @classmethod
    @abstractmethod
    def utilisation(cls, raw: Mapping[str, int], cells: Mapping[str, int]) -> dict[str, int]:
        """Resources used, from nextpnr's own counts and the netlist's cells.

        Returns
        -------
        dict of str to int
            All of `RESOURCES`, and ``distributed_ram`` and ``carry`` where the vendor
            counts them.
        """

    @classmethod
    @abstractmethod
    def vendor_cells(cls) -> Mapping[str, str]:
        """nextpnr's cell types to the resource they are an amount of."""


#: Every device family there is.
FAMILIES: Registry[Family] = Registry(__name__, Family, "device family")


def count(cells: Mapping[str, int], *prefixes: str) -> int:
    """How many of `cells` have a type that begins with one of `prefixes`."""
    return sum(n for kind, n in cells.items() if kind.startswith(prefixes))


def devices() -> dict[str, Device]:
    """Every device by name, sorted."""
    found = [device for family in FAMILIES for device in family.devices]
    return {device.name: device for device in sorted(found, key=lambda d: d.name)}


def device_names() -> list[str]:
    """Names of all devices, then of all boards."""
    from ..boards import BOARDS  # boards name devices
    return [*devices(), *BOARDS.names()]


def device(name: str | Device) -> Device:
    """The device called `name`, or the one on the board called so.

    Raises
    ------
    UsageError
        There is neither; the message lists what there is.
    """
    if isinstance(name, Device):
        return name
    known = devices()
    if name in known:
        return known[name]
    from ..boards import BOARDS  # boards name devices
    if name in BOARDS:
        return BOARDS.get(name).fpga()
    raise UsageError(f"device must be one of {', '.join(known)} or a board "
                     f"({', '.join(BOARDS.names())}), not {name!r}")
