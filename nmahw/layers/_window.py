"""What max-pool and average-pool share: windows without padding, laid out for reduction."""

import numpy as np

from ..errors import ModelError
from ..tensor import TensorFormat

__all__ = ["pooled_shape", "window_reduce"]


def pooled_shape(name: str, size: int, stride: int, input_format: TensorFormat
                 ) -> tuple[int, int, int]:
    """Shape after pooling; windows that would reach over the edge are left out."""
    if len(input_format.shape) != 3:
        raise ModelError(f"{name} must get (channels, height, width), not {input_format.shape}")
    channels, height, width = input_format.shape
    if height < size or width < size:
        raise ModelError(f"{name} window {size}x{size} must not be larger than its input, "
                         f"{height}x{width}")
    return channels, (height - size) // stride + 1, (width - size) // stride + 1


def window_reduce(x: np.ndarray, size: int, stride: int, reduce: np.ufunc) -> np.ndarray:
    """`reduce` over every ``size x size`` window of the last two axes."""
    height, width = ((n - size) // stride + 1 for n in x.shape[2:])
    result = None
    for dy in range(size):
        for dx in range(size):
            part = x[:, :, dy:dy + (height - 1) * stride + 1:stride,
                     dx:dx + (width - 1) * stride + 1:stride]
            result = part.copy() if result is None else reduce(result, part, out=result)
    return result
