"""Arithmetics side by side: the same network, array, flow and seeds for each.

The baselines of the network's operation (for products: hard multiplier, Booth, what Yosys makes by
default) are part of every comparison. A row that cannot be built says why, and the others go on.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from .arith import ARITHMETICS
from .design import Design
from .devices import Device
from .devices import device as find_device
from .errors import DoesNotFit, ModelError, UsageError
from .network import Network
from .place import check_seeds
from .result import REFERENCES, Result, Results, baseline_names, build, flow_options
from .workbench import Workbench

__all__ = ["METRICS", "REFERENCES", "SCHEMA_VERSION", "Comparison", "Row", "baseline_names",
           "compare", "flow_options"]

#: Version of the JSON form.
SCHEMA_VERSION = 1
#: Quantities that are put in relation: attribute of `Row` to what people call it.
METRICS: Mapping[str, str] = {
    "lut": "LUT", "fmax_mhz": "Fmax", "cycles_per_image": "cycles", "images_per_s": "images/s",
    "macs_per_s_per_lut": "MAC/s per LUT"}


class DesignLike(Protocol):
    """What a comparison has to know of a design."""

    arithmetic: object
    cycles_per_image: int
    memory_bits: int

    def rtlil(self, pins: str) -> str:
        """RTLIL with a module ``top`` behind a serial harness, for ``pins="serial"``."""


#: Makes the design for (network, name of the arithmetic, rows, columns).
DesignFactory = Callable[[Network, str, int, int], DesignLike]


def _operations(network: Network) -> set[str]:
    """What a network asks of arithmetics; layers that are no sums run as products by one."""
    return {layer.operation.name for layer in network.layers if layer.is_matrix} or {"product"}


@dataclass(frozen=True)
class Row(Result):
    """One arithmetic of a comparison.

    Attributes
    ----------
    cycles_per_image : int or None
    accuracy : float or None
        0..1.
    macs_per_image : int
    """

    cycles_per_image: int | None = None
    accuracy: float | None = None
    macs_per_image: int = 0

    @property
    def images_per_s(self) -> float | None:
        """At the median frequency."""
        if self.fmax_mhz is None or not self.cycles_per_image:
            return None
        return self.fmax_mhz * 1e6 / self.cycles_per_image

    @property
    def macs_per_s(self) -> float | None:
        """Multiply-accumulate steps of the network a second, at the median frequency."""
        return None if self.images_per_s is None else self.images_per_s * self.macs_per_image

    def figures(self) -> dict[str, object]:
        return {"cycles_per_image": self.cycles_per_image, "images_per_s": self.images_per_s,
                "accuracy": self.accuracy}


@dataclass(frozen=True)
class Comparison(Results):
    """Rows and what they share."""

    METRICS: ClassVar[Mapping[str, str]] = METRICS
    COLUMNS: ClassVar[tuple[str, ...]] = (
        "arithmetic", "LUT", "FF", "DSP", "block RAM", "Fmax MHz", "cycles/image", "images/s",
        "MAC/s", "MAC/s per LUT", "accuracy", "no multiplier")
    THROUGHPUT: ClassVar[tuple[str, str]] = ("images_per_s", "images/s")

    title: str
    macs_per_image: int
    device: Device
    rows: int
    columns: int
    seeds: tuple[int, ...]
    results: tuple[Row, ...]
    images: int = 1
    share: int = 1

    @property
    def setting(self) -> str:
        more = (f", {self.images} images in lockstep" if self.images > 1 else "") + (
            f", {self.share} rows to a memory" if self.share > 1 else "")
        return f"{self.macs_per_image:,} MAC an image, {self.rows}x{self.columns} array{more}"

    def as_json(self) -> str:
        """The comparison as a JSON text (`SCHEMA_VERSION`)."""
        return json.dumps({
            "schema": "nmahw-comparison", "version": SCHEMA_VERSION,
            "network": {"title": self.title, "macs_per_image": self.macs_per_image},
            "device": self.device_document(),
            "array": {"rows": self.rows, "columns": self.columns, "images": self.images,
                      "share": self.share},
            "seeds": list(self.seeds), "tools": self.tool_versions,
            "rows": [self.row_document(row) for row in self.results]}, indent=1) + "\n"


def compare(network: Network, arithmetics: Sequence[str], device: str | Device, rows: int,
            columns: int, seeds: Sequence[int] = (1, 2, 3), *,
            accuracy: float | Callable[[DesignLike], float | None] | None = None,
            baselines: Sequence[str] | None = None, bench: Workbench | None = None,
            design_factory: DesignFactory = Design.of, images: int = 1, share: int = 1
            ) -> Comparison:
    """Build a network with several arithmetics and put the results side by side.

    Parameters
    ----------
    network : Network
    arithmetics : sequence of str
        Names, or choices by layer (`nmahw.assignment`); baselines that are missing are added
        behind them.
    device : str or Device
        Of a device or a board.
    rows, columns : int
        Shape of the array.
    seeds : sequence of int
        Place-and-route seeds, the same for every row.
    accuracy : float, or callable from a design to one, optional
        Share of images classified rightly, 0..1.
    baselines : sequence of str, optional
        By default every arithmetic that is one for an operation of the network's.
    bench : Workbench, optional
        Its `jobs` are shared by all rows.
    design_factory : callable, optional
        Makes a row's design.
    images, share : int
        Of the designs: see `Design`.

    Raises
    ------
    UsageError
        Unknown names, an impossible array shape, bad seeds.
    """
    device = find_device(device)
    bench = bench or Workbench()
    if baselines is None:
        baselines = baseline_names(_operations(network))
    names = list(dict.fromkeys([*arithmetics, *baselines]))
    if not names:
        raise UsageError("at least one arithmetic must be given")
    for name in names:
        if "=" not in name:  # a choice by layer is checked where it is made
            ARITHMETICS.get(name)
    seeds = tuple(check_seeds(seeds))
    # Designs first: a wrong array shape must not show after minutes of building.
    designs: dict[str, DesignLike | ModelError] = {}
    more = {key: value for key, value in (("images", images), ("share", share)) if value != 1}
    for name in names:
        try:
            designs[name] = design_factory(network, name, rows, columns, **more)
        except ModelError as error:
            designs[name] = error

    def make(name: str) -> Row:
        design = designs[name]
        if isinstance(design, ModelError):
            return Row(name, problem=str(design), macs_per_image=network.macs)
        known = build(name, design.arithmetic, lambda: _rtlil(design, device), device, seeds,
                      bench)
        return Row(name, cycles_per_image=design.cycles_per_image, macs_per_image=network.macs,
                   accuracy=accuracy(design) if callable(accuracy) else accuracy, **known)

    results = bench.parallel([lambda name=name: make(name) for name in names])
    return Comparison(network.title, network.macs, device, rows, columns, seeds, tuple(results),
                      images, share)


def _check_memory(design: DesignLike, device: Device) -> None:
    """Refuse what cannot fit before minutes are spent on mapping it."""
    blocks = -(-design.memory_bits // device.rules.block_ram_bits)
    if blocks > device.limits["block_ram"]:
        raise DoesNotFit(
            f"weights and activations take {design.memory_bits:,} bits, at least {blocks} block "
            f"RAM, but {device.name} has {device.limits['block_ram']}",
            {"block_ram": (blocks, device.limits["block_ram"])})


def _rtlil(design: DesignLike, device: Device) -> str:
    _check_memory(design, device)
    return design.rtlil(pins="serial")
