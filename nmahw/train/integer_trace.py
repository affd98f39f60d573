"""Every intermediate integer of one batch of exact integer training.

For whoever builds the trainer in hardware: `trace_batch` trains on a batch as the compiled loop
does, with the same functions, and keeps what each of them left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import integer_kernels as kernels
from .integer_forward import forward, load_image
from .integer_trainer import EXPONENTIALS, IntegerTrainer

__all__ = ["BatchTrace", "ImageTrace", "UpdateTrace", "trace_batch"]


@dataclass(frozen=True)
class ImageTrace:
    """An image on its way forth and back; one entry a layer in each list.

    Attributes
    ----------
    values : list of int32 array (channels, height, width)
        What the layer gets, padding included.
    sums : list of int32 array (outputs, rows, columns)
        Biases included; those of the last layer are the scores.
    places : list of int32 array (outputs, pooled rows, pooled columns)
        Which position of `sums` each result was taken from, as row * width + column of the padded
        values; empty for the last layer.
    gradients : list of int32 array (outputs, pooled rows, pooled columns) or None
        Of the layer's results; None where the way back ended before.
    spread : list of int32 array (channels, height, width) or None
        Gradient of `values` before it is rounded; None for the first layer and where it ended.
    lanes : list of uint32 array (outputs,)
        The layer's registers after the image.
    loss : float
        Only reports.
    """

    values: list[np.ndarray]
    sums: list[np.ndarray]
    places: list[np.ndarray]
    gradients: list[np.ndarray | None]
    spread: list[np.ndarray | None]
    lanes: list[np.ndarray]
    loss: float


@dataclass(frozen=True)
class UpdateTrace:
    """What moved one layer.

    Attributes
    ----------
    totals : int32 array (outputs, taps)
        Sums of products of gradients and values over batch and positions.
    bias_totals : int32 array (outputs,)
        Sums of gradients.
    masters, bias_masters : int32 arrays of the same shapes
        Afterwards.
    lanes : uint32 array (outputs,)
        The registers afterwards.
    """

    totals: np.ndarray
    bias_totals: np.ndarray
    masters: np.ndarray
    bias_masters: np.ndarray
    lanes: np.ndarray


@dataclass(frozen=True)
class BatchTrace:
    """One batch; `updates` has None for layers that no gradient reached."""

    images: list[ImageTrace]
    updates: list[UpdateTrace | None]


def trace_batch(trainer: IntegerTrainer, x: np.ndarray, y: np.ndarray, rate: int) -> BatchTrace:
    """Train on one batch, and tell everything.

    Parameters
    ----------
    trainer : IntegerTrainer
        Is moved by it, as by the same batch in an epoch.
    x : integer array (images, *input shape)
        As many as the method's batch, or fewer.
    y : int64 array (images,)
    rate : int
        k of the learning rate 2^-k.
    """
    trainer.set_rate(rate)
    t, rows = trainer, trainer.rows()
    last = len(rows) - 1
    images = []
    for code, label in zip(t.codes(x), y, strict=True):
        load_image(code, t.values, t.layout, t.plan.layers[0].padding)
        forward(t.layout, t.weights, t.biases, t.values, t.sums, t.places, t.high, t.squares)
        scores = t.sums[rows[last]["sums"]:rows[last]["sums"] + rows[last]["outputs"]]
        gradient = t.gradients[rows[last]["positions"]:]
        loss = kernels.image_loss(scores, label, gradient, t.loss_form, EXPONENTIALS)
        gradients: list[np.ndarray | None] = [None] * len(rows)
        spread: list[np.ndarray | None] = [None] * len(rows)
        seen, index = bool(gradient[:len(scores)].any()), last
        while seen:
            row = rows[index]
            gradients[index] = _pooled(t.gradients, row)
            if row["dense"]:
                low, high = row["values"], row["values"] + row["channels"]
                t.used[low:high] |= t.values[low:high] != 0
            seen = kernels.backward(
                t.layout, t.weights, t.values, t.places, t.gradients, t.spread, t.totals,
                t.reached, t.lanes, t.gradient_limit, t.stochastic, t.squares, index)
            if index:
                spread[index] = _planes(t.spread, 0, row)
            index -= 1
        images.append(ImageTrace(
            [_planes(t.values, row["values"], row) for row in rows],
            [_sums(t.sums, row) for row in rows],
            [_pooled(t.places, row) for row in rows[:-1]] + [np.zeros(0, np.int32)],
            gradients, spread, [_lanes(t.lanes, row) for row in rows], float(loss)))
    updates: list[UpdateTrace | None] = [None] * len(rows)
    for index in range(last, -1, -1):
        if not t.reached[index]:
            continue
        row = rows[index]
        totals, bias_totals = _weights(t.totals, row)
        kernels.update(t.layout, t.masters, t.weights, t.biases, t.values, t.gradients, t.totals,
                       t.used, t.lanes, t.line, t.limits, t.stochastic, t.squares, index, False)
        t.reached[index] = 0
        updates[index] = UpdateTrace(totals, bias_totals, *_weights(t.masters, row),
                                     _lanes(t.lanes, row))
    return BatchTrace(images, updates)


def _planes(flat: np.ndarray, start: int, row: dict[str, int]) -> np.ndarray:
    shape = row["channels"], row["height"], row["width"]
    return flat[start:start + int(np.prod(shape))].reshape(shape).copy()


def _pooled(flat: np.ndarray, row: dict[str, int]) -> np.ndarray:
    shape = row["outputs"], row["pooled_rows"], row["pooled_columns"]
    return flat[row["positions"]:row["positions"] + int(np.prod(shape))].reshape(shape).copy()


def _sums(flat: np.ndarray, row: dict[str, int]) -> np.ndarray:
    shape = row["outputs"], row["rows"], row["width"]
    planes = flat[row["sums"]:row["sums"] + int(np.prod(shape))].reshape(shape)
    return planes[:, :, :row["columns"]].copy()


def _lanes(flat: np.ndarray, row: dict[str, int]) -> np.ndarray:
    return flat[row["lanes"]:row["lanes"] + row["outputs"]].copy()


def _weights(flat: np.ndarray, row: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    bias = flat[row["bias"]:row["bias"] + row["outputs"]].copy()
    own = flat[row["weights"]:row["bias"]]
    own = own.reshape(-1, row["outputs"]).T if row["dense"] else own.reshape(row["outputs"], -1)
    return own.copy(), bias
