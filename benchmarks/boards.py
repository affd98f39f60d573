"""Networks on boards: bitstreams built, with what they take and how fast they are.

    python benchmarks/boards.py [--only TEXT] [--work DIR]

Runs ``nmahw build`` for each of `BUILDS` (what was built before comes from the cache) and writes
benchmarks/results/boards.json, a build at a time. ``--only`` takes those whose command holds TEXT.
Images a second are by cycles and the clock that was routed, without the serial line.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from nmahw.bundled import load_model
from nmahw.cli import run
from nmahw.files import write_atomically

RESULTS = Path(__file__).parent / "results" / "boards.json"
#: What ``nmahw build`` is told.
BUILDS = (
    "lenet5-adder4 --board icebreaker --arith l1 --array 4x6",
    "lenet5-int8 --board icebreaker --arith bit_serial --array 2x8 --clock 24",
    "lenet5-w4a4-trained --board icebreaker --arith bit_serial --array 4x6 --clock 24",
    "lenet5-w4a4-trained --board icebreaker --arith fabric --array 4x6 --clock 24",
    "mlp64-int5 --board icebreaker --arith bit_serial --array 4x8",
    "digits-w4a4 --board hx8k_b_evn --arith bit_serial --array 2x2",
    "digits-w4a4 --board tang_nano_9k --array 2x2",
    "digits-w4a4 --board tang_nano_20k --array 2x2",
)


def measured(command: str, work: Path) -> dict[str, object] | None:
    """Report of one build; None where it failed, which was told."""
    words = shlex.split(command)
    folder = work / "-".join(word.lstrip("-") for word in words)
    if run(["build", *words, "--jobs", "1", "-o", str(folder)]):
        return None
    report = json.loads((folder / "report.json").read_text())
    return report | {"accuracy": load_model(words[0]).metadata.get("accuracy")}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--work", type=Path, default=Path("board-builds"))
    arguments = parser.parse_args()
    rows = json.loads(RESULTS.read_text())["builds"] if RESULTS.exists() else {}
    failed = 0
    for command in BUILDS:
        if arguments.only not in command:
            continue
        report = measured(command, arguments.work)
        failed += report is None
        if report is not None:
            rows[command] = report
            ordered = {key: rows[key] for key in BUILDS if key in rows}
            write_atomically(RESULTS, json.dumps(
                {"schema": "nmahw-boards", "version": 1, "builds": ordered}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
