"""Quantised networks and image samples that ship with the package.

Every ``NAME.npz`` in `nmahw.data` that does not end in ``-sample`` is a network; its metadata
entry ``sample`` names the sample that belongs to it. What the metadata tell of where a network
comes from is its `Card`.
"""

import difflib
import os
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from .datasets import Images, load_images
from .errors import UsageError
from .network import Network

__all__ = ["SAMPLE_SUFFIX", "Card", "card_of", "models", "samples", "load_model", "load_sample",
           "sample_for"]

#: How names of samples end.
SAMPLE_SUFFIX = "-sample"


def _names() -> list[str]:
    files = resources.files(f"{__package__}.data").iterdir()
    return sorted(file.name.removesuffix(".npz") for file in files if file.name.endswith(".npz"))


@dataclass(frozen=True)
class Card:
    """Where a network comes from, as its metadata tell; "" for what they do not.

    Attributes
    ----------
    title : str
    method : str
        Training method, or "quantised after training".
    bits : str
        Widths of weights and activations, for example ``W4A4``.
    accuracy : str
        In percent, on `test_images` images.
    test_images : str
    seed : str
    command : str
        Makes the network again.
    """

    title: str
    method: str
    bits: str
    accuracy: str
    test_images: str
    seed: str
    command: str

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Names and values for a table, empty ones left out."""
        tested = f"{self.accuracy} of {self.test_images} test images"
        named = [("title", self.title), ("method", self.method), ("bits", self.bits),
                 ("accuracy", tested if self.accuracy else ""), ("seed", self.seed),
                 ("command", self.command)]
        return [(name, value) for name, value in named if value]


def card_of(network: Network) -> Card:
    """The card of a network, bundled or not."""
    known = network.metadata
    weights, activations = known.get("weight_bits", ""), known.get("activation_bits", "")
    try:
        accuracy = f"{100 * float(known['accuracy']):.2f} %"
    except (KeyError, ValueError):
        accuracy = ""
    method = known.get("method") or ("quantised after training" if "calibration" in known else "")
    return Card(network.title, method, f"W{weights}A{activations}" if weights and activations
                else "", accuracy, known.get("test_images", ""), known.get("seed", ""),
                known.get("command", ""))


def models() -> list[str]:
    """Names of the bundled networks, sorted."""
    return [name for name in _names() if not name.endswith(SAMPLE_SUFFIX)]


def samples() -> list[str]:
    """Names of the bundled image samples, sorted."""
    return [name for name in _names() if name.endswith(SAMPLE_SUFFIX)]


def load_model(name_or_path: str | os.PathLike) -> Network:
    """A bundled network by its name, or one from a file written by `Network.save`.

    Raises
    ------
    UsageError
        Neither a bundled name nor an existing file; the message lists the names.
    ModelError
        The file is damaged or of another kind.
    """
    name = os.fspath(name_or_path)
    if name in models():
        with resources.as_file(_file(name)) as path:
            return Network.load(path)
    # Not Path.is_file: a name that is too long is an error there.
    if os.path.isfile(name):
        return Network.load(name)
    near = difflib.get_close_matches(name, models(), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise UsageError(f"model must be an existing file or one of {', '.join(models())}, not "
                     f"{name!r}{hint}")


def load_sample(name: str, split: str = "test") -> Images:
    """A bundled sample of images with labels; `split` as in `load_images`.

    Raises
    ------
    UsageError
        Unknown name; the message lists those there are.
    """
    if name not in samples():
        raise UsageError(f"sample must be one of {', '.join(samples())}, not {name!r}")
    with resources.as_file(_file(name)) as path:
        return load_images(path, split)


def sample_for(network: Network) -> Images:
    """The bundled sample that belongs to `network`, as its metadata tell.

    Raises
    ------
    UsageError
        Its metadata name none, or one that is not bundled.
    """
    name = network.metadata.get("sample")
    if name is None:
        raise UsageError(f"images must be given for {network.title!r}: no bundled sample belongs "
                         f"to it")
    return load_sample(name)


def _file(name: str) -> Traversable:
    return resources.files(f"{__package__}.data") / f"{name}.npz"
