"""Reports: tables, JSON and a page that needs nothing from elsewhere."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from comparisons import HOSTILE, comparison
from rich.console import Console

from nmahw import report, report_plots
from nmahw.errors import EnvironmentProblem
from nmahw.report import tables, with_prefix, write_html, write_json


def text_of(known, width=160) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))
    console.print(tables(known))
    console.file.close()
    return console.export_text()


@pytest.mark.parametrize("value, text", [
    (None, "-"), (0.5, "0.5"), (12.345, "12.3"), (1234567, "1.23 M"), (999, "999"),
    (2.5e9, "2.5 G"), (4321, "4.32 k")])
def test_numbers_have_prefixes(value, text):
    assert with_prefix(value) == text


def test_the_tables_show_figures_relations_and_problems():
    text = text_of(comparison())
    line = next(line for line in text.splitlines() if line.startswith("small"))
    for cell in ("1,000", "2,000", "200.0 (190.0..220.0)", "200,000", "1 G", "1 M", "98.76 %",
                 "yes"):
        assert cell in line
    relation = [line for line in text.splitlines() if line.startswith("small")][1]
    assert relation.split() == ["small", "2.00", "0.12", "2.00", "2.50", "10.00", "10.00",
                                "0.20", "0.25", "0.10", "2.00"]
    assert "does not fit" in text and "too_big: does not fit: 50000 COMB" in text
    assert "refused: refused takes weights of at most 4 bits" in text
    assert "LeNet on ecp5-25k: 5,000 MAC an image, 4x8 array, 3 place-and-route seeds" in text


def test_markup_in_names_is_shown_not_obeyed():
    assert HOSTILE in text_of(comparison(HOSTILE), width=200)


def test_json_is_written_whole(tmp_path):
    path = write_json(comparison(), tmp_path / "new" / "report.json")
    assert json.loads(path.read_text())["network"]["title"] == "LeNet"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_html(comparison(HOSTILE), path).read_text()


def test_the_page_needs_nothing_from_elsewhere(page):
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\((?!#)", page)
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith("#") for link in links)


def test_what_users_control_is_escaped(page):
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "not 8 &lt;b&gt;" in page


def test_the_page_shows_every_row_and_plot(page):
    for name in ("small", "fast", "too_big", "refused", "dsp", "booth"):
        assert f"<td>{name}</td>" in page
    for title in report_plots.PLOTS:
        assert f"<h2>{title}</h2>" in page
    assert "200.0 (190.0..220.0)" in page and "does not fit" in page
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) == len(report_plots.PLOTS) == 3
    names = []
    for svg in svgs:
        root = ElementTree.fromstring(svg)
        words = {"".join(node.itertext()).strip() for node in root.iter() if
                 node.tag.endswith("}text")}
        assert {"small", "fast", "dsp", "booth"} <= words
        # Rows without figures are in no plot.
        assert not {"too_big", "refused"} & words
        names += [node.get("id") for node in root.iter() if node.get("id")]
        # Colours come from the page, so that both themes are right.
        assert "var(--ink)" in svg and "#0102" not in svg and "#0a0b" not in svg
    assert names and len(names) == len(set(names))


def test_the_page_is_the_same_every_time(page, tmp_path):
    assert write_html(comparison(HOSTILE), tmp_path / "again.html").read_text() == page


def test_a_comparison_without_figures_has_a_page_without_plots(tmp_path):
    known = comparison()
    known = replace(known, results=tuple(row for row in known.results if not row.built))
    page = write_html(known, tmp_path / "empty.html").read_text()
    assert "<svg" not in page and "too_big: does not fit" in page
    assert "too_big" in text_of(known)


def test_a_network_without_products_can_be_drawn(tmp_path):
    known = comparison()
    known = replace(known, results=tuple(replace(row, macs_per_image=0) for row in known.results))
    assert "<svg" in write_html(known, tmp_path / "zero.html").read_text()


def test_missing_matplotlib_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(report_plots.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r'pip install "nmahw\[plot\]"'):
        write_html(comparison(), tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_unwritable_path_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (write_json, write_html):
        with pytest.raises(EnvironmentProblem, match="output path .* must be writable"):
            write(comparison(), tmp_path / "file" / "report")


def test_columns_and_cells_agree():
    known = comparison()
    assert set(known.COLUMNS) <= set(report.COLUMNS)
    for row in known.results:
        assert len(report.cells_of(row, known.COLUMNS)) == len(known.COLUMNS)
