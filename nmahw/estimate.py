"""What a design will take of a device, before synthesis: milliseconds instead of minutes.

The census (`nmahw._census`) says exactly what a design is made of: flip-flops, bits of logic,
carry chains, memories, products. Closed rules (`nmahw._mapping_rules`) say what becomes of
memories and hard multipliers; these figures are exact. What is left, how well Yosys shares and
packs, is a linear model with a few coefficients for each family, fitted to mapped designs by
benchmarks/fit_estimates.py, which also says how far off it is on designs it was not fitted to.

The clock comes from placed and routed accelerators: of an array with E elements

    ln(clock) = arithmetic's own + slope x ln(E)

with one slope for each family; of several arithmetics, the slowest one's. It is a guess for
choosing (`nmahw.choose`): seeds alone move clocks by 10 %.

Figures are those of the mapped netlist behind four pins, as `nmahw.synthesise` counts them and
`Family.packed_luts` packs them; place and route adds some per cent of look-up tables, for the
starts of carry chains (ECP5) and as ways to flip-flops (Gowin).
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ._census import census
from ._census_netlist import Part
from ._mapping_rules import MappingRules, MemoryShape
from .arith import Arithmetic
from .carry_chain import CarryChain
from .design import Design
from .devices import RESOURCES, Device
from .devices import device as find_device
from .errors import UsageError
from .gateware.array import SystolicArray
from .gateware.harness import SerialHarness
from .gateware.memory import SlicedMemory
from .gateware.pins import SerialPins
from .gateware.weights import bank_shapes
from .kernel import Kernel

__all__ = ["Estimate", "at_least", "clock_mhz", "counted", "estimate", "features",
           "fitted_arithmetics"]

_CELL = re.compile(r"^ *(\w+) #", re.MULTILINE)
# Parts whose logic is mostly counters and decisions, which synthesis merges further.
_CONTROL = ("KernelControl", "Sequencer", "Entry")


@dataclass(frozen=True)
class Estimate:
    """What a design takes.

    Attributes
    ----------
    device : Device
    resources : mapping of str to int
        Of `nmahw.devices.RESOURCES`; ``distributed_ram``, in memories, only where the design needs
        some and the device has none.
    is_fitted : bool
        Whether designs with these arithmetics were among those the model was fitted to; if not,
        LUT and FF are a guess.
    cycles_per_image : int or None
        Of a network's design.
    macs_per_cycle : float
    clock_mhz : float or None
        Of a network's design; None where the family has no measured ones.
    clock_is_fitted : bool
        Whether accelerators with these arithmetics were measured; if not, the clock is the mean of
        others.
    """

    device: Device
    resources: Mapping[str, int]
    is_fitted: bool
    cycles_per_image: int | None
    macs_per_cycle: float
    clock_mhz: float | None = None
    clock_is_fitted: bool = False

    @property
    def limits(self) -> dict[str, int]:
        """What the device has."""
        return {name: self.device.limits.get(name, 0) for name in self.resources}

    @property
    def lacking(self) -> dict[str, tuple[int, int]]:
        """Resources the device has too little of: needed and there."""
        return {name: (used, self.limits[name]) for name, used in self.resources.items()
                if used > self.limits[name]}

    @property
    def fits(self) -> bool:
        """Whether the device has enough of everything."""
        return not self.lacking


def estimate(subject: Design | Kernel, device: str | Device = "ecp5-45k") -> Estimate:
    """Estimate what a network's accelerator or a matrix kernel takes.

    Parameters
    ----------
    subject : Design or Kernel
    device : str or Device
        Of a device or a board.

    Raises
    ------
    UsageError
        Unknown device, or one of a family that the model was not fitted to.
    """
    device = find_device(device)
    model = _model(device)
    resources = _resources(features(subject, device), device)
    names = {a.name for a in _arithmetics(subject)}
    is_design = isinstance(subject, Design)
    cycles = subject.cycles_per_image if is_design else None
    measured = model.get("clock", {}).get("arithmetics", {})
    return Estimate(device, resources, names <= set(model["arithmetics"]), cycles,
                    subject.macs_per_image / cycles if is_design else subject.macs_per_cycle,
                    clock_mhz(names, subject.rows * subject.columns, device)
                    if is_design else None, is_design and names <= set(measured))


def at_least(design: Design, device: str | Device) -> dict[str, int]:
    """Lower bound of what `estimate` finds, much faster: arrays and large memories alone.

    As there, what memories of weights hold is not looked at.
    """
    device = find_device(device)
    schedule, parts = design.schedule, Counter()
    for kind in schedule.engines:
        parts += census(SystolicArray(kind, design.rows, design.columns, schedule.hop,
                                      kind.holds_weights))
    found = _resources(_of_parts(parts, schedule.engines, device), device)
    copy = MemoryShape(schedule.activation_bits, schedule.memory_words, "", 1, False, True, True)
    if device.rules.mapping.memory(copy).block_ram:
        # However it is cut into slices, every row's taps have a copy.
        blocks = -(-copy.width * copy.depth // device.rules.block_ram_bits)
        found["block_ram"] += design.rows * schedule.taps * blocks
    if schedule.layout is None:
        found["block_ram"] += sum(
            device.rules.mapping.block_ram(MemoryShape(bits, depth, "", 1, True, True, False))
            for engine in range(len(schedule.engines))
            for width, depth in bank_shapes(schedule, engine)
            for bits in SlicedMemory.slices(width, depth))
    return found


def counted(design: Design, device: str | Device) -> dict[str, int]:
    """Flip-flops and block RAM by counting alone, for families without a fitted model.

    Without rules for memories, block RAM is what their bits need at least, and ``distributed_ram``
    how many ask for some.
    """
    device = find_device(device)
    if device.rules.mapping is not None:
        exact = features(design, device)["exact"]
        return {name: round(exact.get(name, 0)) for name in ("ff", "block_ram")}
    parts = census(SerialPins(design.create()))
    return {"ff": sum(part.ff * number for part, number in parts.items()),
            "block_ram": sum(number * -(-memory.width * memory.depth
                                        // device.rules.block_ram_bits)
                             for part, number in parts.items() for memory in part.memories
                             if memory.style == "block"),
            "distributed_ram": sum(number for part, number in parts.items()
                                   for memory in part.memories if memory.style == "distributed")}


def clock_mhz(arithmetics: Iterable[str], elements: int, device: str | Device) -> float | None:
    """Clock to expect of an accelerator; None where the family has no measured ones.

    Parameters
    ----------
    arithmetics : iterable of str
        Names; those that were not measured get the mean of the others.
    elements : int
        Of each array.
    device : str or Device
    """
    known = _model(find_device(device)).get("clock")
    if not known:
        return None
    own = known["arithmetics"]
    mean = sum(own.values()) / len(own)
    return math.exp(min(own.get(name, mean) for name in arithmetics)
                    + known["slope"] * math.log(elements))


def _resources(known: dict[str, dict[str, float]], device: Device) -> dict[str, int]:
    model = _model(device)
    found = {name: round(known["exact"].get(name, 0) + sum(
        model[name].get(feature, 0) * amount for feature, amount in known.get(name, {}).items()))
        for name in RESOURCES}
    if memories := known["exact"].get("distributed_ram"):
        found["distributed_ram"] = memories
    return found


def fitted_arithmetics(device: str | Device) -> list[str]:
    """Names of the arithmetics that the model of a device's family was fitted to."""
    return list(_model(find_device(device))["arithmetics"])


def _model(device: Device) -> dict:
    model = _models().get(device.family)
    if model is None:
        raise UsageError(f"device must be of a family with a fitted model "
                         f"({', '.join(_models())}), not {device.name} ({device.family})")
    return model


@cache
def _models() -> dict[str, dict]:
    path = resources.files("nmahw.data") / "estimates.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _arithmetics(subject: Design | Kernel) -> tuple:
    return subject.schedule.engines if isinstance(subject, Design) else (subject.arithmetic,)


def features(subject: Design | Kernel, device: Device) -> dict[str, dict[str, float]]:
    """What the model is linear in, for ``lut`` and ``ff``, and under ``exact`` what is known.

    Parameters
    ----------
    subject : Design or Kernel
    device : Device
    """
    top = (SerialPins if isinstance(subject, Design) else SerialHarness)(subject.create())
    kinds = _arithmetics(subject)
    known = _of_parts(census(top), kinds, device)
    lut, ff = known["lut"], known["ff"]
    if isinstance(subject, Kernel):
        lut["kernel"], ff["kernel"] = 1, -1
    else:
        lut["design"], ff["design"] = 1, -1
    # Load units of one array share what only depends on the loading step.
    held = sum(a.holds_weights for a in kinds)
    ff["loaded array"], ff["loaded column"] = -held, -held * subject.columns
    if device.rules.mapping.cells_hold_both:
        lut["loaded column"] = -held * subject.columns
    # Flip-flops are counted exactly but for those that control and harness have twice.
    return {name: dict(amounts) for name, amounts in known.items()}


def _of_parts(parts: Counter, kinds: Iterable[Arithmetic], device: Device) -> dict[str, Counter]:
    rules = device.rules.mapping
    lut, ff, exact = Counter(), Counter(), Counter()
    kinds = tuple(kinds)
    # As a design is mapped: what one arithmetic asks for holds for the products of all.
    product = "booth" if any("booth" in a.yosys_passes for a in kinds) else "product"
    hard = product != "booth" and any(a.hard_multiplier for a in kinds)
    for part, number in parts.items():
        exact["ff"] += part.ff * number
        lut["control" if part.name in _CONTROL else "logic"] += part.luts * number
        _adders(part, number, rules, lut)
        lut["inverted"] += part.inverted * number
        if rules.cells_hold_both:
            exact["lut"] += part.lone_ff * number
        takes_marked = hard and rules.multiplier_takes_marked and part.marked_ff
        if takes_marked:
            exact["ff"] -= part.marked_ff * number
        exact["lut"] += number * sum(_chain_luts(device, *chain) for chain in part.chains)
        for *factors, left, right in part.products:
            blocks = rules.multipliers(tuple(factors), (left, right)) if hard else 0
            exact["dsp"] += number * blocks
            if blocks and takes_marked:
                exact["ff"] -= number * sum(factors)  # the product's
            if blocks and rules.multiplier_takes_registers:
                taken = 2 * number * sum(factors)
                exact["ff"] -= taken
                exact["lut"] -= taken * rules.cells_hold_both
            elif not blocks:
                lut[f"{product} area"] += number * factors[0] * factors[1]
                lut[f"{product} side"] += number * sum(factors)
        for memory in part.memories:
            mapped = rules.memory(memory)
            if memory.style == "distributed" and not rules.has_distributed_ram:
                exact["distributed_ram"] += number  # there is nothing to make it of
                continue
            exact["block_ram"] += number * mapped.block_ram
            exact["lut"] += rules.distributed_ram_luts * number * mapped.distributed_ram
            lut["selected"] += number * mapped.selected
            lut["rom"] += number * mapped.luts
            exact["ff"] += number * mapped.ff
            if rules.cells_hold_both and mapped.distributed_ram:
                exact["lut"] += number * mapped.ff  # the cells before them are the memory's
    return {"lut": lut, "ff": ff, "exact": exact}


def _adders(part: Part, number: int, rules: MappingRules, lut: Counter) -> None:
    for bits in part.adders:
        luts = rules.adder_luts(bits)
        if luts:
            lut["adders"] += number * luts
        else:
            lut["narrow adders"] += number * (bits - 1)


def _chain_luts(device: Device, bits: int, options: tuple[str, ...]) -> int:
    body = device.rules.carry_chain(CarryChain(bits, **dict.fromkeys(options, True)))
    cells = Counter(_CELL.findall(body or ""))
    if cells:
        return device.rules.at_least(cells)["lut"]
    # Without cells of its own, it is an adder like others. Whatever changes an operand takes a
    # look-up table a bit in front of it: carry cells look at operands as they are.
    return bits if set(options) <= {"carry"} else 2 * bits
