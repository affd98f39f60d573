"""What a network asks of an arithmetic: operand widths, weights it has codes for."""

from collections.abc import Sequence

import numpy as np

from .arith import Arithmetic, Operand
from .errors import ModelError, UsageError
from .program import Pass, Program
from .tensor import bits_for_range

__all__ = ["operands_for", "check_arithmetics"]


def _activations(work: Pass) -> tuple[int, int]:
    return work.input_format.low, work.input_format.high


def _weights(work: Pass) -> tuple[int, int]:
    # Always signed: networks without a negative weight are rare, and elements would get registers
    # with constant bits, which Yosys 0.70 stumbles over ("conflicting init values").
    return min(int(work.weights.min()), -1), int(work.weights.max())


def _span(ranges: list[tuple[int, int]]) -> Operand:
    """Smallest operand that holds all ranges, and zero."""
    low = min(0, *(low for low, _ in ranges))
    high = max(0, *(high for _, high in ranges))
    return Operand(bits_for_range(low, high), low < 0)


def operands_for(passes: Sequence[Pass], kind: type[Arithmetic]) -> tuple[Operand, Operand]:
    """Smallest operands (activation, weight) of `kind` that hold those of all `passes`.

    Raises
    ------
    ModelError
        Some layer's operands are too wide for `kind`, or those of several layers together; the
        message names them.
    """
    return (_operand(passes, kind, "activations", _activations, kind.activation_bits,
                     "put a requantise layer before it"),
            _operand(passes, kind, "weights", _weights, kind.weight_bits,
                     "quantise with fewer weight bits"))


def _operand(passes, kind, what, ranges_of, limits, advice) -> Operand:
    ranges = [ranges_of(p) for p in passes]
    for p, span in zip(passes, ranges, strict=True):
        bits = _span([span]).bits
        if bits > limits[1]:
            raise ModelError(f"layer {p.title}: {kind.name} takes {what} of at most {limits[1]} "
                             f"bits, not {bits}; {advice}")
    operand = _span(ranges)
    if operand.bits > limits[1]:
        lowest = passes[min(range(len(ranges)), key=lambda i: ranges[i][0])].title
        highest = passes[max(range(len(ranges)), key=lambda i: ranges[i][1])].title
        raise ModelError(f"layers {lowest} (negative {what}) and {highest} (large ones) share one "
                         f"array: {kind.name} takes {what} of at most {limits[1]} bits, not the "
                         f"{operand.bits} that hold both; requantise one of them more narrowly")
    return Operand(max(operand.bits, limits[0]), operand.signed)


def check_arithmetics(program: Program, arithmetics: Sequence[Arithmetic]) -> None:
    """Make sure that `arithmetics`, one a pass, compute what the program's golden model does.

    Raises
    ------
    ModelError
        One carries out another operation than its layer, its operands are too narrow, or it has
        no code for some weight; the message names the layer.
    UsageError
        There are not as many as passes.
    """
    if len(arithmetics) != len(program.passes):
        raise UsageError(f"there must be {len(program.passes)} arithmetics, one a pass, not "
                         f"{len(arithmetics)}")
    for p, arithmetic in zip(program.passes, arithmetics, strict=True):
        _check(p, arithmetic)


def _check(p: Pass, arithmetic: Arithmetic) -> None:
    if p.operation.name != arithmetic.operation:
        raise ModelError(f"layer {p.title}: {arithmetic.name} computes the operation "
                         f"{arithmetic.operation}, but the layer must have {p.operation}")
    computes = arithmetic if not arithmetic.exact else None
    if getattr(p.operation, "arithmetic", None) != computes:
        raise ModelError(f"layer {p.title}: the network must be computed by {arithmetic} "
                         f"(nmahw.approximate), not by {p.operation}")
    for what, (low, high), operand in (("activations", _activations(p), arithmetic.activation),
                                       ("weights", _weights(p), arithmetic.weight)):
        if low < operand.low or high > operand.high:
            raise ModelError(f"layer {p.title}: {arithmetic.name} must take {what} of "
                             f"{low}..{high}, but is made for {operand}")
    wrong = p.weights[p.weights != type(arithmetic).project(p.weights)]
    if wrong.size:
        raise ModelError(f"layer {p.title}: {arithmetic.name} must have a code for every "
                         f"weight, but has none for {int(wrong.flat[0])} (and "
                         f"{np.unique(wrong).size - 1} other values)")
