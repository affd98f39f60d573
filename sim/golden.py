"""What a bench is told by `run.py`, and the images and answers it works with.

In the environment: NMAHW_NETWORK (the network's file), NMAHW_SIDECAR (the emitted JSON),
NMAHW_IMAGES (how many images a test streams), NMAHW_SEED.
"""

import json
import os
from pathlib import Path

import numpy as np

from nmahw.network import Network

__all__ = ["IMAGES", "NETWORK", "PERIOD_NS", "SEED", "SIDECAR", "SIZE", "Images"]

NETWORK = Network.load(os.environ["NMAHW_NETWORK"])
SIDECAR = json.loads(Path(os.environ["NMAHW_SIDECAR"]).read_text())
IMAGES = int(os.environ.get("NMAHW_IMAGES", "3"))
SEED = int(os.environ.get("NMAHW_SEED", "1"))
#: Elements of an image.
SIZE = NETWORK.input_format.size
PERIOD_NS = 10


class Images:
    """Random inputs, uniform over the input's range."""

    def __init__(self):
        self._random = np.random.default_rng(SEED)

    def next(self) -> tuple[list[int], list[int]]:
        """Elements of an image, and the golden model's results."""
        low, high = NETWORK.input_format.low, NETWORK.input_format.high
        image = self._random.integers(low, high + 1, (1, *NETWORK.input_format.shape))
        return image.ravel().tolist(), NETWORK.predict(image).ravel().tolist()
