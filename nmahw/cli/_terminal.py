"""What is shown: tables and paths on standard output, progress and errors on standard error.

Neither holds an escape code, nor is any line cut, when it does not go to a terminal.
"""

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = ["Work", "console", "show_path", "show_table", "table", "tell", "tell_error", "working"]

# Wider than any table here.
_FILE_WIDTH = 400
# What the comparison's tables take.
_LEAST_TABLE_WIDTH = 140
# Without a terminal, how often a count is told, seconds.
_TOLD_EVERY_S = 10.0


def console(stderr: bool = False) -> Console:
    """A console on standard output (or error) as it is now."""
    stream = sys.stderr if stderr else sys.stdout
    # An encoding without box characters must not end a command.
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    if stream.isatty():
        return Console(file=stream)
    return Console(file=stream, width=_FILE_WIDTH, force_terminal=False, no_color=True)


def tell(text: str) -> None:
    """One line on standard output, as it is."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def tell_error(text: str) -> None:
    """One error on standard error."""
    console(stderr=True).print(f"[bold red]error:[/] {escape(text)}", highlight=False,
                               soft_wrap=True)


def show_wide(renderable: object) -> None:
    """Print tables that must not be cut, on terminals too narrow for them as well."""
    screen = console()
    screen.print(renderable, width=max(screen.width, _LEAST_TABLE_WIDTH), crop=False,
                 no_wrap=True, overflow="ignore")


def show_path(what: str, path: Path) -> None:
    """Tell that an output was written."""
    tell(f"{what}: {path}")


def table(title: str, columns: Iterable[str], rows: Iterable[Sequence[object]],
          left: Sequence[int] = (0,)) -> Table:
    """A table of plain values; the columns `left` are text, the others are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for index, name in enumerate(columns):
        made.add_column(escape(name), justify="left" if index in left else "right",
                        overflow="fold")
    for row in rows:
        made.add_row(*(escape(f"{cell:,}" if type(cell) is int else str(cell)) for cell in row))
    return made


def show_table(title: str, columns: Iterable[str], rows: Iterable[Sequence[object]],
               left: Sequence[int] = (0,)) -> None:
    """Print `table` on standard output."""
    console().print(table(title, columns, rows, left))


class Work:
    """What long work tells while it runs, from any thread."""

    def __init__(self, title: str):
        self._title = title
        self._console = console(stderr=True)
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._told = 0.0
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}"), TimeElapsedColumn(), console=self._console,
            transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(escape(title), total=None, count="")

    def say(self, text: str) -> None:
        """One line that stays on the screen, with the seconds since the work began."""
        with self._lock:
            self._console.print(f"[{time.monotonic() - self._begun:5.0f} s] {text}", markup=False,
                                highlight=False, soft_wrap=True)

    def count(self, done: int, total: int, what: str = "images") -> None:
        """How far the work is."""
        if self._console.is_terminal:
            # What comes after a finished count takes an unknown time: the bar only moves then.
            counting = done < total
            self._bar.update(self._task, completed=done, total=total if counting else None,
                             count=f"{done:,} of {total:,} {what}" if counting else "")
        elif (now := time.monotonic()) - self._told > _TOLD_EVERY_S or done == total:
            self._told = now
            self.say(f"{self._title}: {done:,} of {total:,} {what}")


@contextmanager
def working(title: str) -> Iterator[Work]:
    """Show progress on standard error while the block runs."""
    work = Work(title)
    with work._bar:
        yield work
