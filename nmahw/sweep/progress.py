"""How far a sweep is, in one line: for a terminal's last line as well as for a plain log."""

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Progress", "duration"]

# The rate is that of the latest results, as jobs become longer or shorter.
_LATEST = 200


def duration(seconds: float) -> str:
    """``"2 d 3 h"``, ``"1 h 5 min"``, ``"3 min 20 s"`` or ``"12 s"``."""
    whole = round(seconds)
    for unit, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60),
                                    ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {below}"
    return f"{whole} s"


class Progress:
    """Counts of a sweep.

    Parameters
    ----------
    total : int
        Runs that are asked for.
    before : int
        Of them, finished by an earlier sweep.
    clock : callable
        Gives seconds.

    Attributes
    ----------
    done, failed, running : int
    best : str
        What is best so far, in words.
    """

    def __init__(self, total: int, before: int = 0,
                 clock: Callable[[], float] = time.monotonic):
        self.total, self.before = total, before
        self.done = self.failed = self.running = 0
        self.best = ""
        self._clock = clock
        self._ended: deque[float] = deque([clock()], maxlen=_LATEST)

    def add(self, failed: bool) -> None:
        """One more run ended."""
        self.failed += failed
        self.done += not failed
        self._ended.append(self._clock())

    @property
    def left(self) -> int:
        """Runs that are neither done nor failed."""
        return max(0, self.total - self.before - self.done - self.failed)

    @property
    def rate(self) -> float | None:
        """Runs a second; None before the first."""
        spent = self._clock() - self._ended[0]
        return (len(self._ended) - 1) / spent if len(self._ended) > 1 and spent > 0 else None

    def __str__(self) -> str:
        parts = [f"{self.before + self.done + self.failed} of {self.total} runs",
                 f"{self.running} running", f"{self.failed} failed"]
        if rate := self.rate:
            parts += [f"{60 * rate:.3g} a minute", f"{duration(self.left / rate)} left"]
        return ", ".join(parts) + (f"; best {self.best}" if self.best else "")
