"""A network as an approximate arithmetic computes it.

An arithmetic that is not exact gives another network: its golden model sums what the arithmetic
computes, and all ranges behind it follow from those sums.
"""

from dataclasses import replace

import numpy as np

from .arith import Arithmetic
from .network import Network
from .operations import Operation

__all__ = ["Approximation", "approximated"]


class Approximation(Operation):
    """What `arithmetic` makes of the operation it stands for."""

    # No class attribute `name`: it cannot be chosen, only bound to an arithmetic.

    def __init__(self, arithmetic: Arithmetic):
        self.arithmetic = arithmetic
        self.name = arithmetic.operation
        self.summary = arithmetic.summary

    def apply(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self.arithmetic.compute(x, w)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Approximation) and self.arithmetic == other.arithmetic

    def __hash__(self) -> int:
        return hash(self.arithmetic)

    def __str__(self) -> str:
        return f"{self.name} by {self.arithmetic}"


def approximated(network: Network, arithmetic: Arithmetic) -> Network:
    """`network` with every layer of the arithmetic's operation computed by `arithmetic`."""
    bound = Approximation(arithmetic)
    return replace(network, layers=tuple(
        replace(layer, operation=bound)
        if layer.is_matrix and layer.operation.name == arithmetic.operation else layer
        for layer in network.layers))
