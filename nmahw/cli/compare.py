"""``nmahw compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BuildError
from ._options import (
    SAMPLE,
    Arithmetics,
    Array,
    Data,
    DeviceName,
    Jobs,
    Model,
    load_data,
    read_arithmetics,
    read_array,
)
from ._terminal import show_path, show_wide, working

if TYPE_CHECKING:
    from ..design import Design

EXAMPLE = ("nmahw compare lenet5-w8a8 --arith quarter_square,bit_serial --device ecp5-45k "
           "--array 4x4 --seeds 3 --html report.html")


def command(model: Model, arith: Arithmetics, device: DeviceName = "ecp5-45k",
            array: Array = "4x4",
            seeds: Annotated[int, typer.Option(
                metavar="N", min=1, max=100, help="Place-and-route seeds; figures are medians.")]
            = 1,
            data: Data = SAMPLE,
            json: Annotated[Path | None, typer.Option(
                "--json", metavar="FILE", help="Write the figures as JSON.")] = None,
            html: Annotated[Path | None, typer.Option(
                "--html", metavar="FILE", help="Write one page with tables and plots.")] = None,
            jobs: Jobs = 2):
    """Place and route a network with several arithmetics and show them side by side.

    The baselines (hard multiplier, Booth, what Yosys makes by default) are always among them. A
    design that cannot be built is a row that says why. Finished builds are kept and reused.
    """
    from ..bundled import load_model
    from ..compare import compare
    from ..files import check_writable
    from ..report import tables, write_html, write_json
    from ..report_plots import require_matplotlib
    from ..workbench import Workbench
    rows, columns = read_array(array)
    names = read_arithmetics(arith)
    for path in (json, html):
        if path is not None:
            check_writable(path)
    if html is not None:
        require_matplotlib()
    network = load_model(model)
    # A user's own network has no bundled sample; its comparison goes without accuracy.
    images = load_data(network, data) if data != SAMPLE or "sample" in network.metadata else None

    def accuracy(design: "Design") -> float | None:
        if images is None or images.y is None:
            return None
        outputs = design.predict(images.x)
        return images.accuracy(outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0])

    with working("comparing") as work:
        comparison = compare(network, names, device, rows, columns, range(1, seeds + 1),
                             accuracy=accuracy, bench=Workbench(jobs=jobs, say=work.say))
    show_wide(tables(comparison))
    if json is not None:
        show_path("JSON", write_json(comparison, json))
    if html is not None:
        show_path("HTML", write_html(comparison, html))
    if not any(row.built for row in comparison.results):
        raise BuildError(f"at least one arithmetic must fit {comparison.device.name}, but none "
                         f"could be built")
