"""Sums of floating-point products in a floating-point accumulator.

Floating-point sums depend on their order and an addition takes several cycles, so they do not fit
the array's contract, where values add up exactly and a psum takes one cycle a row. Here they stand
by themselves: `FloatSum` is the golden model of a sum in order, and an element for a column whose
row r works `sum_latency_cycles` after row r - 1.

An addition is the exact sum rounded toward zero (IEEE 754's roundTowardZero): bits that alignment
shifts out leave a sticky bit, which is enough for that. Further:

- subnormals count as zero, and what is too small to be normal becomes +0, as does ``x - x``;
- too large a result is infinity; NaN counts as infinity;
- infinity stays: with an infinite psum the result has its sign, whatever is added; an infinite
  product makes the psum infinite. There is no NaN.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..errors import ModelError
from ..floats import BF16, FP32, FloatFormat
from .int_add import int_add_patterns

__all__ = ["FloatSum", "FloatSumElement"]

# Guard, round and sticky bit.
_EXTRA_BITS = 3


@dataclass(frozen=True)
class FloatSum:
    """Products of one float format, summed in another.

    Parameters
    ----------
    operand : FloatFormat
        With infinity.
    accumulator : FloatFormat
        Same exponent field and bias; mantissa at least as wide, for true products wide enough
        to hold them.
    multiply : bool
        False: patterns are added (`int_add_patterns`). True: the baseline, exact products.
    mean_error_constant : int
        See `int_add_patterns`.

    Raises
    ------
    ModelError
        The formats do not fit each other, or there is a constant with true products.
    """

    operand: FloatFormat = BF16
    accumulator: FloatFormat = FP32
    multiply: bool = False
    mean_error_constant: int = 0

    def __post_init__(self):
        fmt, wide = self.operand, self.accumulator
        least = 2 * fmt.mantissa_bits + 1 if self.multiply else fmt.mantissa_bits
        if not (fmt.has_infinity and wide.has_infinity) or fmt.bias != wide.bias or \
                fmt.exponent_bits != wide.exponent_bits or wide.mantissa_bits < least:
            raise ModelError(f"the accumulator of {fmt} products must have infinity, the same "
                             f"exponents and a mantissa of {least} bits or more, not {wide}")
        limit = 1 if self.multiply else 1 << (fmt.mantissa_bits - 1)
        if type(self.mean_error_constant) is not int or not 0 <= self.mean_error_constant < limit:
            raise ModelError(f"mean_error_constant must be an integer of 0..{limit - 1}, not "
                             f"{self.mean_error_constant!r}")

    @property
    def product_latency_cycles(self) -> int:
        """Cycles from operands until `psum_i` is read."""
        return 3

    @property
    def sum_latency_cycles(self) -> int:
        """Cycles from `psum_i` to `psum_o`."""
        return 6

    # Golden model.

    def products(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Patterns of products in the accumulator's format, of patterns of operands (int64)."""
        fmt, wide = self.operand, self.accumulator
        x, w = np.asarray(x, dtype=np.int64), np.asarray(w, dtype=np.int64)
        if not self.multiply:
            narrow = int_add_patterns(x, w, fmt, self.mean_error_constant)
            return narrow << (wide.mantissa_bits - fmt.mantissa_bits)
        one = 1 << fmt.mantissa_bits
        magnitudes = x & (fmt.sign_bit - 1), w & (fmt.sign_bit - 1)
        product = (magnitudes[0] % one + one) * (magnitudes[1] % one + one)
        exponent = sum(m >> fmt.mantissa_bits for m in magnitudes) - fmt.bias
        carried = product >> (2 * fmt.mantissa_bits + 1)
        mantissa = (product << (wide.mantissa_bits - 2 * fmt.mantissa_bits)) >> carried
        result = self._packed(exponent + carried, mantissa)
        result = np.where(np.maximum(*magnitudes) > fmt.max_finite, wide.infinity, result)
        result = np.where(np.minimum(*magnitudes) < one, 0, result)
        return result | np.where((x ^ w) & fmt.sign_bit, wide.sign_bit, 0)

    def _packed(self, exponent: np.ndarray, significand: np.ndarray) -> np.ndarray:
        """Magnitude's pattern; the significand has its leading one."""
        wide = self.accumulator
        pattern = (exponent << wide.mantissa_bits) + significand % (1 << wide.mantissa_bits)
        return np.where(exponent < 1, 0,
                        np.where(exponent >= wide.exponent_ones, wide.infinity, pattern))

    def add(self, psum: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Pattern of the sum of two patterns of the accumulator's format (int64)."""
        wide = self.accumulator
        psum, product = np.asarray(psum, dtype=np.int64), np.asarray(product, dtype=np.int64)
        swap = (product & (wide.sign_bit - 1)) > (psum & (wide.sign_bit - 1))
        large, small = np.where(swap, product, psum), np.where(swap, psum, product)
        one = 1 << wide.mantissa_bits

        def parts(pattern: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            magnitude = pattern & (wide.sign_bit - 1)
            significand = np.where(magnitude < one, 0, magnitude % one + one)
            return magnitude >> wide.mantissa_bits, significand << _EXTRA_BITS

        (exponent, a), (small_exponent, b) = parts(large), parts(small)
        distance = np.clip(exponent - small_exponent, 0, wide.mantissa_bits + 5)
        shifted = b >> distance
        shifted = shifted | ((shifted << distance) != b)
        total = np.where((large ^ small) & wide.sign_bit, a - shifted, a + shifted)
        # Exact: totals have at most 28 bits.
        length = np.frexp(total.astype(np.float64))[1]
        excess = length - (wide.mantissa_bits + 1)
        significand = np.where(excess > 0, total >> np.maximum(excess, 0),
                               total << np.maximum(-excess, 0))
        result = self._packed(exponent + excess - _EXTRA_BITS, significand)
        result = np.where(total == 0, 0, result)
        result = np.where(result > 0, result | (large & wide.sign_bit), 0)
        for given in (product, psum):
            infinite = (given & (wide.sign_bit - 1)) > wide.max_finite
            result = np.where(infinite, wide.infinity | (given & wide.sign_bit), result)
        return result

    def accumulate(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Pattern of ``sum_k x[..., k] * w[..., k]``, added up in order of k, from +0."""
        products = self.products(x, w)
        psum = np.zeros(products.shape[:-1], dtype=np.int64)
        for k in range(products.shape[-1]):
            psum = self.add(psum, products[..., k])
        return psum

    # Hardware.

    def create(self) -> "FloatSumElement":
        """The element."""
        return FloatSumElement(self)


class FloatSumElement(wiring.Component):
    """``psum_o = psum_i + x * w``, a new one every cycle.

    Attributes
    ----------
    x, w : In
        Patterns of the operands' format.
    psum_i : In
        Pattern of the accumulator's format, `product_latency_cycles` after the operands.
    psum_o : Out
        `sum_latency_cycles` after `psum_i`.
    """

    def __init__(self, parameters: FloatSum):
        self.parameters = parameters
        super().__init__({"x": In(parameters.operand.bits), "w": In(parameters.operand.bits),
                          "psum_i": In(parameters.accumulator.bits),
                          "psum_o": Out(parameters.accumulator.bits)})

    def elaborate(self, platform):
        m = Module()
        fmt, wide = self.parameters.operand, self.parameters.accumulator

        def register(name: str, value: Value) -> Signal:
            signal = Signal(value.shape(), name=name, reset_less=True)
            m.d.sync += signal.eq(value)
            return signal

        product = self._product(m, register)
        mantissa_bits, one = wide.mantissa_bits, Const(1, 1)

        def split(pattern: Value) -> tuple[Value, Value, Value]:
            return (pattern[:mantissa_bits], pattern[mantissa_bits:-1], pattern[-1])

        # 1: which is larger.
        psum = self.psum_i
        swap = register("swap", product[:-1] > psum[:-1])
        product, psum = register("product_1", product), register("psum_1", psum)
        # 2: large, small, distance; zeros have no leading one.
        large, small = Mux(swap, product, psum), Mux(swap, psum, product)
        (large_mantissa, large_exponent, large_sign), \
            (small_mantissa, small_exponent, small_sign) = split(large), split(small)
        a = register("a", Mux(large_exponent == 0, 0, Cat(large_mantissa, one)))
        b = register("b", Mux(small_exponent == 0, 0, Cat(small_mantissa, one)))
        distance = register("distance", (large_exponent - small_exponent)[:fmt.exponent_bits])
        exponent = register("exponent_2", large_exponent)
        sign = register("sign_2", large_sign)
        subtract = register("subtract_2", large_sign ^ small_sign)
        psum_infinite = psum[mantissa_bits:-1].all()
        infinite = register("infinite_2", psum_infinite | product[mantissa_bits:-1].all())
        infinite_sign = register("infinite_sign_2", Mux(psum_infinite, psum[-1], product[-1]))
        # 3: align.
        shifted = Cat(Const(0, _EXTRA_BITS), b)
        stages = len(shifted).bit_length()
        sticky = Const(0, 1)
        for bit in range(min(stages, len(distance))):
            sticky = Mux(distance[bit], sticky | shifted[:1 << bit].any(), sticky)
            shifted = Mux(distance[bit], shifted >> (1 << bit), shifted)
        if len(distance) > stages:
            far = distance[stages:].any()
            sticky, shifted = Mux(far, (b != 0), sticky), Mux(far, 0, shifted)
        aligned = register("aligned", Cat(shifted[0] | sticky, shifted[1:mantissa_bits + 4]))
        a = register("a_3", Cat(Const(0, _EXTRA_BITS), a))
        exponent, sign = register("exponent_3", exponent), register("sign_3", sign)
        subtract, infinite, infinite_sign = (
            register(f"{name}_3", value) for name, value in
            (("subtract", subtract), ("infinite", infinite), ("infinite_sign", infinite_sign)))
        # 4: add or subtract.
        width = mantissa_bits + 5
        total = register("total", Mux(subtract, a - aligned, a + aligned)[:width])
        # Room for what normalising adds and takes.
        exponent = register("exponent_4", exponent + 1)
        sign, infinite, infinite_sign = (
            register(f"{name}_4", value) for name, value in
            (("sign", sign), ("infinite", infinite), ("infinite_sign", infinite_sign)))
        # 5: normalise coarsely. 6: finely, and pack.
        steps = [1 << bit for bit in reversed(range((width - 1).bit_length()))]
        total, exponent = self._normalised(m, total, exponent, steps[:2], "coarse")
        total, exponent = register("total_5", total), register("exponent_5", exponent)
        sign, infinite, infinite_sign = (
            register(f"{name}_5", value) for name, value in
            (("sign", sign), ("infinite", infinite), ("infinite_sign", infinite_sign)))
        total, exponent = self._normalised(m, total, exponent, steps[2:], "fine")
        result = Signal(wide.bits, reset_less=True)
        m.d.sync += result.eq(Cat(total[-1 - mantissa_bits:-1], exponent[:fmt.exponent_bits],
                                  sign))
        with m.If(infinite):
            m.d.sync += result.eq(Cat(Const(wide.infinity, wide.bits - 1), infinite_sign))
        with m.Elif(~total[-1] | (exponent < 1)):
            m.d.sync += result.eq(0)
        with m.Elif(exponent >= wide.exponent_ones):
            m.d.sync += result.eq(Cat(Const(wide.infinity, wide.bits - 1), sign))
        m.d.comb += self.psum_o.eq(result)
        return m

    def _normalised(self, m: Module, total: Value, exponent: Value, steps: list[int],
                    name: str) -> tuple[Value, Value]:
        """Left by each of `steps` where that many leading bits are 0."""
        taken = []
        for step in steps:
            clear = Signal(name=f"{name}_{step}")
            m.d.comb += clear.eq(total[-step:] == 0)
            total = Mux(clear, (total << step)[:len(total)], total)
            taken.append((step, clear))
        amount = Cat(clear for _, clear in reversed(taken))
        # Two bits more than the field: it may have gone below 0 or beyond the largest.
        following = Signal(signed(self.parameters.operand.exponent_bits + 2),
                           name=f"exponent_{name}")
        m.d.comb += following.eq(exponent - (amount << (steps[-1].bit_length() - 1)))
        return total, following

    def _product(self, m: Module, register) -> Value:
        """Pattern of the product in the accumulator's format, three registers deep."""
        fmt, wide, parameters = (self.parameters.operand, self.parameters.accumulator,
                                 self.parameters)
        bits = fmt.mantissa_bits
        fields = [pattern[bits:-1] for pattern in (self.x, self.w)]
        zero = register("zero_p1", (fields[0] == 0) | (fields[1] == 0))
        infinite = register("infinite_p1", fields[0].all() | fields[1].all())
        sign = register("sign_p1", self.x[-1] ^ self.w[-1])
        if parameters.multiply:
            mantissas = [Cat(pattern[:bits], Const(1, 1)) for pattern in (self.x, self.w)]
            product = register("significand_p1", mantissas[0] * mantissas[1])
            total = register("exponent_p1", fields[0] + fields[1])
            mantissa = register("mantissa_p2", Mux(product[-1], product[:-1],
                                                   Cat(Const(0, 1), product[:-2])))
            exponent = register("exponent_p2", (total + product[-1] - fmt.bias).as_signed())
        else:
            # The constants go with the weight, so that the long sum has two summands.
            constant = parameters.mean_error_constant - (fmt.bias << bits)
            x = register("x_p1", self.x[:-1])
            w = register("w_p1", (self.w[:-1] + constant).as_signed())
            total = register("total_p2", (x + w).as_signed())
            mantissa, exponent = total[:bits], total[bits:].as_signed()
        zero, infinite, sign = (register(f"{name}_p2", value) for name, value in
                                (("zero", zero), ("infinite", infinite), ("sign", sign)))
        pattern = Signal(wide.bits, name="product_p3", reset_less=True)
        m.d.sync += pattern.eq(Cat(Const(0, wide.mantissa_bits - len(mantissa)), mantissa,
                                   exponent[:fmt.exponent_bits], sign))
        with m.If(zero | (~infinite & (exponent < 1))):
            m.d.sync += pattern[:-1].eq(0)
        with m.Elif(infinite | (exponent >= fmt.exponent_ones)):
            m.d.sync += pattern[:-1].eq(wide.infinity)
        return pattern
