"""NMA graphs: layers of neurons that add, and functions of one argument; nothing multiplies.

The paper's architectures are built of six kinds of neurons (`Kind`). A product takes two layers:
four intermediate neurons, each a function of the sum or difference of two neurons of the layer
before, and one product neuron, which adds two of them and subtracts two. Here a group of alike
neurons (`Neurons`) is a few arrays, so that graphs of millions of neurons can be built, counted,
run (`Graph.evaluate`) and their errors bounded (`Graph.error_bounds`). `nmahw.theory.builder` makes
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..errors import ModelError
from .gates import GateFunctions

__all__ = ["Evaluation", "Function", "Graph", "Kind", "Neurons"]


class Kind(StrEnum):
    """What a neuron is, in the paper's words."""

    INPUT = "input"
    WEIGHT = "weight"
    INTERMEDIATE = "intermediate"
    PRODUCT = "product"
    SUM = "sum"
    ACTIVATION = "activation"


@dataclass(frozen=True)
class Function:
    """A function that neurons apply to what they have added up.

    Attributes
    ----------
    name : str
    compute : callable
        Array (..., neurons before) to array (..., neurons).
    lipschitz : float
        Largest slope; infinite if unknown.
    """

    name: str
    compute: Callable[[np.ndarray], np.ndarray]
    lipschitz: float = float("inf")


@dataclass(frozen=True, eq=False)
class Neurons:
    """Alike neurons of one layer.

    Attributes
    ----------
    kind : Kind
    name : str
        Under which `Evaluation` has their values.
    count : int
    feed : str or None
        Name of the values that are given from outside, for inputs and weights.
    picks : int array (count,) or None
        Which of the values given are theirs, if not all: duplicates have been left out.
    sources : int array or None
        Neurons of the layer before that are added up, neuron by neuron.
    first : int array (count + 1,) or None
        Where each neuron's sources begin in `sources`; None if each has one.
    negative : bool array or None
        Which sources are subtracted.
    bias : str or None
        Name of given values that are added (subtracted, if `bias_negative`).
    function : Function or None
        Applied last.
    operands : int array (2, count) or None
        For products: the two factors' places, two layers before.
    representatives : int array or None
        For shared values: place of the value that stands for each; checked by `evaluate`.
    label : callable
        Text of a neuron by its place, for drawings.
    """

    kind: Kind
    name: str
    count: int
    feed: str | None = None
    picks: np.ndarray | None = None
    sources: np.ndarray | None = None
    first: np.ndarray | None = None
    negative: np.ndarray | None = None
    bias: str | None = None
    bias_negative: bool = False
    function: Function | None = None
    operands: np.ndarray | None = None
    representatives: np.ndarray | None = None
    label: Callable[[int], str] | None = None

    def text(self, index: int) -> str:
        """What neuron `index` is called in a drawing."""
        return self.label(index) if self.label else f"{self.name}[{index}]"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Values of a graph's neurons.

    Attributes
    ----------
    layers : tuple of arrays (..., neurons)
        By layer.
    by_name : mapping of str to array
        By the name of a group.
    """

    layers: tuple[np.ndarray, ...]
    by_name: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.by_name[name]


@dataclass(frozen=True, eq=False)
class Graph:
    """Layers of neurons; every neuron reads the layer before, or is given.

    Attributes
    ----------
    title : str
    layers : tuple of tuple of Neurons
        Numbered from 1 in the paper.
    """

    title: str
    layers: tuple[tuple[Neurons, ...], ...]

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.layers)

    @property
    def counts(self) -> tuple[Counter[Kind], ...]:
        """Neurons of each kind, by layer."""
        result = []
        for layer in self.layers:
            count: Counter[Kind] = Counter()
            for group in layer:
                count[group.kind] += group.count
            result.append(count)
        return tuple(result)

    @property
    def totals(self) -> Counter[Kind]:
        """Neurons of each kind in all."""
        return sum(self.counts, Counter())

    @property
    def products(self) -> int:
        """Multiplications that gates carry out."""
        return self.totals[Kind.PRODUCT]

    def evaluate(self, feeds: Mapping[str, np.ndarray], gate: GateFunctions) -> Evaluation:
        """Values of all neurons: additions, subtractions and functions of one argument.

        Parameters
        ----------
        feeds : mapping of str to array (..., values)
            What is given: inputs, weights, biases. Leading axes are a batch.
        gate : GateFunctions

        Raises
        ------
        ModelError
            A feed is missing or of the wrong size, or duplicates that have been left out differ.
        """
        layers: list[np.ndarray] = []
        by_name: dict[str, np.ndarray] = {}
        for layer in self.layers:
            parts = []
            for group in layer:
                values = (_fed(group, feeds) if group.feed else
                          _computed(group, layers[-1], feeds, gate))
                if group.representatives is not None:
                    _check_equal(group, values)
                by_name[group.name] = values
                parts.append(values)
            lead = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
            layers.append(np.concatenate([np.broadcast_to(part, (*lead, part.shape[-1]))
                                          for part in parts], axis=-1))
        return Evaluation(tuple(layers), by_name)

    def error_bounds(self, evaluation: Evaluation, gate: GateFunctions) -> dict[str, np.ndarray]:
        """How far each value can be from that of exact products and real arithmetic.

        A product of operands u, v that are off by e_u, e_v is off by at most the gate's own bound
        and ``|u| e_v + |v| e_u + e_u e_v``; a sum by the sum of its terms' and rounding; a function
        by its largest slope times that.

        Returns
        -------
        dict of str to float array (..., neurons)
        """
        layers: list[np.ndarray] = []
        by_name: dict[str, np.ndarray] = {}
        for index, layer in enumerate(self.layers):
            parts = []
            for group in layer:
                value = evaluation[group.name]
                if group.operands is not None:
                    u, v = (np.abs(evaluation.layers[index - 2][..., place])
                            for place in group.operands)
                    e, f = (layers[index - 2][..., place] for place in group.operands)
                    bound = gate.error_bound(u, v) + u * f + v * e + e * f
                elif group.sources is None or group.kind is Kind.INTERMEDIATE:
                    bound = np.zeros(value.shape)
                else:
                    bound = _sum_bound(group, evaluation.layers[index - 1], layers[-1])
                if group.function is not None and group.feed is None:
                    slope = np.where(bound > 0, group.function.lipschitz, 0)
                    bound = np.where(bound > 0, slope * bound, 0)
                    bound = bound + _rounding(value, 8)
                by_name[group.name] = bound
                parts.append(bound)
            layers.append(np.concatenate([np.broadcast_to(
                part, (*evaluation.layers[index].shape[:-1], part.shape[-1]))
                for part in parts], axis=-1))
        return by_name


def _rounding(value: np.ndarray, times: float) -> np.ndarray:
    if value.dtype.kind != "f":
        return np.zeros(value.shape)
    return times * np.finfo(value.dtype).eps * np.abs(value)


def _fed(group: Neurons, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    values = _feed(group.feed, feeds)
    if group.picks is not None:
        if values.shape[-1] != len(group.representatives):
            raise ModelError(f"{group.feed} must have {len(group.representatives)} values, not "
                             f"{values.shape[-1]}")
        _check_equal(group, values)
        values = values[..., group.picks]
    if values.shape[-1] != group.count:
        raise ModelError(f"{group.feed} must have {group.count} values, not {values.shape[-1]}")
    return values if group.function is None else group.function.compute(values)


def _feed(name: str, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    if name not in feeds:
        raise ModelError(f"feeds must have {name!r}, not only {', '.join(feeds) or 'nothing'}")
    values = np.asarray(feeds[name])
    return values if values.ndim else values[None]


def _check_equal(group: Neurons, values: np.ndarray) -> None:
    # The group's own values are those left over where picks is given: only feeds can be checked.
    if values.shape[-1] == len(group.representatives) \
            and not np.array_equal(values, values[..., group.representatives]):
        raise ModelError(f"{group.name} must have equal values where the graph shares them: it was "
                         f"made for another example")


def _computed(group: Neurons, before: np.ndarray, feeds: Mapping[str, np.ndarray],
              gate: GateFunctions) -> np.ndarray:
    values = before[..., group.sources]
    if group.negative is not None:
        np.negative(values, out=values, where=group.negative)
    if group.first is not None:
        values = _sums(values, group.first)
    if group.bias is not None:
        bias = _feed(group.bias, feeds)
        values = values - bias if group.bias_negative else values + bias
    if group.kind is Kind.INTERMEDIATE:
        return gate.neuron(values)
    if group.kind is Kind.PRODUCT:
        return gate.output(values)
    return values if group.function is None else group.function.compute(values)


def _sums(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sums of the pieces that begin at `first`; reduceat alone gives no 0 for an empty one."""
    filled = np.diff(first) > 0
    if filled.all():
        return np.add.reduceat(values, first[:-1], axis=-1)
    result = np.zeros((*values.shape[:-1], len(filled)), dtype=values.dtype)
    if filled.any():
        result[..., filled] = np.add.reduceat(values, first[:-1][filled], axis=-1)
    return result


def _sum_bound(group: Neurons, before: np.ndarray, errors: np.ndarray) -> np.ndarray:
    error, size = errors[..., group.sources], np.abs(before[..., group.sources])
    terms = 1
    if group.first is not None:
        error, size = _sums(error, group.first), _sums(size, group.first)
        terms = np.diff(group.first)
    return error + _rounding(size, 1) * terms
