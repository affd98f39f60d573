"""Arithmetics measured alone, without a network: one element, or a whole array.

*An array* is a matrix kernel (`nmahw.kernel`): elements, skewed feeding, weight loading that hides
behind computing, accumulators in block RAM, control, and the harness that brings its ports to
four pins. Everything counts.

*An array with built-in weights* (`nmahw.gateware.constant_kernel`) is a layer as a circuit: weights
are logic, all taps of a sum are in the array, and nothing is loaded or accumulated.

*An element* is what one place of the array takes: four elements of the last row of eight, with
registered operands, less the same ports with nothing between them, by four. Row, column and load
units, weight registers and accumulators are not in it, which flatters arithmetics that need much of
these: an element tells where an array's logic goes, not what is best.

A device holds as many whole arrays as the scarcest of its LUTs, flip-flops, hard multipliers and
block RAMs allows; the figure supposes that all run at the Fmax of one, and that somebody feeds
them.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from amaranth.back import rtlil
from amaranth.lib import wiring

from .arith import ARITHMETICS, Arithmetic, Operand
from .devices import Device
from .devices import device as find_device
from .errors import DoesNotFit, ModelError, UsageError
from .gateware.constant_kernel import ConstantKernel, check_constants
from .gateware.element_bank import ElementBank, EmptyBank
from .gateware.harness import SerialHarness
from .kernel import Kernel
from .measured import ArrayMeasurement, ArrayRow, ElementMeasurement, Measured, Measurement
from .place import check_seeds, place_and_route, utilisation_median
from .result import baseline_names, build, flow_options
from .workbench import Workbench

__all__ = ["ArrayTask", "ConstantTask", "ElementTask", "GridTask", "Task", "default_arithmetics",
           "measure", "measure_one", "operands", "table_of"]

#: Elements that are measured together, and the row they stand in.
_ELEMENTS, _ROW = 4, 7


def operands(weight_bits: int, activation_bits: int) -> tuple[Operand, Operand]:
    """Activations (unsigned, as behind a ReLU) and weights (signed) of so many bits.

    Raises
    ------
    UsageError
        Not 1..16 bits.
    """
    for what, bits in (("weight", weight_bits), ("activation", activation_bits)):
        if type(bits) is not int or not 1 <= bits <= 16:
            raise UsageError(f"{what} bits must be 1..16, not {bits!r}")
    return Operand(activation_bits, False), Operand(weight_bits, True)


def default_arithmetics(weight_bits: int, activation_bits: int) -> list[str]:
    """Names of those that are no baseline and take integer activations of so many bits."""
    wanted, _ = operands(weight_bits, activation_bits)
    return [kind.name for kind in ARITHMETICS
            if not kind.is_baseline and not hasattr(kind, "float_format")
            and kind.activation_bits[0] <= wanted.bits <= kind.activation_bits[1]]


@dataclass(frozen=True)
class Task:
    """What is measured of every arithmetic.

    Parameters
    ----------
    weight_bits, activation_bits : int
        Operands that are asked for; an arithmetic gets the nearest it takes.
    """

    weight_bits: int
    activation_bits: int

    def __post_init__(self):
        operands(self.weight_bits, self.activation_bits)

    @property
    def title(self) -> str:
        """In a few words."""
        return f"{self.what}, weights x activations {self.weight_bits}x{self.activation_bits} bits"

    def common(self, arithmetic: Arithmetic) -> dict[str, object]:
        """What a row says of its arithmetic."""
        given = f"{arithmetic.activation} x {arithmetic.weight}"
        wanted = "{} x {}".format(*operands(self.weight_bits, self.activation_bits))
        values = None
        # Formats of 32 bits have too many to try.
        if arithmetic.weight.bits <= 16:
            every = np.array(arithmetic.weight.values)
            values = int(np.count_nonzero(type(arithmetic).project(every) == every))
        return dict(weight_values=values, operands=given, operation=arithmetic.operation,
                    other_operands=wanted if given != wanted else "")

    #: In a few words, without the operands.
    what: ClassVar[str]
    #: The kinds of row and table it makes, and under which circumstances they are measured.
    row: ClassVar[type[Measured]] = Measured
    table: ClassVar[type[Measurement]]
    setting: ClassVar[str]

    @abstractmethod
    def prepare(self, name: str) -> object:
        """What is measured of the arithmetic of that name.

        Raises
        ------
        ModelError
            The arithmetic cannot take the operands.
        UsageError
            It cannot have the shape asked for.
        """

    @abstractmethod
    def rtlil(self, subject: object) -> str:
        """The design of what `prepare` gave, a module ``top`` of four pins."""

    @abstractmethod
    def run(self, name: str, subject: object, device: Device, seeds: tuple[int, ...],
            bench: Workbench) -> Measured:
        """Measure what `prepare` gave."""


@dataclass(frozen=True)
class GridTask(Task):
    """Elements in rows and columns, and what they cannot do without.

    Parameters
    ----------
    weight_bits, activation_bits : int
    rows, columns : int
    """

    rows: int = 8
    columns: int = 8

    #: See `nmahw.result.build`.
    keeps_products: ClassVar[bool] = True
    row: ClassVar[type[Measured]] = ArrayRow
    table: ClassVar[type[Measurement]] = ArrayMeasurement

    def check_memory(self, subject: object, device: Device) -> None:
        """Refuse what cannot fit before minutes are spent on mapping; by default nothing.

        Raises
        ------
        DoesNotFit
        """

    def rtlil(self, subject: object) -> str:
        return rtlil_behind_pins(subject.create())

    def run(self, name: str, subject: object, device: Device, seeds: tuple[int, ...],
            bench: Workbench) -> ArrayRow:
        def text() -> str:
            self.check_memory(subject, device)
            return self.rtlil(subject)

        known = build(name, subject.arithmetic, text, device, seeds, bench, self.keeps_products)
        return ArrayRow(name, macs_per_cycle=subject.macs_per_cycle, limits=device.limits,
                        **self.common(subject.arithmetic), **known)


@dataclass(frozen=True)
class ArrayTask(GridTask):
    """A whole array, its weights loaded.

    Parameters
    ----------
    weight_bits, activation_bits : int
    rows, columns : int
    positions : int
        Sums of each column, see `nmahw.kernel`.
    """

    positions: int = 512

    @property
    def what(self) -> str:
        return f"{self.rows}x{self.columns} array"

    @property
    def setting(self) -> str:
        return (f"feeding, weight loading and accumulators of {self.positions} sums a column "
                f"included")

    def prepare(self, name: str) -> Kernel:
        return Kernel.of(name, self.rows, self.columns,
                         *operands(self.weight_bits, self.activation_bits),
                         positions=self.positions)

    def check_memory(self, subject: Kernel, device: Device) -> None:
        bits = subject.positions * subject.sum_bits
        blocks = subject.columns * -(-bits // device.rules.block_ram_bits)
        if blocks > device.limits["block_ram"]:
            raise DoesNotFit(
                f"accumulators of {subject.positions} sums of {subject.sum_bits} bits in "
                f"{subject.columns} columns take at least {blocks} block RAM, but {device.name} "
                f"has {device.limits['block_ram']}",
                {"block_ram": (blocks, device.limits["block_ram"])})


@dataclass(frozen=True)
class BuiltIn:
    """A kernel with built-in weights, not yet made."""

    arithmetic: Arithmetic
    rows: int
    columns: int

    @property
    def weights(self) -> np.ndarray:
        """Random ones (taps, columns), always the same, that the arithmetic has codes for."""
        operand = self.arithmetic.weight
        drawn = np.random.default_rng(0).integers(
            operand.low, operand.high + 1, (self.rows * self.arithmetic.taps, self.columns))
        return np.asarray(type(self.arithmetic).project(drawn), dtype=np.int64)

    @property
    def macs_per_cycle(self) -> float:
        """Operations a cycle."""
        a = self.arithmetic
        return self.rows * a.taps * self.columns / a.phases(a.activation)

    def create(self) -> ConstantKernel:
        """The hardware."""
        return ConstantKernel(self.arithmetic, self.weights)


@dataclass(frozen=True)
class ConstantTask(GridTask):
    """An array whose weights are built in: no loading, and no accumulators."""

    keeps_products: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        for what, value in (("rows", self.rows), ("columns", self.columns)):
            if type(value) is not int or not 1 <= value <= 64:
                raise UsageError(f"array {what} must be an integer of 1..64, not {value!r}")

    @property
    def what(self) -> str:
        return f"{self.rows}x{self.columns} array with built-in weights"

    @property
    def setting(self) -> str:
        return "feeding included; random weights as logic, sums complete without accumulators"

    def prepare(self, name: str) -> BuiltIn:
        kind = ARITHMETICS.get(name)
        if kind.holds_weights and kind.create_constant is Arithmetic.create_constant:
            raise ModelError(f"{name} cannot have built-in weights")
        subject = BuiltIn(kind.nearest(*operands(self.weight_bits, self.activation_bits)),
                          self.rows, self.columns)
        check_constants(subject.arithmetic, subject.weights)
        return subject


@dataclass(frozen=True)
class ElementTask(Task):
    """One element."""

    what: ClassVar[str] = "one element"
    table: ClassVar[type[Measurement]] = ElementMeasurement
    setting: ClassVar[str] = (f"row {_ROW + 1} of an array, operands registered; without row, "
                              f"column and load units, weight registers and accumulators")

    def prepare(self, name: str) -> Arithmetic:
        return ARITHMETICS.get(name).nearest(
            *operands(self.weight_bits, self.activation_bits))

    def rtlil(self, subject: Arithmetic) -> str:
        return rtlil_behind_pins(ElementBank(subject, _ROW, _ELEMENTS))

    def run(self, name: str, subject: Arithmetic, device: Device, seeds: tuple[int, ...],
            bench: Workbench) -> Measured:
        ports: list[int] = []

        def text() -> str:
            bank = ElementBank(subject, _ROW, _ELEMENTS)
            ports[:] = len(bank.operands), len(bank.psums)
            return rtlil_behind_pins(bank)

        known = build(name, subject, text, device, seeds, bench)
        if not known.get("problem"):
            empty = utilisation_median(place_and_route(
                rtlil_behind_pins(EmptyBank(*ports)), device, flow_options(subject), seeds,
                bench=bench, label=f"{name}, ports only"))
            known["resources"] = {resource: (used - empty[resource]) / _ELEMENTS
                                  for resource, used in known["resources"].items()}
        return Measured(name, macs_per_cycle=subject.taps / subject.phases(subject.activation),
                        **self.common(subject), **known)


def rtlil_behind_pins(component: wiring.Component) -> str:
    """RTLIL of a component behind four pins."""
    return rtlil.convert(SerialHarness(component), name="top", emit_src=False)


def measure(task: Task, arithmetics: Sequence[str], device: str | Device,
            seeds: Sequence[int] = (1, 2, 3, 4, 5), *, baselines: Sequence[str] | None = None,
            bench: Workbench | None = None,
            count: Callable[[int, int], None] = lambda done, total: None) -> Measurement:
    """Build every arithmetic and put the results side by side.

    Parameters
    ----------
    task : Task
    arithmetics : sequence of str
        Names; baselines that are missing are added behind them.
    device : str or Device
        Of a device or a board.
    seeds : sequence of int
        Place-and-route seeds, the same for every row.
    baselines : sequence of str, optional
        By default those of the product and of the arithmetics' operations.
    bench : Workbench, optional
        Its `jobs` are shared by all rows.
    count : callable, optional
        Told how many rows are done, of how many.

    Raises
    ------
    UsageError
        Unknown names, a shape no arithmetic can have, bad seeds.
    """
    device, bench, seeds = find_device(device), bench or Workbench(), tuple(check_seeds(seeds))
    kinds = [ARITHMETICS.get(name) for name in arithmetics]
    if baselines is None:
        baselines = baseline_names({"product", *(kind.operation for kind in kinds)})
    names = list(dict.fromkeys([*arithmetics, *baselines]))
    if not names:
        raise UsageError("at least one arithmetic must be given")
    refused = [error for name in names if (error := _refusal(task, name))]
    # What none can take is the user's mistake, and said before anything is built.
    if len(refused) == len(names):
        raise refused[0]
    done: list[str] = []

    def run(name: str) -> Measured:
        row = measure_one(task, name, device, seeds, bench)
        done.append(name)
        count(len(done), len(names))
        return row

    rows = bench.parallel([lambda name=name: run(name) for name in names])
    return table_of(task, device, seeds, rows)


def measure_one(task: Task, name: str, device: Device, seeds: Sequence[int],
                bench: Workbench) -> Measured:
    """One row; an arithmetic that cannot take the task is a row that says why."""
    if error := _refusal(task, name):
        return task.row(name, problem=str(error))
    return task.run(name, task.prepare(name), device, tuple(seeds), bench)


def table_of(task: Task, device: Device, seeds: Sequence[int],
             rows: Iterable[Measured]) -> Measurement:
    """The table of a task's rows."""
    return task.table(task.title, task.setting, device, tuple(seeds), tuple(rows))


def _refusal(task: Task, name: str) -> Exception | None:
    try:
        task.prepare(name)
    except (ModelError, UsageError) as error:
        return error
    return None
