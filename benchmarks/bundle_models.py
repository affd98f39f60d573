"""Make the files of `nmahw/data`: networks quantised after training, trained ones, their cards.

    python benchmarks/bundle_models.py [--shared DIR] [--out DIR]
    python benchmarks/bundle_models.py --add NAME RUN.npz --title TITLE [--after RUN.json]
    python benchmarks/bundle_models.py --readme

The first form quantises the trained weights in ``../shared``. The second bundles what
``nmahw train`` wrote, as NAME; `--after` is the record of a run whose float model it started from,
whose command comes before its own on the card. All write the README with all cards.

``digits-sample.npz`` is read, not made: `nmahw/data/README.md` tells where it is from.
"""

import argparse
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from trained import SHARED, TRAINED

from nmahw.bundled import SAMPLE_SUFFIX, card_of
from nmahw.errors import NmahwError, UsageError
from nmahw.files import write_atomically
from nmahw.network import Network
from nmahw.quantise import quantise

DATA = Path(__file__).resolve().parents[1] / "nmahw" / "data"
BITS = (8, 4)
SAMPLE_IMAGES = 256


def bundle(shared: Path, out: Path) -> None:
    """Write every bundled network and the MNIST sample below `out`."""
    mnist = TRAINED[0].data(shared, "test").first(SAMPLE_IMAGES)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=mnist.x, y=mnist.y.astype(np.uint8))
    print(write_atomically(out / "mnist-sample.npz", buffer.getvalue()))
    for trained in TRAINED:
        network, test = trained.network(shared), trained.data(shared, "test")
        calibration = trained.calibration(shared)
        float_accuracy = test.accuracy(network.classify(test.x))
        for bits in BITS:
            path = out / f"{trained.key}-w{bits}a{bits}.npz"
            if path.exists() and Network.load(path).metadata.get("method"):
                print(f"{path}: a trained network took its place")
                continue
            settings = dict(weight_bits=bits, activation_bits=bits)
            quantised = quantise(network, calibration, **settings)
            accuracy = test.accuracy(quantised.classify(test.x))
            quantised = quantise(
                network, calibration, **settings,
                title=f"{trained.title} W{bits}A{bits}", metadata={
                    "source": trained.file, "sample": trained.sample,
                    "architecture": trained.architecture,
                    "calibration": f"first {len(calibration)} training images",
                    "test_images": str(len(test)),
                    "accuracy": f"{accuracy:.4f}", "float_accuracy": f"{float_accuracy:.4f}",
                    "command": "python benchmarks/bundle_models.py"})
            quantised.save(path)
            print(f"{path}: {accuracy:.2%} (float {float_accuracy:.2%}), "
                  f"{path.stat().st_size} bytes", flush=True)


def add(name: str, run: Path, title: str, after: Path | None, out: Path) -> None:
    """Bundle the network of a training as `name`."""
    network = Network.load(run)
    missing = {"method", "seed", "command", "accuracy", "test_images", "sample"} - set(
        network.metadata)
    if missing:
        raise UsageError(f"{run} must be a network that nmahw train wrote, but its metadata lack "
                         f"{', '.join(sorted(missing))}")
    command = network.metadata["command"]
    if after is not None:
        command = f"{json.loads(after.read_text())['command']} && {command}"
    metadata = dict(network.metadata) | {"command": command}
    path = replace(network, title=title, metadata=metadata).save(out / f"{name}.npz")
    print(f"{path}: {metadata['accuracy']}, {path.stat().st_size} bytes")


def write_readme(out: Path) -> None:
    """The README of the data folder, with the cards of all networks in it."""
    cards: list[str] = []
    commands: dict[str, list[str]] = {}
    for path in sorted(out.glob("*.npz")):
        if path.stem.endswith(SAMPLE_SUFFIX):
            continue
        card = card_of(Network.load(path))
        cards.append(f"| `{path.stem}` | {card.title} | {card.method} | {card.bits} | "
                     f"{card.accuracy} of {card.test_images} | {card.seed} |")
        commands.setdefault(card.command, []).append(path.stem)
    listed = [f"# {', '.join(names)}\n" + command.replace(" && ", "\n")
              for command, names in commands.items()]
    text = (README.replace("{cards}", "\n".join(cards))
            .replace("{commands}", "\n".join(listed)))
    print(write_atomically(out / "README.md", text))


README = """# Bundled data

Networks (`nmahw info NAME` shows the same card, and the layers):

| network | title | method | bits | test accuracy | seed |
| --- | --- | --- | --- | --- | --- |
{cards}

Commands that make them again (the trained ones go on with
`python benchmarks/bundle_models.py --add NAME RUN.npz --title TITLE`, which also writes this file):

```
{commands}
```

| file | what it is |
| --- | --- |
| `mnist-sample.npz` | the first 256 images of the MNIST test set (`x`, `y`; uint8) |
| `digits-sample.npz` | all 1,797 images of the optical digits, codes 0..16 (`x`, `y`: the \
450 of the test split; `x_train`, `y_train`: the other 1,347) |
| `estimates.json` | what the cost model of `nmahw estimate` was fitted to |

Networks are files of `nmahw.network.Network`. Validation images chose the epoch of every trained
one; accuracy is that on the whole test set.

MNIST: Y. LeCun, C. Cortes, C. Burges, derived from NIST Special Database 19.

Digits: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
Learning Repository (CC BY 4.0), as `sklearn.datasets.load_digits` has them, divided by
`train_test_split(test_size=0.25, random_state=0, stratify=y)`.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument("--add", nargs=2, metavar=("NAME", "RUN.npz"))
    parser.add_argument("--title", help="title of the network that is added")
    parser.add_argument("--after", type=Path, metavar="RUN.json")
    parser.add_argument("--readme", action="store_true", help="write nothing but the README")
    arguments = parser.parse_args()
    if arguments.add and not arguments.title:
        parser.error("--add needs --title")
    try:
        if arguments.add:
            add(arguments.add[0], Path(arguments.add[1]), arguments.title, arguments.after,
                arguments.out)
        elif not arguments.readme:
            bundle(arguments.shared, arguments.out)
        write_readme(arguments.out)
    except NmahwError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
