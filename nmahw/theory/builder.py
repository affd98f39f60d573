"""Makes NMA graphs, neuron group by neuron group."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import ModelError
from .graph import Graph, Kind, Neurons

__all__ = ["Builder", "indexed"]


def indexed(name: str, shape: tuple[int, ...]) -> Callable[[int], str]:
    """Labels ``name_i,j`` with indices from 1; axes of one are left out."""
    axes = [axis for axis, size in enumerate(shape) if size > 1] or [len(shape) - 1]

    def label(index: int) -> str:
        where = np.unravel_index(index, shape)
        return f"{name}_" + ",".join(str(int(where[axis]) + 1) for axis in axes)
    return label


class Builder:
    """Makes a graph: neurons are put into layers in any order, and known by their places."""

    def __init__(self, title: str):
        self._title = title
        self._layers: dict[int, list[Neurons]] = {}

    def put(self, layer: int, kind: Kind, name: str, count: int, **fields: object) -> np.ndarray:
        """Neurons in a layer (from 1); returns their places in it."""
        groups = self._layers.setdefault(layer, [])
        start = sum(group.count for group in groups)
        groups.append(Neurons(kind, name, count, **fields))
        return np.arange(start, start + count)

    def give(self, layer: int, kind: Kind, name: str, count: int, **fields: object) -> np.ndarray:
        """Neurons whose values are given under their own name, or that of `feed`."""
        return self.put(layer, kind, name, count, **{"feed": name, **fields})

    def multiply(self, layer: int, u: np.ndarray, v: np.ndarray, name: str,
                 label: Callable[[int], str] | None = None) -> np.ndarray:
        """Products of neurons of a layer, two layers on; returns their places there."""
        u, v = np.asarray(u), np.asarray(v)
        count = len(u)
        # The gate's neurons: u + v, -u - v, u - v, v - u.
        pairs = np.stack([u, v], axis=1)[:, None, :].repeat(4, axis=1).reshape(-1)
        signs = np.tile([False, False, True, True, False, True, True, False], count)
        places = self.put(layer + 1, Kind.INTERMEDIATE, f"4 of {name}", 4 * count, sources=pairs,
                          first=np.arange(0, 8 * count + 1, 2), negative=signs,
                          label=lambda index: "")
        return self.put(layer + 2, Kind.PRODUCT, name, count, sources=places,
                        first=np.arange(0, 4 * count + 1, 4),
                        negative=np.tile([False, False, True, True], count),
                        operands=np.stack([u, v]), label=label)

    def add(self, layer: int, terms: np.ndarray, group: np.ndarray, count: int, name: str,
            **fields: object) -> np.ndarray:
        """Sums in a layer: neuron g adds those of `terms` (layer before) whose `group` is g."""
        order = np.argsort(group, kind="stable")
        first = np.searchsorted(np.asarray(group)[order], np.arange(count + 1))
        return self.put(layer, Kind.SUM, name, count, sources=np.asarray(terms)[order],
                        first=first, **fields)

    def build(self) -> Graph:
        """The graph; layers must be numbered without a gap."""
        numbers = sorted(self._layers)
        if numbers != list(range(1, len(numbers) + 1)):
            raise ModelError(f"layers must be numbered 1..{len(numbers)}, not {numbers}")
        return Graph(self._title, tuple(tuple(self._layers[number]) for number in numbers))
