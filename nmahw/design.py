"""A network, an arithmetic and an array shape: the parameter object of a whole accelerator.

Its golden face is `predict`; its hardware face is `create`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from amaranth.back import rtlil

from .approximate import approximated
from .arith import Arithmetic
from .assignment import AUTO, Mixture, assign
from .errors import ModelError, UsageError
from .gateware.accelerator import Accelerator
from .gateware.pins import SerialPins
from .lowering import lower
from .network import Network
from .operands import check_arithmetics
from .program import Program
from .schedule import Schedule
from .weight_store import WeightStore

if TYPE_CHECKING:
    from .devices import Device

__all__ = ["Design", "TOP", "MAX_ROWS", "MAX_COLUMNS", "MAX_IMAGES", "MAX_INPUT_BITS", "WEIGHTS"]

#: Name of the emitted top module.
TOP = "nmahw_top"
#: Largest array; beyond it, generating takes minutes and no supported device is large enough.
MAX_ROWS = MAX_COLUMNS = 64
#: Most images in lockstep, and rows to a memory.
MAX_IMAGES = 16
#: Widest element of an input: what the simulation harness can send in a beat.
MAX_INPUT_BITS = 32
#: Where weights may be: what suits a device; in its configuration; in memory loaded at start.
WEIGHTS = ("auto", "constant", "loaded")
# Words of activation memory a lane may need, and weights in all, those that fill up tiles
# included: far above what any supported device holds.
_MAX_WORDS = 1 << 16
_MAX_WEIGHTS = 1 << 22


@dataclass(frozen=True)
class Design:
    """One accelerator.

    Parameters
    ----------
    network : Network
        As the arithmetic computes it: see `nmahw.approximate` for those that are not exact.
    arithmetics : tuple of Arithmetic
        One a pass of `program`, each wide enough for its pass; `of` makes such. Passes with equal
        arithmetics share an engine. A single one stands for all passes.
    rows, columns : int
        Shape of each engine's systolic array, 1..64 each.
    skip_zeros : bool
        Whether tap tiles whose weights are all zero are left out. It takes two tables, and pays
        where many weights are zero.
    store : WeightStore, optional
        Memory that weights are loaded into at start; by default they are constants.
    images : int
        Images computed in lockstep, 1..16: each has an array of its own, all share weights,
        sequencer and schedule.
    share : int
        Rows that take turns at one copy of the activation memory, 1..16. No step takes fewer
        cycles, so it needs arithmetics whose steps take that many. Those that can (see
        `Arithmetic.by_digits`) get their weights digit by digit then.
    """

    network: Network
    arithmetics: tuple[Arithmetic, ...]
    rows: int
    columns: int
    skip_zeros: bool = False
    store: WeightStore | None = None
    images: int = 1
    share: int = 1

    def __post_init__(self):
        for what, value, limit in (("rows", self.rows, MAX_ROWS),
                                   ("columns", self.columns, MAX_COLUMNS)):
            if type(value) is not int or not 1 <= value <= limit:
                raise UsageError(f"array {what} must be an integer of 1..{limit}, not {value!r}")
        for what, value in (("images", self.images), ("share", self.share)):
            if type(value) is not int or not 1 <= value <= MAX_IMAGES:
                raise UsageError(f"{what} must be an integer of 1..{MAX_IMAGES}, not {value!r}")
        if isinstance(self.arithmetics, Arithmetic):
            object.__setattr__(self, "arithmetics",
                               (self.arithmetics,) * len(self.program.passes))
        if self.share > 1:
            object.__setattr__(self, "arithmetics",
                               tuple(arithmetic.by_digits() for arithmetic in self.arithmetics))
        check_arithmetics(self.program, self.arithmetics)
        self._check_lockstep()
        if self.network.input_format.bits > MAX_INPUT_BITS:
            raise ModelError(f"input must have at most {MAX_INPUT_BITS} bits an element, not "
                             f"{self.network.input_format.bits}")
        for what, number, limit in (
                ("activation memory", self.schedule.memory_words, _MAX_WORDS),
                ("weight memory", self.schedule.weight_words, _MAX_WEIGHTS)):
            if number > limit:
                raise ModelError(f"{what} must hold at most {limit:,} words, but the network "
                                 f"needs {number:,}")

    def _check_lockstep(self) -> None:
        if self.images > 1 and self.program.softmax is not None:
            raise ModelError(f"images must be 1 for a network that ends with softmax, not "
                             f"{self.images}")
        if self.store is not None and (self.images, self.share) != (1, 1):
            raise UsageError("images and share must be 1 where weights are loaded at start")
        if self.share == 1:
            return
        if self.skip_zeros:
            raise UsageError("skip_zeros must not be combined with share")
        for p in self.schedule.passes:
            if p.phases < self.share:
                raise ModelError(
                    f"layer {p.work.title}: {p.arithmetic.name} takes {p.phases} cycles a "
                    f"step, but rows that share a memory by {self.share} need as many")

    @classmethod
    def of(cls, network: Network, arithmetic: str, rows: int, columns: int,
           skip_zeros: bool = False, store: WeightStore | None = None, images: int = 1,
           share: int = 1) -> "Design":
        """A design with the arithmetics of that name, as wide as the network needs.

        Parameters
        ----------
        network : Network
        arithmetic : str
            Name of an arithmetic, or a choice by layer such as
            ``"conv2d=distributed,dense=bit_serial"``: see `nmahw.assignment`; or ``"auto"``: see
            `nmahw.choose`.
        rows, columns : int
        skip_zeros : bool
        store : WeightStore, optional
        images, share : int

        Raises
        ------
        UsageError
            Unknown arithmetic or layer, impossible array shape.
        ModelError
            An arithmetic cannot take a layer's operands; the layer is named.
        """
        if arithmetic == AUTO:
            from .choose import resolve  # which estimates designs
            arithmetic = resolve(network, arithmetic, rows, columns)
        arithmetics = assign(lower(network), arithmetic)
        for instance in dict.fromkeys(arithmetics):
            if not instance.exact:
                network = approximated(network, instance)
        return cls(network, arithmetics, rows, columns, skip_zeros, store, images, share)

    def with_weights(self, choice: str, device: "Device") -> "Design":
        """The same design with its weights where `choice`, one of `WEIGHTS`, says.

        ``"auto"`` loads them where they are too many for the device's block RAM and it has a
        memory for them.

        Raises
        ------
        UsageError
            Unknown choice, or weights that cannot be loaded: see `WeightStore`.
        """
        if choice not in WEIGHTS:
            raise UsageError(f"weights must be one of {', '.join(WEIGHTS)}, not {choice!r}")
        own = device.weight_store
        fits = self.memory_bits <= device.limits["block_ram"] * device.rules.block_ram_bits
        if choice == "constant" or (choice == "auto" and (fits or own is None)):
            return self
        return replace(self, store=own or WeightStore())

    @property
    def arithmetic(self) -> Arithmetic | Mixture:
        """The arithmetic, or what several of them have in common."""
        kinds = tuple(dict.fromkeys(self.arithmetics))
        return kinds[0] if len(kinds) == 1 else Mixture(kinds)

    @cached_property
    def program(self) -> Program:
        """The network as passes."""
        return lower(self.network)

    @cached_property
    def schedule(self) -> Schedule:
        """The program cut into tiles for this array."""
        return Schedule(self.program, self.arithmetics, self.rows, self.columns,
                        skip_zeros=self.skip_zeros, store=self.store, images=self.images,
                        share=self.share)

    @property
    def macs_per_image(self) -> int:
        """Multiply-accumulate steps of the network, for one image."""
        return self.network.macs

    @property
    def cycles_per_image(self) -> int:
        """Clock cycles from one image to the next when neither stream pauses.

        Of images in lockstep, their share of a batch's, rounded up.
        """
        return self.schedule.image_cycles

    @property
    def lockstep(self) -> dict[str, int]:
        """Images computed in lockstep and rows to a memory, for reports; empty without either."""
        return {name: value for name, value in (("images", self.images), ("share", self.share))
                if value > 1}

    @property
    def memory_bits(self) -> int:
        """Bits of all weight and activation memories, but for weights that are loaded."""
        return self.schedule.memory_bits

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
        if pins not in ("axis", "serial"):
            raise UsageError(f"pins must be 'axis' or 'serial', not {pins!r}")
        # Generating takes seconds, and several stages ask for the same text.
        key = pins, trace
        if key not in self._texts:
            self._texts[key] = (
                rtlil.convert(self.create(trace), name=TOP, emit_src=False) if pins == "axis" else
                rtlil.convert(SerialPins(self.create()), name="top", emit_src=False))
        return self._texts[key]

    @cached_property
    def _texts(self) -> dict[tuple[str, bool], str]:
        return {}
