"""What the builds of one command share: the cache, the number of jobs, the way to say things."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from .cache import Cache
from .errors import UsageError
from .toolchain import Cancelled, ProcessGroup, Tool, prewarm, run

__all__ = ["Say", "Workbench"]

T = TypeVar("T")
#: Takes one short line for the user; called from any thread.
Say = Callable[[str], None]


@dataclass
class Workbench:
    """What the builds of one command share.

    Attributes
    ----------
    cache : Cache
    jobs : int
        Tools that run at the same time, at least 1.
    say : callable
        Told what happens, one short line at a time, from any thread.
    group : ProcessGroup
        Ends every tool of the command.
    """

    cache: Cache = field(default_factory=Cache)
    jobs: int = 2
    say: Say = lambda text: None
    group: ProcessGroup = field(default_factory=ProcessGroup)

    def __post_init__(self):
        if isinstance(self.jobs, bool) or not isinstance(self.jobs, int) or self.jobs < 1:
            raise UsageError(f"jobs must be a positive integer, not {self.jobs!r}")
        self._slots = threading.Semaphore(self.jobs)
        self._warming = threading.Lock()

    def run(self, tool: Tool, arguments: Sequence[str], cwd: Path, log: Path, text: str) -> str:
        """Run one tool when one of the `jobs` slots is free; `text` says what it is for."""
        with self._warming:
            prewarm([tool], self.say, self.group)
        with self._slots:
            if not self.group.stopped:
                self.say(text)
            return run(tool, arguments, cwd, log, group=self.group)

    def parallel(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Results of all tasks, run in threads of their own.

        The first exception is raised once what runs has ended; an interrupt ends it at once.
        """
        with ThreadPoolExecutor(max(1, len(tasks)), thread_name_prefix="build") as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in futures:
                    future.cancel()
                wait(futures)
            except BaseException:
                self.group.stop()
                raise
        errors = [error for future in futures
                  if not future.cancelled() and (error := future.exception())]
        for error in sorted(errors, key=lambda error: isinstance(error, Cancelled)):
            raise error
        return [future.result() for future in futures]
