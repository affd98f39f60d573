"""Runs tasks on Dask workers: local processes, or those of a scheduler that is there already.

A bounded number of tasks is with the workers at any time; the plan is asked for more as results
come, so a sweep's size costs no memory. A task whose worker is lost is a result as well.
"""

import asyncio
import itertools
import logging
import os
import queue
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import EnvironmentProblem, UsageError
from .job import MISSING, guarded, identity, stop_jobs_soon

__all__ = ["Engine", "Plan", "SchedulerLost", "Task"]

#: Tasks with the scheduler for each worker: one runs, the others wait, so that none is idle and
#: results come several at a time, for one transaction.
TASKS_PER_WORKER = 4
# How long a scheduler may take to answer.
_CONNECT_S = 10
# How long ending tasks of a cluster, and closing, may take.
_STOP_S = 2
_EXTRA = 'pip install "nmahw[cluster]"'


class SchedulerLost(EnvironmentProblem):
    """The scheduler went away while a sweep was running."""


@dataclass(frozen=True)
class Task:
    """One thing for a worker to do.

    Attributes
    ----------
    function : callable
        See `nmahw.sweep.job.guarded`; importable by name.
    payload : mapping
        Plain values.
    label : object
        Whatever the plan wants to know it by.
    """

    function: Callable
    payload: Mapping[str, object]
    label: object = None


class Plan(Protocol):
    """Where tasks come from, and results go."""

    def next_task(self) -> Task | None:
        """One more task; None while there is none, for good if none is running."""

    def finished(self, results: Sequence[tuple[Task, dict]]) -> None:
        """Take rows of tasks that ended."""

    def content(self, sha256: str) -> bytes:
        """What a worker lacks."""

    def tick(self, running: int, workers: int) -> None:
        """Called a few times a second."""


@dataclass
class _Running:
    task: Task
    future: object = field(repr=False)


class Engine:
    """Workers.

    Parameters
    ----------
    workers : int
        Local processes; ignored with `cluster`.
    cluster : str, optional
        Address of a running scheduler.

    Raises
    ------
    EnvironmentProblem
        Dask is missing, or the scheduler cannot be reached.
    """

    def __init__(self, workers: int = 2, cluster: str | None = None):
        if type(workers) is not int or workers < 1:
            raise UsageError(f"workers must be a positive integer, not {workers!r}")
        try:
            import dask
            from distributed import Client, LocalCluster
        except ImportError:
            raise EnvironmentProblem(f"a sweep needs Dask: {_EXTRA}") from None
        self._local = self._client = None
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        self._running: dict[str, _Running] = {}
        # Others may use the same workers.
        self._owner = f"nmahw-{uuid.uuid4().hex}"
        self._names = (f"{self._owner}-{number}" for number in itertools.count())
        self._cluster = cluster
        # A task whose worker dies is a row, and whether to try again is the plan's to say.
        dask.config.set({"distributed.scheduler.allowed-failures": 0,
                         "distributed.comm.timeouts.connect": _CONNECT_S,
                         "distributed.worker.profile.enabled": False,
                         "distributed.admin.tick.limit": "60s"})
        for name in ("distributed", "distributed.scheduler", "distributed.worker",
                     "distributed.nanny", "distributed.client", "distributed.core",
                     "distributed.comm.tcp", "tornado.application"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            if cluster is None:
                class Local(LocalCluster):
                    # An interrupt while it starts has to find it, too.
                    def __init__(cluster, **options: object):
                        self._local = cluster
                        super().__init__(**options)
                Local(n_workers=workers, threads_per_worker=1, processes=True,
                      dashboard_address="127.0.0.1:0", memory_limit=0,
                      silence_logs=logging.CRITICAL, host="127.0.0.1")
            else:
                _find_scheduler(cluster)
            self._client = Client(self._local or cluster, timeout=_CONNECT_S,
                                  set_as_default=False)
        except (OSError, ValueError) as error:
            self.close(hurry=True)
            what = "local workers could not be started" if cluster is None else \
                f"scheduler {cluster} must take connections"
            raise EnvironmentProblem(f"{what}: {error}") from None
        except BaseException:
            self.close(hurry=True)
            raise

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, kind: type | None, *exception: object) -> None:
        self.close(hurry=kind is not None)

    @property
    def workers(self) -> int:
        """How many tasks can run at the same time."""
        with self._asking():
            return sum(self._client.nthreads().values())

    def identity(self, tools: Sequence[str]) -> dict[str, str]:
        """What all workers have: versions of nmahw's sources and of `tools`.

        Raises
        ------
        EnvironmentProblem
            There are no workers, a tool is missing on one, or they differ.
        """
        self._await_workers()
        try:
            answers = self._client.run(identity, tuple(tools))
        except Exception as error:
            raise EnvironmentProblem(f"workers must have nmahw installed: {error}") from None
        if not answers:
            raise EnvironmentProblem("the scheduler must have workers, but they went away")
        first = next(iter(answers.values()))
        for address, versions in answers.items():
            if "problem" in versions:
                raise EnvironmentProblem(f"worker {address}: {versions['problem']}")
            for name, version in versions.items():
                if first[name] != version:
                    raise EnvironmentProblem(
                        f"workers must have the same {name}, but have {first[name]} and "
                        f"{version} ({address})")
        return first

    def _await_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_CONNECT_S)
        except Exception:
            raise EnvironmentProblem(f"the scheduler must have workers, but none came within "
                                     f"{_CONNECT_S} s") from None

    def run(self, plan: Plan) -> None:
        """Run a plan's tasks until it has none.

        Raises
        ------
        SchedulerLost
            The scheduler is gone.
        """
        workers, asked = self.workers, time.monotonic()
        plan.tick(0, workers)
        while True:
            while len(self._running) < max(1, workers) * TASKS_PER_WORKER \
                    and (task := plan.next_task()):
                self._submit(task, {})
            if not self._running:
                return
            ended = self._wait(0.25)
            results = self._results(ended, plan)
            if results:
                plan.finished(results)
            if time.monotonic() - asked > 2:
                self._check_scheduler()
                workers, asked = self.workers, time.monotonic()
            plan.tick(len(self._running), workers)

    def _submit(self, task: Task, blobs: Mapping[str, bytes]) -> None:
        name = next(self._names)
        with self._asking():
            future = self._client.submit(guarded, task.function, dict(task.payload), dict(blobs),
                                         self._owner, key=name, pure=False, retries=0)
        self._running[name] = _Running(task, future)
        future.add_done_callback(lambda future: self._done.put(future.key))

    def _wait(self, seconds: float) -> list[str]:
        """Names of tasks that ended, all there are; empty after `seconds`."""
        names = []
        try:
            names.append(self._done.get(timeout=seconds))
            while True:
                names.append(self._done.get_nowait())
        except queue.Empty:
            return names

    def _results(self, names: Sequence[str], plan: Plan) -> list[tuple[Task, dict]]:
        ended = [self._running.pop(name) for name in names]
        good = [one for one in ended if one.future.status == "finished"]
        if len(good) < len(ended):
            self._check_scheduler()
        rows = {}
        if good:
            # One message for all; a worker that died since then makes theirs be missing.
            with self._asking():
                rows = dict(self._client.gather({one.future.key: one.future for one in good},
                                                errors="skip"))
        results = []
        for one in ended:
            row = rows.get(one.future.key)
            if row is None:
                row = {"status": "worker lost", "reason": _why(one.future), "worker": "",
                       "begun": None, "seconds": None}
            elif row["status"] == MISSING:
                self._submit(one.task, {sha: plan.content(sha) for sha in row["lacking"]})
                continue
            results.append((one.task, row))
        return results

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise self._lost()

    def _lost(self, how: str = "") -> SchedulerLost:
        return SchedulerLost(f"the scheduler {self._cluster or '(local)'} must go on running, but "
                             f"is gone{how}")

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """A scheduler that goes away while it is asked shows as any exception of Dask's."""
        try:
            yield
        except Exception as error:
            raise self._lost(f" ({type(error).__name__}: {error})") from None

    def close(self, hurry: bool = False) -> None:
        """Let the workers go; those of this machine end.

        Parameters
        ----------
        hurry : bool
            End running tasks and their tools at once.
        """
        pids = self._worker_pids()
        if hurry and self._client is not None and self._local is None:
            with suppress(Exception):
                self._client.cancel([one.future for one in self._running.values()], force=True)
                self._client.run(stop_jobs_soon, self._owner, on_error="ignore", wait=False)
        if hurry:
            # Their guards end the tools. Waiting for tasks would take as long as they take.
            for nanny in self._nannies():
                nanny.auto_restart = False
            for pid in pids:
                with suppress(OSError):
                    os.kill(pid, 9)
        for one in (self._client, self._local):
            if one is not None:
                with suppress(Exception):
                    one.close(timeout=_STOP_S)
        if self._local is not None:
            # Otherwise Dask tries for ten seconds more when Python ends.
            self._local.shutdown_on_close = False
        self._client = self._local = None

    def _worker_pids(self) -> list[int]:
        return [pid for nanny in self._nannies() if (pid := getattr(nanny, "pid", None))]

    def _nannies(self) -> list:
        return list(getattr(self._local, "workers", {}).values())


def _find_scheduler(address: str) -> None:
    """Make sure that a scheduler answers there, before a client that would be hard to end."""
    from distributed.core import rpc

    async def ask() -> str:
        async with rpc(address, timeout=_CONNECT_S) as remote:
            return str((await remote.identity())["type"])
    try:
        answer = f"a {asyncio.run(asyncio.wait_for(ask(), _CONNECT_S))} answered there"
    except Exception as error:
        # Whatever is there instead may answer anything: MemoryError, for example, is what a length
        # that is none gives.
        answer = f"it did not answer as one within {_CONNECT_S} s ({type(error).__name__})"
    if answer != "a Scheduler answered there":
        raise EnvironmentProblem(
            f"cluster must be the address of a running Dask scheduler, for example "
            f"tcp://10.0.0.1:8786, not {address!r}: {answer}")


def _why(future: object) -> str:
    if future.status == "error":
        with suppress(Exception):
            return f"its worker ended ({type(future.exception(timeout=1)).__name__})"
    return f"its task is {future.status}"
