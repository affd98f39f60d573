"""The learning curve of a run: loss and accuracies over epochs, as PNG or SVG."""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import EnvironmentProblem, UsageError
from ..files import check_writable, write_atomically
from .checkpoint import EpochRecord

__all__ = ["check_curve", "draw_curve"]

SUFFIXES = (".svg", ".png")


def check_curve(path: str | os.PathLike) -> Path:
    """Make sure, before a training starts, that its curve can be drawn.

    Raises
    ------
    UsageError
        Neither PNG nor SVG.
    EnvironmentProblem
        Matplotlib is missing, or `path` cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"plot must be a file that ends in {' or '.join(SUFFIXES)}, not {path}")
    if importlib.util.find_spec("matplotlib") is None:
        raise EnvironmentProblem("matplotlib must be installed for the learning curve: "
                                 "pip install 'nmahw[plot]'")
    return check_writable(path)


def draw_curve(history: Sequence[EpochRecord], best_epoch: int, title: str,
               path: str | os.PathLike) -> Path:
    """Draw a run.

    Parameters
    ----------
    history : sequence of EpochRecord
        At least one.
    best_epoch : int
        The epoch whose weights were kept, 1 for the first.
    title : str
    path : path
        ``.svg`` or ``.png``.

    Raises
    ------
    UsageError, EnvironmentProblem
        As of `check_curve`; or `path` cannot be written.
    """
    path = check_curve(path)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    epochs = [entry.epoch for entry in history]
    with matplotlib.rc_context({"svg.hashsalt": "nmahw-curve", "svg.fonttype": "none",
                                "text.parse_math": False, "axes.spines.top": False,
                                "axes.spines.right": False, "axes.grid": True,
                                "grid.alpha": 0.3}):
        figure = Figure(figsize=(7, 5), layout="constrained")
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, 1, sharex=True)
        style = {"marker": "o", "markersize": 3.5, "linewidth": 1.6}
        above.plot(epochs, [100 * entry.train_accuracy for entry in history], color="#9aa5b1",
                   label="training, while learning", **style)
        above.plot(epochs, [100 * entry.validation_accuracy for entry in history],
                   color="#1f6feb", label="validation", **style)
        above.axvline(best_epoch, color="#1f6feb", linewidth=1, linestyle=":",
                      label="best, kept")
        above.set_ylabel("accuracy, %")
        above.legend(loc="lower right", frameon=False)
        above.set_title(title, loc="left")
        below.plot(epochs, [entry.loss for entry in history], color="#c2410c", **style)
        below.set_ylabel("training loss")
        below.set_xlabel("epoch")
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        buffer = io.BytesIO()
        kind = path.suffix.lower().lstrip(".")
        figure.savefig(buffer, format=kind, dpi=150,
                       metadata={"Date": None} if kind == "svg" else {"Software": None})
    return write_atomically(path, buffer.getvalue())
