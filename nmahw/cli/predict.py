"""``nmahw predict``."""

from typing import Annotated

import typer

from ._options import SAMPLE, Data, Model, load_data
from ._terminal import show_table, tell

EXAMPLE = "nmahw predict lenet5-w8a8 --limit 100 --trace"


def command(model: Model, data: Data = SAMPLE,
            limit: Annotated[int | None, typer.Option(
                metavar="N", min=1, help="Only the first N images.")] = None,
            trace: Annotated[bool, typer.Option(
                "--trace", help="Show what every layer's results need, in bits.")] = False):
    """Run a network's golden model: exact integers, no hardware.

    Prints the accuracy, when the images have labels.
    """
    from ..bundled import load_model
    network = load_model(model)
    images = load_data(network, data).first(limit)
    classes = network.classify(images.x)
    tell(f"{network.title}: {len(images):,} images, {network.macs:,} MAC each")
    if images.y is None:
        tell("classes: " + " ".join(map(str, classes[:100])) + (" ..." if len(classes) > 100
                                                                  else ""))
    else:
        right = int((classes == images.y).sum())
        tell(f"accuracy: {100 * images.accuracy(classes):.2f} % ({right:,} of {len(images):,})")
    if trace:
        _, seen = network.predict(images.x, trace=True)
        show_table("Results of every layer", ("layer", "kind", "shape", "lowest", "highest",
                                              "bits needed", "bits no input exceeds"),
                   [(index, layer.name, "x".join(map(str, output.shape[1:])), int(output.min()),
                     int(output.max()), needed, bound)
                    for index, (layer, output, needed, bound) in enumerate(zip(
                        network.layers, seen.outputs, seen.needed_bits, seen.bound_bits,
                        strict=True))], left=(1, 2))
