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
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from ..errors import UsageError
from .columns import COLUMNS
from .engine import Task
from .forecast import estimates
from .pareto import front, hypervolume, oriented
from .plan import SweepPlan
from .spec import Point

__all__ = ["OPTIMISM", "SearchPlan", "Selection", "reference_point"]

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
        self._measured: dict[Hashable, dict[str, float]] = {}

    @property
    def spent(self) -> int:
        """Candidates that were asked for."""
        return len(self._asked)

    def add(self, candidate: Hashable, row: Mapping[str, float] | None, free: bool = False
            ) -> None:
        """What measuring gave; None if it could not be built.

        `free` ones were measured before and do not count.
        """
        if free and candidate not in self._asked:
            self._budget += 1
        self._asked.add(candidate)
        if row is not None:
            self._measured[candidate] = {name: float(row[name]) for name in self._names}

    def next(self, count: int) -> list[Hashable]:
        """Up to `count` candidates that promise most; empty when none does, or at the budget."""
        chosen: list[Hashable] = []
        count = min(count, self._budget - self.spent)
        supposed: dict[Hashable, dict[str, float]] = dict(self._measured)
        rows = {key: self._corrected(key) for key in self._estimated}
        while len(chosen) < count:
            best = self._most_promising(rows, supposed)
            if best is None:
                break
            chosen.append(best)
            self._asked.add(best)
            # As if it were measured, so that the next one adds something else.
            supposed[best] = rows[best]
        return chosen

    def _most_promising(self, rows: Mapping[Hashable, Mapping[str, float]],
                        supposed: Mapping[Hashable, Mapping[str, float]]) -> Hashable | None:
        left = [key for key in rows if key not in self._asked]
        if not left:
            return None
        known = [dict(row) for row in supposed.values()]
        values = oriented([*known, *(rows[key] for key in left)], self._names)
        # Every quantity counts by its ratio: half the area is as good on a small design as on a
        # large one.
        scaled = _scaled(values)
        reference = reference_point(scaled)
        have = scaled[:len(known)]
        have = have[front(have)] if len(have) else have
        base = hypervolume(have, reference)
        gains = [hypervolume(np.vstack([have, one[None]]), reference) - base
                 for one in scaled[len(known):]]
        index = int(np.argmax(gains))
        return left[index] if gains[index] > 1e-9 * max(base, 1e-12) else None

    def _corrected(self, key: Hashable) -> dict[str, float]:
        row = {}
        for name, value in self._estimated[key].items():
            ratios = {other: measured[name] / self._estimated[other][name]
                      for other, measured in self._measured.items()
                      if other in self._estimated and self._estimated[other][name]}
            own = [ratio for other, ratio in ratios.items()
                   if self._groups[other] == self._groups[key]]
            factor = statistics.median(own or ratios.values() or [1.0])
            if not own and name not in ("accuracy", "cycles_per_image"):
                factor *= (1 + OPTIMISM) ** COLUMNS[name].sense
            row[name] = value * factor
        return row


def _scaled(values: np.ndarray) -> np.ndarray:
    """Logarithms of quantities that are positive (or all negative), others as they are."""
    scaled = values.astype(float).copy()
    for axis in range(values.shape[1]):
        column = values[:, axis]
        if (column > 0).all():
            scaled[:, axis] = np.log(column)
        elif (column < 0).all():
            scaled[:, axis] = -np.log(-column)
    return scaled


class SearchPlan(SweepPlan):
    """A sweep that builds what promises to be on the front; see `SweepPlan` for the parameters.

    Raises
    ------
    UsageError
        The estimator does not know an objective, or none of the designs.
    """

    #: Columns that can be told before building.
    KNOWN = ("lut", "ff", "dsp", "block_ram", "fmax_mhz", "images_per_s", "cycles_per_image",
             "macs_per_s_per_lut", "accuracy")

    def __init__(self, spec, networks, store, versions, **options):
        for name in spec.objective:
            if name not in self.KNOWN:
                raise UsageError(f"a search's objective must be of {', '.join(self.KNOWN)}, not "
                                 f"{name!r}")
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
        for candidate in self._selection.next(max(1, self._workers // self._runs_each())):
            self._queue(candidate)
        return super().next_task()

    def _runs_each(self) -> int:
        return max(1, len(self._spec.points) // max(1, len(self._seeds)))

    def _begin(self) -> None:
        rows = {}
        for (design, device), found in self._found.items():
            made = self._designs.get(design, {})
            if made.get("status") != "done" or (self._spec.must_fit and not found.fits):
                continue
            row = self._row(made, dict(found.resources), found.clock_mhz or 1.0)
            if self._allowed(row):
                rows[design, device] = row
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
                self.progress.before += len(known)
                self.progress.total += len(known)

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

    @staticmethod
    def _row(design: Mapping, resources: Mapping[str, float], clock_mhz: float
             ) -> dict[str, float]:
        images = clock_mhz * 1e6 / design["cycles_per_image"]
        row = {**resources, "fmax_mhz": clock_mhz, "images_per_s": images,
               "cycles_per_image": design["cycles_per_image"],
               "macs_per_s_per_lut": images * design["macs_per_image"] / max(1,
                                                                             resources["lut"])}
        return row if design["accuracy"] is None else {**row, "accuracy": design["accuracy"]}

    def _queue(self, candidate: tuple) -> None:
        points = []
        results = self._results.setdefault(candidate, [])
        for point in self._seeds[candidate]:
            known = self._done.get(self._key(point))
            if known is not None:
                results.append(self._measured(candidate, known))
            elif self._key(point) in self._finished:
                results.append(None)
            else:
                points.append(point)
        if not points:
            self._selection.add(candidate, self._median(candidate))
            return
        self._ready.append(self._run(points[0]))
        if points[1:]:
            self._waiting[candidate] = points[1:]

    def took(self, point: Point, row: dict) -> None:
        """Tell the selection once a candidate's last seed ended."""
        super().took(point, row)
        candidate = point.design, point.device
        results = self._results.setdefault(candidate, [])
        results.append(self._measured(candidate, row) if row["status"] == "done" else None)
        if len(results) == len(self._seeds[candidate]):
            self._selection.add(candidate, self._median(candidate))

    def _measured(self, candidate: tuple, row: Mapping) -> dict[str, float]:
        return self._row(self._designs[candidate[0]],
                         {name: row[name] for name in ("lut", "ff", "dsp", "block_ram")},
                         row["fmax_mhz"])

    def _median(self, candidate: tuple) -> dict[str, float] | None:
        rows = [row for row in self._results[candidate] if row is not None]
        return {name: statistics.median(row[name] for row in rows) for name in rows[0]} \
            if rows else None
