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

# Fine-tuned from the float model that "lenet5-float" of the same seed leaves in the current folder.
_TUNED = "mnist --topology lenet5-bn --set start=lenet5-float-seed{seed}.npz --set shift=1"
# Quantised from the float training of the same seed, which comes first.
_ADDER = ("mnist --method addernet --topology lenet5-bn "
          "--set start=trained-models/lenet5-adder-seed{seed}.checkpoint.npz")
_DIGITS_INT8 = ("digits --method exact_integers --topology digits --bits 8/16/8/8 --epochs 80 "
                "--set rate=5 --set weight_range=1")

#: Bundled name, and the arguments of ``nmahw train`` but for seed and files.
MODELS: dict[str, str] = {
    "digits-int8": _DIGITS_INT8,
    "digits-int8-split1": f"{_DIGITS_INT8} --split 1",
    "digits-int8-split2": f"{_DIGITS_INT8} --split 2",
    "mlp-int8": "mnist --method exact_integers --topology mlp-128 --bits 8/16/8/8 --epochs 20 "
                "--set weight_range=3 --set activation_range=3 --set shift_images=1",
    "mlp64-int5": "mnist --method exact_integers --topology mlp-64 --bits 5/10/4/4 --epochs 25 "
                  "--set rate=8 --set shift_images=1",
    "lenet5-int8": "mnist --method exact_integers --topology lenet5 --bits 8/16/8/8 --epochs 4 "
                   "--set rate=7 --set weight_range=3 --set activation_range=3 "
                   "--set shift_images=1",
    "lenet5-w4a4": f"{_TUNED} --method quantised --bits 4x4 --epochs 4",
    "lenet5-w3a3": f"{_TUNED} --method quantised --bits 3x3 --epochs 5",
    "lenet5-ternary": f"{_TUNED} --method ternary --bits 2x4 --epochs 5",
    "lenet5-binary": f"{_TUNED} --method binary --bits 1x4 --epochs 6",
    "lenet5-shift": f"{_TUNED} --method shift --bits 4x4 --epochs 4",
    "lenet5-shift-pair": f"{_TUNED} --method shift_pair --bits 6x4 --epochs 4",
    "lenet5-adder": "mnist --method addernet --topology lenet5-bn --epochs 10",
    "lenet5-adder8": f"{_ADDER} --bits 8 --epochs 2",
    "lenet5-adder4": f"{_ADDER} --bits 4 --epochs 3",
}

_THROUGH = ("digits --topology digits --epochs 50 --split {seed} --set warm_up=20 "
            "--set batch=32 --set float_rate=0.01")
_NMA = "--method nma --epochs 20 --split {seed}"
_NMA_IMAGES = f"digits-images --topology 'conv 8 3, relu, max_pool 2, flatten, dense 10' {_NMA}"
_SIGMOID = "--set activation=sigmoid --set loss=squared_error --set rate=2"
_MOGAMI = "mnist --method mogami --epochs 10"
# At half the resolution of `resnet8`.
_RESNET = ("--topology 'conv 8 3 stride=2 padding=1, batch_norm, relu, residual 8, "
           "residual 16 stride=2, residual 32 stride=2, global_average_pool, dense 10'")

#: The same for trainings that are only recorded, not bundled; ``{seed}`` is the seed.
RECORDED: dict[str, str] = {
    **{f"digits-{name}": f"{_THROUGH} --method {method} --bits {bits}"
       for name, method, bits in (
           ("tuned-w4a4", "quantised", "4x4"), ("tuned-w3a3", "quantised", "3x3"),
           ("shift", "shift", "4x4"), ("shift-pair", "shift_pair", "6x4"),
           ("ternary", "ternary", "2x4"), ("binary", "binary", "1x4"))},
    "lenet5-float": "mnist --topology lenet5-bn --method quantised --bits 8x8 --epochs 16 "
                    "--set warm_up=15 --set shift=2 "
                    "--set keep_float=lenet5-float-seed{seed}.npz",
    **{f"digits-nma-{gate}": f"digits --topology digits {_NMA} --set gate={gate}"
       for gate in ("quarter_square", "rom_softplus", "rom_sigmoid", "softplus", "sigmoid",
                    "exact")},
    **{f"digits-nma-{gate}-sigmoid": f"digits --topology digits {_NMA} --set gate={gate} {_SIGMOID}"
       for gate in ("softplus", "exact")},
    **{f"digits-images-nma-{gate}": f"{_NMA_IMAGES} --set gate={gate} --set rate=4"
       for gate in ("quarter_square", "rom_softplus", "softplus", "exact")},
    "lenet5-mogami-bf16": f"{_MOGAMI} --topology lenet5 --set float_format=bf16 --set shift=1",
    "lenet5-mogami-fp32": f"{_MOGAMI} --topology lenet5 --set shift=1",
    "lenet5-mogami-exact": f"{_MOGAMI} --topology lenet5 --set product=exact --set shift=1",
    "mlp-mogami-bf16": f"{_MOGAMI} --topology mlp-128 --set float_format=bf16",
    "mlp-mogami-fp32": f"{_MOGAMI} --topology mlp-128",
    "mlp-mogami-constant": f"{_MOGAMI} --topology mlp-128 --set mean_error_constant=0.0566",
    "mlp-mogami-exact": f"{_MOGAMI} --topology mlp-128 --set product=exact",
    "resnet-mogami-fp32": f"mnist --method mogami --epochs 6 {_RESNET}",
    "resnet-mogami-constant": f"mnist --method mogami --epochs 6 {_RESNET} "
                              "--set mean_error_constant=0.0566",
    "resnet-mogami-exact": f"mnist --method mogami --epochs 6 {_RESNET} --set product=exact",
}


def train(name: str, seed: int, work: Path, data: Path | None) -> dict[str, object]:
    """Run one training; its record, which is also written to `RESULTS`."""
    out = work / f"{name}-seed{seed}.npz"
    settings = shlex.split((MODELS | RECORDED)[name].format(seed=seed))
    words = ["train", *settings, "--seed", str(seed), "-o", str(out)]
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
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default all that are bundled")
    parser.add_argument("--data", type=Path, help="MNIST's file, instead of a download")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("trained-models"))
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    known = MODELS | RECORDED
    if unknown := set(arguments.names) - set(known):
        parser.error(f"names must be of {', '.join(known)}, not {', '.join(sorted(unknown))}")
    for name in arguments.names or MODELS:
        if not arguments.summary:
            records = {seed: train(name, seed, arguments.work, arguments.data)
                       for seed in arguments.seeds}
            best = max(records, key=lambda seed: records[seed]["validation_accuracy"])
            chosen = arguments.work / f"{name}-seed{best}.npz"
            # A residual network is none for the IR.
            if chosen.exists():
                print(write_atomically(arguments.work / f"{name}.npz", chosen.read_bytes()))
        print(summary(name) or f"{name}: no record")
