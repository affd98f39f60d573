"""From a trained `Model` to the float network and the integer network of the rest of nmahw.

Batch norm is folded into the layer with weights before it, in float64: a factor and a constant
per channel. That multiplies, once per weight, when the training is over. Weights go from (K, N)
with K in order (y, x, channel) to the IR's (out, in, height, width).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import ModelError
from ..floatnet import (
    FloatAveragePool,
    FloatConv2d,
    FloatDense,
    FloatFlatten,
    FloatLayer,
    FloatMaxPool,
    FloatNetwork,
    FloatReLU,
)
from ..network import Network
from ..operations import Operation
from ..quantise import quantise
from ..tensor import TensorFormat
from . import layers as trained

__all__ = ["float_network", "fold_batch_norm", "ir_weights", "normalised_factor",
           "quantised_network"]


def ir_weights(layer: trained.Matrix, weights: np.ndarray) -> np.ndarray:
    """`weights` (K, N) of `layer` in the IR's order of axes: (out, in, y, x), or (out, in)."""
    if layer.size is None:
        return np.ascontiguousarray(weights.T)
    shape = layer.size, layer.size, -1, weights.shape[1]
    return np.ascontiguousarray(weights.reshape(shape).transpose(3, 2, 0, 1))


def normalised_factor(norm: trained.BatchNorm) -> np.ndarray:
    """What batch norm multiplies each channel by in inference (channels,), float64."""
    variance = norm.buffers["variance"].astype(np.float64) + float(norm.EPSILON)
    return norm.parameters["scale"].astype(np.float64) / np.sqrt(variance)


def fold_batch_norm(weights: np.ndarray, bias: np.ndarray | None, norm: trained.BatchNorm | None
                    ) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, N) and bias (N,) that do what sums, bias and batch norm do one after the other.

    Only for sums of products, which a factor commutes with.
    """
    weights = weights.astype(np.float64)
    bias = np.zeros(weights.shape[1]) if bias is None else bias.astype(np.float64)
    if norm is None:
        return weights, bias
    factor = normalised_factor(norm)
    bias = (bias - norm.buffers["mean"].astype(np.float64)) * factor
    return weights * factor, bias + norm.parameters["offset"].astype(np.float64)


def _matrix(layer: trained.Matrix, norm: trained.BatchNorm | None, operation: Operation | str
            ) -> FloatLayer:
    weights = layer.rule.effective(layer.parameters["weights"])
    weights, bias = fold_batch_norm(weights, layer.parameters.get("bias"), norm)
    weights = ir_weights(layer, weights)
    if layer.size is None:
        return FloatDense(weights, bias, layer.label, operation)
    return FloatConv2d(weights, bias, layer.label, layer.stride, layer.padding, operation)


def _average_pool(shape: tuple[int, ...]) -> list[FloatLayer]:
    side = shape[1]
    if shape[1] != shape[2] or side & (side - 1):
        raise ModelError(f"the IR averages over squares whose side is a power of two, and cannot "
                         f"over {shape[1]}x{shape[2]} positions")
    return [FloatAveragePool(side, side), FloatFlatten()]


def float_network(model: trained.Model, input_format: TensorFormat, title: str = "network",
                  input_scale: float | None = None, operation: Operation | str = "product"
                  ) -> FloatNetwork:
    """The float network that computes what `model` does in inference, up to float rounding.

    Parameters
    ----------
    model : Model
        Chain of layers; each batch norm directly behind a layer with weights.
    input_format : TensorFormat
        Of the data set's codes.
    title : str
    input_scale : float, optional
        Real value of one code step; 1/high when left out, as float methods train.
    operation : Operation or its name
        What layers with weights sum.

    Raises
    ------
    ModelError
        The IR cannot hold it: residual connections, a batch norm elsewhere or behind another
        operation than the product.
    """
    layers: list[FloatLayer] = []
    shape = input_format.shape
    index = 0
    while index < len(model.layers):
        layer = model.layers[index]
        follower = model.layers[index + 1] if index + 1 < len(model.layers) else None
        match layer:
            case trained.Matrix():
                norm = follower if isinstance(follower, trained.BatchNorm) else None
                if norm is not None and str(getattr(operation, "name", operation)) != "product":
                    raise ModelError(f"{norm.label}: batch norm must follow sums of products to "
                                     f"be folded into weights, not of {operation}")
                new = [_matrix(layer, norm, operation)]
                index += norm is not None
            case trained.ReLU():
                new = [FloatReLU()]
            case trained.MaxPool():
                new = [FloatMaxPool(layer.size, layer.size)]
            case trained.GlobalAveragePool():
                new = _average_pool(shape)
            case trained.Flatten():
                new = [FloatFlatten()]
            case trained.BatchNorm():
                raise ModelError(f"{layer.label}: batch norm must stand directly behind a layer "
                                 f"with weights to be folded into it")
            case trained.Residual():
                raise ModelError(f"{layer.label}: the IR is a chain of layers and cannot hold "
                                 f"residual connections")
            case _:
                raise ModelError(f"{layer.label}: the IR has no layer for "
                                 f"{type(layer).__name__}")
        for step in new:
            shape = step.output_shape(shape)
        layers += new
        index += 1
    scale = 1 / input_format.high if input_scale is None else input_scale
    return FloatNetwork(input_format, scale, tuple(layers), title)


def quantised_network(model: trained.Model, input_format: TensorFormat, x: np.ndarray,
                      title: str, metadata: Mapping[str, str],
                      weight_bits: int | Sequence[int] = 8,
                      activation_bits: int | Sequence[int] = 8,
                      operation: Operation | str = "product") -> Network:
    """`model` quantised after its training (`nmahw.quantise`), for float methods.

    Parameters
    ----------
    model, input_format, operation
        As in `float_network`.
    x : integer array (images, *input shape)
        Training images; the first 2,000 calibrate.
    title, metadata
        As in `Network`.
    weight_bits, activation_bits : int or sequence of int
        As in `nmahw.quantise.quantise`.
    """
    network = float_network(model, input_format, title, operation=operation)
    return quantise(network, x[:2000], weight_bits, activation_bits, title, metadata)
