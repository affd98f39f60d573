"""One point of a sweep, built again from its results file alone, and compared."""

import shutil
from pathlib import Path

from ..devices import device as find_device
from ..errors import EnvironmentProblem, MismatchError, ModelError, UsageError
from ..files import write_atomically
from .columns import MEASURED
from .export import read_attempts
from .job import Job, code_digest, design_rtlil, place_task
from .points import attempts_of
from .store import Store

__all__ = ["rebuild"]


def rebuild(results: str | Path, number: int, folder: str | Path, say=lambda text: None
            ) -> list[Path]:
    """Build a point again: its network, RTLIL, netlist, and a report and log for each seed.

    Parameters
    ----------
    results : path
    number : int
        The point's ``id``.
    folder : path
        Where the files go.
    say : callable
        Told what takes time.

    Raises
    ------
    UsageError
        There is no such point, or it was never built.
    ModelError, BuildError
        The results file is none, or the point cannot be built any more.
    MismatchError
        With the same tools, something else comes out.
    EnvironmentProblem
        nmahw or the tools are of other versions than the point's.
    """
    folder = Path(folder)
    if Path(results).suffix == ".json":
        raise UsageError(f"what is built again must be of a results file, not of an export, which "
                         f"has no networks: {results}")
    rows = attempts_of(read_attempts(results), number)
    if not rows:
        raise UsageError(f"point must be the id of one that was built, not {number}")
    with Store(results) as store:
        content = store.content(rows[0]["content"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"folder {folder} must be writable: {error.strerror or error}"
                                 ) from None
    written = [write_atomically(folder / "network.npz", content)]
    for row in rows:
        payload = {**row, "model": row["content"], "images": None, "code": code_digest(),
                   "label": f"{row['arithmetic']} {row['rows']}x{row['columns']}"}
        blobs = {row["content"]: content}
        if row is rows[0]:
            text = design_rtlil(payload, blobs)
            written.append(write_atomically(folder / "design.il", text))
        say(f"seed {row['seed']}: placing and routing on {row['device']}")
        with Job(None, None) as job:
            try:
                again = place_task(job, payload, blobs)
            except UsageError:
                raise EnvironmentProblem("nmahw must be the version that the point was made with: "
                                         "this one makes another design") from None
        if again.get("status", "done") != "done":
            raise ModelError(f"seed {row['seed']}: {again['reason']}")
        differ = [name for name in MEASURED if again[name] != row[name]]
        if differ:
            raise MismatchError("seed {}: {}".format(row["seed"], ", ".join(
                f"{name} must be {row[name]}, not {again[name]}" for name in differ)))
        written += _files(text, row, folder)
    return list(dict.fromkeys(written))


def _files(text: str, row: dict, folder: Path) -> list[Path]:
    from ..devices import FlowOptions
    from ..place import place_and_route
    options = FlowOptions(**{**row["options"],
                             "yosys_passes": tuple(row["options"]["yosys_passes"])})
    placed = place_and_route(text, find_device(row["device"]), options, [row["seed"]], jobs=1)[0]
    seed = row["seed"]
    targets = {placed.netlist: "netlist.json", placed.report: f"report-{seed}.json",
               placed.log: f"nextpnr-{seed}.log",
               placed.placed_netlist: f"placed-{seed}.json.gz"}
    for source, name in targets.items():
        shutil.copyfile(source, folder / name)
    return [folder / name for name in targets.values()]
