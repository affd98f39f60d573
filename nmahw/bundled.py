"""Quantised networks and image samples that ship with the package.

Every ``NAME.npz`` in `nmahw.data` that does not end in ``-sample`` is a network; its metadata
entry ``sample`` names the sample that belongs to it.
"""

import difflib
import os
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from .datasets import Images, load_images
from .errors import UsageError
from .network import Network

__all__ = ["models", "samples", "load_model", "load_sample", "sample_for"]

_SAMPLE = "-sample"


def _names() -> list[str]:
    files = resources.files(f"{__package__}.data").iterdir()
    return sorted(file.name.removesuffix(".npz") for file in files if file.name.endswith(".npz"))


def models() -> list[str]:
    """Names of the bundled networks, sorted."""
    return [name for name in _names() if not name.endswith(_SAMPLE)]


def samples() -> list[str]:
    """Names of the bundled image samples, sorted."""
    return [name for name in _names() if name.endswith(_SAMPLE)]


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
    if Path(name).is_file():
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
