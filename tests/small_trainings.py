"""Trainings that take a moment, for tests of what every method shares."""

from pathlib import Path

import numpy as np

from nmahw.bundled import load_sample
from nmahw.train.datasets import load_dataset
from nmahw.train.methods.exact_integers import ExactIntegers
from nmahw.train.run import train
from nmahw.train.topology import Topology

TINY = Topology.of("64-8-10")


def small_file(folder: Path) -> Path:
    """A file of few digits that is trained on in a moment."""
    sample = load_sample("digits-sample", "train")
    np.savez(folder / "small.npz", x=sample.x[:400], y=sample.y[:400])
    return folder / "small.npz"


def train_tiny(folder: Path):
    """Train `TINY` on the digits for three epochs: method, data set and the finished run."""
    dataset = load_dataset("digits")
    method = ExactIntegers(rate=7)
    return method, dataset, train(method, TINY, dataset, 3, 4, folder / "tiny.npz")
