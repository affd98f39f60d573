"""Baseline: true products of floating-point numbers, in the same fixed-point window as `int_add`.

The significands go through a multiplier in LUTs, made by Yosys' `booth` pass (products of less
than 4 x 4 bits, those of e5m2, are left to Yosys' default). What zeros, subnormals, infinities and
NaN do is said in `nmahw.operations.float_product`; the window is exact for it.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, signed

from ..errors import ModelError
from ..floats import BF16, FP8_E4M3, FP8_E5M2, FP32
from ..operations.float_product import (
    FloatProductBf16,
    FloatProductE4m3,
    FloatProductE5m2,
    FloatProductFp32,
)
from . import Element
from ._float_window import FloatWindowArithmetic, WindowElement

__all__ = ["FloatMultiply", "FloatMultiplyBf16", "FloatMultiplyE4m3", "FloatMultiplyE5m2",
           "FloatMultiplyFp32"]


@dataclass(frozen=True)
class FloatMultiply(FloatWindowArithmetic):
    """Multiply significands, add exponents, shift into fixed point.

    Parameters
    ----------
    activation, weight : Operand
    window : FixedPoint, optional
    product_stages : int
        1, or 2: each half of the weight's significand has a product and a register of its own,
        which are added behind it.

    Raises
    ------
    ModelError
        Another number of stages.
    """

    source = "baseline; IEEE 754 products, Booth 1951"
    is_baseline = True
    yosys_passes = ("booth",)

    product_stages: int = 1

    def __post_init__(self):
        super().__post_init__()
        if self.product_stages not in (1, 2):
            raise ModelError(f"{self.name}'s product_stages must be 1 or 2, not "
                             f"{self.product_stages!r}")

    @property
    def latency_cycles(self) -> int:
        return super().latency_cycles + self.product_stages - 1

    def compute(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self.operation_class(self.window).apply(x, w)

    def create(self, row: int = 0) -> Element:
        return FloatMultiplyElement(self, row)


class FloatMultiplyElement(WindowElement):
    """Product of 1..4 by two significands of 1..2; the position is that of 1."""

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        (mantissa_x, exponent_x, sign_x), (mantissa_w, exponent_w, sign_w) = self.codes()
        leading = 2 * arithmetic.float_format.mantissa_bits
        product = Signal(leading + 2, reset_less=True)
        position = Signal(signed(arithmetic.position_bits), reset_less=True)
        negative = Signal(reset_less=True)
        x, w = Cat(mantissa_x, Const(1, 1)), Cat(mantissa_w, Const(1, 1))
        following = x * w, exponent_x + exponent_w, sign_x ^ sign_w
        if arithmetic.product_stages == 2:
            half = len(w) // 2
            following = [self.register(m, name, value) for name, value in (
                ("low_product", x * w[:half]), ("high_product", x * w[half:]),
                ("early_position", following[1]), ("early_negative", following[2]))]
            following = following[0] + (following[1] << half), *following[2:]
        m.d.sync += [register.eq(value) for register, value in
                     zip((product, position, negative), following, strict=True)]
        # From 2 on, a product stands one higher than its position.
        last = arithmetic.window.positions - 1
        above, smallest = Signal(), Signal()
        m.d.comb += [above.eq(self.is_above(position) | ((position == last) & product[-1])),
                     smallest.eq(position == -1)]
        self.add_shifted(m, product, leading, position, negative, above=above,
                         below=position[-1] & ~(smallest & product[-1]), smallest=smallest)
        return m


class FloatMultiplyBf16(FloatMultiply):
    """8 x 8-bit significands."""

    name = "float_multiply_bf16"
    summary = "bfloat16 x * w, Booth in LUTs, into fixed point"
    operation = "float_product_bf16"
    float_format, operation_class = BF16, FloatProductBf16
    activation_bits = weight_bits = (16, 16)


class FloatMultiplyE4m3(FloatMultiply):
    """4 x 4-bit significands."""

    name = "float_multiply_e4m3"
    summary = "float8 e4m3 x * w, Booth in LUTs, into fixed point"
    operation = "float_product_e4m3"
    float_format, operation_class = FP8_E4M3, FloatProductE4m3
    activation_bits = weight_bits = (8, 8)


class FloatMultiplyE5m2(FloatMultiply):
    """3 x 3-bit significands."""

    name = "float_multiply_e5m2"
    summary = "float8 e5m2 x * w in LUTs, into fixed point"
    operation = "float_product_e5m2"
    float_format, operation_class = FP8_E5M2, FloatProductE5m2
    activation_bits = weight_bits = (8, 8)


class FloatMultiplyFp32(FloatMultiply):
    """24 x 24-bit significands."""

    name = "float_multiply_fp32"
    summary = "binary32 x * w, Booth in LUTs, into fixed point"
    operation = "float_product_fp32"
    float_format, operation_class = FP32, FloatProductFp32
    activation_bits = weight_bits = (32, 32)
