"""``nmahw import``."""

from pathlib import Path
from typing import Annotated

import typer

from ._options import read_integers, read_ratio, read_shape
from ._terminal import show_path, tell, working

EXAMPLE = ("nmahw import lenet5.onnx -o lenet5-w8a4.npz --calibration mnist.npz --weight-bits 8 "
           "--activation-bits 4")


def command(model: Annotated[Path, typer.Argument(
                metavar="FLOAT_MODEL", help="Trained model ({suffixes}).", show_default=False)],
            output: Annotated[Path, typer.Option(
                "-o", "--output", metavar="FILE", help="Quantised network to write (.npz).",
                show_default=False)],
            calibration: Annotated[Path, typer.Option(
                metavar="FILE", help="Images to choose scales with: .npz with x_train (or x), "
                "integers as the network will get them.", show_default=False)],
            calibration_images: Annotated[int, typer.Option(
                metavar="N", min=1, help="At most so many of them.")] = 2000,
            weight_bits: Annotated[str, typer.Option(
                metavar="BITS", help="Width of weights: one number, or one per layer with weights "
                "(8,4,4).")] = "8",
            activation_bits: Annotated[str, typer.Option(
                metavar="BITS", help="Width of what enters each layer with weights, likewise.")]
            = "8",
            architecture: Annotated[str | None, typer.Option(
                metavar="TEXT", help="Layers in order, for .npz files that do not say, such as "
                "'conv2d:c1 padding=2, relu, max_pool:2, flatten, dense:f1'.")] = None,
            input_shape: Annotated[str | None, typer.Option(
                metavar="CxHxW", help="Shape of one input, for example 1x28x28.")] = None,
            input_scale: Annotated[str | None, typer.Option(
                metavar="NUMBER", help="Real value of one step of the input's integers, for "
                "example 1/255.")] = None,
            softmax: Annotated[int | None, typer.Option(
                "--softmax", metavar="BITS", show_default=False,
                help="End in a softmax (base e) with results of that many bits, 1..16, in units "
                "of 2^-BITS. A softmax of the model itself is left out otherwise.")] = None,
            title: Annotated[str | None, typer.Option(
                metavar="TEXT", help="What reports call the network.")] = None):
    """Read a trained float model and quantise it to an integer network.

    Prints the accuracy of both on the file's test images (x_test, y_test), or else on the
    calibration images, when they have labels.
    """
    from ..datasets import load_images
    from ..files import check_writable
    from ..frontends import read_float_model
    from ..quantise import quantise
    check_writable(output)
    widths = (read_integers(weight_bits, "weight bits"),
              read_integers(activation_bits, "activation bits"))
    float_network = read_float_model(
        model, architecture, None if input_shape is None else read_shape(input_shape),
        None if input_scale is None else read_ratio(input_scale, "input scale"))
    images = load_images(calibration, "train")
    used = images.first(min(calibration_images, len(images)))
    with working(f"quantising on {len(used):,} images"):
        network = quantise(float_network, used.x, *widths, title=title, softmax_bits=softmax)
    tell(f"{network.title}: {len(network.layers)} layers, {network.macs:,} MAC an image")
    test = load_images(calibration, "test")
    if test.y is not None:
        before = test.accuracy(float_network.classify(test.x))
        after = test.accuracy(network.classify(test.x))
        tell(f"accuracy on {len(test):,} images: {100 * after:.2f} %, float {100 * before:.2f} %")
    show_path("network", network.save(output))
