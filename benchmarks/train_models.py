"""Train the bundled models again, each by its command, and keep the best of several seeds.

    python benchmarks/train_models.py [NAME ...] [--data mnist.npz] [--seeds 0 1 2]
                                      [--work DIR]

Every run leaves its record in ``benchmarks/results/train/NAME-seedN.json``; the network with the
best validation accuracy becomes ``NAME.npz`` in ``--work``, for ``bundle_models.py --add``. Runs in
``--work`` that are finished or were ended go on from there. ``--summary`` only prints the table of
the records that are there.
"""

import argparse
import json
import shlex
import statistics
import sys
from pathlib import Path

from nmahw.cli import run
from nmahw.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "train"

_DIGITS_INT8 = ("digits --method exact_integers --topology digits --bits 8/16/8/8 --epochs 80 "
                "--set rate=5 --set weight_range=1")

#: Bundled name, and the arguments of ``nmahw train`` but for seed and files.
MODELS: dict[str, str] = {
    "digits-int8": _DIGITS_INT8,
    "digits-int8-split1": f"{_DIGITS_INT8} --split 1",
    "digits-int8-split2": f"{_DIGITS_INT8} --split 2",
    "mlp-int8": "mnist --method exact_integers --topology mlp-128 --bits 8/16/8/8 --epochs 20 "
                "--set weight_range=3 --set activation_range=3 --set shift_images=1",
}


def train(name: str, seed: int, work: Path, data: Path | None) -> dict[str, object]:
    """Run one training; its record, which is also written to `RESULTS`."""
    out = work / f"{name}-seed{seed}.npz"
    words = ["train", *shlex.split(MODELS[name]), "--seed", str(seed), "-o", str(out)]
    if data is not None and words[1] == "mnist":
        words += ["--data", str(data)]
    if code := run(words):
        sys.exit(code)
    text = out.with_suffix(".json").read_text()
    write_atomically(RESULTS / f"{name}-seed{seed}.json", text)
    return json.loads(text)


def summary(name: str) -> str | None:
    """Test accuracies of a model's records, in percent."""
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{name}-seed*.json"))]
    if not records:
        return None
    found = [100 * record.get("network_test_accuracy", record["test_accuracy"])
             for record in records]
    spread = statistics.stdev(found) if len(found) > 1 else 0.0
    seconds = statistics.median(entry["seconds"] for record in records
                                for entry in record["history"])
    return (f"{name}: {statistics.mean(found):.2f} +- {spread:.2f} % "
            f"({', '.join(f'{value:.2f}' for value in found)}), {seconds:.1f} s an epoch")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default all")
    parser.add_argument("--data", type=Path, help="MNIST's file, instead of a download")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("trained-models"))
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(MODELS):
        parser.error(f"names must be of {', '.join(MODELS)}, not {', '.join(sorted(unknown))}")
    for name in arguments.names or MODELS:
        if not arguments.summary:
            records = {seed: train(name, seed, arguments.work, arguments.data)
                       for seed in arguments.seeds}
            best = max(records, key=lambda seed: records[seed]["validation_accuracy"])
            chosen = arguments.work / f"{name}-seed{best}.npz"
            print(write_atomically(arguments.work / f"{name}.npz", chosen.read_bytes()))
        print(summary(name) or f"{name}: no record")
