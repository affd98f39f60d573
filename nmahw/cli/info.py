"""``nmahw info``."""

import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ._terminal import show_table, tell

EXAMPLE = "nmahw info"

_PACKAGES = ("amaranth", "numpy", "typer", "rich", "onnx", "matplotlib")


def command(
        model: Annotated[str | None, typer.Argument(
            metavar="[MODEL]", show_default=False,
            help="A bundled network or a network file: show its card and layers instead.")] = None):
    """Show what there is: versions, tools, devices, arithmetics, bundled networks, the cache."""
    if model is None:
        _everything()
    else:
        _one(model)


def _one(model: str) -> None:
    from ..bundled import card_of, load_model
    network = load_model(model)
    card = card_of(network)
    show_table(model, ("card", ""), card.rows, left=(0, 1))
    told = {"method", "seed", "command", "accuracy", "test_images", "weight_bits",
            "activation_bits"}
    if others := [(k, v) for k, v in sorted(network.metadata.items()) if k not in told]:
        show_table("More metadata", ("entry", "value"), others, left=(0, 1))
    show_table("Layers", ("layer", "what", "result", "MAC"),
               [(index, str(layer), str(network.formats[index + 1]),
                 layer.macs(network.formats[index]) or "")
                for index, layer in enumerate(network.layers)], left=(1, 2))


def _everything() -> None:
    from ..arith import ARITHMETICS
    from ..boards import BOARDS
    from ..bundled import card_of, load_model, models
    from ..cache import default_folder
    from ..devices import RESOURCES, devices
    from ..frontends import FRONTENDS
    from ..layers import LAYERS
    from ..toolchain import info
    tell(f"nmahw {__version__}, Python {platform.python_version()}, {platform.platform()}")
    show_table("Packages", ("package", "version"),
               [(name, _version(name)) for name in _PACKAGES], left=(0, 1))
    show_table("Tools", ("tool", "kind", "version", "where, or what installs it"),
               [(tool.name, tool.kind, tool.version, tool.where) for tool in info()],
               left=(0, 1, 2, 3))
    show_table("Devices", ("device", "part", "family", *(name.replace("_", " ")
                                                         for name in RESOURCES)),
               [(name, device.part, device.family,
                 *(device.limits.get(resource, "") for resource in RESOURCES))
                for name, device in devices().items()], left=(0, 1, 2))
    show_table("Boards", ("board", "title", "device", "clock, MHz"),
               [(board.name, board.title, board.device, f"{board.clock_hz / 1e6:g}")
                for board in BOARDS], left=(0, 1, 2))
    show_table("Arithmetics", ("arithmetic", "kind", "activation bits", "weight bits",
                               "one step"),
               [(kind.name, "baseline" if kind.is_baseline else "no multiplier",
                 "{}-{}".format(*kind.activation_bits), "{}-{}".format(*kind.weight_bits),
                 kind.summary) for kind in ARITHMETICS], left=(0, 1, 4))
    tell(f"Layers: {', '.join(LAYERS.names())}")
    tell("Front ends: " + ", ".join(f"{front_end.name} ({' '.join(front_end.suffixes)})"
                                    for front_end in FRONTENDS))
    networks = {name: load_model(name) for name in models()}
    cards = {name: card_of(network) for name, network in networks.items()}
    show_table("Bundled networks ('nmahw info NAME' shows more)",
               ("model", "method", "bits", "input", "MAC", "test accuracy", "seed"),
               [(name, cards[name].method, cards[name].bits,
                 "x".join(map(str, network.input_format.shape)), network.macs,
                 cards[name].accuracy, cards[name].seed) for name, network in networks.items()],
               left=(0, 1, 2, 3))
    folder = default_folder()
    tell(f"Cache of finished builds: {folder} ({_megabytes(folder):,.1f} MB)")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _megabytes(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            pass  # another process removed it
    return total / 1e6
