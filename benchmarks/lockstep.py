"""The most images a second of LeNet-5 with 8-bit operands on one device, by arithmetic.

    python benchmarks/lockstep.py [--model lenet5-int8] [--device ecp5-25k] [--seeds N]
                                  [--only NAME] [--search]

Every arithmetic gets the array, the images in lockstep and the sharing of memories that fit the
device and take the fewest cycles an image (`POINTS`; ``--search`` finds them again by closed form
and estimate, among arrays with columns that a network of 6, 16, 120 and 84 channels can use).

Writes benchmarks/results/lockstep.json; with ``--only``, the other rows are kept.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from nmahw.bundled import load_model
from nmahw.compare import compare
from nmahw.design import Design
from nmahw.errors import ModelError
from nmahw.estimate import estimate
from nmahw.files import write_atomically
from nmahw.workbench import Workbench

RESULT = Path(__file__).parent / "results" / "lockstep.json"
#: Arithmetic: rows, columns, images, rows to a memory.
POINTS = {"bit_serial_weight": (32, 8, 3, 8), "booth": (4, 8, 3, 1), "dsp": (3, 3, 3, 1)}
# A device that is fuller than this does not route, or slowly.
_FULL = 0.85


def search(model: str, name: str, device: str, most: int = 1200) -> Iterator[tuple]:
    """Shapes that fit by their estimate, those with the fewest cycles an image first."""
    network, found = load_model(model), []
    serial = name == "bit_serial_weight"
    rows_of = (16, 24, 25, 28, 30, 32, 40) if serial else range(1, 9)
    for rows, columns, images in product(rows_of, (1, 2, 3, 4, 6, 8, 10, 12, 16), range(1, 7)):
        if rows * columns * images > most:
            continue
        for share in (7, 8) if serial else (1,):
            try:
                design = Design.of(network, name, rows, columns, images=images, share=share)
            except ModelError:
                continue
            found.append((design.cycles_per_image, rows, columns, images, share))
    for cycles, rows, columns, images, share in sorted(found):
        guess = estimate(Design.of(network, name, rows, columns, images=images, share=share),
                         device)
        if guess.fits and guess.resources["lut"] <= _FULL * guess.limits["lut"]:
            yield rows, columns, images, share, cycles, dict(guess.resources)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lenet5-int8")
    parser.add_argument("--device", default="ecp5-25k")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=POINTS)
    parser.add_argument("--search", action="store_true")
    options = parser.parse_args()
    names = [options.only] if options.only else list(POINTS)
    if options.search:
        for name in names:
            print(name, next(search(options.model, name, options.device)), flush=True)
        return 0
    network = load_model(options.model)
    bench = Workbench(jobs=1, say=lambda text: print(text, file=sys.stderr))
    rows = json.loads(RESULT.read_text())["rows"] if options.only and RESULT.is_file() else {}
    for name in names:
        shape = dict(zip(("rows", "columns", "images", "share"), POINTS[name], strict=True))
        done = compare(network, [name], options.device, seeds=range(1, options.seeds + 1),
                       baselines=(), bench=bench, **shape)
        row, = done.results
        rows[name] = {"array": shape} | done.row_document(row)
        if row.built:
            print(f"{name:18} {row.lut:6,} LUT {row.resources['block_ram']} block RAM "
                  f"{row.fmax_mhz:6.1f} MHz {row.cycles_per_image:,} cycles "
                  f"{row.images_per_s:,.0f} images/s", flush=True)
        else:
            print(f"{name:18} {row.problem}", flush=True)
        write_atomically(RESULT, json.dumps({
            "network": network.title, "device": options.device, "seeds": options.seeds,
            "tools": done.tool_versions, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
