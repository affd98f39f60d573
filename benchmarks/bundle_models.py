"""Make the files of `nmahw/data` from the trained weights and MNIST in ``../shared``.

    python benchmarks/bundle_models.py [--shared DIR] [--out DIR]

``digits-sample.npz`` is read, not made: `nmahw/data/README.md` tells where it is from.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from trained import SHARED, TRAINED

from nmahw.errors import NmahwError
from nmahw.files import write_atomically
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
            path = quantised.save(out / f"{trained.key}-w{bits}a{bits}.npz")
            print(f"{path}: {accuracy:.2%} (float {float_accuracy:.2%}), "
                  f"{path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--out", type=Path, default=DATA)
    arguments = parser.parse_args()
    try:
        bundle(arguments.shared, arguments.out)
    except NmahwError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
