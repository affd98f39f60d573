"""Weights to integers so that a layer's *outputs* stay close, not its weights.

The outputs of one layer over calibration data are ``X w``; what the integer network sees
instead of ``X`` are the quantised ``Q``. Everything needed to choose integers for ``w`` is in
two matrices of moments, ``Q^T Q`` and ``Q^T X`` (centred: a constant error goes to the bias).

1. Re-target: the weights that best reproduce ``X w`` from ``Q`` (regularised least squares).
2. Round one input at a time, spreading each rounding error over the inputs not yet rounded
   (optimal brain surgeon: Hassibi and Stork 1993; order and Cholesky form of GPTQ, Frantar et
   al., ICLR 2023).
3. Polish: move single integers while that lowers the output error (coordinate descent), from
   there and from plain rounding.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Moments", "round_weights"]

# Regularisation relative to the mean diagonal of the moments. The first keeps re-targeted
# weights near the trained ones where calibration data say little; the second only has to make
# the factorisation stable.
_TARGET_RIDGE = 0.01
_ROUND_RIDGE = 0.01
_POLISH_SWEEPS = 20


@dataclass(frozen=True)
class Moments:
    """Second moments of a layer's operands over calibration data.

    Attributes
    ----------
    quantised : float64 array (K, K)
        Covariance of the operands the integer network sees, in steps of their code.
    mixed : float64 array (K, K)
        Covariance between those (rows) and the float network's operands (columns), in the
        same steps.
    mean_quantised, mean_real : float64 array (K,)
        Means of both.
    """

    quantised: np.ndarray
    mixed: np.ndarray
    mean_quantised: np.ndarray
    mean_real: np.ndarray

    def ridge(self, fraction: float) -> np.ndarray:
        """Multiple of the identity that is `fraction` of the mean variance.

        A little of the mean square is added: data that hardly vary leave rounding errors in
        the moments, which must not make their sum with the ridge indefinite.
        """
        variance = np.trace(self.quantised)
        square = variance + self.mean_quantised @ self.mean_quantised
        ridge = (fraction * max(variance, 0.0) + 1e-6 * square) / len(self.quantised)
        return (ridge or 1.0) * np.eye(len(self.quantised))

    def target(self, weights: np.ndarray) -> np.ndarray:
        """Real weights (K, N) that best give ``X @ weights`` from quantised operands."""
        ridge = self.ridge(_TARGET_RIDGE)
        return np.linalg.solve(self.quantised + ridge, (self.mixed + ridge) @ weights)

    def error(self, difference: np.ndarray) -> float:
        """Mean square output error caused by a weight error (K, N), summed over outputs."""
        return float(np.einsum("kn,kn->", difference, self.quantised @ difference))


def round_weights(target: np.ndarray, moments: Moments, limit: int, polish: bool = True
                  ) -> np.ndarray:
    """Integers of -`limit` .. `limit` whose outputs are close to those of `target`.

    Parameters
    ----------
    target : float array (K, N)
        Real weights in units of one integer step.
    moments : Moments
    limit : int
        Largest magnitude.
    polish : bool
        Whether to take the third step, too; it takes most of the time.

    Returns
    -------
    int64 array (K, N)
    """
    hessian = moments.quantised + moments.ridge(_ROUND_RIDGE)
    size = len(hessian)
    # Inputs with the most energy first: their errors have the most others to go to.
    order = np.argsort(-np.diag(hessian), kind="stable")
    ordered = hessian[np.ix_(order, order)]
    upper = np.linalg.cholesky(np.linalg.inv(ordered)).T
    pending = target[order].astype(np.float64)
    rounded = np.empty_like(pending)
    for k in range(size):
        rounded[k] = np.clip(np.rint(pending[k]), -limit, limit)
        error = (pending[k] - rounded[k]) / upper[k, k]
        pending[k + 1:] -= np.outer(upper[k, k + 1:], error)
    if not polish:
        return rounded[np.argsort(order)].astype(np.int64)
    nearest = np.clip(np.rint(target[order]), -limit, limit)
    # Both are local optima once polished; take the better one for each output.
    starts = [_polish(start, target[order], ordered, limit) for start in (rounded, nearest)]
    errors = [np.einsum("kn,kn->n", start - target[order], ordered @ (start - target[order]))
              for start in starts]
    best = np.where(errors[1] < errors[0], starts[1], starts[0])
    return best[np.argsort(order)].astype(np.int64)


def _polish(rounded: np.ndarray, target: np.ndarray, hessian: np.ndarray, limit: int
            ) -> np.ndarray:
    """Move single integers while the output error falls."""
    gradient = hessian @ (rounded - target)
    diagonal = np.diag(hessian)
    for _ in range(_POLISH_SWEEPS):
        moved = False
        for k in range(len(hessian)):
            best = np.clip(np.rint(rounded[k] - gradient[k] / diagonal[k]), -limit, limit)
            step = best - rounded[k]
            if step.any():
                rounded[k] = best
                gradient += np.outer(hessian[:, k], step)
                moved = True
        if not moved:
            break
    return rounded
