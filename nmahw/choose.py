"""``auto``: which arithmetic each layer gets when nobody says, by a cost model.

Candidates are the arithmetics that are exact, are no baselines and that the resource estimator was
fitted to; each for the layers whose operation, operands and weights it can take. Every candidate
alone and every pair of them is looked at; in a pair, a layer gets whichever takes fewer cycles.
The cost of a choice is

    cycles per image (closed form) x look-up tables (estimated)

so what is best is the number of images per second and look-up table, at equal clocks. What does
not fit the device comes after everything that does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from .arith import ARITHMETICS
from .assignment import AUTO, assign
from .devices import Device
from .errors import ModelError, UsageError
from .estimate import Estimate, estimate, fitted_arithmetics
from .network import Network
from .operands import check_arithmetics
from .program import Program

__all__ = ["DEFAULT_DEVICE", "Choice", "choices", "resolve"]

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
    def cost(self) -> int:
        """Cycles per image times look-up tables."""
        return self.estimate.cycles_per_image * self.estimate.resources["lut"]


def resolve(network: Network, choice: str, rows: int, columns: int,
            device: str | Device = DEFAULT_DEVICE) -> str:
    """`choice`, or the best one if it is ``"auto"``.

    Raises
    ------
    ModelError
        No candidate can take some layer.
    """
    return choices(network, rows, columns, device)[0].text if choice == AUTO else choice


def choices(network: Network, rows: int, columns: int,
            device: str | Device = DEFAULT_DEVICE) -> list[Choice]:
    """Every choice that is looked at, the best one first."""
    from .design import Design  # designs are made by choices
    from .lowering import lower
    program = lower(network)
    able = _able(program, fitted_arithmetics(device))
    found = {}
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
            found[text] = Choice(text, estimate(design, device))
    if not found:
        raise ModelError(f"no exact arithmetic without multiplier takes all layers of the "
                         f"network; candidates are {', '.join(fitted_arithmetics(device))}")
    return sorted(found.values(), key=lambda c: (not c.estimate.fits, c.cost, c.text))


def _able(program: Program, names: Iterable[str]) -> dict[str, set[int]]:
    """Candidates and the passes that they can take."""
    able = {}
    for name in names:
        kind = ARITHMETICS.get(name)
        if not kind.exact or kind.is_baseline:
            continue
        for index in range(len(program.passes)):
            if _takes(program, name, index):
                able.setdefault(name, set()).add(index)
    return able


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
