"""Any component behind four pins, so that its area and clock can be measured on any package.

Like `nmahw.gateware.pins`, for wide ports: outputs are captured a chunk at a time, a cycle apart,
so that no net of the harness is long enough to limit the clock.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SerialHarness"]

# Bits captured by one register of the harness.
_CHUNK = 24


class SerialHarness(wiring.Component):
    """The harness.

    Parameters
    ----------
    component : wiring.Component

    Attributes
    ----------
    si : In
        Shifted into the component's inputs.
    so : Out
        The component's outputs, captured by turns and shifted out.
    """

    si: In(1)
    so: Out(1)

    def __init__(self, component: wiring.Component):
        self._component = component
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = component = self._component
        inputs, outputs = [], []
        for _, member, value in component.signature.flatten(component):
            (inputs if member.flow == In else outputs).append(value)
        to_component, from_component = Cat(*inputs), Cat(*outputs)
        shifted_in = Signal(len(to_component), reset_less=True)
        m.d.sync += shifted_in.eq(Cat(self.si, shifted_in))
        m.d.comb += to_component.eq(shifted_in)
        # A pulse every so often, which walks from chunk to chunk.
        counter = Signal(range(max(len(from_component), 2)))
        capture = Signal()
        m.d.sync += [counter.eq(counter + 1), capture.eq(counter == 0)]
        bit = self.si
        for start in range(0, len(from_component), _CHUNK):
            chunk = from_component[start:start + _CHUNK]
            kept = Signal(len(chunk), name=f"chunk{start}", reset_less=True)
            m.d.sync += kept.eq(Mux(capture, chunk, Cat(bit, kept)[:len(chunk)]))
            bit = kept[-1]
            walking = Signal(name=f"capture{start}", reset_less=True)
            m.d.sync += walking.eq(capture)
            capture = walking
        m.d.sync += self.so.eq(bit)
        return m
