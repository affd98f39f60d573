"""Accuracy of quantised networks beside float, on whole test sets.

    python benchmarks/accuracy.py [--json F] [--bits 8 6 4] [--shared DIR]
"""

import argparse
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from trained import SHARED, TRAINED

from nmahw.errors import NmahwError
from nmahw.files import check_writable, write_atomically
from nmahw.quantise import quantise


def measure(shared: Path, bits: list[int]) -> list[dict]:
    """One row per network and width."""
    rows = []
    for trained in TRAINED:
        network, test = trained.network(shared), trained.data(shared, "test")
        calibration = trained.calibration(shared)
        float_accuracy = test.accuracy(network.classify(test.x))
        for width in bits:
            start = time.perf_counter()
            quantised = quantise(network, calibration, width, width)
            quantise_s = time.perf_counter() - start
            start = time.perf_counter()
            classes = quantised.classify(test.x)
            rows.append({"network": trained.title, "weight_bits": width,
                         "activation_bits": width, "float_accuracy": float_accuracy,
                         "accuracy": test.accuracy(classes), "test_images": len(test),
                         "calibration_images": len(calibration),
                         "quantise_s": round(quantise_s, 2),
                         "predict_s": round(time.perf_counter() - start, 2)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 6, 5, 4, 3, 2])
    parser.add_argument("--shared", type=Path, default=SHARED)
    arguments = parser.parse_args()
    if arguments.json:
        check_writable(arguments.json)
    rows = measure(arguments.shared, arguments.bits)
    table = Table(title="accuracy, integer networks (golden model) beside float")
    for heading in ("network", "bits", "float %", "quantised %", "change", "test images",
                    "quantise s", "predict s"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for row in rows:
        change = row["accuracy"] - row["float_accuracy"]
        table.add_row(row["network"], f"W{row['weight_bits']}A{row['activation_bits']}",
                      f"{row['float_accuracy']:.2%}", f"{row['accuracy']:.2%}",
                      f"{100 * change:+.2f}", f"{row['test_images']:,}",
                      f"{row['quantise_s']:.1f}", f"{row['predict_s']:.1f}")
    # A pipe's 80 columns would break the names.
    Console(width=max(Console().width, 110)).print(table)
    if arguments.json:
        print(write_atomically(arguments.json, json.dumps(rows, indent=2) + "\n"))


if __name__ == "__main__":
    try:
        main()
    except NmahwError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
