"""Arithmetics side by side: the same network, array, flow and seeds for each.

The baselines of the network's operation (for products: hard multiplier, Booth, what Yosys makes by
default) are part of every comparison. A row that cannot be built says why, and the others go on.
"""

import json
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .arith import ARITHMETICS
from .certify import Certificate, certify
from .design import Design
from .devices import Device, FlowOptions
from .devices import device as find_device
from .errors import BuildError, DoesNotFit, ModelError, UsageError
from .network import Network
from .synthesise import (
    CriticalPath,
    Netlist,
    check_seeds,
    fmax_median,
    place_and_route,
    synthesise,
    utilisation_median,
)
from .toolchain import Cancelled
from .workbench import Workbench

__all__ = ["LESS_IS_BETTER", "METRICS", "REFERENCES", "SCHEMA_VERSION", "Comparison", "Row",
           "baseline_names", "compare", "flow_options"]

#: Version of the JSON form.
SCHEMA_VERSION = 1
#: The rows every other is put in relation to.
REFERENCES: tuple[str, ...] = ("dsp", "booth")
#: Quantities that are put in relation: attribute of `Row` to what people call it.
METRICS: Mapping[str, str] = {
    "lut": "LUT", "fmax_mhz": "Fmax", "cycles_per_image": "cycles", "images_per_s": "images/s",
    "macs_per_s_per_lut": "MAC/s per LUT"}

#: Those of them that are better when smaller.
LESS_IS_BETTER = frozenset({"lut", "cycles_per_image"})


class DesignLike(Protocol):
    """What a comparison has to know of a design."""

    arithmetic: object
    cycles_per_image: int
    memory_bits: int

    def rtlil(self, pins: str) -> str:
        """RTLIL with a module ``top`` behind a serial harness, for ``pins="serial"``."""


#: Makes the design for (network, name of the arithmetic, rows, columns).
DesignFactory = Callable[[Network, str, int, int], DesignLike]


def baseline_names(operations: Collection[str] = ("product",)) -> tuple[str, ...]:
    """Names of the baselines that every comparison of these operations shows."""
    return tuple(kind.name for kind in ARITHMETICS if kind.is_baseline
                 and kind.in_every_comparison and kind.operation in operations)


def _operations(network: Network) -> set[str]:
    """What a network asks of arithmetics; layers that are no sums run as products by one."""
    return {layer.operation.name for layer in network.layers if layer.is_matrix} or {"product"}


@dataclass(frozen=True)
class Row:
    """One arithmetic of a comparison; figures are None when it could not be built.

    Attributes
    ----------
    arithmetic : str
    is_baseline, exact : bool or None
        As the arithmetic says; None when not even the design could be made.
    problem : str
        Why there are no figures; empty when there are.
    lacking : mapping of str to (int, int)
        Resource to (needed, available) when it does not fit.
    resources : mapping of str to int
        Median use over the seeds.
    fmax_by_seed : mapping of int to float
        MHz.
    cycles_per_image : int or None
    accuracy : float or None
        0..1.
    certificate : Certificate or None
    critical_path : CriticalPath or None
        Of the seed nearest to the median.
    options : FlowOptions or None
    tool_versions : mapping of str to str
    macs_per_image : int
    products_left : int
        Multiplications that the passes of `options` left to the mapper.
    """

    arithmetic: str
    is_baseline: bool | None = None
    exact: bool | None = None
    problem: str = ""
    lacking: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    resources: Mapping[str, int] = field(default_factory=dict)
    fmax_by_seed: Mapping[int, float] = field(default_factory=dict)
    cycles_per_image: int | None = None
    accuracy: float | None = None
    certificate: Certificate | None = None
    critical_path: CriticalPath | None = None
    options: FlowOptions | None = None
    tool_versions: Mapping[str, str] = field(default_factory=dict)
    macs_per_image: int = 0
    products_left: int = 0

    @property
    def built(self) -> bool:
        """Whether there are figures."""
        return not self.problem

    @property
    def note(self) -> str:
        """What has to be known to read the figures rightly; empty when nothing."""
        if not self.built or not self.options:
            return ""
        if self.options.hard_multiplier and not self.resources["dsp"]:
            return ("synthesis was free to use hard multipliers but used none (operands too "
                    "narrow): these are products in logic cells")
        if self.options.yosys_passes and self.products_left:
            return (f"{', '.join(self.options.yosys_passes)} left {self.products_left} products "
                    f"as they were (operands too narrow): mapped as Yosys does by default")
        return ""

    @property
    def lut(self) -> int | None:
        """Logic cells used."""
        return self.resources.get("lut")

    @property
    def fmax_mhz(self) -> float | None:
        """Median over the seeds."""
        return statistics.median(self.fmax_by_seed.values()) if self.fmax_by_seed else None

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

    @property
    def macs_per_s_per_lut(self) -> float | None:
        """The measure that decides: how well the logic is used."""
        return None if not self.lut or self.macs_per_s is None else self.macs_per_s / self.lut


@dataclass(frozen=True)
class Comparison:
    """Rows and what they share."""

    title: str
    macs_per_image: int
    device: Device
    rows: int
    columns: int
    seeds: tuple[int, ...]
    results: tuple[Row, ...]

    def row(self, arithmetic: str) -> Row | None:
        """The row of that arithmetic."""
        return next((row for row in self.results if row.arithmetic == arithmetic), None)

    @property
    def tool_versions(self) -> dict[str, str]:
        """Of every tool that was used."""
        return {name: version for row in self.results
                for name, version in row.tool_versions.items()}

    def ratio(self, row: Row, metric: str, reference: str) -> float | None:
        """`row`'s figure over that of the row `reference`; None when either has none."""
        base = self.row(reference)
        mine, theirs = getattr(row, metric), getattr(base, metric, None)
        return mine / theirs if mine is not None and theirs else None

    def as_json(self) -> str:
        """The comparison as a JSON text (`SCHEMA_VERSION`)."""
        return json.dumps({
            "schema": "nmahw-comparison", "version": SCHEMA_VERSION,
            "network": {"title": self.title, "macs_per_image": self.macs_per_image},
            "device": {"name": self.device.name, "part": self.device.part,
                       "limits": dict(self.device.limits)},
            "array": {"rows": self.rows, "columns": self.columns},
            "seeds": list(self.seeds), "tools": self.tool_versions,
            "rows": [self._row_document(row) for row in self.results]}, indent=1) + "\n"

    def _row_document(self, row: Row) -> dict[str, object]:
        path, certificate = row.critical_path, row.certificate
        return {
            "arithmetic": row.arithmetic, "baseline": row.is_baseline, "exact": row.exact,
            "problem": row.problem or None, "note": row.note or None,
            "lacking": {name: {"needed": need, "available": has}
                        for name, (need, has) in row.lacking.items()},
            "resources": dict(row.resources),
            "fmax_mhz": None if row.fmax_mhz is None else {
                "median": row.fmax_mhz, "by_seed": {str(s): f for s, f in
                                                    row.fmax_by_seed.items()}},
            "cycles_per_image": row.cycles_per_image, "images_per_s": row.images_per_s,
            "macs_per_s": row.macs_per_s, "macs_per_s_per_lut": row.macs_per_s_per_lut,
            "accuracy": row.accuracy,
            "certificate": None if certificate is None else {
                "granted": certificate.granted, "found": certificate.counts,
                "searched": dict(certificate.cells)},
            "relative": {reference: {metric: self.ratio(row, metric, reference)
                                     for metric in METRICS} for reference in REFERENCES},
            "critical_path": None if path is None else {
                "start": path.start, "end": path.end, "logic_ns": path.logic_ns,
                "routing_ns": path.routing_ns},
            "options": None if row.options is None else row.options.describe()}


def flow_options(arithmetic: object) -> FlowOptions:
    """How designs with this arithmetic are built: alike but for what the arithmetic is."""
    return FlowOptions(hard_multiplier=arithmetic.hard_multiplier,
                       yosys_passes=tuple(arithmetic.yosys_passes))


def compare(network: Network, arithmetics: Sequence[str], device: str | Device, rows: int,
            columns: int, seeds: Sequence[int] = (1, 2, 3), *,
            accuracy: float | Callable[[DesignLike], float | None] | None = None,
            baselines: Sequence[str] | None = None, bench: Workbench | None = None,
            design_factory: DesignFactory = Design.of) -> Comparison:
    """Build a network with several arithmetics and put the results side by side.

    Parameters
    ----------
    network : Network
    arithmetics : sequence of str
        Names; baselines that are missing are added behind them.
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
        ARITHMETICS.get(name)
    seeds = tuple(check_seeds(seeds))
    # Designs first: a wrong array shape must not show after minutes of building.
    designs: dict[str, DesignLike | ModelError] = {}
    for name in names:
        try:
            designs[name] = design_factory(network, name, rows, columns)
        except ModelError as error:
            designs[name] = error

    def build(name: str) -> Row:
        design = designs[name]
        if isinstance(design, ModelError):
            return Row(name, problem=str(design), macs_per_image=network.macs)
        return _build_row(name, design, network.macs, device, seeds, accuracy, bench)

    results = bench.parallel([lambda name=name: build(name) for name in names])
    return Comparison(network.title, network.macs, device, rows, columns, seeds, tuple(results))


def _check_memory(design: DesignLike, device: Device) -> None:
    """Refuse what cannot fit before minutes are spent on mapping it."""
    blocks = -(-design.memory_bits // device.rules.block_ram_bits)
    if blocks > device.limits["block_ram"]:
        raise DoesNotFit(
            f"weights and activations take {design.memory_bits:,} bits, at least {blocks} block "
            f"RAM, but {device.name} has {device.limits['block_ram']}",
            {"block_ram": (blocks, device.limits["block_ram"])})


def _check_multipliers(netlist: Netlist, products: int, device: Device) -> None:
    """A product that a hard multiplier was found for must not have taken others with it."""
    blocks = sum(number for kind, number in netlist.cells.items()
                 if kind in device.rules.hard_multipliers)
    if 0 < blocks < products:
        raise BuildError(f"mapping must keep all {products} products, but made {blocks} hard "
                         f"multipliers of them: the netlist is not the design")


def _build_row(name: str, design: DesignLike, macs: int, device: Device, seeds: tuple[int, ...],
               accuracy: object, bench: Workbench) -> Row:
    options = flow_options(design.arithmetic)
    certificate, placed, problem, lacking, products = None, [], "", {}, 0
    try:
        _check_memory(design, device)
        rtlil = design.rtlil(pins="serial")
        certificate = certify(rtlil, device, options, bench, label=name)
        netlist = synthesise(rtlil, device, options, bench, name)
        products = netlist.unmapped_cells.get("$mul", 0)
        _check_multipliers(netlist, products, device)
        placed = place_and_route(rtlil, device, options, seeds, bench=bench, label=name)
        certificate = certify(rtlil, device, options, bench, placed, name)
    except Cancelled:
        raise
    except DoesNotFit as error:
        problem, lacking = str(error), error.lacking
    except (BuildError, ModelError) as error:
        problem = str(error)
    common = dict(is_baseline=design.arithmetic.is_baseline, exact=design.arithmetic.exact,
                  cycles_per_image=design.cycles_per_image, options=options,
                  accuracy=accuracy(design) if callable(accuracy) else accuracy,
                  certificate=certificate, macs_per_image=macs)
    if problem:
        bench.say(f"{name}: {problem.splitlines()[0]}")
        return Row(name, problem=problem, lacking=lacking, **common)
    median = fmax_median(placed)
    middle = min(placed, key=lambda result: abs(result.fmax_mhz - median))
    bench.say(f"{name}: done, {median:.1f} MHz")
    return Row(name, resources=utilisation_median(placed),
               fmax_by_seed={result.seed: result.fmax_mhz for result in placed},
               critical_path=middle.critical_path, tool_versions=placed[0].tool_versions,
               products_left=products,
               **common)
