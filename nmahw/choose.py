"""``auto``: which arithmetic each layer gets when nobody says, by a cost model.

Candidates are the arithmetics that are exact, are no baselines and that the resource estimator was
fitted to; each for the layers whose operation, operands and weights it can take. Every candidate
alone and every pair of them is looked at; in a pair, a layer gets whichever takes fewer cycles.
The cost of a choice is

    cycles per image (closed form) / clock (estimated) x area
    area = look-up tables + block RAMs x the device's look-up tables per block RAM (both estimated)

so what is best is the number of images per second and area; a block RAM is as dear as the
look-up tables it comes with. What does not fit the device comes after everything that does, and
is refused where somebody named the device. Where clocks are not known, they count as equal.

The best one is found without estimating all of them: arrays and bits of memory alone cost less
than whole designs and are estimated much faster, so candidates are looked at in the order of what
these cost, until that is more than the best one found.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from .arith import ARITHMETICS
from .assignment import AUTO, assign
from .devices import Device
from .devices import device as find_device
from .errors import DoesNotFit, ModelError, UsageError
from .estimate import Estimate, at_least, clock_mhz, estimate, fitted_arithmetics
from .network import Network
from .operands import check_arithmetics
from .program import Program
from .synthesise import does_not_fit

if TYPE_CHECKING:
    from .design import Design

__all__ = ["DEFAULT_DEVICE", "Choice", "best", "best_that_fits", "choices", "cost", "resolve"]

#: What a choice is made for unless somebody says.
DEFAULT_DEVICE = "ecp5-45k"


@dataclass(frozen=True)
class Choice:
    """One way to give every layer an arithmetic.

    Attributes
    ----------
    text : str
        As `nmahw.assignment` reads it: by layer number.
    estimate : Estimate
    """

    text: str
    estimate: Estimate

    @property
    def cost(self) -> float:
        """Microseconds per image (or cycles, where the clock is not known) times area."""
        found = self.estimate
        return cost(found.device, found.resources, found.cycles_per_image, found.clock_mhz)

    @property
    def rank(self) -> tuple[bool, float, str]:
        """What choices are ordered by, the best one first."""
        return not self.estimate.fits, self.cost, self.text


def cost(device: Device, resources: Mapping[str, float], cycles_per_image: int,
         clock_mhz: float | None) -> float:
    """Time per image times area, see above."""
    limits = device.limits
    price = limits["lut"] / limits["block_ram"] if limits["block_ram"] else 0
    return (cycles_per_image / (clock_mhz or 1)
            * (resources["lut"] + price * resources["block_ram"]))


def resolve(network: Network, choice: str, rows: int, columns: int,
            device: str | Device | None = None) -> str:
    """`choice`, or the best one if it is ``"auto"``.

    Parameters
    ----------
    network : Network
    choice : str
    rows, columns : int
        Of every array.
    device : str or Device, optional
        By default `DEFAULT_DEVICE`, whether it is large enough or not.

    Raises
    ------
    ModelError
        No candidate can take some layer.
    DoesNotFit
        None fits the device that was named.
    """
    if choice != AUTO:
        return choice
    if device is None:
        return best(network, rows, columns).text
    return best_that_fits(network, rows, columns, device).text


def best_that_fits(network: Network, rows: int, columns: int, device: str | Device) -> Choice:
    """The best choice, refused if the device is too small for it.

    Raises
    ------
    ModelError, DoesNotFit
        See `resolve`.
    """
    found = best(network, rows, columns, device)
    if found.estimate.fits:
        return found
    error = does_not_fit(found.estimate.device, found.estimate.lacking)
    raise DoesNotFit(f"auto must find a choice of arithmetics that fits, but there is none; with "
                     f"the cheapest one, {found.text}, {error}", error.lacking)


def best(network: Network, rows: int, columns: int,
         device: str | Device = DEFAULT_DEVICE) -> Choice:
    """The first of `choices`, without estimating all of them."""
    device = find_device(device)
    bounded = []
    for text, design in _designs(network, rows, columns, device):
        needs: dict[str, float] = dict(at_least(design, device))
        clock = clock_mhz({a.name for a in design.arithmetics}, rows * columns, device)
        too_much = any(needs[name] > device.limits.get(name, 0) for name in needs)
        # Nothing holds a bit of memory for less than a block RAM.
        needs["block_ram"] = max(needs["block_ram"],
                                 design.memory_bits / device.rules.block_ram_bits)
        bounded.append(((too_much, cost(device, needs, design.cycles_per_image, clock)), text,
                        design))
    found: Choice | None = None
    for bound, text, design in sorted(bounded, key=lambda entry: entry[:2]):
        if found is not None and bound > found.rank[:2]:
            break
        one = Choice(text, estimate(design, device))
        if found is None or one.rank < found.rank:
            found = one
    return found


def choices(network: Network, rows: int, columns: int,
            device: str | Device = DEFAULT_DEVICE) -> list[Choice]:
    """Every choice that is looked at, the best one first.

    Raises
    ------
    ModelError
        No candidate can take some layer.
    """
    device = find_device(device)
    return sorted((Choice(text, estimate(design, device))
                   for text, design in _designs(network, rows, columns, device)),
                  key=lambda choice: choice.rank)


def _designs(network: Network, rows: int, columns: int,
             device: Device) -> Iterator[tuple[str, "Design"]]:
    from .design import Design  # designs are made by choices
    from .lowering import lower
    program = lower(network)
    able = _able(program, fitted_arithmetics(device))
    found = set()
    for group in (group for size in (1, 2) for group in combinations(able, size)):
        names = _fastest(program, {name: able[name] for name in group}, rows, columns)
        if names is None:
            continue
        text = ",".join(f"{p.first_layer}={name}"
                        for p, name in zip(program.passes, names, strict=True))
        if text not in found:
            try:
                design = Design.of(network, text, rows, columns)
            except ModelError:  # together, layers need wider operands than each alone
                continue
            found.add(text)
            yield text, design
    if not found:
        candidates = [name for name in fitted_arithmetics(device) if _is_candidate(name)]
        raise ModelError(f"--arith must name arithmetics for this network: 'auto' chooses among "
                         f"{', '.join(candidates)}, which do not take all of its layers")


def _able(program: Program, names: Iterable[str]) -> dict[str, set[int]]:
    """Candidates and the passes that they can take."""
    able = {}
    for name in names:
        if not _is_candidate(name):
            continue
        for index in range(len(program.passes)):
            if _takes(program, name, index):
                able.setdefault(name, set()).add(index)
    return able


def _is_candidate(name: str) -> bool:
    kind = ARITHMETICS.get(name)
    return kind.exact and not kind.is_baseline


def _takes(program: Program, name: str, index: int) -> bool:
    single = Program(**{**vars(program), "passes": (program.passes[index],)})
    try:
        check_arithmetics(single, assign(single, f"other={name}"))
    except (ModelError, UsageError):
        return False
    return True


def _fastest(program: Program, able: dict[str, set[int]], rows: int,
             columns: int) -> list[str] | None:
    """For each pass the one with fewest cycles; None if some pass has none."""
    from .schedule import Schedule
    indices = range(len(program.passes))
    options = [[name for name in able if index in able[name]] for index in indices]
    if not all(options):
        return None
    if len(able) == 1:
        return [names[0] for names in options]
    cycles: list[dict[str, int]] = [{} for _ in indices]
    for name in able:
        # Passes that it cannot take are given to another one, whose cycles do not count here.
        names = [name if name in names else names[0] for names in options]
        text = ",".join(f"{p.first_layer}={n}" for p, n in zip(program.passes, names,
                                                               strict=True))
        try:
            schedule = Schedule(program, assign(program, text), rows, columns)
        except ModelError:
            return None
        for index, spent in enumerate(schedule.cycles_by_pass):
            if names[index] == name:
                cycles[index][name] = spent
    return [min(spent, key=lambda name: (spent[name], name)) for spent in cycles]
