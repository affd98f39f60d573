"""The learning curve that a training draws."""

import pytest

from nmahw.errors import UsageError
from nmahw.train.checkpoint import EpochRecord
from nmahw.train.curve import draw_curve


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_learning_curve(tmp_path, suffix):
    history = [EpochRecord(n, 1 / n, 0.9, 0.8 + n / 100, 1.0, 10.0) for n in (1, 2, 3)]
    paths = [draw_curve(history, 3, "a $title$", tmp_path / f"{n}{suffix}") for n in "ab"]
    one, other = (path.read_bytes() for path in paths)
    assert one == other and len(one) > 2000
    assert one.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")


def test_a_curve_of_another_kind(tmp_path):
    with pytest.raises(UsageError, match=".svg or .png"):
        draw_curve([], 1, "", tmp_path / "a.pdf")
