"""A whole sweep, from its file to its results."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..devices import device as find_device
from ..errors import UsageError
from ._spec_values import number
from .engine import Engine
from .export import FORMATS
from .forecast import Forecast, forecast
from .job import design_task, place_task
from .networks import Networks
from .plan import SweepPlan, tools_for
from .progress import Progress
from .search import SearchPlan, check_objective
from .spec import Limits, Spec, read_spec
from .store import Store

__all__ = ["Outcome", "dry_run", "load", "sweep"]


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to.

    Attributes
    ----------
    total, before, done, failed : int
        Runs asked for; finished by an earlier sweep; built; failed now.
    statuses : mapping of str to int
        How the attempts in the results file ended.
    reasons : list of (str, str, int)
        Of those that failed: status, the reason, how many; the most frequent ones.
    """

    total: int
    before: int
    done: int
    failed: int
    statuses: dict[str, int]
    reasons: list[tuple[str, str, int]]


def load(path: str | Path, limit_s: float | None = None) -> Spec:
    """The spec of a file, with another time limit if one is given."""
    spec = read_spec(path)
    for name in {point.device for point in spec.points}:
        find_device(name)
    if spec.budget is not None:
        check_objective(spec)
    return spec if limit_s is None else replace(
        spec, limits=Limits(number(limit_s, "time limit", 0), spec.limits.memory_mb))


def dry_run(spec: Spec, output: Path, workers: int, retry: bool = False,
            say: Callable[[str], None] = lambda text: None,
            count: Callable[[int, int], None] = lambda done, total: None) -> Forecast:
    """What a sweep would do and take; writes nothing.

    `count` is told how many designs are estimated, of how many.
    """
    networks = Networks(spec, say)
    times = []
    if os.path.exists(output):
        with Store(output) as store:
            times = store.attempts()
    return forecast(spec, networks, times, workers, retry, count)


def sweep(path: str | Path, output: str | Path, *, workers: int = 2, cluster: str | None = None,
          limit_s: float | None = None, retry: bool = False,
          say: Callable[[str], None] = lambda text: None,
          show: Callable[[Progress], None] = lambda progress: None,
          task: Callable = place_task, make: Callable = design_task) -> Outcome:
    """Run what a spec asks for and the results file does not hold yet.

    Parameters
    ----------
    path : path
        Of the spec.
    output : path
        Of the results; made if missing.
    workers : int
        Local processes.
    cluster : str, optional
        Address of a Dask scheduler whose workers are used instead.
    limit_s : float, optional
        Time limit of a job, in place of the spec's.
    retry : bool
        Try again what failed otherwise than by not fitting.
    say, show : callable
        Told what happens; shown how far it is, a few times a second.
    task, make : callable
        What workers do for a run and for a design.

    Raises
    ------
    UsageError, ModelError, EnvironmentProblem
        See `read_spec`, `Networks`, `Store`, `Engine`.
    """
    if Path(output).suffix in FORMATS:
        # An export of that name would take its place.
        raise UsageError(f"a results file must not end in {', '.join(FORMATS)}, as exports do, "
                         f"but is {Path(output).name!r}")
    spec = load(path, limit_s)
    with Store(output, write=True) as store:
        networks = Networks(spec, say)
        store.begin(time.time(), spec.title, spec.text, networks.data)
        with Engine(workers, cluster) as engine:
            versions = engine.identity(tools_for(spec))
            kind = SweepPlan if spec.budget is None else SearchPlan
            plan = kind(spec, networks, store, versions, retry=retry, task=task, make=make,
                        show=show)
            say(f"{len(spec.points):,} runs asked for, {plan.progress.before:,} finished before, "
                f"{engine.workers} workers")
            engine.run(plan)
        progress = plan.progress
        return Outcome(progress.total, progress.before, progress.done, progress.failed,
                       store.statuses(), store.reasons())
