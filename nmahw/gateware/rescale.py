"""Round half up, shift right, saturate: one of a few shifts, chosen per pass."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith import range_shape
from ..program import Rescale
from .common import choose
from .configuration import Configuration

__all__ = ["RescaleUnit", "rescale_fields"]


def rescale_fields(slot: str, rescales: list[Rescale], ranges: list[tuple[int, int]]
                   ) -> dict[str, list[int]]:
    """Program fields of the unit in `slot`; `ranges` are those of its results, by pass.

    A limit that never acts is set to the end of the range.
    """
    shifts = sorted({r.shift for r in rescales})
    return {
        f"{slot}_half": [(1 << r.shift) >> 1 for r in rescales],
        f"{slot}_shift": [shifts.index(r.shift) for r in rescales],
        f"{slot}_low": [low if r.low is None else r.low
                        for r, (low, _) in zip(rescales, ranges, strict=True)],
        f"{slot}_high": [high if r.high is None else r.high
                         for r, (_, high) in zip(rescales, ranges, strict=True)],
    }


class RescaleUnit(wiring.Component):
    """Hardware of `Rescale`, with `RESCALE_CYCLES` of latency.

    Parameters
    ----------
    slot : str
        Prefix of its program fields.
    rescales : list of Rescale
        One per pass: the shifts it has to offer.
    input_range, output_range : (int, int)
    """

    def __init__(self, configuration: Configuration, slot: str, rescales: list[Rescale],
                 input_range: tuple[int, int], output_range: tuple[int, int]):
        self._configuration = configuration
        self._slot = slot
        self._shifts = sorted({r.shift for r in rescales})
        self._input_range = input_range
        super().__init__({"i": In(range_shape(*input_range)), "o": Out(range_shape(*output_range))})

    def elaborate(self, platform):
        m = Module()
        cfg = {name: self._configuration[f"{self._slot}_{name}"]
               for name in ("half", "shift", "low", "high")}
        low, high = self._input_range
        rounded = Signal(range_shape(low, high + ((1 << self._shifts[-1]) >> 1)))
        shifted, inside = Signal.like(rounded), Signal.like(self.o, reset_less=True)
        below, above = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            rounded.eq(self.i + cfg["half"]),
            shifted.eq(choose(m, cfg["shift"], [rounded >> s for s in self._shifts], "scaled")),
            # What does not fit into `inside` is below or above.
            above.eq(shifted > cfg["high"]), inside.eq(shifted),
        ]
        # Where no result is negative, a limit of 0 is none, and linters mind the comparison.
        limit = cfg["low"]
        if shifted.shape().signed or not isinstance(limit, Const) or limit.value > 0:
            m.d.sync += below.eq(shifted < limit)
        m.d.sync += self.o.eq(Mux(below, limit, Mux(above, cfg["high"], inside)))
        return m
