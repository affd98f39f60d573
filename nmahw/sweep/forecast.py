"""What a sweep will take: runs, time, cost; from the estimator and recorded times."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..design import Design
from ..devices import device as find_device
from ..errors import NmahwError
from ..estimate import Estimate, estimate
from ..network import Network
from .job import FINAL, SETTLED
from .networks import Networks, loaded_network
from .spec import Point, Spec

__all__ = ["Forecast", "estimates", "forecast", "job_seconds"]

# Seconds of a place-and-route run (YoWASP tools, one core, nothing else running) against estimated
# LUT: benchmarks/sweep_scale.py fits them to recorded runs. A native build is about twice as fast.
_BASE_S, _PER_LUT_S = 5.0, 0.012


@dataclass(frozen=True)
class Forecast:
    """What a sweep would do.

    Attributes
    ----------
    runs, designs : int
    left : int
        Runs that the results file holds no final attempt at, by name; its keys tell exactly.
    too_large : int
        Runs of designs that the estimator finds too large for their device.
    refused : mapping of str to int
        Why designs cannot be made, and how many runs that is.
    core_s, elapsed_s : float
        Time of one core; time with the workers given.
    recorded : int
        Recorded runs that the times come from; 0 is a rule of thumb.
    cost : float or None
    """

    runs: int
    designs: int
    left: int
    too_large: int
    refused: Mapping[str, int]
    core_s: float
    elapsed_s: float
    recorded: int
    cost: float | None


def job_seconds(lut: float) -> float:
    """Time of one run of a design of that size, by the rule of thumb."""
    return _BASE_S + _PER_LUT_S * lut


def estimates(spec: Spec, networks: Networks,
              count: Callable[[int, int], None] = lambda done, total: None
              ) -> tuple[dict[tuple, Estimate], dict[str, list[tuple]]]:
    """What the estimator says of every design on every device, and why some cannot be made.

    `count` is told how many are done, of how many.

    Returns
    -------
    dict of (design, device) to Estimate
    dict of reason to list of (design, device)
    """
    loaded: dict[str, Network] = {}
    designs: dict[tuple, Design | str] = {}
    found: dict[tuple, Estimate] = {}
    refused: dict[str, list[tuple]] = {}
    wanted = {(point.design, point.device): point for point in spec.points}
    for index, (key, point) in enumerate(wanted.items()):
        count(index, len(wanted))
        try:
            if point.design not in designs:
                content = networks.by_name[point.model, point.bits].network
                if content not in loaded:
                    loaded[content] = loaded_network(networks.data[content])
                designs[point.design] = _made(loaded[content], point)
            made = designs[point.design]
            if isinstance(made, str):
                refused.setdefault(made, []).append(key)
            else:
                found[key] = estimate(made, find_device(point.device))
        except NmahwError as error:
            refused.setdefault(str(error), []).append(key)
    return found, refused


def _made(network: Network, point: Point) -> Design | str:
    try:
        return Design.of(network, point.arithmetic, point.rows, point.columns)
    except NmahwError as error:
        return str(error)


def forecast(spec: Spec, networks: Networks, recorded: Sequence[Mapping[str, object]],
             workers: int, retry: bool = False,
             count: Callable[[int, int], None] = lambda done, total: None) -> Forecast:
    """What a sweep would do and take.

    Parameters
    ----------
    spec : Spec
    networks : Networks
    recorded : sequence of mapping
        Attempts that a results file holds.
    workers : int
    retry : bool
        Whether what failed otherwise than by not fitting is tried again.
    count : callable
        See `estimates`.
    """
    found, refused = estimates(spec, networks, count)
    done = {(row["model"], row["bits"], row["arithmetic"], row["rows"], row["columns"],
             row["device"], row["seed"]) for row in recorded
            if row["status"] in (SETTLED if retry else FINAL)}
    # Shared rows took no time.
    timed = [row for row in recorded
             if row["status"] == "done" and row["lut"] and row["seconds"]]
    # What this machine takes against the rule of thumb.
    pace = statistics.median(row["seconds"] / job_seconds(row["lut"]) for row in timed) \
        if timed else 1.0
    left = too_large = 0
    seconds = 0.0
    for point in spec.points:
        key = point.design, point.device
        bits = networks.by_name[point.model, point.bits].bits
        if (point.model, bits, point.arithmetic, point.rows, point.columns, point.device,
                point.seed) in done:
            continue
        left += 1
        if key not in found:
            continue
        if not found[key].fits:
            too_large += 1
        else:
            seconds += pace * job_seconds(found[key].resources["lut"])
    if spec.budget is not None:
        seconds *= spec.budget
    runs_of = Counter((point.design, point.device) for point in spec.points)
    return Forecast(
        len(spec.points), len({point.design for point in spec.points}), left, too_large,
        {reason: sum(runs_of[key] for key in members) for reason, members in refused.items()},
        seconds, seconds / workers, len(timed),
        None if spec.per_core_hour is None else seconds / 3600 * spec.per_core_hour)
