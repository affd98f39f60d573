"""``nmahw demo``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.text import Text

from ._options import Jobs
from ._terminal import console, show_path, show_table, show_wide, working

EXAMPLE = "nmahw demo --out my-demo"


def command(out: Annotated[Path, typer.Option(
                "--out", "-o", metavar="DIR", help="Folder for everything that is written.")]
            = Path("nmahw-demo"),
            quick: Annotated[bool, typer.Option(
                "--quick", help="A small network, in about a minute.")] = False,
            jobs: Jobs = 2):
    """Go the whole way with a bundled network and real images, in some minutes.

    Golden model, Verilog, simulation of every arithmetic bit for bit, certificate, place and route
    beside the baselines, report. A second run is faster: finished builds are kept.
    """
    with working("demo") as work:
        # Here, because importing all stages takes a moment.
        from ..demo import FULL, QUICK, run_demo
        from ..report import tables
        result = run_demo(out, QUICK if quick else FULL, jobs, say=work.say, progress=work.count)
    screen = console()
    show_wide(tables(result.comparison))
    show_table("Hardware against the golden model, every output, bit for bit",
               ("arithmetic", "images", "outputs", "different", "cycles/image, predicted and seen",
                "simulated cycles/s"),
               [(check.arithmetic, check.images, check.outputs, 0, check.cycles_per_image,
                 int(check.cycles_per_second)) for check in result.checks])
    lines = [f"{result.network.title}: golden model {100 * result.accuracy:.2f} % right on "
             f"{result.images} images{_known(result.network.metadata)}",
             f"simulated: {sum(check.images for check in result.checks):,} images, every output "
             f"equal bit for bit, every cycle as predicted"]
    lines += [f"certificate: {row.certificate}" for row in result.comparison.results]
    screen.print(Panel(Text("\n".join(lines)), title="nmahw demo", expand=False))
    for what, path in result.paths.items():
        show_path(what, path)


def _known(metadata: Mapping[str, str]) -> str:
    """What was measured on the whole test set when the network was bundled."""
    if not {"accuracy", "test_images"} <= set(metadata):
        return ""
    return (f" ({100 * float(metadata['accuracy']):.2f} % on the whole test set of "
            f"{int(metadata['test_images']):,})")
