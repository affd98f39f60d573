"""The trained float networks beside the repository, and the data each was trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nmahw.bundled import load_sample
from nmahw.datasets import Images, load_images
from nmahw.floatnet import FloatNetwork
from nmahw.frontends import read_float_model

__all__ = ["TRAINED", "Trained", "SHARED"]

#: Weights and data sets live beside the repository, not in it.
SHARED = Path(__file__).resolve().parents[2] / "shared"

#: Calibration images: the first of the training set.
CALIBRATION_IMAGES = 2000


@dataclass(frozen=True)
class Trained:
    """One trained network.

    Attributes
    ----------
    key : str
        Short name, as in bundled files.
    title : str
        Name in tables.
    file : str
        Weights, below the shared folder's ``models``.
    sample : str
        Bundled sample that belongs to it.
    architecture : str
        See `nmahw.frontends.npz`.
    input_shape : tuple of int
    input_scale : float
    """

    key: str
    title: str
    file: str
    sample: str
    architecture: str
    input_shape: tuple[int, ...]
    input_scale: float

    def network(self, shared: Path) -> FloatNetwork:
        """The float network."""
        return read_float_model(shared / "models" / self.file, self.architecture,
                                self.input_shape, self.input_scale)

    def data(self, shared: Path, split: str) -> Images:
        """Training or test images."""
        if self.sample == "digits-sample":
            return load_sample(self.sample, split)
        return load_images(shared / "data" / "mnist.npz", split)

    def calibration(self, shared: Path) -> np.ndarray:
        """Training images to choose scales on."""
        return self.data(shared, "train").x[:CALIBRATION_IMAGES]


TRAINED = (
    Trained("lenet5", "LeNet-5", "lenet5_bnfolded.npz", "mnist-sample",
            "conv2d:c1 padding=2, relu, max_pool:2, conv2d:c2, relu, max_pool:2, flatten, "
            "dense:f1, relu, dense:f2, relu, dense:f3", (1, 28, 28), 1 / 255),
    Trained("mlp", "MLP 784-64-10", "mlp_784_64_10.npz", "mnist-sample",
            "dense:1, relu, dense:2", (784,), 1 / 255),
    Trained("digits", "digits MLP 64-32-10", "mlp_digits_64_32_10.npz", "digits-sample",
            "dense:1, relu, dense:2", (64,), 1 / 16),
)
