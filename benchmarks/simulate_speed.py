"""Time of the native RTL simulation, stage by stage, every output and cycle count checked.

    python benchmarks/simulate_speed.py [--model M] [--arith A] [--array RxC] [--images N]
                                        [--data F] [--jobs J] [--warm] [--json F]

Without ``--warm`` every stage is done anew in a cache of its own.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nmahw.bundled import load_model
from nmahw.cache import Cache
from nmahw.datasets import load_images
from nmahw.design import Design
from nmahw.files import check_writable, write_atomically
from nmahw.mismatch import check_cycles, compare_with_golden
from nmahw.simulate import simulate
from nmahw.verilate import build_simulator
from nmahw.verilog import to_verilog

DATA = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


def measure(model: str, arithmetic: str, rows: int, columns: int, images: int, data: Path,
            jobs: int, cache: Cache) -> dict:
    """Seconds of every stage, and the simulation's speed."""
    stages, begun = {}, time.perf_counter()

    def mark(stage: str) -> None:
        nonlocal begun
        stages[stage] = round(time.perf_counter() - begun, 2)
        begun = time.perf_counter()

    design = Design.of(load_model(model), arithmetic, rows, columns)
    x = load_images(data).first(images).x
    rtlil = design.rtlil()
    mark("generate RTLIL")
    to_verilog(rtlil, cache=cache)
    mark("emit Verilog")
    build_simulator(rtlil, cache)
    mark("compile")
    # Generates the RTLIL once more, as every caller does.
    result = simulate(design, x, jobs=jobs, cache=cache)
    mark("simulate")
    compare_with_golden(design.network, x, result, design, cache)
    check_cycles(design, result)
    mark("compare with golden")
    return {"model": model, "arithmetic": arithmetic, "rows": rows, "columns": columns,
            "images": len(x), "jobs": jobs, "stages_s": stages,
            "total_s": round(sum(stages.values()), 2), "streaming_s": round(result.wall_s, 2),
            "clock_cycles": result.total_cycles,
            "cycles_per_second": round(result.cycles_per_second),
            "cycles_per_image": design.cycles_per_image, "load": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lenet5-w8a8")
    parser.add_argument("--arith", default="quarter_square")
    parser.add_argument("--array", default="8x8")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--warm", action="store_true", help="use the user's cache")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.json:
        check_writable(given.json)
    rows, columns = (int(size) for size in given.array.split("x"))
    with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
        row = measure(given.model, given.arith, rows, columns, given.images, given.data,
                      given.jobs, Cache() if given.warm else Cache(folder))
    table = Table(title=f"{row['model']}, {row['arithmetic']}, {given.array}, "
                        f"{row['images']:,} images, all outputs equal")
    table.add_column("stage")
    table.add_column("s", justify="right")
    for stage, seconds in row["stages_s"].items():
        table.add_row(stage, f"{seconds:.1f}")
    table.add_row("all", f"{row['total_s']:.1f}")
    console = Console()
    console.print(table)
    console.print(f"{row['clock_cycles']:,} clock cycles, {row['cycles_per_second']:,} a second "
                  f"({row['jobs']} processes, load {row['load']:.1f})")
    if given.json:
        write_atomically(given.json, json.dumps(row, indent=2) + "\n")


if __name__ == "__main__":
    main()
