"""A small accelerator with the real one's ports, for testing what simulates and checks it.

It holds a network of two passes (a 1x1 convolution, a dense layer), written plainly with `*`.
A faulty one makes a mistake for images that begin with one of the values in `FAULTS`, so that
tests can show that it is found.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from amaranth import Array, Cat, Module, Mux, Signal, signed
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.requantise import Requantise
from nmahw.network import Network
from nmahw.tensor import TensorFormat

#: First element of an image to what goes wrong: a result written to memory, an output, a missing
#: tlast, no answer, one cycle too many, an output that changes while it waits.
FAULTS = {"convolution": 15, "dense": 14, "tlast": 13, "hang": 12, "cycles": 11, "unstable": 10}

_CONV = np.array([[[[3]]], [[[-2]]]])
_DENSE = np.random.default_rng(5).integers(-8, 8, (3, 24))


@dataclass(frozen=True)
class _Pass:
    title: str


@dataclass(frozen=True)
class _Schedule:
    cycles_by_pass: tuple[int, ...] = (24, 72)
    layout: None = None

    @property
    def batch_cycles(self) -> int:
        return sum(self.cycles_by_pass)


@dataclass(frozen=True)
class _Arithmetic:
    name: str = "none"


@dataclass(frozen=True)
class _Program:
    """Results of the first pass lie from address 16 on, position by position."""

    passes: tuple[_Pass, ...] = (_Pass("0 conv2d"), _Pass("3 dense"))

    def locate(self, layer: int, address: int) -> tuple[int, int, int] | None:
        if layer != 0 or not 16 <= address < 40:
            return None
        position, channel = divmod(address - 16, 2)
        return channel, *divmod(position, 4)

    def golden_for(self, index: int, outputs: tuple[np.ndarray, ...]) -> np.ndarray:
        return outputs[(1, 3)[index]].reshape(len(outputs[0]), *((2, 3, 4), (1, 1, 3))[index])


class StandInTop(wiring.Component):
    """The hardware; see the module's text."""

    def __init__(self, faulty: bool = False, trace: bool = True):
        self.faulty = faulty
        self.trace = trace
        ports = {
            "s_axis_tdata": In(8), "s_axis_tvalid": In(1), "s_axis_tready": Out(1),
            "s_axis_tlast": In(1),
            "m_axis_tdata": Out(signed(16)), "m_axis_tvalid": Out(1), "m_axis_tready": In(1),
            "m_axis_tlast": Out(1),
            "busy": Out(1), "layer": Out(1), "frame_error": Out(1),
        }
        if trace:
            ports |= {"trace_valid": Out(1), "trace_layer": Out(1), "trace_address": Out(6),
                      "trace_data": Out(signed(8))}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        first = Signal(8)

        def fault(name):
            return (first == FAULTS[name]) & self.faulty
        m.submodules.memory = memory = Memory(shape=signed(8), depth=64, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        count, channel, output = Signal(range(24)), Signal(1), Signal(range(4))
        accumulator, waited = Signal(signed(16)), Signal()
        results = Array(Signal(signed(16), name=f"result{i}") for i in range(3))
        weights = Array(Array(int(w) for w in row) for row in _DENSE)
        wrong_tlast = self.s_axis_tlast != (count == 11)
        m.d.sync += self.frame_error.eq(0)
        if self.trace:
            m.d.comb += [self.trace_valid.eq(write.en & self.busy),
                         self.trace_layer.eq(self.layer), self.trace_address.eq(write.addr),
                         self.trace_data.eq(write.data)]
        with m.FSM():
            with m.State("LOAD"):
                m.d.comb += [self.s_axis_tready.eq(1), write.addr.eq(count),
                             write.data.eq(self.s_axis_tdata[:4]), write.en.eq(self.s_axis_tvalid)]
                with m.If(self.s_axis_tvalid):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == 0):
                        m.d.sync += first.eq(self.s_axis_tdata)
                    with m.If(wrong_tlast):
                        m.d.sync += [count.eq(0), self.frame_error.eq(1)]
                        with m.If(~self.s_axis_tlast):
                            m.next = "DROP"
                    with m.Elif(count == 11):
                        m.d.sync += count.eq(0)
                        m.next = "CONV"
            with m.State("DROP"):
                m.d.comb += self.s_axis_tready.eq(1)
                with m.If(self.s_axis_tvalid & self.s_axis_tlast):
                    m.next = "LOAD"
            with m.State("CONV"):
                product = Mux(channel, read.data * -2, read.data * 3)
                scaled = (product + 1) >> 1
                clipped = Mux(scaled > 15, 15, Mux(scaled < -8, -8, scaled))
                wrong = fault("convolution") & (channel == 1) & (count == 6)
                m.d.comb += [self.busy.eq(1), read.addr.eq(count), write.en.eq(1),
                             write.addr.eq(16 + Cat(channel, count)),
                             write.data.eq(Mux(wrong, clipped ^ 1, clipped))]
                m.d.sync += channel.eq(channel + 1)
                with m.If(channel):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == 11):
                        m.d.sync += count.eq(0)
                        m.next = "DENSE"
                        with m.If(fault("cycles")):
                            m.next = "EXTRA"
            with m.State("EXTRA"):
                m.d.comb += self.busy.eq(1)
                m.next = "DENSE"
            with m.State("DENSE"):
                # Feature c * 12 + p lies at 16 + 2 * p + c.
                second = count >= 12
                place = Mux(second, count - 12, count)
                total = accumulator + read.data * weights[output][count]
                m.d.comb += [self.busy.eq(1), self.layer.eq(1),
                             read.addr.eq(16 + Cat(second, place[:4]))]
                m.d.sync += [accumulator.eq(total), count.eq(count + 1)]
                with m.If(count == 23):
                    m.d.sync += [accumulator.eq(0), count.eq(0), output.eq(output + 1)]
                    wrong = fault("dense") & (output == 2)
                    m.d.sync += results[output].eq(total + wrong)
                    with m.If(output == 2):
                        m.d.sync += output.eq(0)
                        m.next = "SEND"
                        with m.If(fault("hang")):
                            m.next = "HANG"
            with m.State("HANG"):
                pass
            with m.State("SEND"):
                shown = results[output] ^ (waited & fault("unstable"))
                m.d.sync += waited.eq(~self.m_axis_tready)
                m.d.comb += [self.m_axis_tvalid.eq(1), self.m_axis_tdata.eq(shown),
                             self.m_axis_tlast.eq((output == 2) & ~fault("tlast"))]
                with m.If(self.m_axis_tready):
                    m.d.sync += output.eq(output + 1)
                    with m.If(output == 2):
                        m.d.sync += output.eq(0)
                        m.next = "LOAD"
        return m


@cache
def standin_network() -> Network:
    """The network that `StandInTop` carries out."""
    return Network(TensorFormat((1, 3, 4), 0, 15),
                   (Conv2d(_CONV), Requantise(1, -8, 15), Flatten(), Dense(_DENSE)), "stand-in")


@dataclass(frozen=True)
class StandIn:
    """What `nmahw.design.Design` offers, around `StandInTop`."""

    faulty: bool = False
    arithmetic: _Arithmetic = _Arithmetic()
    rows: int = 1
    columns: int = 1
    images: int = 1
    store: None = None
    program: _Program = _Program()
    schedule: _Schedule = _Schedule()

    @property
    def network(self) -> Network:
        return standin_network()

    @property
    def cycles_per_image(self) -> int:
        return self.schedule.batch_cycles

    @property
    def lockstep(self) -> dict[str, int]:
        return {}

    def rtlil(self, pins: str = "axis", trace: bool = False) -> str:
        return rtlil.convert(self.create(trace), name="nmahw_top", emit_src=False)

    def create(self, trace: bool = False) -> StandInTop:
        return StandInTop(self.faulty, trace)


def standin_images(count: int, faults: dict[int, str] | None = None) -> np.ndarray:
    """Random inputs without any fault but those in `faults` (image index to name)."""
    images = np.random.default_rng(1).integers(0, 16, (count, 1, 3, 4))
    images[:, 0, 0, 0] %= min(FAULTS.values())
    for index, name in (faults or {}).items():
        images[index, 0, 0, 0] = FAULTS[name]
    return images
