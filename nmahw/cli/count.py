"""``nmahw count``."""

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ._choices import completion
from ._options import SAMPLE, load_data
from ._terminal import show_path, show_table, tell, working

if TYPE_CHECKING:
    from ..network import Network
    from ..theory.per_layer import LayerCount

EXAMPLE = "nmahw count lenet5-w4a4 --limit 20"

_DEFAULT_IMAGES = 20
#: What distinct products are shown for, and what the table says of it.
_SCOPES = {"kernel": "within a kernel (one output and one input channel)",
           "layer": "within a layer"}


def command(
        model: Annotated[str, typer.Argument(
            metavar="MODEL", show_default=False, autocompletion=completion("models"),
            help="A bundled network ({models}), a file written by 'nmahw import', or the name of "
                 "an architecture to count without weights, for example alexnet.")],
        data: Annotated[str | None, typer.Option(
            "--data", metavar="FILE", show_default=False,
            help="Images: an .npz file, or 'sample'. By default the bundled sample that belongs to "
                 "the network; without one, the most products that any input needs.")] = None,
        limit: Annotated[int | None, typer.Option(
            metavar="N", min=1, show_default=False,
            help=f"Only the first N images; by default at most {_DEFAULT_IMAGES}.")] = None,
        json: Annotated[Path | None, typer.Option(
            "--json", metavar="FILE", help="Write the figures as JSON.")] = None):
    """Count a network's products: all, without zeros, different ones by each rule, shared ones.

    A product is a pair of an activation's and a weight's value, as in the NMA paper's theorems.
    The gain of sharing is counted in additions (see docs/theory.md); it is a model, not a
    measurement.
    """
    from ..bundled import load_model, models
    from ..files import check_writable, write_atomically
    from ..theory.architectures import ARCHITECTURES
    from ..theory.per_layer import count_layers
    if json is not None:
        check_writable(json)
    if model in ARCHITECTURES and model not in models() and not Path(model).is_file():
        if data is not None or limit is not None:
            raise UsageError(f"--data and --limit must not be given with {model}, an architecture "
                             f"without weights")
        document = _architecture(model)
    else:
        network = load_model(model)
        images, what = _images(network, data, limit)
        tell(f"{network.title}: {network.macs:,} MAC an image; {what}")
        with working("counting") as work:
            layers = count_layers(network, images, tuple(_SCOPES), progress=lambda done, total:
                                  work.count(done, total, "layers"))
        _show(layers)
        document = {"model": network.title, "images": 0 if images is None else len(images),
                    "layers": [_record(layer) for layer in layers]}
    if json is not None:
        show_path("JSON", write_atomically(json, json_text.dumps(document, indent=2) + "\n"))


def _images(network: "Network", data: str | None, limit: int | None):
    """Images to count with (or None), and a sentence about them."""
    if data is None and "sample" not in network.metadata:
        if limit is not None:
            raise UsageError("--limit must not be given without images: name them with --data")
        return None, "no images: the most that any input needs"
    images = load_data(network, data or SAMPLE)
    images = images.first(min(_DEFAULT_IMAGES, len(images)) if limit is None else limit)
    return images.x, f"means of {len(images):,} images"


def _number(value: float | None) -> object:
    if value is None:
        return "-"
    return int(value) if value == int(value) or value >= 1000 else round(value, 1)


def _show(layers: list["LayerCount"]) -> None:
    from ..theory.rules import RULES
    products = [layer for layer in layers if layer.distinct is not None]
    show_table("Products of every layer", ("layer", "weights", "MAC", "with real pixels",
                                           "without zeros", "NMA neurons"),
               [(layer.shape.name, layer.shape.weights, layer.shape.macs, layer.shape.products,
                 _number(layer.nonzero_macs) if layer in products else layer.operation,
                 sum(layer.shape.forward.values())) for layer in layers])
    if not products:
        tell("no layer is a sum of products: nothing to share")
        return
    for scope, words in _SCOPES.items():
        values = scope == "layer"
        show_table(f"Different products {words}", (
            "layer", *map(str, RULES), *(["values"] if values else [])),
            [(layer.shape.name, *(_number(layer.distinct[scope, rule]) for rule in RULES),
              *([_number(layer.values)] if values else [])) for layer in products])
    show_table("Sharing odd multiples, in additions", (
        "layer", "odd multiples", "adders", "additions unshared", "shared", "gain"),
        [(layer.shape.name, layer.sharing.multiples, layer.sharing.adders,
          _number(layer.sharing.unshared), _number(layer.sharing.shared),
          f"{layer.sharing.gain:.2f}") for layer in products])
    unshared, shared = (sum(getattr(layer.sharing, which) for layer in products)
                        for which in ("unshared", "shared"))
    tell(f"gain of the whole network: {unshared / shared if shared else 1:.2f}")


def _record(layer: "LayerCount") -> dict[str, object]:
    record = {"name": layer.shape.name, "operation": layer.operation, "macs": layer.shape.macs,
              "weights": layer.shape.weights, "products": layer.shape.products}
    if layer.distinct is not None:
        record |= {
            "nonzero_macs": layer.nonzero_macs, "distinct_values": layer.values,
            "distinct": [{"scope": scope, "rule": str(rule), "products": count}
                         for (scope, rule), count in layer.distinct.items()],
            "sharing": {"adders": layer.sharing.adders, "multiples": layer.sharing.multiples,
                        "unshared": layer.sharing.unshared, "shared": layer.sharing.shared,
                        "gain": layer.sharing.gain}}
    return record


def _architecture(name: str) -> dict[str, object]:
    from ..theory.architectures import architecture
    from ..theory.counts import backward_products, totals
    shapes = architecture(name)
    show_table(f"{name}: neurons of its NMA", (
        "layer", "output", "weights", "MAC", "products", "intermediate neurons", "sums"),
        [(shape.name, "x".join(map(str, shape.output_shape)), shape.weights, shape.macs,
          shape.products, 4 * shape.products, shape.outputs) for shape in shapes], left=(0, 1))
    total = {str(kind): count for kind, count in totals(shapes).items()}
    tell("in all: " + ", ".join(f"{count:,} {kind}" for kind, count in total.items()))
    backward = backward_products(shapes)
    tell("products of a training step's backward pass: "
         + ", ".join(f"{count:,} {kind}" for kind, count in backward.items()))
    return {"architecture": name, "neurons": total, "backward_products": backward, "layers": [
        {"name": shape.name, "weights": shape.weights, "macs": shape.macs,
         "products": shape.products} for shape in shapes]}
