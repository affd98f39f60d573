"""What was measured of elements and arrays: rows, tables, their JSON form (see `nmahw.measure`)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .certify import Certificate, Finding
from .devices import RESOURCES, Device, FlowOptions
from .place import CriticalPath
from .result import REFERENCES, Result, Results, baseline_names

__all__ = ["SCHEMA_VERSION", "ArrayMeasurement", "ArrayRow", "ElementMeasurement", "Measured",
           "Measurement", "row_of"]

#: Version of the JSON form.
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Measured(Result):
    """One arithmetic of a measurement.

    Attributes
    ----------
    operands : str
        Activations x weights as it really takes them, e.g. ``"u8 x s2"``.
    other_operands : str
        Those that were asked for, when they are others.
    operation : str
    weight_values : int or None
        How many weights have a code.
    macs_per_cycle : float or None
        Operations a cycle, sustained.
    """

    operands: str = ""
    other_operands: str = ""
    operation: str = "product"
    weight_values: int | None = None
    macs_per_cycle: float | None = None

    @property
    def note(self) -> str:
        """What has to be known to read the figures rightly."""
        parts = [super().note] if super().note else []
        if self.other_operands:
            parts.append(f"measured with operands {self.operands}, not {self.other_operands}")
        return "; ".join(parts)

    @property
    def macs_per_s(self) -> float | None:
        if self.fmax_mhz is None or self.macs_per_cycle is None:
            return None
        return self.fmax_mhz * 1e6 * self.macs_per_cycle

    def figures(self) -> dict[str, object]:
        return {"operands": self.operands, "other_operands": self.other_operands,
                "operation": self.operation, "weight_values": self.weight_values,
                "macs_per_cycle": self.macs_per_cycle}


@dataclass(frozen=True)
class ArrayRow(Measured):
    """One array.

    Attributes
    ----------
    limits : mapping of str to int
        What the device has.
    """

    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def _fits(self) -> dict[str, int]:
        """Resource to how many whole arrays its amount allows."""
        used = self.resources
        return {name: int(self.limits[name] // used[name]) for name in RESOURCES if used[name]}

    @property
    def arrays(self) -> int | None:
        """Whole arrays that the device has room for."""
        return min(self._fits.values()) if self.built and self.limits else None

    @property
    def scarcest(self) -> str | None:
        """The resource that decides it."""
        if self.arrays is None:
            return None
        return min(self._fits, key=self._fits.get).replace("_", " ")

    @property
    def device_macs_per_s(self) -> float | None:
        """Of a device filled with such arrays."""
        return None if self.arrays is None else self.arrays * self.macs_per_s

    def figures(self) -> dict[str, object]:
        return super().figures() | {"arrays": self.arrays, "scarcest": self.scarcest,
                                    "device_macs_per_s": self.device_macs_per_s}


class Measurement(Results):
    """Rows of one task, device and list of seeds."""

    METRICS: ClassVar[Mapping[str, str]] = {
        "lut": "LUT", "fmax_mhz": "Fmax", "macs_per_s": "MAC/s",
        "macs_per_s_per_lut": "MAC/s per LUT"}
    THROUGHPUT: ClassVar[tuple[str, str]] = ("macs_per_s", "MAC/s")

    @property
    def references(self) -> tuple[str, ...]:
        """The product's, and the baselines of every other operation in the table."""
        others = {row.operation for row in self.results} - {"product"}
        return (*REFERENCES, *baseline_names(others))

    def as_json(self) -> str:
        """The measurement as a JSON text (`SCHEMA_VERSION`)."""
        return json.dumps({
            "schema": "nmahw-measurement", "version": SCHEMA_VERSION, "title": self.title,
            "setting": self.setting, "device": self.device_document(), "seeds": list(self.seeds),
            "tools": self.tool_versions,
            "rows": [self.row_document(row) for row in self.results]}, indent=1) + "\n"


@dataclass(frozen=True)
class ElementMeasurement(Measurement):
    """One element of each arithmetic."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "arithmetic", "operands", "weights", "exact", "LUT", "FF", "DSP", "block RAM",
        "Fmax MHz", "MAC/cycle", "MAC/s", "MAC/s per LUT", "no multiplier")

    title: str
    setting: str
    device: Device
    seeds: tuple[int, ...]
    results: tuple[Measured, ...]


@dataclass(frozen=True)
class ArrayMeasurement(Measurement):
    """One array of each arithmetic."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "arithmetic", "operands", "weights", "exact", "LUT", "FF", "DSP", "block RAM",
        "Fmax MHz", "MAC/cycle", "MAC/s", "MAC/s per LUT", "arrays", "MAC/s of device",
        "no multiplier")

    title: str
    setting: str
    device: Device
    seeds: tuple[int, ...]
    results: tuple[ArrayRow, ...]


def row_of(document: Mapping[str, object], kind: type[Measured], device: Device) -> Measured:
    """A row from its `Result.document`.

    Parameters
    ----------
    document : mapping
        As `json` reads it.
    kind : type
        `ArrayRow` or `Measured`.
    device : Device
        That it was measured on.
    """
    same = ("arithmetic", "exact", "resources", "operands", "other_operands", "operation",
            "weight_values", "macs_per_cycle", "products_left")
    known: dict[str, object] = {name: document[name] for name in same if name in document}
    known |= {
        "is_baseline": document["baseline"], "problem": document["problem"] or "",
        "tool_versions": document["tools"],
        "lacking": {name: (counts["needed"], counts["available"])
                    for name, counts in document["lacking"].items()},
        "fmax_by_seed": {int(seed): mhz for seed, mhz in
                         (document["fmax_mhz"] or {"by_seed": {}})["by_seed"].items()}}
    if options := document["options"]:
        known["options"] = FlowOptions(**options)
    if path := document["critical_path"]:
        known["critical_path"] = CriticalPath(**path)
    if certificate := document["certificate"]:
        stage = list(certificate["searched"])[-1]
        known["certificate"] = Certificate(document["arithmetic"], device.name, tuple(
            Finding(stage, "top", "", cell) for cell, number in certificate["found"].items()
            for _ in range(number)), certificate["searched"])
    if kind is ArrayRow:
        known["limits"] = device.limits
    return kind(**known)
