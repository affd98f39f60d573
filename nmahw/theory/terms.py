"""The products of a layer, as indices: which input meets which weight for which output.

A dense layer and a convolution are both ``y[o] = sum x[i] w[k]`` over some terms (o, i, k). The
same terms, summed by weight, give the gradient of the weights, and summed by input the error of
the layer before: one description serves forward and backward.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from ..layers import Layer
from ..layers.conv2d import Conv2d
from ..layers.dense import Dense
from ..tensor import TensorFormat

__all__ = ["Terms", "conv_terms", "dense_terms", "layer_terms"]


@dataclass(frozen=True, eq=False)
class Terms:
    """Terms of ``y[output] = sum x[input] w[weight]``, ordered by output.

    Attributes
    ----------
    outputs, inputs, weights : int64 arrays (terms,)
        Places in the flattened (C order) result, map and weights.
    output_shape, input_shape, weight_shape : tuple of int
    """

    outputs: np.ndarray
    inputs: np.ndarray
    weights: np.ndarray
    output_shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of outputs, inputs and weights."""
        return tuple(int(np.prod(shape)) for shape in
                     (self.output_shape, self.input_shape, self.weight_shape))


def dense_terms(inputs: int, outputs: int) -> Terms:
    """Terms of a fully connected layer with weights (outputs, inputs)."""
    out, into = np.divmod(np.arange(outputs * inputs), inputs)
    return Terms(out, into, np.arange(outputs * inputs), (outputs,), (inputs,), (outputs, inputs))


def conv_terms(input_shape: tuple[int, int, int], weight_shape: tuple[int, int, int, int],
               stride: int = 1, padding: int = 0) -> Terms:
    """Terms of a convolution; padded zeros have none.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, height, width.
    weight_shape : tuple of int
        Output channels, input channels, kernel height, kernel width.
    stride, padding : int

    Raises
    ------
    ModelError
        The kernel is larger than the padded map, or reads another number of channels.
    """
    channels, height, width = input_shape
    out, read, *kernel = weight_shape
    size = [(n + 2 * padding - f) // stride + 1 for n, f in zip((height, width), kernel,
                                                                strict=True)]
    if read != channels or min(size) < 1:
        raise ModelError(f"convolution with weights {tuple(weight_shape)} must get {read} channels "
                         f"not smaller than its kernel, not {tuple(input_shape)} with padding "
                         f"{padding}")
    o, i, j, c, a, b = np.ix_(*map(np.arange, (out, *size, channels, *kernel)))
    y, x = i * stride + a - padding, j * stride + b - padding
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    shape = (out, *size, channels, *kernel)

    def flat(index: np.ndarray) -> np.ndarray:
        return np.broadcast_to(index, shape)[np.broadcast_to(inside, shape)]

    return Terms(flat((o * size[0] + i) * size[1] + j), flat((c * height + y) * width + x),
                 flat(((o * channels + c) * kernel[0] + a) * kernel[1] + b),
                 (out, *size), tuple(input_shape), tuple(weight_shape))


def layer_terms(layer: Layer, input_format: TensorFormat) -> Terms:
    """Terms of a matrix layer of the IR.

    Raises
    ------
    ModelError
        The layer is no sum of products.
    """
    if not isinstance(layer, (Conv2d, Dense)) or layer.operation.name != "product":
        operation = getattr(layer, "operation", None)
        raise ModelError(f"a layer of an NMA must be a sum of products, not {layer.name}"
                         + (f" of the operation {operation}" if operation else ""))
    if isinstance(layer, Dense):
        return dense_terms(layer.weights.shape[1], layer.weights.shape[0])
    return conv_terms(input_format.shape, layer.weights.shape, layer.stride, layer.padding)
