"""The networks and images of a sweep, as bytes named by their SHA-256: made where it is started."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..bundled import load_model, load_sample
from ..datasets import load_images
from ..errors import ModelError
from ..frontends import read_float_model
from ..network import Network
from ..quantise import quantise
from .spec import FloatModel, Spec

__all__ = ["Content", "Networks", "loaded_network"]


@dataclass(frozen=True)
class Content:
    """A network, and the images its accuracy is measured with (None without labels)."""

    network: str
    images: str | None
    bits: str


class Networks:
    """Every network of a sweep.

    Parameters
    ----------
    spec : Spec
    say : callable
        Told what takes time.

    Attributes
    ----------
    data : dict of str to bytes
        By SHA-256.
    by_name : dict of (str, bits) to Content

    Raises
    ------
    ModelError, UsageError
        A model or its images cannot be used.
    """

    def __init__(self, spec: Spec, say: Callable[[str], None] = lambda text: None):
        self.data: dict[str, bytes] = {}
        self.by_name: dict[tuple[str, tuple[int, int] | None], Content] = {}
        self._images: dict[Path, str] = {}
        for point in spec.points:
            key = point.model, point.bits
            if key in self.by_name:
                continue
            if point.bits is None:
                network = load_model(point.model)
                images = self._sample(network, spec.data)
            else:
                model = spec.models[point.model]
                say(f"quantising {point.model} to {point.bits[0]}x{point.bits[1]} bits")
                network = _quantised(model, point.bits)
                images = self._file(spec.data or model.calibration)
            known = network.metadata
            self.by_name[key] = Content(
                self._put(_bytes(network)), images,
                f"{known.get('weight_bits', '?')}x{known.get('activation_bits', '?')}")

    def _put(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        self.data[name] = data
        return name

    def _sample(self, network: Network, data: Path | None) -> str | None:
        if data is not None:
            return self._file(data)
        if "sample" not in network.metadata:
            return None
        sample = load_sample(network.metadata["sample"])
        return self._saved({"x_test": sample.x, "y_test": sample.y})

    def _file(self, path: Path) -> str | None:
        """Test images of a file, without the others in it."""
        if path not in self._images:
            images = load_images(path, "test")
            if images.y is None:
                raise ModelError(f"images in {path} must have labels to tell accuracies, but have "
                                 f"none")
            self._images[path] = self._saved({"x_test": images.x, "y_test": images.y})
        return self._images[path]

    def _saved(self, arrays: dict) -> str:
        import numpy as np
        with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
            path = Path(folder) / "images.npz"
            np.savez_compressed(path, **arrays)
            return self._put(path.read_bytes())


def _quantised(model: FloatModel, bits: tuple[int, int]) -> Network:
    images = load_images(model.calibration, "train")
    found = read_float_model(model.file, model.architecture, model.input_shape,
                             model.input_scale)
    return quantise(found, images.first(min(model.calibration_images, len(images))).x, *bits)


def _bytes(network: Network) -> bytes:
    with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
        return network.save(Path(folder) / "network.npz").read_bytes()


def loaded_network(data: bytes) -> Network:
    """The network of a file's bytes."""
    with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
        path = Path(folder) / "network.npz"
        path.write_bytes(data)
        return Network.load(path)
