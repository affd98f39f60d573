"""Which points no other beats in everything, and how much of the plane they cover.

All functions take points as rows of numbers that are better when *smaller*; `oriented` makes such
of quantities that are better when larger.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import UsageError
from .columns import column

__all__ = ["front", "hypervolume", "oriented"]


def oriented(rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> np.ndarray:
    """Values of columns, turned so that less is better.

    Parameters
    ----------
    rows : sequence of mapping
        None of the values may be missing.
    names : sequence of str
        Columns where one way is better.

    Returns
    -------
    float array (rows, names)

    Raises
    ------
    UsageError
        Of a column neither less nor more is better.
    """
    for name in names:
        if not column(name, numeric=True).sense:
            raise UsageError(f"column must be one where less or more is better, not {name!r}")
    signs = [-column(name).sense for name in names]
    return np.array([[sign * float(row[name]) for sign, name in zip(signs, names, strict=True)]
                     for row in rows], float).reshape(len(rows), len(names))


def front(values: np.ndarray) -> np.ndarray:
    """Which points are not dominated: no other is as good in everything and better in something.

    Parameters
    ----------
    values : float array (points, quantities)
        Less is better. Equal points are all kept.

    Returns
    -------
    bool array (points,)
    """
    values = np.asarray(values, float)
    kept = np.ones(len(values), bool)
    if values.shape[1:] == (2,):
        # Sorted by x, a point is in the front if its y is below all that stand before.
        order = np.lexsort((values[:, 1], values[:, 0]))
        lowest, last = np.inf, None
        for index in order:
            x, y = values[index]
            kept[index] = y < lowest or (x, y) == last
            if y < lowest:
                lowest, last = y, (x, y)
        return kept
    for index, value in enumerate(values):
        beats = (values <= value).all(axis=1) & (values < value).any(axis=1)
        kept[index] = not beats.any()
    return kept


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Volume that the points dominate, up to a reference point; exact, by slicing.

    Parameters
    ----------
    values : float array (points, quantities)
        Less is better.
    reference : float array (quantities,)
        Points that are not below it in everything count nothing.
    """
    values, reference = np.asarray(values, float), np.asarray(reference, float)
    values = values[(values < reference).all(axis=1)] if len(values) else values
    if not len(values):
        return 0.0
    values = np.unique(values[front(values)], axis=0)
    if values.shape[1] == 1:
        return float(reference[0] - values[0, 0])
    # Between two neighbouring values of the first quantity, the rest is a smaller problem.
    edges = np.append(np.unique(values[:, 0]), reference[0])
    return sum((high - low) * hypervolume(values[values[:, 0] <= low][:, 1:], reference[1:])
               for low, high in zip(edges[:-1], edges[1:], strict=True))
