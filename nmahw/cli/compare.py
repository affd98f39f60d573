"""``nmahw compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BuildError, UsageError
from ._choices import completion
from ._options import (
    SAMPLE,
    DeviceName,
    Jobs,
    Lockstep,
    Share,
    load_data,
    read_arithmetics,
    read_array,
    read_bits,
)
from ._terminal import show_path, show_wide, working

if TYPE_CHECKING:
    from ..design import Design
    from ..result import Results

EXAMPLE = ("nmahw compare lenet5-w8a8 --arith quarter_square,bit_serial --array 4x4 --seeds 3 "
           "--html report.html")


def command(
        model: Annotated[str | None, typer.Argument(
            metavar="[MODEL]", show_default=False, autocompletion=completion("models"),
            help="A bundled network ({models}) or a file written by 'nmahw import'. Without one, "
                 "arithmetics are measured alone: see --array and --elements.")] = None,
        arith: Annotated[str | None, typer.Option(
            "--arith", metavar="NAME,...", show_default=False,
            autocompletion=completion("arithmetics"),
            help="Arithmetics, separated by commas, or 'all': {arithmetics}. Without a MODEL, by "
                 "default those of integers.")] = None,
        device: DeviceName = "ecp5-45k",
        array: Annotated[str | None, typer.Option(
            "--array", metavar="RxC", show_default=False,
            help="Rows and columns of the systolic array, by default 4x4 for a MODEL. Without "
                 "one: measure arrays with feeding, weight loading and accumulators.")] = None,
        lockstep: Lockstep = 1, share: Share = 1,
        elements: Annotated[bool, typer.Option(
            "--elements", help="Without a MODEL: measure one element of each.")] = False,
        constant: Annotated[bool, typer.Option(
            "--constant", help="With --array and no MODEL: weights built in, not loaded.")] = False,
        bits: Annotated[str | None, typer.Option(
            "--bits", metavar="WxA", show_default=False,
            help="Without a MODEL: bits of weights and of activations, by default 8x8.")] = None,
        positions: Annotated[int | None, typer.Option(
            "--positions", metavar="N", show_default=False,
            help="With --array and no MODEL: sums that each column holds, by default 512.")] = None,
        seeds: Annotated[int | None, typer.Option(
            "--seeds", metavar="N", min=1, max=100, show_default=False,
            help="Place-and-route seeds; figures are medians. By default 1 for a MODEL, "
                 "otherwise 5.")] = None,
        data: Annotated[str | None, typer.Option(
            "--data", metavar="FILE", show_default=False,
            help="Images for a MODEL's accuracy: an .npz file with x_test and y_test (or x and "
                 "y), by default the bundled sample that belongs to it.")] = None,
        json: Annotated[Path | None, typer.Option(
            "--json", metavar="FILE", help="Write the figures as JSON.")] = None,
        html: Annotated[Path | None, typer.Option(
            "--html", metavar="FILE", help="Write one page with tables and plots.")] = None,
        jobs: Jobs = 2):
    """Place and route several arithmetics and show them side by side.

    With a MODEL, the same network with each of them; without one, arrays or single elements. The
    baselines (hard multiplier, Booth, what Yosys makes by default) are always among them. What
    cannot be built is a row that says why. Finished builds are kept and reused.

    Without a MODEL, for example: nmahw compare --array 8x8 --bits 4x4 --device ecp5-25k
    """
    from ..files import check_writable
    from ..report import tables, write_html, write_json
    from ..report_plots import require_matplotlib
    for path in (json, html):
        if path is not None:
            check_writable(path)
    if html is not None:
        require_matplotlib()
    if model is not None:
        _refuse("with a MODEL, whose operands are its own", {
            "--elements": elements or None, "--constant": constant or None, "--bits": bits,
            "--positions": positions})
        result = _networks(model, arith, device, array or "4x4", lockstep, share, seeds or 1,
                           data or SAMPLE, jobs)
    else:
        _refuse("without a MODEL, which images belong to", {
            "--data": data, "--lockstep": None if lockstep == 1 else lockstep,
            "--share": None if share == 1 else share})
        result = _alone(arith, device, array, elements, constant, bits, positions, seeds or 5,
                        jobs)
    show_wide(tables(result))
    if json is not None:
        show_path("JSON", write_json(result, json))
    if html is not None:
        show_path("HTML", write_html(result, html))
    if not any(row.built for row in result.results):
        raise BuildError(f"at least one arithmetic must fit {result.device.name}, but none "
                         f"could be built")


def _refuse(when: str, options: dict[str, object]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{' and '.join(given)} must not be given {when}")


def _networks(model: str, arith: str | None, device: str, array: str, lockstep: int, share: int,
              seeds: int, data: str, jobs: int) -> "Results":
    from ..bundled import load_model
    from ..compare import compare
    from ..workbench import Workbench
    if arith is None:
        raise UsageError("--arith must name the arithmetics to compare the network with, or be "
                         "'all'")
    rows, columns = read_array(array)
    names = read_arithmetics(arith, by_layer=True)
    network = load_model(model)
    # A user's own network has no bundled sample; its comparison goes without accuracy.
    images = load_data(network, data) if data != SAMPLE or "sample" in network.metadata else None

    def accuracy(design: "Design") -> float | None:
        if images is None or images.y is None:
            return None
        outputs = design.predict(images.x)
        return images.accuracy(outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0])

    with working("comparing") as work:
        return compare(network, names, device, rows, columns, range(1, seeds + 1),
                       accuracy=accuracy, bench=Workbench(jobs=jobs, say=work.say),
                       images=lockstep, share=share)


def _alone(arith: str | None, device: str, array: str | None, elements: bool, constant: bool,
           bits: str | None, positions: int | None, seeds: int, jobs: int) -> "Results":
    from ..measure import ArrayTask, ConstantTask, ElementTask, default_arithmetics, measure
    from ..workbench import Workbench
    if elements == (array is not None):
        raise UsageError("--elements and --array must not be given together" if elements else
                         "a MODEL, --array RxC or --elements must be given")
    if elements:
        _refuse("with --elements, which are no array",
                {"--positions": positions, "--constant": constant or None})
    if constant:
        _refuse("with --constant, whose sums need no accumulators", {"--positions": positions})
    widths = read_bits(bits or "8x8")
    task = (ElementTask(*widths) if elements else
            ConstantTask(*widths, *read_array(array)) if constant else
            ArrayTask(*widths, *read_array(array), 512 if positions is None else positions))
    names = default_arithmetics(*widths) if arith is None else read_arithmetics(arith)
    with working(f"measuring {task.title}") as work:
        return measure(task, names, device, range(1, seeds + 1),
                       bench=Workbench(jobs=jobs, say=work.say),
                       count=lambda done, total: work.count(done, total, "arithmetics"))
