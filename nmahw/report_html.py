"""The comparison as one HTML page: tables beside plots, no script, no other file."""

from html import escape

from .report import cells_of, ratio_text, remarks_on
from .report_plots import PLOTS
from .result import LESS_IS_BETTER, Result, Results

__all__ = ["html_page"]

_STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #ffffff; --ink: #1d2126;
  --soft: #5c6570; --line: #dfe3e6; --main: #0f7b6c; --base: #b4561c; --tint: #eef6f4; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1b1f23;
  --ink: #e7eaec; --soft: #9aa4ad; --line: #363d44; --main: #4fc3ad; --base: #ee9a62;
  --tint: #1d2b29; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem clamp(1rem, 4vw, 3rem); background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 78rem; margin: 0 auto; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 0 0 .6rem; }
p { margin: .3rem 0; }
.soft, caption, figcaption, footer { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem 1.2rem; margin-top: 1.2rem; overflow-x: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr));
  gap: 1.2rem; margin-top: 1.2rem; }
.plots section { margin-top: 0; }
@media (min-width: 70rem) { .plots section:first-child { grid-row: span 2; } }
svg { width: 100%; height: auto; display: block; }
svg text { font-family: inherit !important; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .5rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; line-height: 1.25; }
th:first-child, td:first-child { text-align: left; }
tbody tr:last-child td { border-bottom: 0; }
td:first-child { font-weight: 600; color: var(--main); }
tr.baseline td:first-child { color: var(--base); }
tr.unbuilt td { color: var(--soft); }
td.better { background: var(--tint); }
table.words td, table.words th { text-align: left; white-space: normal;
  overflow-wrap: anywhere; }
table.words td:first-child { white-space: nowrap; }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 50%;
  margin: 0 .35em 0 .9em; }
.key:first-child { margin-left: 0; }
footer { margin-top: 1.5rem; font-size: .85rem; }
"""


def html_page(comparison: Results) -> str:
    """The whole page.

    Raises
    ------
    EnvironmentProblem
        Matplotlib is missing.
    """
    built = any(row.built for row in comparison.results)
    plots = "".join(f"<section><h2>{escape(title)}</h2>{draw(comparison)}</section>"
                    for title, draw in PLOTS.items()) if built else ""
    seeds = ", ".join(map(str, comparison.seeds))
    tools = ", ".join(f"{escape(name)} {escape(version)}"
                      for name, version in sorted(comparison.tool_versions.items()))
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in remarks_on(comparison))
    device = comparison.device
    limits = ", ".join(f"{limit:,} {escape(name.replace('_', ' '))}"
                       for name, limit in device.limits.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(comparison.title)} on {escape(device.name)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(comparison.title)} on {escape(device.name)}</h1>
<p class="soft">{escape(comparison.setting)}, place-and-route seeds {seeds};
{escape(device.part)}: {limits}.</p>
<p class="soft"><span class="key" style="background: var(--main)"></span>without a multiplier
<span class="key" style="background: var(--base)"></span>baseline</p>
<section><h2>Measured</h2>{_figures(comparison)}</section>
<section><h2>Relative to the baselines</h2>{_relative(comparison)}
<p class="soft">1 is equal; shaded where better than the baseline. For LUT and cycles
less than 1 is better, for the others more.</p></section>
{f'<section><h2>Remarks</h2><ul>{remarks}</ul></section>' if remarks else ''}
<div class="plots">{plots}</div>
<section><h2>How each was built</h2>{_builds(comparison)}</section>
<footer>Median over the seeds; Fmax with its range. LUT counts the vendor's logic cells
({escape(device.rules.lut_name)}). Made by nmahw{' with ' + tools if tools else ''}.</footer>
</main>
</body>
</html>
"""


def _class(row: Result) -> str:
    names = ["baseline"] * bool(row.is_baseline) + ["unbuilt"] * (not row.built)
    return f' class="{" ".join(names)}"' if names else ""


def _table(headings: list[str], body: str, kind: str = "figures") -> str:
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    return f"<table class={kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figures(comparison: Results) -> str:
    lines = []
    for row in comparison.results:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in cells_of(row, comparison.COLUMNS))
        lines.append(f"<tr{_class(row)}>{cells}</tr>")
    headings = [escape(name).replace(" ", "<br>", 1) for name in comparison.COLUMNS]
    return _table(headings, "".join(lines))


def _relative(comparison: Results) -> str:
    lines = []
    for row in filter(lambda row: row.built, comparison.results):
        cells = []
        for metric in comparison.METRICS:
            for reference in comparison.references:
                value = comparison.ratio(row, metric, reference)
                better = value is not None and (value < 0.995 if metric in LESS_IS_BETTER
                                                else value > 1.005)
                cells.append(f"<td{' class=better' if better else ''}>{ratio_text(value)}</td>")
        lines.append(f"<tr{_class(row)}><td>{escape(row.arithmetic)}</td>{''.join(cells)}</tr>")
    headings = ["arithmetic"] + [f"{escape(label)}<br>/ {escape(reference)}"
                                 for label in comparison.METRICS.values()
                                 for reference in comparison.references]
    return _table(headings, "".join(lines))


def _builds(comparison: Results) -> str:
    lines = []
    for row in comparison.results:
        if row.options is None:
            continue
        passes = [f"after {', '.join(row.options.yosys_passes)}"] * bool(row.options.yosys_passes)
        mapping = ", ".join(["hard multipliers allowed" if row.options.hard_multiplier
                             else "logic cells only", *passes])
        path, certificate = row.critical_path, row.certificate
        longest = "-" if path is None else (
            f"{path.start} to {path.end}: {path.logic_ns:.1f} ns logic, "
            f"{path.routing_ns:.1f} ns routing")
        found = "-" if certificate is None else str(certificate).partition(": ")[2]
        cells = (row.arithmetic, mapping, longest, found)
        lines.append(f"<tr{_class(row)}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}"
                     "</tr>")
    return _table(["arithmetic", "mapping", "longest path", "multipliers found"], "".join(lines),
                  "words")
