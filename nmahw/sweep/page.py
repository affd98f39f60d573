"""Points of a sweep as one HTML page: a plot to point at, filters, a table; no other file.

Drawn here, so that it can be seen without scripts; the script only filters and tells. The page
allows itself nothing but its own style and script, by their hashes.
"""

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib import resources

from .columns import COLUMNS, SHOWN

__all__ = ["number", "page"]

_WIDTH, _HEIGHT = 860, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 16, 52
# What designs can be filtered by.
_FILTERS = ("device", "arithmetic", "model")
# Colours that differ for most eyes, on light and dark ground (Okabe and Ito 2008, darkened).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#5a9bd4", "#8c564b",
            "#7f7f7f", "#6a3d9a", "#b22222")
# A browser takes seconds to lay out the cells of more rows than these.
_MOST_ROWS = 500
# Beyond this ratio of largest to smallest, an axis is logarithmic.
_LOG_RATIO = 20


def number(value: object) -> str:
    """A value as tables show it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class _Axis:
    """Values to pixels."""

    def __init__(self, values: Sequence[float], begin: float, end: float):
        low, high = min(values), max(values)
        self.is_log = low > 0 and high / low > _LOG_RATIO
        self._map: Callable[[float], float] = math.log10 if self.is_log else float
        low, high = self._map(low), self._map(high)
        margin = (high - low) * 0.06 or abs(high) * 0.1 or 1
        self._low, self._high = low - margin, high + margin
        self._begin, self._end = begin, end

    def __call__(self, value: float) -> float:
        share = (self._map(value) - self._low) / (self._high - self._low)
        return round(self._begin + share * (self._end - self._begin), 1)

    def ticks(self) -> list[float]:
        """Round values within the axis."""
        if self.is_log:
            exponents = range(math.floor(self._low), math.ceil(self._high) + 1)
            found = [factor * 10.0**e for e in exponents for factor in (1, 2, 5)]
            inside = [v for v in found if v and self._low <= math.log10(v) <= self._high]
            return inside if len(inside) <= 10 else inside[::3]
        step = 10.0 ** math.floor(math.log10((self._high - self._low) / 4))
        step = next(step * f for f in (1, 2, 5, 10) if (self._high - self._low) / (step * f) <= 8)
        first = math.ceil(self._low / step)
        return [step * i for i in range(first, math.floor(self._high / step) + 1)]


def page(title: str, points: Sequence[Mapping[str, object]], on_front: Sequence[bool], x: str,
         y: str, commands: Sequence[str]) -> str:
    """The whole page.

    Parameters
    ----------
    title : str
    points : sequence of mapping
        With values in the columns `x` and `y`.
    on_front : sequence of bool
    x, y : str
    commands : sequence of str
        What rebuilds each point.
    """
    style = resources.files("nmahw.web").joinpath("pareto.css").read_text(encoding="utf-8")
    script = resources.files("nmahw.web").joinpath("pareto.js").read_text(encoding="utf-8")
    policy = (f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'")
    kinds = {name: sorted({str(point[name]) for point in points})
             for name in _FILTERS}
    filters = "".join(
        f'<label>{name} <select id="{name}"><option value="">all</option>'
        + "".join(f"<option>{escape(value)}</option>" for value in values) + "</select></label>"
        for name, values in kinds.items())
    colours = {name: _COLOURS[index % len(_COLOURS)]
               for index, name in enumerate(kinds["arithmetic"])}
    legend = "".join(f'<li><svg viewBox="0 0 12 12"><circle cx="6" cy="6" r="5" fill="{colour}"/>'
                     f"</svg>{escape(name)}</li>" for name, colour in colours.items())
    # Stable: within the front, and the others, the order stays.
    order = sorted(range(len(points)), key=lambda index: not on_front[index])[:_MOST_ROWS]
    rows = "".join(_row(index, points[index], on_front[index]) for index in sorted(order))
    short = "" if len(points) <= _MOST_ROWS else (
        f'<p class="soft">{_MOST_ROWS} of {len(points):,} designs, those of the front first; '
        f"the plot has all of them.</p>")
    heads = "".join(f"<th>{escape(COLUMNS[name].title)}</th>" for name in SHOWN)
    data = json.dumps(list(commands)).replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="soft"><span id="count">{len(points):,}</span> designs; filled: on the front of
{escape(COLUMNS[x].title)} and {escape(COLUMNS[y].title)}, before filtering. Point at one for
its name{", click for the command that rebuilds it" if any(commands) else ""}.</p>
<form>{filters}</form>
<section>{_plot(points, on_front, x, y, colours)}<ul class="legend">{legend}</ul>
<p id="about" aria-live="polite">&nbsp;</p><pre id="command"></pre></section>
<section>{short}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>
</main>
<script type="application/json" id="commands">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _name(point: Mapping[str, object]) -> str:
    return (f"{point['model']} {point['bits']}, {point['arithmetic']}, {point['array']} on "
            f"{point['device']}")


def _labels(point: Mapping[str, object]) -> str:
    return " ".join(f'data-{name}="{escape(str(point[name]))}"'
                    for name in _FILTERS)


def _row(index: int, point: Mapping[str, object], front: bool) -> str:
    cells = "".join(f"<td>{escape(number(point[name]))}</td>" for name in SHOWN)
    return (f'<tr{" class=front" if front else ""} data-index="{index}" {_labels(point)}>{cells}'
            f"</tr>")


def _plot(points: Sequence[Mapping[str, object]], on_front: Sequence[bool], x: str, y: str,
          colours: Mapping[str, str]) -> str:
    across = _Axis([point[x] for point in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis([point[y] for point in points], _HEIGHT - _BOTTOM, _TOP)
    parts = []
    for value in across.ticks():
        at = across(value)
        parts.append(f'<path class="grid" d="M{at} {_TOP}V{_HEIGHT - _BOTTOM}"/><text x="{at}" '
                     f'y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{number(value)}</text>')
    for value in up.ticks():
        at = up(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {at}H{_WIDTH - _RIGHT}"/><text '
                     f'x="{_LEFT - 8}" y="{at + 4}" text-anchor="end">{number(value)}</text>')
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 12}" '
                 f'text-anchor="middle">{escape(COLUMNS[x].title)}</text><text '
                 f'transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">'
                 f"{escape(COLUMNS[y].title)}</text>")
    line = sorted((across(p[x]), up(p[y])) for p, front in zip(points, on_front, strict=True)
                  if front)
    parts.append('<path class="line" d="M' + "L".join(f"{a} {b}" for a, b in line) + '"/>')
    for index, (point, front) in enumerate(zip(points, on_front, strict=True)):
        colour = colours[str(point["arithmetic"])]
        about = f"{_name(point)}: {number(point[x])} {COLUMNS[x].title}, " \
                f"{number(point[y])} {COLUMNS[y].title}"
        parts.append(
            f'<circle class="point{" front" if front else ""}" tabindex="0" '
            f'data-index="{index}" {_labels(point)} cx="{across(point[x])}" '
            f'cy="{up(point[y])}" r="{6 if front else 5}" stroke="{colour}" '
            f'fill="{colour if front else "transparent"}"><title>{escape(about)}</title>'
            f"</circle>")
    return (f'<svg id="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label="{escape(COLUMNS[y].title)} against {escape(COLUMNS[x].title)}">'
            f'{"".join(parts)}</svg>')
