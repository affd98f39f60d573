"""An accelerator behind four pins, so that its area and clock can be measured on any package.

Inputs are shifted in a bit a cycle and outputs captured and shifted out, through registers: the
logic stays whole, no path leaves the chip, and the harness is the same for every arithmetic.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .accelerator import Accelerator

__all__ = ["SerialPins"]


class SerialPins(wiring.Component):
    """The harness.

    Attributes
    ----------
    si : In
        Shifted into the accelerator's inputs.
    so : Out
        The accelerator's outputs, captured whenever the last ones are out.
    """

    si: In(1)
    so: Out(1)

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = a = self._accelerator
        inputs = Cat(a.s_axis_tdata, a.s_axis_tvalid, a.s_axis_tlast, a.m_axis_tready)
        outputs = Cat(a.s_axis_tready, a.m_axis_tdata, a.m_axis_tvalid, a.m_axis_tlast,
                      a.busy, a.layer, a.frame_error)
        shifted_in = Signal(len(inputs))
        shifted_out = Signal(len(outputs))
        left = Signal(range(len(outputs)))
        m.d.comb += inputs.eq(shifted_in)
        m.d.sync += [shifted_in.eq(Cat(self.si, shifted_in)), self.so.eq(shifted_out[0]),
                     shifted_out.eq(shifted_out >> 1), left.eq(left - 1)]
        with m.If(left == 0):
            m.d.sync += [shifted_out.eq(outputs), left.eq(len(outputs) - 1)]
        return m
