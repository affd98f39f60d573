"""Files that command lines are tried on."""

import numpy as np

from nmahw.layers.dense import Dense
from nmahw.network import Network
from nmahw.tensor import TensorFormat


def tiny_network(folder):
    """A network small enough to be placed in seconds, and its data beside it."""
    path = folder / "tiny.npz"
    Network(TensorFormat((3,), 0, 7), (Dense([[1, -2, 3], [3, 1, -4]]),), "tiny").save(path)
    np.savez(folder / "tiny-data.npz", x=[[1, 2, 3], [7, 0, 1]], y=[0, 1])
    return path


def foreign(folder):
    """An archive that is neither a network nor data."""
    path = folder / "foreign.npz"
    np.savez(path, weights=np.ones(3))
    return path
