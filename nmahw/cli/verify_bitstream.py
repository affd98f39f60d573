"""``nmahw verify-bitstream``."""

from pathlib import Path
from typing import Annotated

import typer

from ._options import SAMPLE, Data, Jobs, Model, load_data
from ._terminal import show_table, tell, working

EXAMPLE = "nmahw verify-bitstream build lenet5-w8a8 --images 20"


def command(
        folder: Annotated[Path, typer.Argument(
            metavar="DIR", show_default=False, help="What 'nmahw build' wrote.")],
        model: Model, data: Data = SAMPLE,
        images: Annotated[int, typer.Option(
            metavar="N", min=1, help="The first N images.")] = 20,
        jobs: Jobs = 2):
    """Take a built bitstream back, simulate the device behind its pins, and compare.

    iCE40: from the bitstream itself (Project IceStorm). ECP5: from the routed netlist, with cell
    models of our own. A whole conversation goes over the simulated UART; every output of every
    image must be the golden model's.
    """
    from ..bundled import load_model
    from ..verify import verify
    from ..workbench import Workbench
    network = load_model(model)
    chosen = load_data(network, data).first(images)
    with working("verifying") as work:
        found = verify(folder, network, chosen.x, Workbench(jobs=jobs, say=work.say))
    show_table(f"{network.title}, taken back", ("what", "number"), [
        ("gates", found.gates), ("flip-flops", found.flip_flops), ("memories", found.memories),
        ("devices side by side", found.lanes), ("clock cycles of each", found.clock_cycles)])
    tell(f"all {found.outputs.size:,} outputs of {len(chosen):,} images equal the golden model's")
