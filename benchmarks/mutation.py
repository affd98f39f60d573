"""Mutation score of every arithmetic's element under the default tests' stimulus.

    python benchmarks/mutation.py [NAME ...] [--bits WxA] [--count N] [--seed S] [--json F]

At least 95 % of the mutants that are not equivalent have to be killed; survivors are listed.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nmahw.arith import ARITHMETICS, Arithmetic, Operand
from nmahw.errors import ModelError
from nmahw.files import check_writable, write_atomically
from nmahw.mutate import score
from nmahw.toolchain import find

LEAST_RATIO = 0.95
#: All codes of an element are listed for the solver: 20 bits take ten times as long.
MOST_HELD_BITS = 16


def versions() -> dict[str, str]:
    """Of what the figures depend on."""
    return {"python": platform.python_version(), "yosys": find("yosys").version,
            "z3": find("z3").version}


def instance(name: str, weight_bits: int, activation_bits: int) -> Arithmetic:
    """What is mutated; where an element's taps have a code together, with at most 16 bits of it."""
    kind, activation = ARITHMETICS.get(name), Operand(activation_bits, True)
    found = kind.nearest(activation, Operand(weight_bits, True)).provable
    most = MOST_HELD_BITS // found.taps
    if not found.holds_weights or found.weight.bits <= most:
        return found
    return kind.nearest(activation, Operand(most, True)).provable


def save(given: argparse.Namespace, rows: list[dict], left_out: dict[str, str]) -> None:
    """Write what there is, if it is to be written."""
    if given.json:
        write_atomically(given.json, json.dumps(
            {"versions": versions(), "count": given.count, "seed": given.seed, "results": rows,
             "left_out": left_out}, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--bits", default="4x4", help="of weights and of activations")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.json:
        check_writable(given.json)
    weight, activation = (int(bits) for bits in given.bits.split("x"))
    rows, left_out = [], {}
    for name in given.names or ARITHMETICS.names():
        arithmetic = instance(name, weight, activation)
        begun = time.perf_counter()
        try:
            result = score(arithmetic, given.count, given.seed, timeout_s=60)
        except ModelError as error:
            left_out[name] = str(error)
            continue
        rows.append({"arithmetic": name, "activation": str(arithmetic.activation),
                     "weight": str(arithmetic.weight), "steps": result.steps,
                     "mutants": result.mutants, "killed": result.killed,
                     "equivalent": result.equivalent, "survivors": list(result.survivors),
                     "ratio": round(result.ratio, 4),
                     "seconds": round(time.perf_counter() - begun, 1)})
        print(f"{name}: {result.ratio:.1%}", file=sys.stderr, flush=True)
        save(given, rows, left_out)
    table = Table(title=f"{given.count} mutants each, seed {given.seed}")
    for name in ("arithmetic", "operands", "mutants", "killed", "equivalent", "alive", "ratio"):
        table.add_column(name, justify="left" if name in ("arithmetic", "operands") else "right")
    for row in rows:
        table.add_row(row["arithmetic"], f"{row['activation']}x{row['weight']}",
                      *(str(row[key]) for key in ("mutants", "killed", "equivalent")),
                      str(len(row["survivors"])), f"{row['ratio']:.1%}")
    console = Console()
    console.print(table)
    for row in rows:
        for survivor in row["survivors"]:
            console.print(f"{row['arithmetic']}: alive: {survivor}", markup=False)
    for name, why in left_out.items():
        console.print(f"{name}: left out: {why}", markup=False)
    save(given, rows, left_out)
    return int(any(row["ratio"] < LEAST_RATIO for row in rows))


if __name__ == "__main__":
    sys.exit(main())
