"""Neurons of NMAs in closed form, for networks of any size; and the paper's own formulas.

`MatrixShape` counts one layer from its sizes alone, without building a graph: ResNet-50 takes
milliseconds. The functions whose names begin with ``paper_`` state what the paper prints, layer by
layer; tests compare both with the graphs of `forward` and `backward`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..errors import ModelError
from ..floatnet import FloatNetwork
from ..network import Network
from .graph import Kind

__all__ = ["MatrixShape", "backward_products", "network_shapes",
           "paper_convolutional_backward", "paper_convolutional_forward",
           "paper_fully_connected_backward", "paper_fully_connected_forward", "totals"]


@dataclass(frozen=True)
class MatrixShape:
    """Sizes of a convolution, or of a dense layer (1x1 maps).

    Parameters
    ----------
    name : str
    channels, height, width : int
        Of the input.
    out_channels : int
    kernel : tuple of int
        Height and width.
    stride, padding : int
    groups : int
        Output channels read 1/groups of the input channels each.

    Raises
    ------
    ModelError
        Sizes that do not fit each other.
    """

    name: str
    channels: int
    height: int
    width: int
    out_channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: int = 0
    groups: int = 1

    def __post_init__(self):
        if self.channels % self.groups or self.out_channels % self.groups:
            raise ModelError(f"{self.name}: channels must be a multiple of {self.groups} groups, "
                             f"not {self.channels} and {self.out_channels}")
        if min(self.output_shape) < 1:
            raise ModelError(f"{self.name}: a {self.kernel[0]}x{self.kernel[1]} kernel must not be "
                             f"larger than its padded map, not {self.height}x{self.width}")

    @classmethod
    def dense(cls, name: str, inputs: int, outputs: int) -> MatrixShape:
        """A fully connected layer."""
        return cls(name, inputs, 1, 1, outputs)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the result."""
        return self.out_channels, *(
            (size + 2 * self.padding - taps) // self.stride + 1
            for size, taps in zip((self.height, self.width), self.kernel, strict=True))

    @property
    def inputs(self) -> int:
        """Values read."""
        return self.channels * self.height * self.width

    @property
    def outputs(self) -> int:
        """Values made."""
        return prod(self.output_shape)

    @property
    def weights(self) -> int:
        """Weights, without biases."""
        return self.out_channels * (self.channels // self.groups) * prod(self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-accumulate steps, those with padded zeros included."""
        return self.weights * prod(self.output_shape[1:])

    @property
    def products(self) -> int:
        """Multiplications with pixels of the map: the product neurons of an NMA."""
        each = self.out_channels * (self.channels // self.groups)
        for size, taps, positions in zip((self.height, self.width), self.kernel,
                                         self.output_shape[1:], strict=True):
            place = (np.arange(positions) * self.stride)[:, None] + np.arange(taps) - self.padding
            each *= int(((place >= 0) & (place < size)).sum())
        return each

    @property
    def forward(self) -> dict[Kind, int]:
        """Neurons of the layer's NMA, of each kind; its activations are its sums."""
        return {Kind.INPUT: self.inputs, Kind.WEIGHT: self.weights,
                Kind.INTERMEDIATE: 4 * self.products, Kind.PRODUCT: self.products,
                Kind.SUM: self.outputs}


def totals(shapes: Iterable[MatrixShape]) -> dict[Kind, int]:
    """Neurons of each kind in all; inputs are those of every layer."""
    result: dict[Kind, int] = {}
    for shape in shapes:
        for kind, count in shape.forward.items():
            result[kind] = result.get(kind, 0) + count
    return result


def backward_products(shapes: Sequence[MatrixShape]) -> dict[str, int]:
    """Products of one step of backpropagation.

    Returns
    -------
    dict of str to int
        ``"slopes"``: error times slope, one for each result (step one); ``"gradients"``: that
        times input, for every forward product (step two); ``"errors"``: that times weight, to the
        layer before, for all layers but the first. The paper counts slopes and errors of fully
        connected networks, slopes and gradients of convolutional ones.
    """
    return {"slopes": sum(shape.outputs for shape in shapes),
            "gradients": sum(shape.products for shape in shapes),
            "errors": sum(shape.products for shape in shapes[1:])}


def network_shapes(network: Network | FloatNetwork) -> list[MatrixShape]:
    """Shapes of a network's matrix layers, in order; named by kind and place.

    Raises
    ------
    ModelError
        A layer with weights of another kind than conv2d and dense.
    """
    result = []
    inputs = network.shapes if isinstance(network, FloatNetwork) else \
        [fmt.shape for fmt in network.formats]
    for place, (layer, shape) in enumerate(zip(network.layers, inputs, strict=False)):
        if layer.name == "conv2d":
            result.append(MatrixShape(f"{place} conv2d", *shape, layer.weights.shape[0],
                                      tuple(layer.weights.shape[2:]), layer.stride,
                                      layer.padding))
        elif layer.name == "dense":
            result.append(MatrixShape.dense(f"{place} dense", *layer.weights.shape[::-1]))
        elif getattr(layer, "is_matrix", hasattr(layer, "weights")):
            raise ModelError(f"layer {place} must be a conv2d or a dense layer to be counted, not "
                             f"{layer.name}")
    return result


def paper_fully_connected_forward(sizes: Sequence[int]) -> list[int]:
    """Neurons of each layer of Figure 2, as section 4.1.1 says: 4 L - 3 layers."""
    layers = []
    for here, there in zip(sizes, sizes[1:], strict=False):
        layers += [here + here * there, 4 * here * there, here * there, there]
    return [*layers, sizes[-1]]


def paper_fully_connected_backward(sizes: Sequence[int], printed: bool = True) -> list[int]:
    """Neurons of each layer of Figure 3, as section 4.1.2 says: 5 L - 6 layers.

    Parameters
    ----------
    sizes : sequence of int
    printed : bool
        ``U_{l-1} U_l^2`` products in ``W d``, as printed, instead of ``U_{l-1} U_l``.
    """
    last = sizes[-1]
    layers = [last, 2 * last, 4 * last, last]
    for before, here in zip(sizes[-2:0:-1], sizes[:1:-1], strict=True):
        layers[-1] += before * here
        products = before * here * (here if printed else 1)
        layers += [4 * products, products, 2 * before, 4 * before, before]
    return layers


def paper_convolutional_forward(map_shape: tuple[int, int], kernel_sizes: Sequence[int]
                                ) -> list[int]:
    """Neurons of each layer of Figure 4, as section 4.2.1 says."""
    height, width = map_shape
    layers = [height * width]
    for f in kernel_sizes:
        height, width = height - f + 1, width - f + 1
        layers[-1] += f * f
        layers += [4 * f * f * height * width, f * f * height * width, height * width]
    return layers


def paper_convolutional_backward(map_shape: tuple[int, int], f: int) -> list[int]:
    """Neurons of each layer of Figure 5, as section 4.2.2 says; `map_shape` is that of X^(L-1)."""
    inputs = map_shape[0] * map_shape[1]
    outputs = (map_shape[0] - f + 1) * (map_shape[1] - f + 1)
    products = f * f * outputs
    return [outputs, 2 * outputs, 4 * outputs, outputs + inputs, 4 * products, products, f * f]
