"""Training images that are moved at random."""

import numpy as np

from nmahw.train.augment import shift_images


def test_images_are_moved_by_what_was_drawn():
    x = np.arange(5 * 36).reshape(5, 1, 6, 6).astype(np.uint8)
    moved = shift_images(x, 2, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    down, right = rng.integers(-2, 3, 5), rng.integers(-2, 3, 5)
    for n in range(5):
        padded = np.pad(x[n, 0], 2)
        expected = padded[2 - down[n]:8 - down[n], 2 - right[n]:8 - right[n]]
        assert np.array_equal(moved[n, 0], expected)
    assert shift_images(x, 0, None) is x


def test_features_have_no_rows_to_move():
    x = np.arange(12).reshape(3, 4)
    assert shift_images(x, 2, None) is x
