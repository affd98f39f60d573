"""The report's plots, as SVG that takes its colours from the page around it.

Matplotlib draws with stand-in colours; each is then replaced by a CSS variable, so that one
picture is right on a light and on a dark page. Matplotlib is only imported here.
"""

import importlib.util
import io
import re
from collections.abc import Callable, Mapping

from .errors import EnvironmentProblem
from .result import Result, Results

__all__ = ["PLOTS", "name_points", "require_matplotlib"]

# Stand-in colour to CSS variable.
_INK, _SOFT, _MAIN, _BASE = "#010203", "#040506", "#070809", "#0a0b0c"
_VARIABLES: Mapping[str, str] = {_INK: "var(--ink)", _SOFT: "var(--line)",
                                 _MAIN: "var(--main)", _BASE: "var(--base)"}


def require_matplotlib() -> None:
    """Make sure, before long work starts, that plots can be drawn.

    Raises
    ------
    EnvironmentProblem
        Matplotlib is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise EnvironmentProblem('matplotlib must be installed for the HTML report: '
                                 'pip install "nmahw[plot]"')


def _draw(name: str, height_in: float, draw: Callable) -> str:
    """SVG text of what `draw(axes)` draws."""
    require_matplotlib()
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    style = {"svg.fonttype": "none", "svg.hashsalt": f"nmahw-{name}", "text.parse_math": False,
             "font.family": ["sans-serif"], "font.size": 10, "text.color": _INK,
             "axes.edgecolor": _SOFT, "axes.labelcolor": _INK, "xtick.color": _INK,
             "ytick.color": _INK, "xtick.labelcolor": _INK, "ytick.labelcolor": _INK,
             "grid.color": _SOFT, "grid.linewidth": 0.6, "axes.spines.top": False,
             "axes.spines.right": False, "axes.axisbelow": True, "xtick.major.size": 0,
             "ytick.major.size": 0, "axes.formatter.use_mathtext": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    # Several plots share a page: only names that something refers to may stay.
    used = set(re.findall(r"#([^\s\")]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    # The page decides the size.
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" ', r"<svg \1", svg, count=1)
    return re.sub(r'<svg ([^>]*?)height="[^"]*" ', r'<svg \1role="img" ', svg, count=1)


def _colour(row: Result) -> str:
    return _BASE if row.is_baseline else _MAIN


def _si(value: float, _position: object = None) -> str:
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:g} {prefix}"
    return f"{value:g}"


# Where a name may stand beside its point: offset in points, horizontal and vertical alignment.
_PLACES = ((8, 0, "left", "center"), (-8, 0, "right", "center"), (0, 8, "center", "bottom"),
           (0, -8, "center", "top"), (6, 8, "left", "bottom"), (-6, 8, "right", "bottom"),
           (6, -8, "left", "top"), (-6, -8, "right", "top"), (14, 18, "left", "bottom"),
           (-14, 18, "right", "bottom"), (14, -18, "left", "top"), (-14, -18, "right", "top"))


def name_points(axes, points: list[tuple[float, float, str]]) -> None:
    """Write each point's name where it covers no point and no other name, if there is room."""
    from matplotlib.transforms import Bbox
    figure = axes.figure
    figure.draw_without_rendering()
    taken = []
    for x, y, _ in points:
        px, py = axes.transData.transform((x, y))
        taken.append(Bbox.from_bounds(px - 6, py - 6, 12, 12))
    for number, (x, y, name) in enumerate(points):
        others = taken[:number] + taken[number + 1:]
        for dx, dy, ha, va in _PLACES:
            text = axes.annotate(name, (x, y), textcoords="offset points", xytext=(dx, dy), ha=ha,
                                 va=va)
            box = text.get_window_extent()
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
            if inside and not any(box.overlaps(other) for other in others):
                break
            text.remove()
        else:
            text = axes.annotate(name, (x, y), textcoords="offset points", xytext=(8, 5))
        taken.append(text.get_window_extent())


def _throughput_and_size(comparison: Results) -> str:
    quantity, unit = comparison.THROUGHPUT
    points = [(row.lut, getattr(row, quantity), row) for row in comparison.results if row.built]

    def draw(axes) -> None:
        axes.grid(True)
        for lut, rate, row in points:
            axes.scatter(lut, rate, s=70, color=_colour(row), zorder=3)
        axes.set_xlim(0, 1.12 * max(lut for lut, _, _ in points))
        axes.set_ylim(0, 1.15 * max(rate for _, rate, _ in points))
        axes.set_xlabel(f"{comparison.device.rules.lut_name} used")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_formatter(_si)
        axes.yaxis.set_major_formatter(_si)
        name_points(axes, [(lut, rate, row.arithmetic) for lut, rate, row in points])

    # As high as the two plots that stand beside it.
    return _draw("throughput", 3.1 + 0.76 * len(points), draw)


def _macs_per_lut(comparison: Results) -> str:
    rows = sorted((row for row in comparison.results if row.built),
                  key=lambda row: row.macs_per_s_per_lut)

    def draw(axes) -> None:
        axes.grid(True, axis="x")
        bars = axes.barh([row.arithmetic for row in rows],
                         [row.macs_per_s_per_lut for row in rows],
                         color=[_colour(row) for row in rows], height=0.62)
        least = min(row.resources["block_ram"] for row in rows)
        axes.bar_label(bars, [_bar_label(row, least) for row in rows], padding=4)
        axes.set_xlim(0, 1.3 * rows[-1].macs_per_s_per_lut or 1)
        axes.set_xlabel(f"MAC/s per {comparison.device.rules.lut_name}")
        axes.xaxis.set_major_formatter(_si)

    return _draw("macs", 1.1 + 0.38 * len(rows), draw)


def _bar_label(row: Result, least_block_ram: int) -> str:
    """The figure, and what the row uses that logic cells do not show."""
    extra = row.resources["block_ram"] - least_block_ram
    parts = [f"{row.resources['dsp']} DSP"] * bool(row.resources["dsp"]) \
        + [f"{extra} block RAM"] * bool(extra)
    return " + ".join([_si(float(f"{row.macs_per_s_per_lut:.3g}")), *parts])


def _frequencies(comparison: Results) -> str:
    rows = sorted((row for row in comparison.results if row.built),
                  key=lambda row: row.fmax_mhz)

    def draw(axes) -> None:
        axes.grid(True, axis="x")
        for place, row in enumerate(rows):
            values = sorted(row.fmax_by_seed.values())
            axes.plot([values[0], values[-1]], [place, place], color=_colour(row), linewidth=3,
                      alpha=0.45, solid_capstyle="round")
            axes.scatter(values, [place] * len(values), s=16, color=_colour(row), zorder=3)
            axes.scatter(row.fmax_mhz, place, s=80, color=_colour(row), zorder=4)
        axes.set_yticks(range(len(rows)), [row.arithmetic for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlim(0, 1.08 * max(max(row.fmax_by_seed.values()) for row in rows))
        axes.set_xlabel("Fmax, MHz: every seed and the median (large)")

    return _draw("fmax", 1.1 + 0.38 * len(rows), draw)


#: Title of each plot and the function that draws it from a comparison with a built row.
PLOTS: Mapping[str, Callable[[Results], str]] = {
    "Throughput and size": _throughput_and_size,
    "Work done per logic cell": _macs_per_lut,
    "Clock frequency": _frequencies,
}
