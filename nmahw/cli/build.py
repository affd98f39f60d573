"""``nmahw build``."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ._options import Arithmetic, Jobs, Lockstep, Model, Share, Weights, read_array, read_choice
from ._terminal import show_path, show_table, tell, working

EXAMPLE = "nmahw build lenet5-w8a8 --board ulx3s_45f --array 4x4 -o build"
#: Word for the array of the fewest cycles that fits.
AUTO = "auto"


def command(
        model: Model,
        board: Annotated[str, typer.Option(
            "--board", metavar="NAME", show_default=False, help="Board: {boards}.")] = ...,
        arith: Arithmetic = "quarter_square",
        array: Annotated[str, typer.Option(
            "--array", metavar="RxC", help="Rows and columns of the systolic array, for example "
            "8x8, or 'auto': what fits, meets timing and takes the fewest cycles.")] = AUTO,
        weights: Weights = "auto", lockstep: Lockstep = 1, share: Share = 1,
        out: Annotated[Path, typer.Option(
            "--out", "-o", metavar="DIR", help="Where bitstream and report go.")] = Path("build"),
        clock: Annotated[float | None, typer.Option(
            "--clock", metavar="MHZ", min=0.01, show_default=False,
            help="Run at this clock at most; by default at the fastest that place and route "
                 "reaches.")] = None,
        baud: Annotated[int, typer.Option(metavar="N", min=300, help="Of the serial line.")]
        = 115200,
        seeds: Annotated[int, typer.Option(
            metavar="N", min=1, max=100, help="Place-and-route seeds to choose from.")] = 1,
        jobs: Jobs = 2):
    """Make a bitstream for a board, and a report of what is in it.

    The design's clock comes from the board's oscillator, or from the device's PLL where that is
    faster.
    """
    from ..boards import BOARDS
    from ..build import build, build_largest
    from ..bundled import load_model
    from ..files import check_writable
    from ..workbench import Workbench
    chosen = BOARDS.get(board)
    network = load_model(model)
    shape = None if array.strip().lower() == AUTO else read_array(array)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out must be a folder, but {out} is a file")
    check_writable(out / "report")
    arith = read_choice(network, arith, *(shape or (4, 4)), chosen.device)
    with working(f"building for {chosen.title}") as work:
        bench = Workbench(jobs=jobs, say=work.say)
        options = dict(seeds=range(1, seeds + 1), clock_hz=None if clock is None else clock * 1e6,
                       baud=baud, bench=bench, weights=weights, images=lockstep, share=share)
        built = (build_largest(network, chosen, arith, out, **options) if shape is None else
                 build(network, chosen, arith, *shape, out, **options))
    design, placed = built.design, built.placed
    show_table(f"{network.title} on {chosen.title}", ("what", "used", "of"), [
        ("arithmetic", str(design.arithmetic), ""),
        ("array", f"{design.rows}x{design.columns}", ""),
        ("weights", "constant" if design.store is None else "loaded", ""),
        *([("images in lockstep", lockstep, "")] if lockstep > 1 else []),
        *((name.replace("_", " "), used, placed.limits.get(name, ""))
          for name, used in placed.utilisation.items()),
        ("clock, MHz", f"{built.clock_hz / 1e6:.2f}", f"{placed.fmax_mhz:.2f}"),
        ("clock from", "PLL" if built.pll else "oscillator", f"{chosen.clock_hz / 1e6:g} MHz"),
        ("cycles an image", design.cycles_per_image, ""),
        ("images/s", f"{built.images_per_s:,.0f}", "")], left=(0,))
    show_path("bitstream", built.bitstream)
    show_path("report", built.report)
    if chosen.wiring:
        tell(f"to connect: {chosen.wiring}")
    if design.store is not None:
        tell(f"'nmahw run' loads {len(design.schedule.layout.image):,} bytes of weights at start")
    tell(f"to flash it: nmahw flash {chosen.name} {built.bitstream}")
