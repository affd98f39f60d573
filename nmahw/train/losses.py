"""Losses: value and gradient of scores, for classes given as numbers.

Values are for reports: only gradients take part in training.
"""

from collections.abc import Callable, Mapping

import numpy as np

from .rule import Rule

__all__ = ["LOSSES", "Loss", "softmax_cross_entropy", "squared_error", "squared_hinge"]

#: Of (scores (batch, classes), y (batch,), rule): loss of each image, gradient of the scores.
Loss = Callable[[np.ndarray, np.ndarray, Rule], tuple[np.ndarray, np.ndarray]]

_EXACT = Rule()


def softmax_cross_entropy(scores: np.ndarray, y: np.ndarray, rule: Rule = _EXACT
                          ) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each image (batch,), and its gradient (batch, classes), not divided by the batch.

    The gradient takes an exponential and a quotient of each score, both the rule's. That of the
    class is less the sum of the others, so that all sum to zero where quotients are rough.
    """
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = rule.exponential(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    gradient = rule.quotient(exponentials, total)
    gradient[rows, y] = 0
    gradient[rows, y] = -gradient.sum(axis=1)
    return np.log(total[:, 0]) - shifted[rows, y], gradient


def squared_hinge(scores: np.ndarray, y: np.ndarray, rule: Rule = _EXACT
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Sum over classes of ``max(1 - t*score, 0)^2 / 2``; t = +1 for the class, -1 for others.

    The gradient takes no product: t is a sign.
    """
    target = np.full(scores.shape, -1, scores.dtype)
    target[np.arange(len(y)), y] = 1
    short = np.maximum(1 - np.where(target > 0, scores, -scores), 0)
    return np.square(short).sum(axis=1) / 2, np.where(target > 0, -short, short)


def squared_error(scores: np.ndarray, y: np.ndarray, rule: Rule = _EXACT
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Sum over classes of ``(score - t)^2 / 2``; t = 1 for the class, 0 for others.

    The gradient takes no product.
    """
    gradient = scores.copy()
    gradient[np.arange(len(y)), y] -= 1
    return np.square(gradient).sum(axis=1) / 2, gradient


#: By the name that settings have.
LOSSES: Mapping[str, Loss] = {
    "softmax": softmax_cross_entropy, "squared_hinge": squared_hinge,
    "squared_error": squared_error}
