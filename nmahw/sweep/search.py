"""Place and route near the front only: the estimator first, corrected by what was measured.

Candidates are designs on devices; each costs as many runs as there are seeds. All are estimated
(look-up tables, clock, cycles; accuracy is known from the golden model). Then, round by round:

1. Estimates are corrected: for each quantity, the median ratio of measured to estimated over all
   measured candidates, and of those of the same arithmetic where there are some.
2. A candidate's promise is what it would add to the hypervolume of the measured points if it were
   as estimated; what nobody measured yet in its arithmetic is taken to be `OPTIMISM` better, so
   that every arithmetic near the front is tried.
3. The most promising ones are run; when none promises anything, or the budget is spent, it ends.

`Selection` is all of it and knows nothing of workers; `SearchPlan` feeds it in a sweep.
"""

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from ..errors import UsageError
from .columns import COLUMNS
from .engine import Task
from .forecast import estimates
from .pareto import front, hypervolume, oriented
from .plan import SweepPlan
from .points import rates
from .spec import Point, Spec

__all__ = ["KNOWN", "OPTIMISM", "SearchPlan", "Selection", "check_objective", "figures_of",
           "reference_point", "scaled"]

#: Columns that can be told before building.
KNOWN = ("lut", "ff", "dsp", "block_ram", "fmax_mhz", "images_per_s", "cycles_per_image",
         "macs_per_s_per_lut", "accuracy")
#: How much better than estimated an unmeasured arithmetic may turn out to be.
OPTIMISM = 0.15


def reference_point(values: np.ndarray) -> np.ndarray:
    """The worst of every quantity and a tenth of its span beyond, for hypervolumes."""
    worst, best = values.max(axis=0), values.min(axis=0)
    return worst + 0.1 * np.maximum(worst - best, 1e-9 * np.abs(worst) + 1e-12)


class Selection:
    """Which candidates to measure.

    Parameters
    ----------
    estimated : mapping of candidate to row
        Rows hold the objectives' values.
    groups : mapping of candidate to hashable
        Candidates of one group err alike (those of one arithmetic).
    objective : sequence of str
        Columns.
    budget : int
        Candidates that may be measured.
    """

    def __init__(self, estimated: Mapping[Hashable, Mapping[str, float]],
                 groups: Mapping[Hashable, Hashable], objective: Sequence[str], budget: int):
        self._names = tuple(objective)
        self._estimated = {key: {name: float(row[name]) for name in self._names}
                           for key, row in estimated.items()}
        self._groups, self._budget = dict(groups), budget
        self._asked: set[Hashable] = set()
        self._pending: dict[Hashable, None] = {}
        self._measured: dict[Hashable, dict[str, float]] = {}

    @property
    def spent(self) -> int:
        """Candidates that were asked for."""
        return len(self._asked)

    @property
    def pending(self) -> int:
        """Candidates that were asked for and of which nothing was heard yet."""
        return len(self._pending)

    def add(self, candidate: Hashable, row: Mapping[str, float] | None, free: bool = False
            ) -> None:
        """What measuring gave; None if it could not be built.

        `free` ones were measured before and do not count.
        """
        if free and candidate not in self._asked:
            self._budget += 1
        self._asked.add(candidate)
        self._pending.pop(candidate, None)
        if row is not None:
            self._measured[candidate] = {name: float(row[name]) for name in self._names}

    def next(self, count: int) -> list[Hashable]:
        """Up to `count` candidates that promise most; empty when none does, or at the budget."""
        count = min(count, self._budget - self.spent)
        left = [key for key in self._estimated if key not in self._asked]
        if count < 1 or not left:
            return []
        correct = self._correction()
        # What runs is taken to come out as estimated, so that the next one adds something else.
        known = [*self._measured.values(), *(correct(key) for key in self._pending)]
        # Every quantity counts by its ratio: half the area is as good on a small design as on a
        # large one.
        values = scaled(oriented([*known, *(correct(key) for key in left)], self._names))
        reference = reference_point(values)
        have, rows = values[:len(known)], values[len(known):]
        chosen: list[Hashable] = []
        while len(chosen) < count:
            gains = _gains(have, rows, reference)
            index = int(np.argmax(gains))
            if gains[index] <= 1e-9 * max(hypervolume(have, reference), 1e-12):
                break
            chosen.append(left[index])
            have = np.vstack([have, rows[index]])
        self._asked.update(chosen)
        self._pending.update(dict.fromkeys(chosen))
        return chosen

    def _correction(self) -> Callable[[Hashable], dict[str, float]]:
        """What gives a candidate's row as it is expected after all that was measured."""
        ratios: dict[str, list[float]] = {name: [] for name in self._names}
        own: dict[tuple[Hashable, str], list[float]] = {}
        for key, measured in self._measured.items():
            for name in self._names:
                if guess := self._estimated.get(key, {}).get(name):
                    ratios[name].append(measured[name] / guess)
                    own.setdefault((self._groups[key], name), []).append(measured[name] / guess)
        factors = {which: statistics.median(found) for which, found in own.items()}
        others = {}
        for name, found in ratios.items():
            others[name] = statistics.median(found or [1.0])
            if name not in ("accuracy", "cycles_per_image"):
                others[name] *= (1 + OPTIMISM) ** COLUMNS[name].sense

        def correct(key: Hashable) -> dict[str, float]:
            group = self._groups[key]
            return {name: value * factors.get((group, name), others[name])
                    for name, value in self._estimated[key].items()}
        return correct


def _gains(have: np.ndarray, rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """What each of `rows` alone would add to the hypervolume of `have`; less is better."""
    have = have[front(have)] if len(have) else have
    if rows.shape[1] == 2:
        # Of the strip between two neighbours of the front, all above the left one is taken.
        inside = have[(have < reference).all(axis=1)]
        inside = inside[np.argsort(inside[:, 0])]
        begins = np.concatenate([[-np.inf], inside[:, 0]])
        ends = np.concatenate([inside[:, 0], reference[:1]])
        levels = np.concatenate([reference[1:], inside[:, 1]])
        wide = np.maximum(0, ends - np.maximum(begins, rows[:, :1]))
        return (wide * np.maximum(0, levels - rows[:, 1:])).sum(axis=1)
    base, gains = hypervolume(have, reference), np.zeros(len(rows))
    for index, row in enumerate(rows):
        if not (have <= row).all(axis=1).any():
            gains[index] = hypervolume(np.vstack([have, row]), reference) - base
    return gains


def scaled(values: np.ndarray) -> np.ndarray:
    """Logarithms of quantities that are positive (or all negative), others as they are."""
    found = values.astype(float).copy()
    for axis in range(values.shape[1]):
        column = values[:, axis]
        if (column > 0).all():
            found[:, axis] = np.log(column)
        elif (column < 0).all():
            found[:, axis] = -np.log(-column)
    return found


def figures_of(design: Mapping[str, object], resources: Mapping[str, float], clock_mhz: float
               ) -> dict[str, float]:
    """A row of what is `KNOWN` of a design: estimated or measured, by where its figures are from.

    Parameters
    ----------
    design : mapping
        See `nmahw.sweep.job.design_task`.
    resources : mapping of str to number
        ``lut`` and others.
    clock_mhz : float
    """
    row = {**resources, "fmax_mhz": clock_mhz, "cycles_per_image": design["cycles_per_image"],
           **rates(design, resources["lut"], clock_mhz)}
    return row if design["accuracy"] is None else {**row, "accuracy": design["accuracy"]}


def check_objective(spec: Spec) -> None:
    """Make sure that a search can tell what it looks for before building.

    Raises
    ------
    UsageError
        It cannot.
    """
    for name in spec.objective:
        if name not in KNOWN:
            raise UsageError(f"a search's objective must be of {', '.join(KNOWN)}, not {name!r}")


class SearchPlan(SweepPlan):
    """A sweep that builds what promises to be on the front; see `SweepPlan` for the parameters.

    Raises
    ------
    UsageError
        The estimator does not know an objective, or none of the designs.
    """

    def __init__(self, spec, networks, store, versions, **options):
        check_objective(spec)
        self._seeds: dict[tuple, list[Point]] = {}
        for point in spec.points:
            self._seeds.setdefault((point.design, point.device), []).append(point)
        self._found, refused = estimates(spec, networks)
        if not self._found:
            reason = next(iter(refused), "there are none")
            raise UsageError(f"at least one design must be possible, but: {reason}")
        self._selection: Selection | None = None
        self._results: dict[tuple, list[dict | None]] = {}
        self._done: dict[str, dict] = {}
        self._workers = 1
        super().__init__(spec, networks, store, versions, **options)
        self.progress.total = math.ceil(spec.budget * len(spec.points))

    def tick(self, running: int, workers: int) -> None:
        """See `nmahw.sweep.engine.Plan`."""
        self._workers = workers
        super().tick(running, workers)

    def _take_design(self, design: tuple, row: dict) -> None:
        """All designs are made (that is cheap, and tells accuracies) before the first is built."""
        self._designs[design] = row
        if row["status"] != "done":
            self._refuse(design, row)

    def next_task(self) -> Task | None:
        """See `nmahw.sweep.engine.Plan`."""
        if task := super().next_task():
            return task
        if any(design not in self._designs for design in self._todo):
            return None
        if self._selection is None:
            self._begin()
        # What is chosen knowing more is chosen better: no candidate waits for a worker.
        while not self._ready and self._selection.pending < self._workers \
                and (chosen := self._selection.next(1)):
            self._queue(chosen[0])
        return super().next_task()

    def _begin(self) -> None:
        rows, made_ones = {}, 0
        for (design, device), found in self._found.items():
            made = self._designs.get(design, {})
            if made.get("status") != "done":
                continue
            made_ones += 1
            row = figures_of(made, dict(found.resources), found.clock_mhz or 1.0)
            if self._allowed(row) and (found.fits or not self._spec.must_fit):
                rows[design, device] = row
        if made_ones and not rows:
            raise UsageError(f"[constraints] must leave at least one design, but none of "
                             f"{made_ones} keeps them, by the estimator")
        budget = max(1, math.floor(self._spec.budget * len(self._seeds)))
        self._selection = Selection(rows, {key: key[0][2] for key in rows}, self._spec.objective,
                                    budget)
        self._done = {row["key"]: row for row in self._store.attempts()
                      if row["status"] == "done"}
        for candidate in rows:
            known = [self._done.get(self._key(point)) for point in self._seeds[candidate]]
            if all(known):
                self._results[candidate] = [self._measured(candidate, row) for row in known]
                self._selection.add(candidate, self._median(candidate), free=True)
                self._share(self._seeds[candidate])
                self.progress.before += len(known)
                self.progress.total = min(self.progress.total + len(known),
                                          len(self._spec.points))

    def _allowed(self, row: Mapping[str, float]) -> bool:
        """What is exact must keep constraints; what is estimated may be off by `OPTIMISM`."""
        for bounds, sense in ((self._spec.least, 1), (self._spec.most, -1)):
            for name, bound in bounds.items():
                if name not in row:
                    continue
                exact = name in ("accuracy", "cycles_per_image", "dsp", "block_ram")
                slack = 1 if exact else (1 + OPTIMISM) ** sense
                if sense * (row[name] * slack - bound) < 0:
                    return False
        return True

    def _queue(self, candidate: tuple) -> None:
        results = self._results.setdefault(candidate, [])
        points = self._new(self._seeds[candidate])
        for key in map(self._key, self._seeds[candidate]):
            if key in self._finished:
                known = self._done.get(key)
                results.append(None if known is None else self._measured(candidate, known))
        if len(results) == len(self._seeds[candidate]):
            self._selection.add(candidate, self._median(candidate))
        if points:
            self._ready.append(self._run(points[0]))
        if points[1:]:
            self._waiting[candidate] = points[1:]

    def took(self, point: Point, row: dict) -> None:
        """Tell the selection once a candidate's last seed ended."""
        super().took(point, row)
        candidate = point.design, point.device
        if row["status"] == "done":
            self._done[self._key(point)] = row
        results = self._results.setdefault(candidate, [])
        results.append(self._measured(candidate, row) if row["status"] == "done" else None)
        if len(results) == len(self._seeds[candidate]):
            self._selection.add(candidate, self._median(candidate))

    def _measured(self, candidate: tuple, row: Mapping) -> dict[str, float]:
        resources = {name: row[name] for name in ("lut", "ff", "dsp", "block_ram")}
        return figures_of(self._designs[candidate[0]], resources, row["fmax_mhz"])

    def _median(self, candidate: tuple) -> dict[str, float] | None:
        rows = [row for row in self._results[candidate] if row is not None]
        if not rows:
            return None
        row = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
        # What breaks a constraint is on no front.
        return row if self._spec.allows(row) else None
