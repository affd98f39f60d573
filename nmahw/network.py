"""The network IR: integer tensors, layers, and `predict`, the golden model of everything else.

A `Network` is frozen. It is checked when it is made: a network that exists chains, and every
accumulator's range is known. It is saved to one ``.npz`` file: an entry ``network`` with a JSON
text (format version, input format, layer kinds and their plain fields) and one integer array
``layer<i>.<field>`` for each array field. Nothing is ever pickled.
"""

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from .errors import ModelError, NmahwError, UsageError
from .files import write_atomically
from .layers import LAYERS, Layer
from .operations import Operation
from .tensor import TensorFormat, bits_for_range

__all__ = ["Network", "Trace", "FORMAT_VERSION"]

#: Version of the file format; a reader refuses versions it does not know.
FORMAT_VERSION = 1

# Images computed at a time: large enough for BLAS, small enough for the cache.
_BATCH = 128


@dataclass(frozen=True)
class Trace:
    """What `Network.predict` saw on its way.

    Attributes
    ----------
    outputs : tuple of integer arrays
        Result of every layer, batch axis first.
    needed_bits : tuple of int
        Width in bits that the values actually seen after each layer need.
    bound_bits : tuple of int
        Width that no input can exceed, from the layers' ranges.
    """

    outputs: tuple[np.ndarray, ...]
    needed_bits: tuple[int, ...]
    bound_bits: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """An integer neural network.

    Parameters
    ----------
    input_format : TensorFormat
        Shape and range of one input.
    layers : tuple of Layer
        At least one.
    title : str
        What the network is called in reports.
    metadata : mapping of str to str
        Where it comes from; carried along, never interpreted.

    Raises
    ------
    ModelError
        A layer cannot take what the one before it gives; the message names it.
    """

    input_format: TensorFormat
    layers: tuple[Layer, ...]
    title: str = "network"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        if not self.layers:
            raise ModelError("a network must have at least one layer, not none")
        for index, layer in enumerate(self.layers[:-1]):
            if layer.is_last:
                raise ModelError(f"layer {index} ({layer.name}) must be the last one, but "
                                 f"{len(self.layers) - 1 - index} follow it")
        _ = self.formats

    def __hash__(self) -> int:
        return hash((self.input_format, self.layers))

    @cached_property
    def formats(self) -> tuple[TensorFormat, ...]:
        """Format of the input and of every layer's output (``len(layers) + 1`` of them)."""
        formats = [self.input_format]
        for index, layer in enumerate(self.layers):
            try:
                formats.append(layer.output_format(formats[-1]))
            except ModelError as error:
                raise ModelError(f"layer {index} ({layer.name}): {error}") from None
            if formats[-1].magnitude >= 2**53:
                raise ModelError(f"layer {index} ({layer.name}) must stay below 2^53, but can "
                                 f"reach {formats[-1].magnitude}")
        return tuple(formats)

    @property
    def output_format(self) -> TensorFormat:
        """Format of the network's result."""
        return self.formats[-1]

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulate steps per image."""
        return sum(layer.macs(fmt) for layer, fmt in zip(self.layers, self.formats, strict=False))

    def check_input(self, x: np.ndarray) -> np.ndarray:
        """`x` as a batch of this network's inputs.

        Parameters
        ----------
        x : integer array (batch, *input shape)
            The channel axis may be left out when there is one channel.

        Raises
        ------
        ModelError
            Wrong kind, shape or range.
        """
        x = np.asarray(x)
        shape = self.input_format.shape
        if x.dtype.kind not in "iu":
            raise ModelError(f"input must be integers, not {x.dtype}")
        if len(shape) == 3 and shape[0] == 1 and x.shape[1:] == shape[1:]:
            x = x[:, None]
        elif len(shape) == 1 and x.ndim > 2 and np.prod(x.shape[1:]) == shape[0]:
            x = x.reshape(len(x), -1)
        if x.ndim < 1 or x.shape[1:] != shape:
            raise ModelError(f"input must have shape (batch, {', '.join(map(str, shape))}), "
                             f"not {x.shape}")
        if x.size and (x.min() < self.input_format.low or x.max() > self.input_format.high):
            raise ModelError(f"input must lie in {self.input_format.low}.."
                             f"{self.input_format.high}, not {x.min()}..{x.max()}")
        return x

    def predict(self, x: np.ndarray, trace: bool = False) -> np.ndarray | tuple[np.ndarray, Trace]:
        """Exact integer results for a batch: the golden model.

        Parameters
        ----------
        x : integer array (batch, *input shape)
        trace : bool
            Also return every layer's result.

        Returns
        -------
        integer array (batch, *output shape), or that and a `Trace`
        """
        x = self.check_input(x)
        batches = [x[i:i + _BATCH] for i in range(0, len(x), _BATCH)] or [x]
        kept: list[list[np.ndarray]] = []
        for batch in batches:
            outputs = []
            for layer, fmt in zip(self.layers, self.formats, strict=False):
                batch = layer.compute(batch, fmt)
                outputs.append(batch)
            kept.append(outputs if trace else outputs[-1:])
        outputs = tuple(np.concatenate(parts) for parts in zip(*kept, strict=True))
        if not trace:
            return outputs[-1]
        needed = tuple(bits_for_range(int(o.min()), int(o.max())) if o.size else 0
                       for o in outputs)
        return outputs[-1], Trace(outputs, needed, tuple(f.bits for f in self.formats[1:]))

    @property
    def classes(self) -> int:
        """Number of classes that `classify` can name."""
        result = self.formats[-1]
        return result.high + 1 if self.layers[-1].names_class else math.prod(result.shape)

    def classify(self, x: np.ndarray) -> np.ndarray:
        """Class named for each input: the network's own arg max, or that of its features."""
        result = self.predict(x).reshape(len(x), -1)
        return result[:, 0] if self.layers[-1].names_class else result.argmax(axis=1)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the network to one file, atomically.

        Raises
        ------
        EnvironmentProblem
            `path` cannot be written.
        """
        arrays, layers = {}, []
        for index, layer in enumerate(self.layers):
            entry = {"kind": layer.name}
            for item in fields(layer):
                value = getattr(layer, item.name)
                if isinstance(value, np.ndarray):
                    arrays[f"layer{index}.{item.name}"] = _compact(value)
                else:
                    entry[item.name] = value.name if isinstance(value, Operation) else value
            layers.append(entry)
        text = json.dumps({
            "format": "nmahw-network", "version": FORMAT_VERSION, "title": self.title,
            "input": {"shape": list(self.input_format.shape), "low": self.input_format.low,
                      "high": self.input_format.high},
            "layers": layers, "metadata": dict(self.metadata)}, sort_keys=True)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, network=np.array(text), **arrays)
        return write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Network":
        """Read a network written by `save`.

        Raises
        ------
        ModelError
            The file is missing, damaged, of another kind or of an unknown version.
        """
        path = Path(path)
        if path.suffix == ".onnx":
            raise ModelError(f"{path} must go through 'nmahw import' first")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                if not isinstance(archive, np.lib.npyio.NpzFile) or "network" not in archive:
                    raise ModelError(f"{path} must be a network file written by nmahw; a float "
                                     f"model has to go through 'nmahw import' first")
                arrays = {name: archive[name] for name in archive.files}
            return cls._from_parts(str(arrays.pop("network")), arrays)
        except FileNotFoundError:
            raise ModelError(f"model file {path} does not exist") from None
        except NmahwError as error:
            raise ModelError(str(error) if str(path) in str(error)
                             else f"{path}: {error}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
                zipfile.BadZipFile, zipfile.zlib.error, NotImplementedError) as error:
            # numpy's own words advise to load what must not be loaded.
            why = "" if "pickle" in str(error) else f": {error}"
            raise ModelError(f"{path} is damaged or not a network file "
                             f"({type(error).__name__}{why})") from None

    @classmethod
    def _from_parts(cls, text: str, arrays: dict[str, np.ndarray]) -> "Network":
        document = json.loads(text)
        if document.get("format") != "nmahw-network":
            raise ModelError("the file must be a network file written by nmahw")
        if document.get("version") != FORMAT_VERSION:
            raise ModelError(f"network format version must be {FORMAT_VERSION}, not "
                             f"{document.get('version')!r}: update nmahw")
        layers = []
        for index, entry in enumerate(document["layers"]):
            entry = dict(entry)
            try:
                kind = LAYERS.get(entry.pop("kind"))
                for item in fields(kind):
                    key = f"layer{index}.{item.name}"
                    if key in arrays:
                        entry[item.name] = arrays.pop(key)
                    elif item.name not in entry and item.default is MISSING:
                        raise ModelError(f"field {item.name!r} is missing")
                layers.append(kind(**entry))
            except (ModelError, UsageError) as error:
                raise ModelError(f"layer {index}: {error}") from None
        given = document["input"]
        input_format = TensorFormat(tuple(given["shape"]), given["low"], given["high"])
        return cls(input_format, tuple(layers), str(document["title"]), document["metadata"])


def _compact(array: np.ndarray) -> np.ndarray:
    for kind in (np.int8, np.int16, np.int32):
        if array.min() >= np.iinfo(kind).min and array.max() <= np.iinfo(kind).max:
            return array.astype(kind)
    return array
