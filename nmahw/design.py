"""A network, an arithmetic and an array shape: the parameter object of a whole accelerator.

Its golden face is `predict`; its hardware face is `create`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.back import rtlil

from .arith import ARITHMETICS, Arithmetic, Operand
from .errors import ModelError, UsageError
from .gateware.accelerator import Accelerator
from .gateware.pins import SerialPins
from .lowering import lower
from .network import Network
from .program import Program
from .schedule import Schedule
from .tensor import bits_for_range

__all__ = ["Design", "TOP", "MAX_ROWS", "MAX_COLUMNS"]

#: Name of the emitted top module.
TOP = "nmahw_top"
#: Largest array; beyond it, generating takes minutes and no supported device is large enough.
MAX_ROWS = MAX_COLUMNS = 64
# Words of activation memory a lane may need: 64 Ki, far above any supported device.
_MAX_WORDS = 1 << 16


@dataclass(frozen=True)
class Design:
    """One accelerator.

    Parameters
    ----------
    network : Network
    arithmetic : Arithmetic
        Must take the operands that the network needs; `of` makes one that does.
    rows, columns : int
        Shape of the systolic array, 1..64 each.
    """

    network: Network
    arithmetic: Arithmetic
    rows: int
    columns: int

    def __post_init__(self):
        for what, value, limit in (("rows", self.rows, MAX_ROWS),
                                   ("columns", self.columns, MAX_COLUMNS)):
            if type(value) is not int or not 1 <= value <= limit:
                raise UsageError(f"array {what} must be an integer of 1..{limit}, not {value!r}")
        program = self.program
        needed_x, needed_w = needed_operands(program)
        for what, needed, given in (("activations", needed_x, self.arithmetic.activation),
                                    ("weights", needed_w, self.arithmetic.weight)):
            if needed.low < given.low or needed.high > given.high:
                raise ModelError(f"{self.arithmetic.name} for {given} {what} must take "
                                 f"{needed}, which the network needs")
        if program.memory_words > _MAX_WORDS:
            raise ModelError(f"activations must fit {_MAX_WORDS} words, but need "
                             f"{program.memory_words}")

    @classmethod
    def of(cls, network: Network, arithmetic: str, rows: int, columns: int) -> "Design":
        """A design with the arithmetic of that name, as wide as the network needs.

        Raises
        ------
        UsageError
            Unknown arithmetic, impossible array shape.
        ModelError
            The arithmetic cannot take the network's operands; the layer is named.
        """
        kind = ARITHMETICS.get(arithmetic)
        program = lower(network)
        _check_widths(program, kind)
        return cls(network, kind(*needed_operands(program, kind)), rows, columns)

    @cached_property
    def program(self) -> Program:
        """The network as passes."""
        return lower(self.network)

    @cached_property
    def schedule(self) -> Schedule:
        """The program cut into tiles for this array."""
        return Schedule(self.program, self.arithmetic, self.rows, self.columns)

    @property
    def macs_per_image(self) -> int:
        """Multiply-accumulate steps of the network, for one image."""
        return self.network.macs

    @property
    def cycles_per_image(self) -> int:
        """Clock cycles from one image to the next when neither stream pauses."""
        return self.schedule.image_cycles

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Golden results, one row an image, in the order of the output stream."""
        return self.network.predict(images).reshape(len(images), -1)

    def create(self, trace: bool = False) -> Accelerator:
        """The accelerator as an Amaranth component."""
        return Accelerator(self.schedule, trace)

    def rtlil(self, pins: str = "axis", trace: bool = False) -> str:
        """RTLIL text of the accelerator.

        Parameters
        ----------
        pins : str
            ``"axis"``: the AXI4-Stream ports, top module ``nmahw_top``. ``"serial"``: behind four
            pins (clk, rst, si, so), top module ``top``, for place and route on any package.
        trace : bool
            Add the trace ports (axis only).
        """
        if pins == "serial":
            return rtlil.convert(SerialPins(self.create()), name="top", emit_src=False)
        if pins != "axis":
            raise UsageError(f"pins must be 'axis' or 'serial', not {pins!r}")
        return rtlil.convert(self.create(trace), name=TOP, emit_src=False)


def needed_operands(program: Program, kind: type[Arithmetic] | None = None
                    ) -> tuple[Operand, Operand]:
    """Smallest operands that hold every activation and every weight of `program`.

    With `kind`, they are at least as wide as that arithmetic's narrowest.
    """
    least = (1, 1) if kind is None else (kind.activation_bits[0], kind.weight_bits[0])
    spans = (program.activation_ranges(),
             [(int(p.weights.min()), int(p.weights.max())) for p in program.passes])
    operands = []
    for (ranges, bits) in zip(spans, least, strict=True):
        low = min(min(lo for lo, _ in ranges), 0)
        high = max(max(hi for _, hi in ranges), 0)
        operands.append(Operand(max(bits_for_range(low, high), bits), low < 0))
    return operands[0], operands[1]


def _check_widths(program: Program, kind: type[Arithmetic]) -> None:
    """Name the layer whose operands are too wide for `kind`."""
    for p, (low, high) in zip(program.passes, program.activation_ranges(), strict=True):
        operand_bits = bits_for_range(min(low, 0), max(high, 0))
        if operand_bits > kind.activation_bits[1]:
            raise ModelError(f"layer {p.title}: {kind.name} takes activations of at most "
                             f"{kind.activation_bits[1]} bits, not {operand_bits}; put a "
                             f"requantise layer before it")
        weight_bits = bits_for_range(min(int(p.weights.min()), 0), max(int(p.weights.max()), 0))
        if weight_bits > kind.weight_bits[1]:
            raise ModelError(f"layer {p.title}: {kind.name} takes weights of at most "
                             f"{kind.weight_bits[1]} bits, not {weight_bits}; quantise with fewer "
                             f"weight bits")
