"""What skipping tap tiles of zeros is worth: one network and array, with and without.

    python benchmarks/skip_zeros.py [--model mlp-w4a4] [--arith NAME] [--device D] [--array RxC]
                                    [--seeds N]

Writes benchmarks/results/skip_zeros.json.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from nmahw.bundled import load_model
from nmahw.compare import compare
from nmahw.design import Design
from nmahw.files import write_atomically
from nmahw.workbench import Workbench

RESULT = Path(__file__).parent / "results" / "skip_zeros.json"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mlp-w4a4")
    parser.add_argument("--arith", default="bit_serial_radix4")
    parser.add_argument("--device", default="ecp5-25k")
    parser.add_argument("--array", default="4x4")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows, columns = map(int, options.array.split("x"))
    network = load_model(options.model)
    bench = Workbench(jobs=1, say=lambda text: print(text, file=sys.stderr))
    document = {"device": options.device, "array": options.array, "network": network.title,
                "rows": {}}
    for label, skip in (("all", False), ("skipping", True)):
        done = compare(network, [options.arith], options.device, rows, columns,
                       range(1, options.seeds + 1), baselines=(), bench=bench,
                       design_factory=partial(Design.of, skip_zeros=skip))
        row, = done.results
        design = Design.of(network, options.arith, rows, columns, skip_zeros=skip)
        document["rows"][label] = done.row_document(row) | {"memory_bits": design.memory_bits}
        if row.built:
            print(f"{label:8} {row.lut:6,} LUT {row.resources['block_ram']} block RAM "
                  f"{row.fmax_mhz:6.1f} MHz {row.cycles_per_image:,} cycles "
                  f"{row.macs_per_s_per_lut / 1e6:5.2f} MMAC/s per LUT")
        else:
            print(f"{label:8} {row.problem}")
    print(write_atomically(RESULT, json.dumps(document, indent=1) + "\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
