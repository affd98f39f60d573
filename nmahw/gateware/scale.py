"""Scale by one or two signed powers of two, chosen per channel, and add the channel's bias.

Each term is a shifter and one carry chain that adds, subtracts or leaves out; the first chain adds
to the bias. All is modulo two to the result's width: what a term alone would need does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..signed_digits import Term
from .common import delayed
from .gated_add import GatedAdd

__all__ = ["ScaleUnit", "shifter_stages"]


def shifter_stages(shifts: Sequence[int]) -> tuple[int, ...]:
    """Fewest amounts, each added or not to the smallest shift, that make all shifts."""
    wanted = {shift - min(shifts) for shift in shifts}
    limit = max(wanted).bit_length()
    for count in range(limit):
        for amounts in combinations(range(1, max(wanted) + 1), count):
            if wanted <= {_sum(amounts, choice) for choice in range(1 << count)}:
                return amounts
    return tuple(1 << bit for bit in range(limit))


def _sum(amounts: Sequence[int], choice: int) -> int:
    return sum(amount for bit, amount in enumerate(amounts) if choice >> bit & 1)


@dataclass(frozen=True)
class _TermCode:
    """How a term's shift and sign are written into the channel's word: stages, counts, negative."""

    term: Term

    @cached_property
    def base(self) -> int:
        return min(self.term.shifts)

    @cached_property
    def stages(self) -> tuple[int, ...]:
        return shifter_stages(self.term.shifts)

    @property
    def is_gated(self) -> bool:
        return 0 in self.term.signs

    @property
    def is_signed(self) -> bool:
        return -1 in self.term.signs

    @property
    def width(self) -> int:
        return len(self.stages) + self.is_gated + self.is_signed

    @cached_property
    def words(self) -> list[int]:
        choices = {self.base + _sum(self.stages, choice): choice
                   for choice in range(1 << len(self.stages))}
        words = []
        for shift, sign in zip(self.term.shifts, self.term.signs, strict=True):
            word, place = choices[shift], len(self.stages)
            if self.is_gated:
                word |= (sign != 0) << place
                place += 1
            words.append(word | (sign < 0) << place)
        return words


class ScaleUnit(wiring.Component):
    """``o = scale(value) + bias``; one cycle for shifting and one for each term of latency.

    Parameters
    ----------
    terms : sequence of Term
        At least one.
    biases : sequence of int
        Of all channels.
    bias_shape, value_shape, result_shape : Shape

    Attributes
    ----------
    value : In
    word : In
        The channel's entry of `words`.
    o : Out
    """

    def __init__(self, terms: Sequence[Term], biases: Sequence[int], bias_shape: Shape,
                 value_shape: Shape, result_shape: Shape):
        self._codes = [_TermCode(term) for term in terms]
        self._biases = list(biases)
        self._bias_shape = bias_shape
        width = bias_shape.width + sum(code.width for code in self._codes)
        super().__init__({"value": In(value_shape), "word": In(unsigned(width)),
                          "o": Out(result_shape)})

    @property
    def words(self) -> list[int]:
        """Bias and codes of every channel, for the memory that `word` comes from."""
        mask = (1 << self._bias_shape.width) - 1
        words = []
        for channel, bias in enumerate(self._biases):
            word, place = bias & mask, self._bias_shape.width
            for code in self._codes:
                word |= code.words[channel] << place
                place += code.width
            words.append(word)
        return words

    def elaborate(self, platform):
        m = Module()
        result_shape = self.o.shape()
        place = self._bias_shape.width
        bias = self.word[:place]
        total = delayed(m, bias.as_signed() if self._bias_shape.signed else bias, 1, "bias")
        value, rest = self.value, self.word[place:]
        for number, code in enumerate(self._codes):
            shifted = value
            for bit, amount in enumerate(code.stages):
                # A wire of its own: written out as parts of one, linters see a circle.
                stage = Signal((shifted << amount).shape(), name=f"shifted{number}_{bit}")
                m.d.comb += stage.eq(Mux(rest[bit], shifted << amount, shifted))
                shifted = stage
            # What all channels shift costs no registers.
            width = max(min(shifted.shape().width, result_shape.width - code.base), 1)
            kept = Signal(Shape(width, shifted.shape().signed), name=f"term{number}",
                          reset_less=True)
            m.d.sync += kept.eq(shifted)
            addend = kept << code.base
            m.submodules[f"adder{number}"] = adder = GatedAdd(
                total.shape(), addend.shape(), result_shape, gate=code.is_gated,
                subtract=code.is_signed)
            options = delayed(m, rest[len(code.stages):code.width], 1, f"options{number}") \
                if code.width > len(code.stages) else Cat()
            if code.is_gated:
                m.d.comb += adder.gate.eq(options[0])
            if code.is_signed:
                m.d.comb += adder.subtract.eq(options[-1])
            m.d.comb += [adder.augend.eq(total), adder.addend.eq(addend)]
            total = Signal(result_shape, name=f"total{number}", reset_less=True)
            m.d.sync += total.eq(adder.total)
            if number + 1 < len(self._codes):
                # The next term is a cycle later, so that the chains follow each other.
                value = delayed(m, value, 1, f"value{number}")
                rest = delayed(m, rest[code.width:], 1, f"codes{number}")
        m.d.comb += self.o.eq(total)
        return m
