"""``nmahw simulate``."""

from typing import Annotated

import typer

from ..errors import UsageError
from ._options import (
    SAMPLE,
    Arithmetic,
    Array,
    Data,
    Jobs,
    Lockstep,
    Model,
    Share,
    load_data,
    read_array,
    read_choice,
)
from ._terminal import show_table, tell, working

EXAMPLE = "nmahw simulate lenet5-w8a8 --arith quarter_square --array 8x8 --images 100"
#: What can simulate a whole data set.
ENGINES = ("native",)


def command(model: Model, arith: Arithmetic = "quarter_square", array: Array = "8x8",
            lockstep: Lockstep = 1, share: Share = 1,
            data: Data = SAMPLE,
            images: Annotated[int | None, typer.Option(
                metavar="N", min=1, help="Only the first N images.")] = None,
            stalls: Annotated[float, typer.Option(
                metavar="P", min=0, max=0.99, help="Probability that a stream pauses in a cycle, "
                "input and output alike.")] = 0.0,
            seed: Annotated[int, typer.Option(
                metavar="S", min=0, max=2**31 - 1, help="Seed of the pauses.")] = 1,
            engine: Annotated[str, typer.Option(
                metavar="NAME", help=f"What simulates: {', '.join(ENGINES)}.")] = ENGINES[0],
            jobs: Jobs = 2):
    """Stream images through the accelerator's RTL and compare every output with the golden model.

    The Verilog is compiled to a native program (Verilator, g++). Without stalls, every pass of
    every image must also take exactly the cycles that are predicted.
    """
    from ..bundled import load_model
    from ..design import Design
    from ..mismatch import check_cycles, compare_with_golden
    from ..simulate import simulate
    if engine not in ENGINES:
        raise UsageError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    rows, columns = read_array(array)
    network = load_model(model)
    chosen = load_data(network, data).first(images)
    design = Design.of(network, read_choice(network, arith, rows, columns), rows, columns,
                       images=lockstep, share=share)
    with working("simulating") as work:
        result = simulate(design, chosen.x, jobs=jobs, stall_seed=seed if stalls else None,
                          stall_probability=stalls, progress=work.count, say=work.say)
        compare_with_golden(network, chosen.x, result, design)
    tell(f"{network.title}, {design.arithmetic}, {rows}x{columns} array: all "
         f"{result.outputs.size:,} outputs of {len(chosen):,} images equal the golden model's")
    if chosen.y is not None:
        tell(f"accuracy: {100 * chosen.accuracy(network.classify(chosen.x)):.2f} %")
    predicted = design.schedule.cycles_by_pass
    low, high = result.pass_cycles.min(axis=0), result.pass_cycles.max(axis=0)
    seen = [f"{a:,}" if a == b else f"{a:,} - {b:,}" for a, b in zip(low, high, strict=True)]
    show_table("Cycles of each pass" + (", of a batch" if lockstep > 1 else ""),
               ("pass", "layer", "predicted", "simulated"),
               [(index, one.title, cycles, text) for index, (one, cycles, text)
                in enumerate(zip(design.program.passes, predicted, seen, strict=True))],
               left=(1,))
    if not stalls:
        check_cycles(design, result)
        tell("simulated cycles equal the predicted ones, pass by pass")
    tell(f"cycles an image, predicted: {design.cycles_per_image:,}")
    tell(f"simulated {result.total_cycles:,} cycles in {result.wall_s:.1f} s: "
         f"{result.cycles_per_second:,.0f} cycles/s")
