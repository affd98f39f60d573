"""Softmax without products: errors beside their bound, and what it takes of a device.

    python benchmarks/softmax.py            # errors: a table
    python benchmarks/softmax.py --area     # LeNet-5 W4A4 with and without, placed and routed

The second one writes benchmarks/results/softmax.json.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from nmahw.bundled import load_model
from nmahw.compare import compare
from nmahw.files import write_atomically
from nmahw.layers.softmax import Softmax
from nmahw.network import Network
from nmahw.tensor import TensorFormat
from nmahw.workbench import Workbench

RESULT = Path(__file__).parent / "results" / "softmax.json"
_FEATURES = 10
_VECTORS = 60_000
_SHIFT = 4


def errors() -> None:
    """Bound and worst error of several sizes, over features of three spreads."""
    print("| p, F | table bits | bound, units of 2^-p | worst seen | cycles |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for bits, table_bits in ((8, 4), (8, 6), (8, 8), (8, 10), (8, 12), (12, 12), (16, 12)):
        layer, rng, worst = Softmax(_SHIFT, bits, table_bits), np.random.default_rng(0), 0.0
        for spread in (20, 60, 200):
            x = rng.integers(-spread, spread + 1, (_VECTORS, _FEATURES))
            fmt = TensorFormat((_FEATURES,), -spread, spread)
            terms = np.exp((x - x.max(axis=1, keepdims=True)) / 2.0**_SHIFT)
            wanted = terms / terms.sum(axis=1, keepdims=True)
            worst = max(worst, np.abs(layer.compute(x, fmt) / 2.0**bits - wanted).max())
        size = (len(layer.powers) * (layer.term_bits + 1)
                + len(layer.logarithms) * (table_bits + 1))
        print(f"| {bits}, {table_bits} | {size:,} | {layer.error_bound(_FEATURES) * 2**bits:.2f} | "
              f"{worst * 2**bits:.2f} | {layer.exit_cycles(_FEATURES)} |")


def area(device: str, seeds: int) -> None:
    """The accelerator with and without softmax."""
    plain = load_model("lenet5-w4a4")
    bench = Workbench(jobs=1, say=lambda text: print(text, file=sys.stderr))
    document = {"device": device, "rows": {}}
    for label, layers in (("logits", ()), ("softmax", (Softmax(5),))):
        network = Network(plain.input_format, plain.layers + layers, plain.title)
        done = compare(network, ["shared_multiples"], device, 4, 4, range(1, seeds + 1),
                       baselines=(), bench=bench)
        row, = done.results
        document["rows"][label] = done.row_document(row)
        print(label, row.problem or f"{row.resources} {row.fmax_mhz:.1f} MHz "
              f"{row.cycles_per_image:,} cycles")
    print(write_atomically(RESULT, json.dumps(document, indent=1) + "\n"))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--area", action="store_true")
    parser.add_argument("--device", default="ecp5-25k")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if options.area:
        area(options.device, options.seeds)
    else:
        errors()
    return 0


if __name__ == "__main__":
    sys.exit(main())
