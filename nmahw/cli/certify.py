"""``nmahw certify``."""

from typing import Annotated

import typer

from ._options import (
    Arithmetic,
    Array,
    DeviceName,
    Jobs,
    Lockstep,
    Model,
    Share,
    read_array,
    read_choice,
)
from ._terminal import show_table, tell, working

EXAMPLE = "nmahw certify lenet5-w8a8 --arith quarter_square --device ecp5-45k --array 4x4"


def command(model: Model, arith: Arithmetic, device: DeviceName = "ecp5-45k",
            array: Array = "4x4", lockstep: Lockstep = 1, share: Share = 1,
            place: Annotated[bool, typer.Option(
                "--place/--no-place", help="Place and route too, and search what comes out.")]
            = True, jobs: Jobs = 2):
    """Certify that an accelerator holds no multiplier, or fail (exit code 4) and show them.

    Searched are the RTLIL (nothing that multiplies, divides or takes a remainder) and the mapped
    and the placed netlist (no hard multiplier), addressing and requantisation included.
    """
    from ..bundled import load_model
    from ..certify import certify
    from ..compare import flow_options
    from ..design import Design
    from ..devices import device as device_called
    from ..place import place_and_route
    from ..workbench import Workbench
    rows, columns = read_array(array)
    part = device_called(device)
    network = load_model(model)
    arith = read_choice(network, arith, rows, columns, device)
    design = Design.of(network, arith, rows, columns, images=lockstep, share=share)
    options = flow_options(design.arithmetic)
    with working(f"certifying {arith}") as work:
        bench = Workbench(jobs=jobs, say=work.say)
        rtlil = design.rtlil(pins="serial")
        placed = place_and_route(rtlil, part, options, [1], bench=bench, label=arith) \
            if place else ()
        certificate = certify(rtlil, part, options, bench, placed, arith)
    show_table(f"{arith}, {rows}x{columns} array on {part.name}",
               ("stage", "cells searched", "that multiply"),
               [(stage, cells, sum(finding.stage == stage for finding in certificate.findings))
                for stage, cells in certificate.cells.items()])
    certificate.require()
    tell(f"certificate granted: {certificate}")
