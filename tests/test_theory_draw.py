"""Drawings of NMA graphs: every neuron and line that is to be seen is there."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from nmahw.errors import UsageError
from nmahw.theory.draw import FIGURES, figure, to_svg
from nmahw.theory.forward import fully_connected

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"
KINDS = 6


def parts(text):
    """Neurons, solid lines and dashed lines of a drawing, without its legend's."""
    root = ElementTree.fromstring(text)
    lines = root.findall(f"{SVG}line")
    dashed = [line for line in lines if "stroke-dasharray" in line.attrib]
    return (len(root.findall(f"{SVG}circle")) - KINDS, len(lines) - len(dashed) - 1,
            len(dashed) - 1)


@pytest.mark.parametrize("number", FIGURES)
def test_figures_show_all_neurons_and_lines(number):
    graph = figure(number)
    neurons, solid, dashed = parts(to_svg(graph, longest=1000))
    groups = [group for layer in graph.layers for group in layer]
    assert neurons == sum(group.count for group in groups)
    edges = sum(len(group.sources) for group in groups if group.sources is not None)
    negative = sum(int(group.negative.sum()) for group in groups if group.negative is not None)
    assert (solid, dashed) == (edges - negative, negative)


@pytest.mark.parametrize("number", FIGURES)
def test_figures_of_the_documentation_are_those(number):
    """Made by ``to_svg(figure(number))``."""
    assert (IMAGES / f"nma_figure_{number}.svg").read_text() == to_svg(figure(number))


def test_everything_lies_within_the_picture():
    for number in FIGURES:
        root = ElementTree.fromstring(to_svg(figure(number)))
        width, height = (float(root.get(name)) for name in ("width", "height"))
        for circle in root.iter(f"{SVG}circle"):
            x, y, r = (float(circle.get(name)) for name in ("cx", "cy", "r"))
            assert r <= x <= width - r and r <= y <= height - r


def test_long_columns_are_cut_and_tell_so():
    text = to_svg(fully_connected((3, 3)), longest=5)
    assert "⋮ 31 more" in text and "⋮ 4 more" in text  # 36 intermediate neurons, 9 weights
    neurons, _, _ = parts(text)
    assert neurons == 3 + 5 + 5 + 5 + 3 + 3


def test_labels_have_layer_and_index():
    text = to_svg(figure(2))
    assert re.search(r">W<tspan [^>]*>\(1\)</tspan><tspan [^>]*>2,1</tspan>", text)


@pytest.mark.parametrize("call, message", [
    (lambda: figure(6), "figure must be one of 1, 2, 3, 4, 5, not 6"),
    (lambda: to_svg(figure(1), longest=1), "longest must be at least 2, not 1")])
def test_what_is_wrong_is_told(call, message):
    with pytest.raises(UsageError, match=message):
        call()
