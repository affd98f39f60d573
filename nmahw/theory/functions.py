"""Activation functions of NMAs, with their slopes as functions of their output or their sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .graph import Function

__all__ = ["Activation", "IDENTITY", "RELU", "SIGMOID"]


@dataclass(frozen=True)
class Activation:
    """A nonlinearity of a network.

    Attributes
    ----------
    name : str
    value : Function
        Of the sum.
    slope_of_output : Function
        Derivative, as a function of the activation's own value (the paper's D, section 2.1.2).
    slope_of_sum : Function
        Derivative, as a function of the sum (the paper's sigma', section 2.2.2).
    """

    name: str
    value: Function
    slope_of_output: Function
    slope_of_sum: Function


def _sigmoid(y: np.ndarray) -> np.ndarray:
    # Written so that no exponential overflows.
    e = np.exp(-np.abs(y))
    return np.where(np.asarray(y) >= 0, 1 / (1 + e), e / (1 + e))


def _sigmoid_slope(x: np.ndarray) -> np.ndarray:
    return x - np.square(x)


def _positive(y: np.ndarray) -> np.ndarray:
    return (np.asarray(y) > 0).astype(np.asarray(y).dtype)


#: ``1 / (1 + e^-y)``, the paper's choice.
SIGMOID = Activation("sigmoid", Function("s", _sigmoid, 0.25),
                     Function("x(1-x)", _sigmoid_slope, 1.0),
                     Function("s'", lambda y: _sigmoid_slope(_sigmoid(y)), 0.1))
#: ``max(y, 0)``; its slope is 0 at 0.
RELU = Activation("relu", Function("relu", lambda y: np.maximum(y, 0), 1.0),
                  Function("x>0", _positive), Function("y>0", _positive))
#: Nothing.
IDENTITY = Activation("identity", Function("id", lambda y: y, 1.0),
                      Function("1", np.ones_like, 0.0), Function("1", np.ones_like, 0.0))
