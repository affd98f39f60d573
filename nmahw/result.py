"""One design, placed, routed and searched for multipliers: a row of any table of measurements.

What tables have in common, whether they compare whole networks (`nmahw.compare`) or arrays and
elements (`nmahw.measure`): how a row is built, what is known of it, how rows relate.
"""

import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .arith import ARITHMETICS
from .certify import Certificate, certify
from .devices import Device, FlowOptions
from .errors import BuildError, DoesNotFit, ModelError
from .place import CriticalPath, fmax_median, place_and_route, utilisation_median
from .synthesise import Netlist, synthesise
from .toolchain import Cancelled
from .workbench import Workbench

__all__ = ["LESS_IS_BETTER", "REFERENCES", "Result", "Results", "baseline_names", "build",
           "flow_options"]

#: The rows every other is put in relation to.
REFERENCES: tuple[str, ...] = ("dsp", "booth")
#: Quantities that are better when smaller.
LESS_IS_BETTER = frozenset({"lut", "cycles_per_image"})


def baseline_names(operations: Collection[str] = ("product",)) -> tuple[str, ...]:
    """Names of the baselines that every comparison of these operations shows."""
    return tuple(kind.name for kind in ARITHMETICS if kind.is_baseline
                 and kind.in_every_comparison and kind.operation in operations)


def flow_options(arithmetic: object) -> FlowOptions:
    """How designs with this arithmetic are built: alike but for what the arithmetic is."""
    return FlowOptions(hard_multiplier=arithmetic.hard_multiplier,
                       yosys_passes=tuple(arithmetic.yosys_passes))


@dataclass(frozen=True)
class Result:
    """One arithmetic of a table; figures are None when it could not be built.

    Attributes
    ----------
    arithmetic : str
    is_baseline, exact : bool or None
        As the arithmetic says; None when not even the design could be made.
    problem : str
        Why there are no figures; empty when there are.
    lacking : mapping of str to (int, int)
        Resource to (needed, available) when it does not fit.
    resources : mapping of str to number
        Median use over the seeds.
    fmax_by_seed : mapping of int to float
        MHz.
    certificate : Certificate or None
    critical_path : CriticalPath or None
        Of the seed nearest to the median.
    options : FlowOptions or None
    tool_versions : mapping of str to str
    products_left : int
        Multiplications that the passes of `options` left to the mapper.
    """

    arithmetic: str
    is_baseline: bool | None = None
    exact: bool | None = None
    problem: str = ""
    lacking: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    fmax_by_seed: Mapping[int, float] = field(default_factory=dict)
    certificate: Certificate | None = None
    critical_path: CriticalPath | None = None
    options: FlowOptions | None = None
    tool_versions: Mapping[str, str] = field(default_factory=dict)
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
    def macs_per_s(self) -> float | None:
        """Multiply-accumulate steps a second, at the median frequency."""
        raise NotImplementedError

    @property
    def macs_per_s_per_lut(self) -> float | None:
        """The measure that decides: how well the logic is used."""
        return None if not self.lut or self.macs_per_s is None else self.macs_per_s / self.lut

    def figures(self) -> dict[str, object]:
        """What the kind of table adds to a row's JSON form."""
        return {}

    def document(self) -> dict[str, object]:
        """The row as plain values."""
        path, certificate = self.critical_path, self.certificate
        return {
            "arithmetic": self.arithmetic, "baseline": self.is_baseline, "exact": self.exact,
            "problem": self.problem or None, "note": self.note or None,
            "lacking": {name: {"needed": need, "available": has}
                        for name, (need, has) in self.lacking.items()},
            "resources": dict(self.resources),
            "fmax_mhz": None if self.fmax_mhz is None else {
                "median": self.fmax_mhz,
                "by_seed": {str(seed): mhz for seed, mhz in self.fmax_by_seed.items()}},
            **self.figures(),
            "macs_per_s": self.macs_per_s, "macs_per_s_per_lut": self.macs_per_s_per_lut,
            "certificate": None if certificate is None else {
                "granted": certificate.granted, "found": certificate.counts,
                "searched": dict(certificate.cells)},
            "critical_path": None if path is None else {
                "start": path.start, "end": path.end, "logic_ns": path.logic_ns,
                "routing_ns": path.routing_ns, "steps": path.steps},
            "options": None if self.options is None else self.options.describe(),
            "products_left": self.products_left, "tools": dict(self.tool_versions)}


class Results:
    """Rows and what they share.

    Attributes
    ----------
    title : str
        What is measured.
    device : Device
    setting : str
        Under which circumstances, without device and seeds.
    seeds : tuple of int
    results : tuple of Result
    """

    #: Quantities that are put in relation: attribute of a row to what people call it.
    METRICS: ClassVar[Mapping[str, str]]
    #: Headings of the columns that tables show (see `nmahw.report`).
    COLUMNS: ClassVar[tuple[str, ...]]
    #: What a row gives a second: attribute and unit.
    THROUGHPUT: ClassVar[tuple[str, str]]

    title: str
    device: Device
    setting: str
    seeds: tuple[int, ...]
    results: tuple[Result, ...]

    @property
    def references(self) -> tuple[str, ...]:
        """Arithmetics that every other is put in relation to."""
        return REFERENCES

    def row(self, arithmetic: str) -> Result | None:
        """The row of that arithmetic."""
        return next((row for row in self.results if row.arithmetic == arithmetic), None)

    @property
    def tool_versions(self) -> dict[str, str]:
        """Of every tool that was used."""
        return {name: version for row in self.results
                for name, version in row.tool_versions.items()}

    def ratio(self, row: Result, metric: str, reference: str) -> float | None:
        """`row`'s figure over that of the row `reference`; None when either has none."""
        base = self.row(reference)
        mine, theirs = getattr(row, metric), getattr(base, metric, None)
        return mine / theirs if mine is not None and theirs else None

    def row_document(self, row: Result) -> dict[str, object]:
        """The row as plain values, with its relations to the references."""
        return row.document() | {
            "relative": {reference: {metric: self.ratio(row, metric, reference)
                                     for metric in self.METRICS}
                         for reference in self.references}}

    def device_document(self) -> dict[str, object]:
        """The device as plain values."""
        return {"name": self.device.name, "part": self.device.part,
                "limits": dict(self.device.limits)}


def _check_multipliers(netlist: Netlist, products: int, device: Device) -> None:
    """A product that a hard multiplier was found for must not have taken others with it."""
    blocks = sum(number for kind, number in netlist.cells.items()
                 if kind in device.rules.hard_multipliers)
    if 0 < blocks < products:
        raise BuildError(f"mapping must keep all {products} products, but made {blocks} hard "
                         f"multipliers of them: the netlist is not the design")


def build(name: str, arithmetic: object, rtlil: Callable[[], str], device: Device,
          seeds: tuple[int, ...], bench: Workbench, keeps_products: bool = True
          ) -> dict[str, object]:
    """Certify, map, place and route one design.

    Parameters
    ----------
    name : str
        What messages call it.
    arithmetic : Arithmetic
        Or what `flow_options` has to know of one.
    rtlil : callable
        Makes the design, a module ``top`` of few ports; may refuse with a `DoesNotFit`.
    device : Device
    seeds : tuple of int
    bench : Workbench
    keeps_products : bool
        Whether every product must have a hard multiplier if any has: not those by constants.

    Returns
    -------
    dict
        Attributes of a `Result`. What the design lacks, and what a tool refuses, is its `problem`.
    """
    options = flow_options(arithmetic)
    known: dict[str, object] = dict(is_baseline=arithmetic.is_baseline, exact=arithmetic.exact,
                                    options=options)
    try:
        text = rtlil()
        known["certificate"] = certify(text, device, options, bench, label=name)
        netlist = synthesise(text, device, options, bench, name)
        products = netlist.unmapped_cells.get("$mul", 0)
        if keeps_products:
            _check_multipliers(netlist, products, device)
        placed = place_and_route(text, device, options, seeds, bench=bench, label=name)
        known["certificate"] = certify(text, device, options, bench, placed, name)
    except Cancelled:
        raise
    except (BuildError, ModelError) as error:
        problem = str(error)
        bench.say(f"{name}: {problem.splitlines()[0]}")
        lacking = error.lacking if isinstance(error, DoesNotFit) else {}
        return known | dict(problem=problem, lacking=lacking)
    median = fmax_median(placed)
    middle = min(placed, key=lambda result: abs(result.fmax_mhz - median))
    bench.say(f"{name}: done, {median:.1f} MHz")
    return known | dict(
        resources=utilisation_median(placed),
        fmax_by_seed={result.seed: result.fmax_mhz for result in placed},
        critical_path=middle.critical_path, tool_versions=placed[0].tool_versions,
        products_left=products)
