"""Times of counting distinct products: LeNet-5's convolutions over many images, one large layer.

``python benchmarks/distinct_products.py [--mnist mnist.npz] [--images 1000]``. Without ``--mnist``
(an .npz file with x_test) the bundled sample is repeated.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from nmahw.bundled import load_model, load_sample
from nmahw.datasets import load_images
from nmahw.theory.architectures import ARCHITECTURES
from nmahw.theory.counts import totals
from nmahw.theory.distinct import SCOPES, distinct_products
from nmahw.theory.distinct_backward import distinct_gradient_products
from nmahw.theory.forward import network_feeds, network_graph
from nmahw.theory.gates import ExactGate


def timed(what: str, function):
    """Run, print the seconds (and those of the processor), give the result."""
    begun, worked = time.perf_counter(), time.process_time()
    result = function()
    ended, done = time.perf_counter(), time.process_time()
    print(f"{ended - begun:7.2f} s, {done - worked:5.2f} s CPU  {what}", end="")
    return result


def lenet5(images: np.ndarray) -> None:
    """All convolutions, per kernel and per layer, both bundled word lengths."""
    for name in ("lenet5-w8a8", "lenet5-w4a4"):
        network = load_model(name)
        x = network.check_input(images)
        inputs = [x, *network.predict(x, trace=True)[1].outputs]
        layers = [(layer, x) for layer, x in zip(network.layers, inputs, strict=False)
                  if layer.name == "conv2d"]
        for scope in ("kernel", "layer"):
            counts = timed(f"{name}, {len(layers)} convolutions, {len(images):,} images, {scope}: ",
                           lambda scope=scope, layers=layers: [
                               distinct_products(x, layer.weights, layer.stride, layer.padding,
                                                 scope=scope).reshape(len(x), -1).sum(axis=1)
                               for layer, x in layers])
            print(", ".join(f"{count.mean():,.1f} of {layer.weights.size * _positions(layer, x):,}"
                            for count, (layer, x) in zip(counts, layers, strict=True)))


def _positions(layer, x: np.ndarray) -> int:
    return int(np.prod([(size + 2 * layer.padding - taps) // layer.stride + 1
                        for size, taps in zip(x.shape[2:], layer.weights.shape[2:],
                                              strict=True)]))


def large() -> None:
    """224 x 224 x 64 under 3 x 3 x 64 x 64."""
    rng = np.random.default_rng(0)
    pixels, weights = (1, 64, 224, 224), (64, 64, 3, 3)
    cases = {"8-bit": (rng.integers(0, 256, pixels), rng.integers(-127, 128, weights)),
             "16-bit": (rng.integers(0, 1 << 16, pixels), rng.integers(-(1 << 15), 1 << 15,
                                                                       weights)),
             "all different": (rng.permutation(64 * 224 * 224).reshape(pixels),
                               rng.permutation(64 * 64 * 9).reshape(weights))}
    for name, (x, w) in cases.items():
        for scope in SCOPES:
            count = timed(f"224x224x64 by 3x3x64x64, {name}, {scope}: ",
                          lambda x=x, w=w, scope=scope: distinct_products(x, w, 1, 1, scope=scope))
            print(f"{int(count.sum()):,}")


def backward() -> None:
    """Step two of the gradients of the same layers, on random 8-bit inputs and errors."""
    rng = np.random.default_rng(1)
    for images, channels, out, size, taps in ((1000, 1, 6, 32, 5), (1000, 6, 16, 14, 5),
                                              (1, 64, 64, 226, 3)):
        x = rng.integers(0, 256, (images, channels, size, size))
        errors = rng.integers(-128, 128, (images, out, size - taps + 1, size - taps + 1))
        for scope in ("kernel", "layer"):
            what = f"gradient, {images:,} x {channels}x{size}x{size}, {out} {taps}x{taps}, {scope}"
            count = timed(f"{what}: ", lambda x=x, errors=errors, taps=taps, scope=scope:
                          distinct_gradient_products(x, errors, (taps, taps), scope=scope))
            print(f"{count.sum() / images:,.1f} of {channels * taps**2 * errors[0].size:,}")


def graphs() -> None:
    """Neurons of large networks, and LeNet-5 as a graph that runs."""
    for name, shapes in ARCHITECTURES.items():
        count = timed(f"{name}: ", lambda shapes=shapes: totals(shapes()))
        print(", ".join(f"{number:,} {kind}" for kind, number in count.items()))
    network = load_model("lenet5-w8a8")
    graph = timed("LeNet-5 as a graph: ", lambda: network_graph(network))
    print(f"{sum(graph.totals.values()):,} neurons")
    x = load_sample("mnist-sample").x[:1]
    found = timed("run on additions: ",
                  lambda: graph.evaluate(network_feeds(network, x), ExactGate()).layers[-1])
    print("equal" if np.array_equal(found, network.predict(x)) else "DIFFERENT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    arguments = parser.parse_args()
    x = load_images(arguments.mnist).x if arguments.mnist else load_sample("mnist-sample").x
    lenet5(np.resize(x, (arguments.images, *x.shape[1:])))
    large()
    backward()
    graphs()


if __name__ == "__main__":
    main()
