"""``nmahw pareto``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ._terminal import show_path, show_wide, table, tell, working

EXAMPLE = ("nmahw pareto digits.sqlite --x lut --y images_per_s --where \"accuracy >= 0.9 and "
           "no_multiplier = 1\" --html front.html")


def command(
        results: Annotated[Path, typer.Argument(
            metavar="RESULTS.sqlite", show_default=False,
            help="Made by 'nmahw sweep', or its export as .json (without --rebuild).")],
        x: Annotated[str, typer.Option(metavar="COLUMN", help="What is across the plot.")] = "lut",
        y: Annotated[str, typer.Option(metavar="COLUMN", help="What is up.")] = "images_per_s",
        where: Annotated[str | None, typer.Option(
            "--where", metavar="CONDITION", show_default=False,
            help="Which designs count, for example \"accuracy >= 0.99 and device = "
                 "'ecp5-45k'\": comparisons of columns, numbers and quoted texts with and, or, "
                 "not and parentheses.")] = None,
        everything: Annotated[bool, typer.Option(
            "--all", help="Show every design, not only those that no other beats.")] = False,
        html: Annotated[Path | None, typer.Option(
            "--html", metavar="FILE", help="Write one page with a plot of all of them.")] = None,
        rebuild: Annotated[int | None, typer.Option(
            "--rebuild", metavar="ID", show_default=False,
            help="Build this design again from the results file alone, compare its figures, "
                 "and write netlists and reports to --out.")] = None,
        out: Annotated[Path, typer.Option(
            "--out", metavar="DIR", help="Where --rebuild writes.")] = Path("point")):
    """Show the designs of a sweep that no other beats in both of two figures.

    Figures are medians over the seeds. Which way is better follows from the column.
    """
    from ..sweep.columns import COLUMNS, SHOWN, column
    from ..sweep.export import read_attempts
    from ..sweep.page import number, page
    from ..sweep.pareto import front, oriented
    from ..sweep.points import points_of
    from ..sweep.where import parse
    if rebuild is not None:
        from ..sweep.rebuild import rebuild as build_again
        with working("building again") as work:
            written = build_again(results, rebuild, out, work.say)
        for path in written:
            tell(f"  {path}")
        tell("figures are those of the sweep")
        return
    for name in (x, y):
        if not column(name, numeric=True).sense:
            raise UsageError(f"--x and --y must be columns where less or more is better, not "
                             f"{name!r}")
    if x == y:
        raise UsageError(f"--x and --y must be different columns, not {x!r} twice")
    wanted = parse(where) if where is not None else lambda row: True
    if html is not None:
        from ..files import check_writable, write_atomically
        check_writable(html)
    every = points_of(read_attempts(results))
    points = [p for p in every if p[x] is not None and p[y] is not None and wanted(p)]
    if not points:
        raise UsageError(f"at least one design must have {x} and {y} and meet --where, but none "
                         f"of {len(every)} does")
    on_front = front(oriented(points, (x, y))).tolist()
    order = sorted(range(len(points)), key=lambda i: (points[i][x], points[i][y]))
    shown = [points[i] for i in order if everything or on_front[i]]
    show_wide(table(f"{COLUMNS[x].title} and {COLUMNS[y].title}: {sum(on_front)} of "
                    f"{len(points)} designs are on the front",
                    [COLUMNS[name].title for name in SHOWN],
                    [[number(p[name]) for name in SHOWN] for p in shown],
                    left=[i for i, name in enumerate(SHOWN) if not COLUMNS[name].is_number]))
    failed = [p for p in every if p["status"] != "done"]
    if failed:
        tell(f"{len(failed)} designs could not be built (--where does not count them)")
    # An export has figures only.
    commands = [_command(results, p["id"]) if results.suffix != ".json" else "" for p in points]
    for index in order:
        if commands[index] and (everything or on_front[index]):
            tell(f"{points[index]['id']}: {commands[index]}")
    if html is not None:
        show_path("HTML", write_atomically(html, page(
            f"{results.stem}: {COLUMNS[y].title} against {COLUMNS[x].title}", points, on_front, x,
            y, commands)))


def _command(results: Path, number: int) -> str:
    return f"nmahw pareto {shlex.quote(str(results))} --rebuild {number} --out point-{number}"
