"""``.npz``: named arrays of weights, and a line of text that says how they are chained.

Write a model with one call; for a PyTorch module, its state dict as it is::

    np.savez("model.npz",
             architecture="conv2d:conv1 padding=2, batch_norm:bn1, relu, max_pool:2, "
                          "flatten, dense:fc1, relu, dense:fc2",
             input_shape=(1, 28, 28), input_scale=1 / 255,
             **{name: tensor.numpy() for name, tensor in model.state_dict().items()})

Entries
-------
``architecture``
    Text; the layers in order, separated by commas or line breaks:

    ======================================== ==================================================
    ``conv2d:NAME [stride=1] [padding=0]``   convolution, weights (out, in, height, width)
    ``dense:NAME``                           fully connected, weights (out, in)
    ``... operation=NAME``                   what a convolution or dense layer sums: ``product``,
                                             or ``l1`` (AdderNet's ``-|x - w|``)
    ``batch_norm:NAME [eps=1e-5]``           batch norm in inference, folded into its neighbour
    ``relu``, ``flatten``
    ``max_pool:SIZE [stride=SIZE]``
    ``average_pool:SIZE [stride=SIZE]``      SIZE a power of two
    ======================================== ==================================================

``NAME.weight``, ``NAME.bias``
    Tensors of the layer ``NAME``, as PyTorch lays them out; also found as ``NAME_weight``,
    ``NAME_w`` or ``wNAME`` (and so on). A bias may be left out. Batch norm also wants
    ``NAME.running_mean`` and ``NAME.running_var``.
``input_shape``, ``input_scale``, ``input_range``, ``input_offset``
    Shape of one input (channels, height, width) or (features,); real value of one step of the
    integer input codes (1/255 when left out); smallest and largest code (0 and 1/scale when
    left out); real value of code 0 (0 when left out; the first layer must be unpadded
    otherwise). Other entries are ignored.

Without an architecture
-----------------------
A file of weights alone is read by convention: layers in the file's order, four axes a
convolution followed by ``relu, max_pool:2``, two axes a dense layer followed by ``relu`` except
the last. Each convolution is unpadded or keeps its input's size, whichever makes the layers
chain; if that is not exactly one way, an architecture must be given.
"""

from __future__ import annotations

import itertools
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..errors import ModelError, UsageError
from ..floatnet import FloatNetwork
from . import FrontEnd, ImportOptions
from ._architecture import build_layers, tensor_names

__all__ = ["NpzFrontEnd"]

_MAX_GUESSED = 8


class NpzFrontEnd(FrontEnd):
    """Named weight arrays; see the module's documentation for the layout."""

    name: ClassVar[str] = "npz"
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    def read(self, path: Path, options: ImportOptions) -> FloatNetwork:
        arrays = _load(path)
        if "network" in arrays:
            raise UsageError(f"{path} must be a float model to be imported, but is a network that "
                             f"has been quantised already")
        options = _complete(options, arrays)
        if options.architecture is not None:
            shape = _first_features(options.architecture, arrays)
            input_format, scale = options.input_format(shape)
            layers = build_layers(options.architecture, arrays, input_format.shape,
                                  options.input_offset)
            return FloatNetwork(input_format, scale, layers, path.stem)
        return _by_convention(arrays, options, path.stem)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here, because np.load leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ModelError(f"{path} must be an .npz archive, not a single array")
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile,
            zipfile.zlib.error, NotImplementedError, SyntaxError) as error:
        raise ModelError(f"{path} is damaged or not an .npz archive of plain arrays "
                         f"({type(error).__name__}: {error})") from None


def _complete(options: ImportOptions, arrays: dict[str, np.ndarray]) -> ImportOptions:
    """`options` with what the file says where the user says nothing."""
    found = {}
    if options.architecture is None and "architecture" in arrays:
        text = arrays["architecture"]
        if text.dtype.kind not in "US" or text.size != 1:
            raise ModelError(f"entry 'architecture' must be one text, not {text.dtype} of shape "
                             f"{text.shape}")
        item = text.reshape(-1)[0]
        found["architecture"] = item.decode(errors="replace") if isinstance(item, bytes) \
            else str(item)
    for name, dimensions in (("input_shape", 1), ("input_scale", 0), ("input_range", 1),
                             ("input_offset", 0)):
        if getattr(options, name) is None and name in arrays:
            value = arrays[name]
            kinds = "iu" if dimensions else "iuf"
            if value.dtype.kind not in kinds or value.ndim != dimensions or \
                    (name == "input_range" and value.size != 2):
                raise ModelError(f"entry {name!r} must be "
                                 + {"input_shape": "a list of integers",
                                    "input_range": "two integers"}.get(name, "a number")
                                 + f", not {value.dtype} of shape {value.shape}")
            found[name] = tuple(value.tolist()) if dimensions else float(value)
    return replace(options, **found)


def _first_features(architecture: str, arrays: dict[str, np.ndarray]) -> tuple[int, ...] | None:
    """Input shape that the first layer's weights tell: only a dense layer's do."""
    for name in tensor_names(architecture, arrays)[:1]:
        if arrays[name].ndim == 2:
            return (arrays[name].shape[1],)
    return None


def _by_convention(arrays: dict[str, np.ndarray], options: ImportOptions, title: str
                   ) -> FloatNetwork:
    weights = {name: array for name, array in arrays.items()
               if array.ndim in (2, 4) and array.dtype.kind == "f"}
    labels = [_label(name) for name in weights]
    if not weights or None in labels:
        odd = [name for name, label in zip(weights, labels, strict=True) if label is None]
        raise ModelError("an architecture must be given, because the file has no entry "
                         "'architecture' and "
                         + (f"{odd[0]!r} is not a conventional name (NAME.weight, NAME_w, wNAME)"
                            if odd else "no weight arrays with two or four axes; it holds "
                            + (", ".join(arrays) or "nothing")))
    kinds = [array.ndim for array in weights.values()]
    convolutions = kinds.count(4)
    if convolutions > _MAX_GUESSED or kinds != sorted(kinds, reverse=True):
        raise ModelError(f"an architecture must be given, because the conventional order is at "
                         f"most {_MAX_GUESSED} convolutions, then dense layers, not "
                         + ", ".join(weights))
    first = next(iter(weights.values()))
    input_format, scale = options.input_format((first.shape[1],) if not convolutions else None)
    networks, problem = [], None
    for same in itertools.product((False, True), repeat=convolutions):
        try:
            text = _conventional_text(list(zip(labels, weights.values(), strict=True)), same)
            layers = build_layers(text, arrays, input_format.shape, options.input_offset)
            networks.append(FloatNetwork(input_format, scale, layers, title))
        except ModelError as error:
            problem = error
    if len(networks) == 1:
        return networks[0]
    if not convolutions:
        raise problem
    raise ModelError(f"an architecture must be given, because {len(networks) or 'no'} choices of "
                     f"padding (none or size-keeping, each convolution followed by relu, "
                     f"max_pool:2) make the layers chain"
                     + ("" if networks else f"; the last one failed with: {problem}"))


def _label(name: str) -> str | None:
    for ending in (".weight", "_weight", ".w", "_w"):
        if name.endswith(ending) and len(name) > len(ending):
            return name[:-len(ending)]
    return name[1:] if name[:1] == "w" and name[1:].isalnum() else None


def _conventional_text(layers: list[tuple[str, np.ndarray]], same: tuple[bool, ...]) -> str:
    steps = []
    for index, (label, weights) in enumerate(layers):
        if weights.ndim == 4:
            padding = min(weights.shape[2:]) // 2 if same[index] else 0
            steps += [f"conv2d:{label} padding={padding}", "relu", "max_pool:2"]
        else:
            if index and layers[index - 1][1].ndim == 4:
                steps.append("flatten")
            steps += [f"dense:{label}", "relu"]
    if layers[-1][1].ndim == 2:
        steps.pop()
    return ", ".join(steps)
