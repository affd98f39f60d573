"""What of a sweep is still to do: designs first, then runs, as results come.

A point's key needs its design's RTLIL, which a worker makes once for each design; what is known
from an earlier sweep with the same sources is not made again. Of the runs of one design on one
device, the first seed goes alone, so that the others find its netlist in the workers' cache.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from ..cache import digest
from ..devices import device as find_device
from .engine import Task
from .job import design_task, place_task
from .networks import Networks
from .points import rates
from .progress import Progress
from .spec import Point, Spec
from .store import Store, point_key

__all__ = ["SweepPlan", "tools_for"]

# Attempts at a point whose worker was lost.
_TRIES = 3


def tools_for(spec: Spec) -> list[str]:
    """Programs that the sweep's devices are placed with, and Yosys."""
    places = {find_device(name).rules.place_tool for name in {p.device for p in spec.points}}
    return ["yosys", *sorted(places)]


class SweepPlan:
    """Tasks of a sweep, and where their results go.

    Parameters
    ----------
    spec : Spec
    networks : Networks
    store : Store
    versions : mapping of str to str
        See `Engine.identity`.
    retry : bool
        Try again what failed otherwise than by not fitting.
    task : callable
        What a worker does for a run.
    make : callable
        What a worker does for a design.
    show : callable
        Shown how far it is, a few times a second.

    Attributes
    ----------
    progress : Progress
    """

    def __init__(self, spec: Spec, networks: Networks, store: Store,
                 versions: Mapping[str, str], *, retry: bool = False,
                 task: Callable = place_task, make: Callable = design_task,
                 show: Callable[[Progress], None] = lambda progress: None):
        self._spec, self._networks, self._store = spec, networks, store
        self._versions, self._task, self._make = dict(versions), task, make
        self._show = show
        self._finished = store.finished(retry)
        self._tries: dict[str, int] = {}
        self._ready: deque[Task] = deque()
        # Seeds that wait for the first one of the same design and device.
        self._waiting: dict[tuple, list[Point]] = {}
        # Points of each key that this sweep runs; designs that come to the same RTLIL share one.
        self._of_key: dict[str, list[Point]] = {}
        self._designs: dict[tuple, dict] = {}
        self._best = 0.0
        self.progress = Progress(len(spec.points))
        known = store.designs()
        self._todo: dict[tuple, list[Point]] = {}
        for point in spec.points:
            self._todo.setdefault(point.design, []).append(point)
        for design in self._todo:
            row = known.get(self._design_key(design))
            if row is not None and row["status"] in ("done", "refused"):
                self._take_design(design, row)
            else:
                self._ready.append(Task(self._make, self._design_payload(design),
                                        ("design", design)))

    # What the engine asks for.

    def next_task(self) -> Task | None:
        """See `nmahw.sweep.engine.Plan`."""
        return self._ready.popleft() if self._ready else None

    def content(self, sha256: str) -> bytes:
        """See `nmahw.sweep.engine.Plan`."""
        return self._networks.data[sha256]

    def tick(self, running: int, workers: int) -> None:
        """See `nmahw.sweep.engine.Plan`."""
        # Workers have some more tasks that wait.
        self.progress.running = min(running, workers)
        self._show(self.progress)

    def finished(self, results: Sequence[tuple[Task, dict]]) -> None:
        """See `nmahw.sweep.engine.Plan`; written in one transaction before anything follows."""
        designs, attempts, follow = [], [], []
        for task, row in results:
            kind, label = task.label
            if kind == "design":
                design = {**self._design_row(label), **row}
                if row["status"] == "worker lost" and self._again(task):
                    continue
                designs.append(design)
                follow.append((self._take_design, label, design))
            else:
                attempts.append(self._attempt(label, task.payload, row))
                follow.append((self._take_attempt, task, row))
        self._store.add(designs, attempts)
        for function, *arguments in follow:
            function(*arguments)

    # Designs.

    def _design_payload(self, design: tuple) -> dict[str, object]:
        model, bits, arithmetic, rows, columns = design
        content = self._networks.by_name[model, bits]
        return {"model": content.network, "images": content.images, "arithmetic": arithmetic,
                "rows": rows, "columns": columns, "code": self._versions["nmahw"],
                "label": f"{model} {arithmetic} {rows}x{columns}",
                "limits": vars(self._spec.limits)}

    def _design_key(self, design: tuple) -> str:
        payload = self._design_payload(design)
        return digest({name: payload[name] for name in (
            "model", "images", "arithmetic", "rows", "columns", "code")})

    def _design_row(self, design: tuple) -> dict[str, object]:
        model, bits, arithmetic, rows, columns = design
        content = self._networks.by_name[model, bits]
        return {"design": self._design_key(design), "model": model, "bits": content.bits,
                "content": content.network, "images": content.images, "arithmetic": arithmetic,
                "rows": rows, "columns": columns, "code": self._versions["nmahw"]}

    def _take_design(self, design: tuple, row: dict) -> None:
        """Queue the runs of a design that is known now, but those that are finished."""
        self._designs[design] = row
        if row["status"] != "done":
            self._refuse(design, row)
            return
        groups: dict[str, list[Point]] = {}
        for point in self._new(self._todo[design]):
            groups.setdefault(point.device, []).append(point)
        for device, members in groups.items():
            # Before other designs, so that the first results come soon.
            self._ready.appendleft(self._run(members[0]))
            if members[1:]:
                self._waiting[design, device] = members[1:]

    def _refuse(self, design: tuple, row: dict) -> None:
        """A design that cannot be made is an attempt for each of its points, once."""
        attempts = []
        for point in self._todo[design]:
            key = digest({"design": row["design"], "device": point.device, "seed": point.seed})
            if key in self._finished:
                self.progress.before += 1
                continue
            attempts.append({"key": key, "design": row["design"], "device": point.device,
                             "seed": point.seed, "versions": self._versions,
                             **{name: row.get(name) for name in
                                ("status", "reason", "log", "begun", "seconds", "worker")}})
            self.progress.add(True)
        self._store.add(attempts=attempts)

    # Runs.

    def _key(self, point: Point) -> str:
        row = self._designs[point.design]
        return point_key(row["rtlil"], row["options"], point.device, point.seed,
                         self._tool_versions(point))

    def _tool_versions(self, point: Point) -> dict[str, str]:
        """Of the tools that this point's device needs, not of those of others."""
        names = ("yosys", find_device(point.device).rules.place_tool)
        return {name: self._versions[name] for name in names}

    def _new(self, points: Sequence[Point]) -> list[Point]:
        """Those of `points` that have to be run; others take what their key comes to."""
        new, ended = [], []
        for point in points:
            key = self._key(point)
            ran = key in self._of_key
            if key in self._finished:
                ended.append(point)
                if ran:
                    self.progress.add(self._finished[key] != "done")
                else:
                    self.progress.before += 1
            else:
                self._of_key.setdefault(key, []).append(point)
                if not ran:
                    new.append(point)
        self._share(ended)
        return new

    def _share(self, points: Sequence[Point]) -> None:
        """Give points whose keys are finished their rows, if other designs have them."""
        if points:
            self._store.share([(self._key(point), self._design_key(point.design))
                               for point in points])

    def _run(self, point: Point) -> Task:
        row = self._designs[point.design]
        payload = self._design_payload(point.design)
        payload |= {name: row[name] for name in (
            "rtlil", "memory_bits", "is_baseline", "exact", "yosys_passes", "hard_multiplier")}
        payload |= {"device": point.device, "seed": point.seed,
                    "versions": self._tool_versions(point), "key": self._key(point)}
        return Task(self._task, payload, ("run", point))

    def _attempt(self, point: Point, payload: Mapping, row: dict) -> dict[str, object]:
        return {**row, "key": payload["key"], "design": self._design_key(point.design),
                "device": point.device, "seed": point.seed, "versions": payload["versions"],
                "limits": payload["limits"]}

    def _again(self, task: Task) -> bool:
        """Queue a task whose worker was lost once more, if it was not tried too often."""
        name = repr(task.label)
        self._tries[name] = self._tries.get(name, 1) + 1
        if self._tries[name] > _TRIES:
            return False
        self._ready.append(task)
        return True

    def _take_attempt(self, task: Task, row: dict) -> None:
        point = task.label[1]
        if row["status"] == "worker lost" and self._again(task):
            return
        key = task.payload["key"]
        self._finished[key] = row["status"]
        points = self._of_key[key]
        self._share(points[1:])
        for one in points:
            self.progress.add(row["status"] != "done")
            self.took(one, row)
        for other in self._waiting.pop((point.design, point.device), []):
            self._ready.append(self._run(other))

    def took(self, point: Point, row: dict) -> None:
        """A run ended; `point` and what came of it.  Extended by those who look for the best."""
        design = self._designs[point.design]
        if row["status"] == "done" and design.get("cycles_per_image"):
            found = rates(design, row["lut"], row["fmax_mhz"])
            if found["macs_per_s_per_lut"] > self._best:
                self._best = found["macs_per_s_per_lut"]
                self.progress.best = (
                    f"{point.arithmetic} {point.rows}x{point.columns} on {point.device}: "
                    f"{row['lut']:,} LUT at {row['fmax_mhz']:.1f} MHz, "
                    f"{found['images_per_s']:,.0f} images/s")
