"""2-D convolution (cross-correlation, as the field's frameworks define it), without bias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ModelError
from ..operations import Operation, operation
from ..tensor import TensorFormat
from . import Layer, integer_array, integer_field

if TYPE_CHECKING:
    from ..lowering import ProgramBuilder

__all__ = ["Conv2d"]


@dataclass(frozen=True, eq=False)
class Conv2d(Layer):
    """Convolution with zero padding.

    Parameters
    ----------
    weights : integer array (out_channels, in_channels, kernel_height, kernel_width)
    stride : int
        Step in both directions, 1..64.
    padding : int
        Zeros added on all four sides, less than both kernel sizes.
    operation : Operation or its name
        What is done to an activation and a weight; the zeros count as activations.
    """

    name: ClassVar[str] = "conv2d"
    is_matrix: ClassVar[bool] = True

    weights: np.ndarray
    stride: int = 1
    padding: int = 0
    operation: Operation | str = "product"

    def __post_init__(self):
        weights = integer_array(self.weights, "conv2d weights", 4)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "stride", integer_field(self.stride, "conv2d stride", 1, 64))
        object.__setattr__(self, "padding", integer_field(
            self.padding, "conv2d padding", 0, min(weights.shape[2:]) - 1))
        object.__setattr__(self, "operation", operation(self.operation))

    def output_format(self, input_format: TensorFormat) -> TensorFormat:
        channels, kernel_height, kernel_width = self.weights.shape[1:]
        if len(input_format.shape) != 3 or input_format.shape[0] != channels:
            raise ModelError(f"conv2d with weights {self.weights.shape} must get "
                             f"({channels}, height, width), not {input_format.shape}")
        height, width = (size + 2 * self.padding for size in input_format.shape[1:])
        if height < kernel_height or width < kernel_width:
            raise ModelError(f"conv2d kernel {kernel_height}x{kernel_width} must not be larger "
                             f"than its padded input, {height}x{width}")
        shape = (self.weights.shape[0], (height - kernel_height) // self.stride + 1,
                 (width - kernel_width) // self.stride + 1)
        return TensorFormat(shape, *self.operation.sum_range(self._matrix(), input_format))

    def macs(self, input_format: TensorFormat) -> int:
        _, height, width = self.output_format(input_format).shape
        return int(self.weights.size) * height * width

    def _matrix(self) -> np.ndarray:
        return self.weights.reshape(self.weights.shape[0], -1).T

    def compute(self, x: np.ndarray, input_format: TensorFormat) -> np.ndarray:
        kernel = self.weights.shape[2:]
        real = np.float32 if input_format.magnitude < 2**24 else np.float64
        pad = self.padding
        x = np.pad(x.astype(real), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
        windows = windows[:, :, ::self.stride, ::self.stride]
        batch, _, height, width = windows.shape[:4]
        columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(batch * height * width, -1)
        product = self.operation.sums(columns, self._matrix(), input_format)
        product = product.reshape(batch, height, width, -1)
        return np.ascontiguousarray(product.transpose(0, 3, 1, 2))

    def lower(self, builder: ProgramBuilder) -> None:
        builder.begin_convolution(self.weights, self.stride, self.padding, self.operation)

    @classmethod
    def examples(cls, rng: np.random.Generator) -> Iterator[tuple[TensorFormat, Layer]]:
        def weights(*shape: int) -> np.ndarray:
            return rng.integers(-8, 8, shape)
        yield TensorFormat((2, 6, 5), 0, 15), cls(weights(3, 2, 3, 3))
        yield TensorFormat((1, 7, 7), 0, 15), cls(weights(5, 1, 3, 3), stride=2, padding=1)
        yield TensorFormat((3, 4, 6), -8, 7), cls(weights(2, 3, 2, 4), stride=3, padding=1)
        yield TensorFormat((5, 3, 3), 0, 15), cls(weights(9, 5, 1, 1))
        yield TensorFormat((2, 4, 5), 0, 7), cls(weights(3, 2, 3, 3), padding=1, operation="l1")
