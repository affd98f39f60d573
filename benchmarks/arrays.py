"""Measures elements and arrays of every arithmetic on every device family, best known first.

    python benchmarks/arrays.py [--minutes 60] [--quick] [--jobs 2]

A row (one arithmetic, all seeds) is written to benchmarks/results/arrays.json as soon as it is
done. What is there is kept as long as design, seeds and tools are the same, so a run that was
ended goes on where it was; place-and-route runs that had ended are in the build cache.
Render with benchmarks/render_arrays.py.
"""

import argparse
import hashlib
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from nmahw.arith import ARITHMETICS
from nmahw.devices import device as device_called
from nmahw.errors import ModelError, NmahwError, UsageError
from nmahw.files import write_atomically
from nmahw.measure import (
    ArrayTask,
    ConstantTask,
    ElementTask,
    Task,
    default_arithmetics,
    measure_one,
)
from nmahw.result import baseline_names
from nmahw.toolchain import Cancelled, find
from nmahw.workbench import Workbench

RESULTS = Path(__file__).parent / "results" / "arrays.json"
SEEDS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Entry:
    """One table: a task on a device, and the arithmetics in order of importance."""

    device: str
    task: Task
    names: tuple[str, ...]

    @property
    def key(self) -> str:
        """Identity in the results."""
        task = self.task
        return (f"{self.device}, {task.what}, "
                f"w{task.weight_bits}a{task.activation_bits}").replace(", ", "-").replace(" ", "-")


def order(weight_bits: int, activation_bits: int) -> tuple[str, ...]:
    """Baselines, exact products, other functions, approximations, optional baselines."""
    def rank(name: str) -> tuple[bool, bool, bool]:
        kind = ARITHMETICS.get(name)
        return not kind.exact, kind.operation != "product", kind.weight_bits[1] < weight_bits

    names = sorted(default_arithmetics(weight_bits, activation_bits), key=rank)
    operations = {ARITHMETICS.get(name).operation for name in names} | {"product"}
    always = baseline_names(operations)
    optional = [kind.name for kind in ARITHMETICS if kind.is_baseline
                and kind.operation in operations and kind.name not in always]
    return (*always, *names, *optional)


def matrix() -> Iterator[Entry]:
    """Everything, in order of importance."""
    squares = [(8, 8), (4, 4), (6, 6)]
    # The smallest ECP5 with room for 64 hard multipliers, or 64 block RAMs.
    for bits in squares:
        yield Entry("ecp5-45k", ArrayTask(*bits, 8, 8), order(*bits))
    # The more elements, the less feeding and accumulators weigh.
    yield Entry("ecp5-45k", ArrayTask(8, 8, 16, 16), ("distributed", "l1", "ternary"))
    # The smallest one, full: of hard multipliers, and of an array without any.
    yield Entry("ecp5-25k", ArrayTask(8, 8, 4, 7), ("dsp", "dsp_registered"))
    yield Entry("ecp5-25k", ArrayTask(8, 8, 24, 16), ("distributed",))
    # All block RAM of an HX8K: 24 tables, and sums in 4 columns.
    yield Entry("ice40-hx8k", ArrayTask(8, 8, 6, 4, 256), order(8, 8))
    yield Entry("ice40-hx8k", ConstantTask(8, 8, 8, 8), ("booth", "distributed_binary"))
    yield Entry("ice40-hx8k", ConstantTask(8, 8, 12, 16), ("distributed_binary",))
    for device in ("ice40-hx8k", "gw1nr-9", "ice40-up5k", "gatemate-a1"):
        for bits in squares:
            if device != "ice40-hx8k" or bits != (8, 8):
                yield Entry(device, ArrayTask(*bits, 4, 4, 256), order(*bits))
    for device in ("ecp5-45k", "ice40-hx8k", "gw1nr-9", "ice40-up5k", "gatemate-a1"):
        for bits in squares:
            yield Entry(device, ElementTask(*bits), order(*bits))
    for bits in ((4, 4), (6, 6)):
        yield Entry("ice40-hx8k", ConstantTask(*bits, 4, 4), order(*bits))
    # One fabric in three sizes: some rows of the others, to hold against those of the 45k.
    yield Entry("ecp5-25k", ArrayTask(8, 8, 8, 8), ("booth", "distributed", "l1", "ternary"))
    yield Entry("ecp5-85k", ArrayTask(8, 8, 8, 8),
                ("booth", "dsp", "distributed", "distributed_block_ram", "l1", "ternary"))


def quick() -> Iterator[Entry]:
    """What ends within an hour on a slow machine."""
    for bits in ((8, 8), (4, 4)):
        yield Entry("ecp5-25k", ArrayTask(*bits, 4, 4), order(*bits))


def design_hash(task: Task, name: str) -> str:
    """Of the RTLIL; of the reason where there is none."""
    try:
        text = task.rtlil(task.prepare(name))
    except (ModelError, UsageError) as error:
        text = str(error)
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """The results file."""

    def __init__(self, path: Path):
        self.path = path
        self.document = json.loads(path.read_text()) if path.exists() else {
            "schema": "nmahw-arrays", "version": 1, "tables": {}}

    def row(self, entry: Entry, name: str) -> dict | None:
        """What is there."""
        table = self.document["tables"].get(entry.key)
        return table["rows"].get(name) if table else None

    def keep(self, entry: Entry, name: str, row: dict) -> None:
        """Add or replace a row, and write the file."""
        table = self.document["tables"].setdefault(entry.key, {
            "device": entry.device, "kind": type(entry.task).__name__,
            "task": asdict(entry.task), "rows": {}})
        table["rows"][name] = row
        # In the order of the entry, whatever was measured first.
        table["rows"] = {known: table["rows"][known] for known in
                         dict.fromkeys([*entry.names, *table["rows"]]) if known in table["rows"]}
        write_atomically(self.path, json.dumps(self.document, indent=1) + "\n")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, help="end after so many")
    parser.add_argument("--quick", action="store_true", help="4x4 arrays on an ECP5-25k only")
    parser.add_argument("--only", default="", help="entries whose name holds this text")
    parser.add_argument("--arith", default="", help="only these, separated by commas")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="show the entries, measure nothing")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    entries = [entry for entry in (quick() if arguments.quick else matrix())
               if arguments.only in entry.key]
    if arguments.list:
        for entry in entries:
            print(entry.key, " ".join(entry.names))
        return 0
    begun = time.monotonic()
    bench = Workbench(jobs=arguments.jobs, say=lambda text: print(
        f"[{time.monotonic() - begun:6.0f} s] {text}", flush=True))
    # A shell's background jobs ignore the interrupt unless it is asked for.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: bench.group.stop())
    if arguments.minutes is not None:
        timer = threading.Timer(60 * arguments.minutes, bench.group.stop)
        timer.daemon = True
        timer.start()
    store = Store(arguments.results)
    wanted = {name for name in arguments.arith.split(",") if name}
    try:
        for entry in entries:
            for name in entry.names:
                if not wanted or name in wanted:
                    measure_entry(store, entry, name, bench)
    except Cancelled:
        print("ended before everything was measured: run again to go on")
        return 130
    return 0


def measure_entry(store: Store, entry: Entry, name: str, bench: Workbench) -> None:
    """One row, unless it is there."""
    if bench.group.stopped:
        raise Cancelled("the time is over")
    device = device_called(entry.device)
    design = design_hash(entry.task, name)
    tools = {tool: find(tool).version for tool in ("yosys", device.rules.place_tool)}
    known = store.row(entry, name)
    if known and (known["design"], known["seeds"], known["flow"]) == (design, list(SEEDS), tools):
        return
    bench.say(f"{entry.device}, {entry.task.title}: {name}")
    try:
        row = measure_one(entry.task, name, device, SEEDS, bench).document()
    except Cancelled:
        raise
    except NmahwError as error:
        bench.say(f"{name}: {error}")
        return
    if row.get("problem"):  # not where this machine keeps its logs
        row["problem"] = re.sub(r" \(whole log: [^)]*\)", "", row["problem"])
    store.keep(entry, name, row | {"design": design, "seeds": list(SEEDS), "flow": tools,
                                   "measured": time.strftime("%Y-%m-%d")})


if __name__ == "__main__":
    sys.exit(main())
