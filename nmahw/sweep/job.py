"""What happens in a worker: a task's payload in, a row of plain values out, whatever goes wrong.

Two tasks: `design_task` makes a design and tells the hash of its RTLIL, cycle counts and accuracy;
`place_task` maps, places and routes it once. Networks and images are named by their SHA-256; a
worker that has not got one answers with status ``missing`` and gets it with the next try.
"""

import hashlib
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from types import SimpleNamespace

from ..cache import Cache
from ..errors import BuildError, DoesNotFit, EnvironmentProblem, NmahwError, UsageError
from ..toolchain import Cancelled, ProcessGroup, find
from . import guard

__all__ = ["FINAL", "MISSING", "SETTLED", "STATUSES", "Job", "code_digest", "design_rtlil",
           "design_task", "guarded", "identity", "place_task", "stop_jobs", "stop_jobs_soon"]

#: How an attempt can end.
STATUSES = ("done", "does not fit", "refused", "tool failed", "time limit", "out of memory",
            "environment", "defect", "worker lost", "cancelled")
#: Those that another attempt under the same key and limits would end with again.
FINAL = frozenset(STATUSES[:6])
#: Those that any other attempt would end with again, whatever its limits.
SETTLED = frozenset(STATUSES[:3])
#: Answer of a worker that lacks something: see `guarded`.
MISSING = "missing"

_POLL_S = 0.2
# What tools say when they get no more memory; -9 is how the system ends them then.
_NO_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory", "out of memory",
              "killed by signal 9")
# One job is one process on one core: workers are what is parallel.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
               "RAYON_NUM_THREADS", "YOSYS_MAX_THREADS")

# Tools of jobs, and who asked for them.
_groups: dict[ProcessGroup, str] = {}
_groups_lock = threading.Lock()


class Job:
    """What a running task may use: its `group` of tools, ended at a limit.

    Parameters
    ----------
    time_s, memory_mb : float or None
        Limits; memory is that of all the worker's child processes together.
    owner : str
        Who asked for it.

    Attributes
    ----------
    group : ProcessGroup
    exceeded : str
        Status that a limit gives, ``""`` while none was exceeded.
    """

    def __init__(self, time_s: float | None, memory_mb: float | None, owner: str = ""):
        self.group = ProcessGroup()
        self.exceeded = ""
        self.reason = ""
        self._time_s, self._memory_mb, self._owner = time_s, memory_mb, owner
        self._over = threading.Event()

    def __enter__(self) -> "Job":
        with _groups_lock:
            _groups[self.group] = self._owner
        if self._time_s is not None or self._memory_mb is not None:
            threading.Thread(target=self._watch, daemon=True, name="limits").start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        with _groups_lock:
            _groups.pop(self.group, None)

    def _watch(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(_POLL_S):
            if self._time_s is not None and time.monotonic() - begun > self._time_s:
                self.exceeded, self.reason = "time limit", f"took more than {self._time_s:g} s"
            elif self._memory_mb is not None and (used := _children_mb()) > self._memory_mb:
                self.exceeded = "out of memory"
                self.reason = f"took {used:.0f} MB, more than {self._memory_mb:g}"
            if self.exceeded:
                self.group.stop()
                return


def _children_mb() -> float:
    import psutil  # comes with distributed
    total = 0
    for child in psutil.Process().children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.Error:
            continue  # ended meanwhile
    return total / 1e6


def stop_jobs(owner: str = "") -> int:
    """End the tools of an owner's jobs in this process; how many jobs there were."""
    with _groups_lock:
        groups = [group for group, one in _groups.items() if one == owner]
    for group in groups:
        group.stop()
    return len(groups)


async def stop_jobs_soon(owner: str) -> None:
    """`stop_jobs` for a client that does not wait: of Dask, such have to be coroutines."""
    stop_jobs(owner)


class _Lacking(Exception):
    """A network or images that this worker has not got."""


def guarded(task: Callable[["Job", Mapping, Mapping[str, bytes]], dict], payload: Mapping,
            blobs: Mapping[str, bytes], owner: str = "") -> dict:
    """Run a task in a worker; never raises but for what ends the process.

    Parameters
    ----------
    task : callable
        Of a `Job`, `payload` and `blobs`; gives a row.
    payload : mapping
        Plain values. ``limits`` are the job's.
    blobs : mapping of str to bytes
        Content by its SHA-256.
    owner : str
        Whose it is, for `stop_jobs`.

    Returns
    -------
    dict
        The task's row, with ``status`` (one of `STATUSES`, or `MISSING` and ``lacking``),
        ``reason``, ``log``, ``seconds`` and ``worker``.
    """
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    guard.start()
    limits = payload.get("limits") or {}
    begun = time.time()
    row: dict = {}
    try:
        with Job(limits.get("time_s"), limits.get("memory_mb"), owner) as job:
            try:
                row = {"status": "done"} | task(job, payload, blobs)
            except Cancelled:
                row = {"status": "cancelled", "reason": "stopped"}
            if job.exceeded and row.get("status") != "done":
                row = {"status": job.exceeded, "reason": job.reason, "log": row.get("log", "")}
    except _Lacking as lacking:
        row = {"status": MISSING, "lacking": list(lacking.args)}
    except DoesNotFit as error:
        row = _failed("does not fit", str(error))
    except BuildError as error:
        row = _failed(_tool_status(str(error)), str(error))
    except EnvironmentProblem as error:
        row = _failed("environment", str(error))
    except NmahwError as error:
        row = _failed("refused", str(error))
    except MemoryError as error:
        row = _failed("out of memory", f"Python: {error or 'no more memory'}")
    except Exception:
        text = traceback.format_exc()
        row = _failed("defect", f"{text.rstrip().splitlines()[-1]}\n{text}")
    return row | {"begun": begun, "seconds": time.time() - begun,
                  "worker": f"{socket.gethostname()}:{os.getpid()}"}


def _failed(status: str, text: str) -> dict:
    reason, _, log = text.partition("\n")
    return {"status": status, "reason": reason, "log": log}


def _tool_status(text: str) -> str:
    return "out of memory" if any(sign in text for sign in _NO_MEMORY) else "tool failed"


@cache
def code_digest() -> str:
    """Hash of everything that a design's RTLIL depends on beside the design: nmahw, Amaranth."""
    found = hashlib.sha256(metadata.version("amaranth").encode())
    root = Path(str(resources.files("nmahw")))
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        inside = path.relative_to(root)
        if inside.parts[0] not in ("cli", "sweep", "train", "theory", "link"):
            found.update(inside.as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def identity(tools: tuple[str, ...]) -> dict[str, str]:
    """Versions that results depend on: nmahw's sources and `tools`; ``problem`` if one is missing.
    """
    try:
        return {"nmahw": code_digest(), **{name: find(name).version for name in tools}}
    except NmahwError as error:
        return {"problem": str(error)}


def _content(sha256: str, blobs: Mapping[str, bytes]) -> Path:
    """File with that content, from this machine's cache or from what came with the task."""
    store = Cache()
    parts = {"sha256": sha256}
    found = store.lookup("content", parts)
    if found is None:
        if sha256 not in blobs:
            raise _Lacking(sha256)
        if hashlib.sha256(blobs[sha256]).hexdigest() != sha256:
            raise EnvironmentProblem(f"content {sha256[:12]} arrived damaged")
        found = store.get_or_build("content", parts, lambda folder: (
            folder / "content.npz").write_bytes(blobs[sha256]) and None)
    return found / "content.npz"


def _design(payload: Mapping, blobs: Mapping[str, bytes]):
    from ..design import Design
    from ..network import Network
    return Design.of(Network.load(_content(payload["model"], blobs)), payload["arithmetic"],
                     payload["rows"], payload["columns"])


def design_rtlil(payload: Mapping, blobs: Mapping[str, bytes], design=None) -> str:
    """RTLIL of a payload's design, made once for each machine."""
    if payload["code"] != code_digest():
        raise EnvironmentProblem("workers must have the same nmahw as the sweep, but this one has "
                                 "another")
    parts = {name: payload[name] for name in ("code", "model", "arithmetic", "rows", "columns")}

    def build(folder: Path) -> None:
        made = design if design is not None else _design(payload, blobs)
        (folder / "design.il").write_text(made.rtlil(pins="serial"))
    return (Cache().get_or_build("rtlil", parts, build) / "design.il").read_text()


def design_task(job: Job, payload: Mapping, blobs: Mapping[str, bytes]) -> dict:
    """Make a design: ``model``, ``images`` (or None), ``arithmetic``, ``rows``, ``columns``."""
    from ..datasets import load_images
    from ..result import flow_options
    design = _design(payload, blobs)
    accuracy = None
    if payload["images"] is not None:
        images = load_images(_content(payload["images"], blobs), "test")
        if images.y is not None:
            outputs = design.predict(images.x)
            accuracy = images.accuracy(outputs.argmax(axis=1) if outputs.shape[1] > 1 else
                                       outputs[:, 0])
    text = design_rtlil(payload, blobs, design)
    kind = design.arithmetic
    return {"rtlil": hashlib.sha256(text.encode()).hexdigest(), "accuracy": accuracy,
            "cycles_per_image": design.cycles_per_image, "macs_per_image": design.macs_per_image,
            "memory_bits": design.memory_bits, "options": flow_options(kind).describe(),
            "is_baseline": kind.is_baseline, "exact": kind.exact,
            "yosys_passes": list(kind.yosys_passes), "hard_multiplier": kind.hard_multiplier}


def place_task(job: Job, payload: Mapping, blobs: Mapping[str, bytes]) -> dict:
    """Map, place and route a design: what `design_task` takes and gives, ``device``, ``seed``."""
    from ..devices import device as find_device
    from ..result import build
    from ..workbench import Workbench
    device = find_device(payload["device"])
    versions = identity(tuple(name for name in payload["versions"] if name != "nmahw"))
    if "problem" in versions:
        raise EnvironmentProblem(versions["problem"])
    wrong = [name for name, version in payload["versions"].items() if versions[name] != version]
    if wrong:
        raise EnvironmentProblem(f"workers must have the same {' and '.join(wrong)} as the sweep")
    blocks = -(-payload["memory_bits"] // device.rules.block_ram_bits)
    if blocks > device.limits["block_ram"]:
        raise DoesNotFit(f"weights and activations take at least {blocks} block RAM, but "
                         f"{device.name} has {device.limits['block_ram']}")
    text = design_rtlil(payload, blobs)
    if hashlib.sha256(text.encode()).hexdigest() != payload["rtlil"]:
        raise UsageError("the design must be the one that the sweep's key was made of")
    traits = SimpleNamespace(**{name: payload[name] for name in (
        "is_baseline", "exact", "hard_multiplier", "yosys_passes")})
    bench = Workbench(jobs=1, group=job.group)
    known = build(payload["label"], traits, lambda: text, device, (payload["seed"],), bench)
    if known.get("problem"):
        status = "does not fit" if known["lacking"] else _tool_status(known["problem"])
        return _failed(status, known["problem"])
    resources_used = known["resources"]
    path, certificate = known["critical_path"], known["certificate"]
    return {**{name: resources_used[name] for name in ("lut", "ff", "dsp", "block_ram")},
            "fmax_mhz": known["fmax_by_seed"][payload["seed"]],
            "no_multiplier": int(certificate.granted),
            "more": {"resources": dict(resources_used), "found": certificate.counts,
                     "searched": dict(certificate.cells),
                     "critical_path": None if path is None else vars(path) | {}}}
