"""cocotb bench of an emitted accelerator by somebody else's AXI4-Stream: cocotbext-axi.

Source and sink are Alex Forencich's (github.com/alexforencich/cocotbext-axi). They share nothing
with `axis.py`, so what both agree on is no misreading of the standard of ours.
"""

from itertools import repeat
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource
from golden import IMAGES, NETWORK, PERIOD_NS, SEED, SIDECAR, SIZE, Images


def pauses(random: Random, probability: float):
    """Whether to pause, for every cycle."""
    return (random.random() < probability for _ in repeat(None))


@cocotb.test
@cocotb.parametrize(source_pause=[0.0, 0.6], sink_pause=[0.0, 0.6])
async def images(dut, source_pause: float, sink_pause: float):
    """Every frame in gives one frame out: the golden model's results."""
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, unit="ns").start())
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
    source.set_pause_generator(pauses(Random(SEED), source_pause))
    sink.set_pause_generator(pauses(Random(SEED + 1), sink_pause))
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    generator, expected = Images(), []
    input_bytes, output_bytes = len(dut.s_axis_tdata) // 8, len(dut.m_axis_tdata) // 8
    mask = (1 << len(dut.s_axis_tdata)) - 1
    for _ in range(IMAGES):
        elements, answer = generator.next()
        await source.send(b"".join((element & mask).to_bytes(input_bytes, "little")
                                   for element in elements))
        expected.append(answer)
    patience_ns = PERIOD_NS * (1000 + 10 * (SIDECAR["cycles_per_image"] + SIZE))
    for index, answer in enumerate(expected):
        frame = await with_timeout(sink.recv(), patience_ns, "ns")
        data = bytes(frame.tdata)
        found = [int.from_bytes(data[at:at + output_bytes], "little",
                                signed=NETWORK.output_format.signed)
                 for at in range(0, len(data), output_bytes)]
        assert found == answer, f"answer {index} must be {answer}, not {found}"
    await ClockCycles(dut.clk, 2 * SIDECAR["cycles_per_image"] + 50)
    assert sink.empty() and source.idle(), "an answer came that no image asked for"
