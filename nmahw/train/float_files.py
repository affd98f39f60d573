"""Float stages to and from files that the npz front end reads."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np

from ..calibration import split_stages
from ..errors import ModelError
from ..files import write_atomically
from ..floatnet import FloatConv2d, FloatMaxPool
from ..frontends import read_float_model
from ..tensor import TensorFormat
from .stages import FloatStage, Geometry

__all__ = ["read_stages", "save_stages"]


def save_stages(path: str | os.PathLike, stages: Sequence[FloatStage], form: TensorFormat,
                base: float) -> None:
    """Write trained stages, batch norm folded, as `nmahw.frontends.npz` reads them."""
    steps, arrays = [], {}
    for index, stage in enumerate(stages):
        g, name = stage.geometry, f"s{index}"
        steps += ["flatten"] if g.flatten_before else []
        steps.append(f"dense:{name}" if g.size is None else
                     f"conv2d:{name} stride={g.stride} padding={g.padding}")
        steps += [] if g.last else ["relu"]
        steps += [f"max_pool:{g.pool}"] if g.pool > 1 else []
        weights, bias = stage.folded()
        arrays[f"{name}.weight"] = weights.reshape(g.weight_shape).astype(np.float32)
        arrays[f"{name}.bias"] = bias.astype(np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, architecture=np.array(", ".join(steps)),
                        input_shape=np.array(form.shape), input_scale=np.array(base),
                        input_range=np.array([form.low, form.high]), **arrays)
    write_atomically(path, buffer.getvalue())


def read_stages(path: str | os.PathLike, geometries: Sequence[Geometry],
                shape: tuple[int, ...]) -> tuple[list[FloatStage], float]:
    """Float stages with the weights of a model file, and the real value of one input code.

    Parameters
    ----------
    path : path
        Any float model a front end reads.
    geometries : sequence of Geometry
        What the model must be; batch norm must be folded, as front ends do.
    shape : tuple of int
        Of one input, for files that do not tell it.

    Raises
    ------
    ModelError, UsageError, EnvironmentProblem
        The file cannot be read, or holds another topology; the message names the layer.
    """
    # A dense layer's weights tell its own.
    network = read_float_model(path, input_shape=shape if geometries[0].size else None)
    _, parts = split_stages(network)
    if len(parts) != len(geometries):
        raise ModelError(f"{path} must have {len(geometries)} layers with weights, as the "
                         f"topology has, not {len(parts)}")
    stages = []
    for g, part in zip(geometries, parts, strict=True):
        matrix, pool = part.matrix, 1
        for layer in part.tail:
            if isinstance(layer, FloatMaxPool) and layer.size == layer.stride:
                pool = layer.size
        conv = isinstance(matrix, FloatConv2d)
        found = (matrix.weights.shape, matrix.stride if conv else 1,
                 matrix.padding if conv else 0, part.rectified, pool, str(matrix.operation.name))
        wanted = g.weight_shape, g.stride, g.padding, not g.last, g.pool, "product"
        if found != wanted:
            raise ModelError(f"{path}: {g.label} must have (weights, stride, padding, ReLU, pool, "
                             f"operation) {wanted}, as the topology has, not {found}")
        stage = FloatStage(g, np.random.default_rng(0))
        stage.parameters["weights"] = matrix.weights.reshape(g.outputs, g.taps).copy()
        stage.parameters["bias"] = matrix.bias.copy()
        stages.append(stage)
    return stages, network.input_scale
