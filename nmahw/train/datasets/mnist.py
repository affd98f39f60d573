"""MNIST: Y. LeCun, C. Cortes and C. Burges, derived from NIST Special Database 19."""

import hashlib
import http.client
import urllib.request
from pathlib import Path

from ...cache import default_folder
from ...errors import EnvironmentProblem, ModelError
from ...files import write_atomically
from . import Parts, Source, read_parts

__all__ = ["Mnist"]

#: One file under several addresses: that of Keras.
MIRRORS = ("https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
           "https://s3.amazonaws.com/img-datasets/mnist.npz")
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_TIMEOUT_S = 30
# The file has 11.5 MB; an address that sends more sends something else.
_MOST_BYTES = 1 << 25


class Mnist(Source):
    """70,000 images of 28x28 codes 0..255, 10,000 of them for the test."""

    name = "mnist"
    summary = "70,000 handwritten digits of 28x28 codes 0..255, downloaded once (11 MB)"
    sample = "mnist-sample"

    def parts(self, data: Path | None, split: int) -> Parts:
        path = downloaded() if data is None else data
        parts = read_parts(path)
        if parts.train.x.shape[1:] not in ((28, 28), (784,), (1, 28, 28)) or parts.high > 255:
            raise ModelError(f"{path} must hold images of 28x28 codes 0..255, not of shape "
                             f"{parts.train.x.shape[1:]} and codes up to {parts.high}")
        if parts.test is None:
            raise ModelError(f"{path} must hold MNIST's test images as 'x_test', but does not")
        x = [images.x.reshape(-1, 28, 28) for images in (parts.train, parts.test)]
        return Parts(type(parts.train)(x[0], parts.train.y), type(parts.test)(x[1], parts.test.y),
                     255)


def downloaded(folder: Path | None = None) -> Path:
    """MNIST's file in the user's cache, downloaded if it is not there or damaged.

    Parameters
    ----------
    folder : Path, optional
        By default ``datasets`` in `nmahw.cache.default_folder`.

    Raises
    ------
    EnvironmentProblem
        No mirror answers with the right file; the message names ``--data``.
    """
    path = (folder or default_folder() / "datasets") / "mnist.npz"
    try:
        if _is_right(path.read_bytes()):
            return path
    except OSError:
        pass
    problems = []
    for address in MIRRORS:
        try:
            content = fetch(address)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            problems.append(f"{address}: {reason}")
            continue
        if _is_right(content):
            return write_atomically(path, content)
        problems.append(f"{address}: {len(content)} bytes with another SHA-256 than {SHA256}")
    raise EnvironmentProblem(f"MNIST must be downloaded once, or given as --data FILE.npz with "
                             f"x_train, y_train, x_test, y_test; no mirror gave it "
                             f"({'; '.join(problems)})")


def fetch(address: str) -> bytes:
    """What an ``https`` address sends, at most `_MOST_BYTES`."""
    request = urllib.request.Request(address, headers={"User-Agent": "nmahw"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        return answer.read(_MOST_BYTES)


def _is_right(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256
