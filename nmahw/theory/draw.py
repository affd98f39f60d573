"""Drawings of NMA graphs as SVG text: Figures 1 to 5 of the paper, for small cases.

A column is a layer, a circle a neuron, coloured by its kind. A solid line is added, a dashed one
subtracted. Long columns are cut: what is left out is told, and lines to it are not drawn.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from ..errors import UsageError
from .backward import fully_connected_backward, kernel_gradient
from .builder import Builder, indexed
from .forward import convolutional, fully_connected
from .functions import SIGMOID
from .graph import Graph, Kind, Neurons
from .terms import conv_terms

__all__ = ["FIGURES", "figure", "to_svg"]

_COLOURS = {Kind.INPUT: "#cfe3f7", Kind.WEIGHT: "#f8e1b8", Kind.INTERMEDIATE: "#e3e3e3",
            Kind.PRODUCT: "#cdebc5", Kind.SUM: "#e2d3f0", Kind.ACTIVATION: "#f6cccc"}
_COLUMN, _ROW, _RADIUS, _TOP, _MARGIN = 150, 44, 19, 60, 40
_SMALL = 7
_LEGEND, _LEGEND_WIDTH = 42, 760


def _single_product() -> Graph:
    """Figure 1: with one product there is no sum, and 4 layers in the place of 5."""
    b = Builder("Figure 1: forward, L = 2, U1 = U2 = 1")
    x = b.give(1, Kind.INPUT, "X1", 1, label=indexed("X1", (1,)))
    w = b.give(1, Kind.WEIGHT, "W1", 1, label=indexed("W1", (1,)))
    product = b.multiply(1, x, w, "P1", lambda place: "X·W")
    b.put(4, Kind.ACTIVATION, "X2", 1, sources=product, function=SIGMOID.value,
          label=indexed("X2", (1,)))
    return b.build()


def _titled(title: str, graph: Graph) -> Graph:
    return Graph(title, graph.layers)


#: The paper's figures by number, as small graphs.
FIGURES: Mapping[int, Callable[[], Graph]] = MappingProxyType({
    1: _single_product,
    2: lambda: _titled("Figure 2: forward, fully connected, sizes 2, 2, 1",
                       fully_connected((2, 2, 1))),
    3: lambda: _titled("Figure 3: backward, fully connected, sizes 2, 2, 2",
                       fully_connected_backward((2, 2, 2))),
    4: lambda: _titled("Figure 4: forward, 3x3 map, kernels 2x2 and 1x1, distinct values",
                       convolutional((3, 3), (2, 1))),
    5: lambda: _titled("Figure 5: gradient of a 2x2 kernel on a 3x3 map",
                       kernel_gradient(conv_terms((1, 3, 3), (1, 1, 2, 2)))),
})


def figure(number: int) -> Graph:
    """The graph of one of the paper's figures.

    Raises
    ------
    UsageError
        There is no such figure.
    """
    if number not in FIGURES:
        raise UsageError(f"figure must be one of {', '.join(map(str, FIGURES))}, not {number!r}")
    return FIGURES[number]()


def to_svg(graph: Graph, longest: int = 16) -> str:
    """A drawing of a graph.

    Parameters
    ----------
    graph : Graph
    longest : int
        Most neurons drawn of a group in one layer, at least 2.

    Returns
    -------
    str
        A whole SVG document.

    Raises
    ------
    UsageError
        `longest` below 2.
    """
    if longest < 2:
        raise UsageError(f"longest must be at least 2, not {longest!r}")
    columns = [_rows(layer, longest) for layer in graph.layers]
    tallest = max(len(rows) for rows in columns)
    width = 2 * _MARGIN + _COLUMN * (len(columns) - 1) + 2 * _RADIUS
    width = max(width, 8 * len(graph.title) + 2 * _MARGIN, _LEGEND_WIDTH)
    height = _TOP + _ROW * tallest + _LEGEND + _MARGIN
    #: Where the lines from a neuron begin, by layer and place in it.
    ends: dict[tuple[int, int], tuple[float, float]] = {}
    lines, circles = [], []
    for number, rows in enumerate(columns):
        x = _MARGIN + _RADIUS + _COLUMN * number
        start = _TOP + _ROW * (tallest - len(rows)) / 2
        circles.append(_text(x, _TOP - 12, str(number + 1), 13, weight="bold"))
        for row, entry in enumerate(rows):
            y = start + _ROW * (row + 0.5)
            if isinstance(entry, str):
                circles.append(_text(x, y + 4, entry, 10))
                continue
            group, index, place = entry
            radius = _radius(group)
            lines += [_line(ends[number - 1, source], (x - radius, y), dashed)
                      for source, dashed in _sources(group, index)
                      if (number - 1, source) in ends]
            ends[number, place] = x + radius, y
            circles += _circle(x, y, group, index)
    legend = _legend(_MARGIN, height - _MARGIN)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f"<title>{html.escape(graph.title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(_MARGIN, 24, graph.title, 15, anchor="start", weight="bold"),
        *lines, *circles, *legend, "</svg>", ""])


def _rows(layer: tuple[Neurons, ...], longest: int) -> list[tuple[Neurons, int, int] | str]:
    """What a column shows: neurons (group, place in it, place in the layer), or words."""
    rows: list[tuple[Neurons, int, int] | str] = []
    start = 0
    for group in layer:
        shown = range(group.count)
        if group.count > longest:
            shown = [*range(longest - 1), group.count - 1]
        for position, index in enumerate(shown):
            if position and index != shown[position - 1] + 1:
                rows.append(f"⋮ {group.count - longest} more")
            rows.append((group, index, start + index))
        start += group.count
    return rows


def _sources(group: Neurons, index: int) -> list[tuple[int, bool]]:
    """Neurons of the layer before that one reads, and whether they are subtracted."""
    if group.sources is None:
        return []
    first, last = (group.first[index:index + 2] if group.first is not None
                   else (index, index + 1))
    if group.first is None and len(group.sources) != group.count:
        return []  # a function of them all
    return [(int(group.sources[edge]), bool(group.negative[edge])
             if group.negative is not None else False) for edge in np.arange(first, last)]


def _line(start: tuple[float, float], end: tuple[float, float], dashed: bool) -> str:
    dash = ' stroke-dasharray="3 3"' if dashed else ""
    return (f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" '
            f'y2="{end[1]:g}" stroke="#777" stroke-width="0.6"{dash}/>')


def _radius(group: Neurons) -> float:
    return _RADIUS / 2 if group.kind is Kind.INTERMEDIATE else _RADIUS


def _circle(x: float, y: float, group: Neurons, index: int) -> list[str]:
    return [f'<circle cx="{x:g}" cy="{y:g}" r="{_radius(group):g}" fill="{_COLOURS[group.kind]}" '
            f'stroke="#444"><title>{html.escape(group.name)}: {group.kind}</title></circle>',
            *([] if group.kind is Kind.INTERMEDIATE else [_label(x, y + 4, group.text(index))])]


def _label(x: float, y: float, text: str) -> str:
    """``X1_2,3`` with the layer raised and the indices lowered."""
    match = re.fullmatch(r"(\D+?)(\d*)_([\d,]+)", text)
    if not match:
        return _text(x, y, text, 10)
    name, layer, index = (html.escape(part) for part in match.groups())
    size = 11 if len(name) < 4 else 8
    up = f'<tspan dy="-5" font-size="{_SMALL}">({layer})</tspan>' if layer else ""
    down = f'<tspan dy="{9 if layer else 4}" font-size="{_SMALL}">{index}</tspan>'
    return (f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="middle">'
            f'{"δ" if name == "d" else name}{up}{down}</text>')


def _text(x: float, y: float, text: str, size: int, anchor: str = "middle",
          weight: str = "normal") -> str:
    return (f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{html.escape(text)}</text>')


def _legend(x: float, y: float) -> list[str]:
    parts = []
    for kind in Kind:
        parts.append(f'<circle cx="{x + 6:g}" cy="{y:g}" r="6" fill="{_COLOURS[kind]}" '
                     f'stroke="#444"/>')
        parts.append(_text(x + 16, y + 4, kind, 11, anchor="start"))
        x += 36 + 6 * len(kind)
    for words, dashed in (("added", False), ("subtracted", True)):
        parts.append(_line((x, y), (x + 24, y), dashed))
        parts.append(_text(x + 30, y + 4, words, 11, anchor="start"))
        x += 44 + 6 * len(words)
    return parts
