"""Weights and inputs of small float models, the same in every run."""

import numpy as np

RNG_SEED = 7


def weights(*shape):
    """Small random weights, the same for the same shape."""
    return np.random.default_rng([RNG_SEED, *shape]).normal(0, 0.5, shape).astype(np.float32)


def variances(channels):
    """As `weights`, but all above zero."""
    return np.abs(weights(channels)) + np.float32(0.1)


def codes(shape, batch=3, high=255):
    """A batch of integer inputs of that shape."""
    return np.random.default_rng(RNG_SEED).integers(0, high + 1, (batch, *shape))
