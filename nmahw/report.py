"""A comparison for people and programs: terminal tables, JSON and one HTML page."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .files import write_atomically
from .result import Result, Results

__all__ = ["COLUMNS", "cells_of", "heading", "ratio_text", "remarks_on", "tables", "with_prefix",
           "write_html", "write_json"]

_NONE = "-"


def with_prefix(value: float | None, digits: int = 3) -> str:
    """A number with an SI prefix: ``1234567`` is ``1.23 M``."""
    if value is None:
        return _NONE
    for factor, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:.{digits}g}{prefix}"
    return f"{value:.{digits}g}"


def _count(value: float | None) -> str:
    return _NONE if value is None else f"{value:,}"


def _fmax(row: Result) -> str:
    if row.fmax_mhz is None:
        return _NONE
    low, high = min(row.fmax_by_seed.values()), max(row.fmax_by_seed.values())
    span = f" ({low:.1f}..{high:.1f})" if len(row.fmax_by_seed) > 1 else ""
    return f"{row.fmax_mhz:.1f}{span}"


def _certificate(row: Result) -> str:
    if row.certificate is None:
        return _NONE
    return "yes" if row.certificate.granted else "no"


#: What a row can show: heading and how its cell is made. Tables choose from them.
COLUMNS = {
    "arithmetic": lambda row: row.arithmetic,
    "LUT": lambda row: _count(row.lut),
    "FF": lambda row: _count(row.resources.get("ff")),
    "DSP": lambda row: _count(row.resources.get("dsp")),
    "block RAM": lambda row: _count(row.resources.get("block_ram")),
    "Fmax MHz": _fmax,
    "cycles/image": lambda row: _count(row.cycles_per_image),
    "images/s": lambda row: _NONE if row.images_per_s is None else f"{row.images_per_s:,.0f}",
    "weights": lambda row: _count(row.weight_values),
    "operands": lambda row: row.operands or _NONE,
    "MAC/cycle": lambda row: _NONE if row.macs_per_cycle is None else f"{row.macs_per_cycle:.4g}",
    "arrays": lambda row: _NONE if row.arrays is None else f"{row.arrays} ({row.scarcest})",
    "MAC/s of device": lambda row: with_prefix(row.device_macs_per_s),
    "exact": lambda row: _NONE if row.exact is None else "yes" if row.exact else "no",
    "MAC/s": lambda row: with_prefix(row.macs_per_s),
    "MAC/s per LUT": lambda row: with_prefix(row.macs_per_s_per_lut),
    "accuracy": lambda row: _NONE if row.accuracy is None else f"{100 * row.accuracy:.2f} %",
    "no multiplier": _certificate,
}


def cells_of(row: Result, columns: Sequence[str]) -> list[str]:
    """The text of the cells of a row in those of `COLUMNS`."""
    cells = {name: COLUMNS[name](row) for name in columns}
    if not row.built:
        cells["LUT"] = "does not fit" if row.lacking else "not built"
    return list(cells.values())


def heading(comparison: Results) -> str:
    """What is compared, in one line."""
    seeds = len(comparison.seeds)
    return (f"{comparison.title} on {comparison.device.name}: {comparison.setting}, "
            f"{seeds} place-and-route seed{'s' if seeds > 1 else ''}")


def tables(comparison: Results) -> Group:
    """Terminal form: figures, relations to the reference baselines, what went wrong."""
    figures = Table(title=Text(heading(comparison)), title_justify="left", pad_edge=False,
                    box=None, header_style="bold")
    for number, name in enumerate(comparison.COLUMNS):
        figures.add_column(name.replace(" ", "\n", 1) if number else name,
                           justify="right" if number else "left", overflow="fold")
    for row in comparison.results:
        figures.add_row(*(Text(cell) for cell in cells_of(row, comparison.COLUMNS)),
                        style="dim" if row.is_baseline else None)
    relative = Table(title="relative to the baselines (1 = equal)", title_justify="left",
                     pad_edge=False, box=None, header_style="bold")
    relative.add_column("arithmetic")
    for label in comparison.METRICS.values():
        for reference in comparison.references:
            relative.add_column(f"{label}\n/ {reference}", justify="right")
    for row in comparison.results:
        if row.built:
            relative.add_row(Text(row.arithmetic), *(
                ratio_text(comparison.ratio(row, metric, reference))
                for metric in comparison.METRICS for reference in comparison.references),
                style="dim" if row.is_baseline else None)
    parts: list[object] = [figures, "", relative]
    if remarks := remarks_on(comparison):
        parts += ["", *(Text(remark, style="yellow") for remark in remarks)]
    return Group(*parts)


def remarks_on(comparison: Results) -> list[str]:
    """What the figures alone would not say, one line a row."""
    return [f"{row.arithmetic}: {text}" for row in comparison.results
            if (text := row.problem or row.note)]


def ratio_text(value: float | None) -> str:
    """A relation to a baseline, or a dash."""
    return _NONE if value is None else f"{value:.2f}"


def write_json(comparison: Results, path: str | os.PathLike) -> Path:
    """Write the comparison as JSON.

    Raises
    ------
    EnvironmentProblem
        `path` cannot be written.
    """
    return write_atomically(path, comparison.as_json())


def write_html(comparison: Results, path: str | os.PathLike) -> Path:
    """Write the comparison as one HTML page with plots that needs no other file.

    Raises
    ------
    EnvironmentProblem
        `path` cannot be written, or matplotlib is missing.
    """
    from .report_html import html_page  # needs matplotlib's extra, and this module
    return write_atomically(path, html_page(comparison))
