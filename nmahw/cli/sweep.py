"""``nmahw sweep``."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EnvironmentProblem
from ._terminal import show_path, show_table, tell, tell_error, working

if TYPE_CHECKING:
    from ..sweep.progress import Progress

EXAMPLE = "nmahw sweep benchmarks/sweeps/digits.toml -o digits.sqlite --workers 2"
# In a plain log, how often progress is told, seconds.
_TOLD_EVERY_S = 10.0


def command(
        spec: Annotated[Path, typer.Argument(
            metavar="SPEC.toml", show_default=False,
            help="What to build: see docs/scale.md, or benchmarks/sweeps for examples.")],
        output: Annotated[Path, typer.Option(
            "-o", "--output", metavar="RESULTS.sqlite", show_default=False,
            help="Results file; what it holds already is not built again.")],
        dry_run: Annotated[bool, typer.Option(
            "--dry-run", help="Tell the runs, and the estimated time and cost; build nothing.")]
        = False,
        workers: Annotated[int, typer.Option(
            "--workers", metavar="N", min=1, max=1000, help="Local processes, one run each.")]
        = 2,
        cluster: Annotated[str | None, typer.Option(
            "--cluster", metavar="ADDRESS", show_default=False,
            help="Use the workers of a running Dask scheduler, for example "
                 "tcp://10.0.0.1:8786.")] = None,
        limit_s: Annotated[float | None, typer.Option(
            "--limit-s", metavar="SECONDS", min=0.001, show_default=False,
            help="Time limit of one run, in place of the file's.")] = None,
        retry: Annotated[bool, typer.Option(
            "--retry", help="Try again what failed otherwise than by not fitting.")] = False,
        export: Annotated[Path | None, typer.Option(
            "--export", metavar="FILE", show_default=False,
            help="Also write every attempt as .csv, .json or .parquet.")] = None):
    """Place and route many designs, here or on a cluster; go on where an earlier sweep ended.

    One row an attempt, failed ones with their reason. Ctrl-C ends it within seconds; the same
    command goes on.
    """
    from ..sweep.engine import SchedulerLost
    from ..sweep.export import check_export, export_attempts
    from ..sweep.run import dry_run as forecast_of
    from ..sweep.run import load, sweep
    if dry_run:
        wanted = load(spec, limit_s)
        with working("estimating") as work:
            found = forecast_of(wanted, output, workers, retry, work.say,
                                lambda done, total: work.count(done, total, "designs"))
        _tell_forecast(found, workers, wanted.currency)
        return
    if export is not None:
        check_export(export)
    show = None
    try:
        with working("sweeping") as work:
            show = _Shown(work)
            outcome = sweep(spec, output, workers=workers, cluster=cluster, limit_s=limit_s,
                            retry=retry, say=work.say, show=show)
            show.last()
    except BaseException as end:
        # Interrupts and signals are no plain exceptions. A full disk, or a scheduler that is gone,
        # can be mended.
        begun = show is not None and show.begun
        if begun and isinstance(end, EnvironmentProblem) \
                or isinstance(end, (SchedulerLost, typer.Abort)) or not isinstance(end, Exception):
            _tell_resume()
        raise
    show_table("Attempts", ("status", "attempts"), sorted(outcome.statuses.items()))
    for status, reason, count in outcome.reasons:
        tell(f"{status}, {count:,} attempts: {reason}")
    show_path("results", output)
    if export is not None:
        show_path("export", export_attempts(output, export))


def _tell_resume() -> None:
    """The command that goes on, as a shell takes it."""
    tell_error("stopped; what is done is kept. Go on with:\n  nmahw "
               + shlex.join(sys.argv[1:]))


def _tell_forecast(found, workers: int, currency: str) -> None:
    from ..sweep.progress import duration
    tell(f"runs: {found.runs:,} of {found.designs:,} designs; {found.left:,} are left to do")
    if found.too_large:
        tell(f"too large for their device, by the estimator: {found.too_large:,} runs")
    for reason, count in found.refused.items():
        tell(f"cannot be built: {count:,} runs: {reason}")
    basis = (f"from {found.recorded:,} recorded runs" if found.recorded else
             "by a rule of thumb: nothing is recorded yet")
    tell(f"time: about {duration(found.elapsed_s)} with {workers} workers, "
         f"{found.core_s / 3600:.2f} core hours ({basis})")
    if found.cost is not None:
        tell(f"cost: about {found.cost:.2f} {currency}".rstrip())


class _Shown:
    """Progress on the terminal's last line, or a line of the log every few seconds."""

    def __init__(self, work):
        self._work, self._told, self._text = work, time.monotonic(), ""

    def __call__(self, progress: "Progress") -> None:
        self._text = str(progress)
        if sys.stderr.isatty():
            self._work.count(progress.total - progress.left, progress.total, "runs")
        now = time.monotonic()
        if now - self._told > _TOLD_EVERY_S:
            self._told = now
            self._work.say(self._text)

    @property
    def begun(self) -> bool:
        """Whether there is anything to go on from."""
        return bool(self._text)

    def last(self) -> None:
        """Say how it ended."""
        if self._text:
            self._work.say(self._text)
