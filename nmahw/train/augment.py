"""Random changes of training images, the same for all methods."""

import numba
import numpy as np

__all__ = ["shift_images"]


@numba.njit(cache=True, nogil=True)
def _shift(x: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    images, channels, height, width = x.shape
    result = np.zeros_like(x)
    for n in range(images):
        for c in range(channels):
            for i in range(max(0, down[n]), min(height, height + down[n])):
                for j in range(max(0, right[n]), min(width, width + right[n])):
                    result[n, c, i, j] = x[n, c, i - down[n], j - right[n]]
    return result


def shift_images(x: np.ndarray, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by up to `pixels` down or up, right or left; zeros come in.

    Parameters
    ----------
    x : array (images, channels, height, width)
        Anything else is given back as it is.
    pixels : int
        0 for no shift.
    rng : numpy.random.Generator
        Draws first all vertical, then all horizontal shifts, each from -pixels..pixels.
    """
    if pixels == 0 or x.ndim != 4:
        return x
    down = rng.integers(-pixels, pixels + 1, len(x))
    right = rng.integers(-pixels, pixels + 1, len(x))
    return _shift(np.ascontiguousarray(x), down, right)
