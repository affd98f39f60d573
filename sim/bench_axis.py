"""cocotb bench of an emitted accelerator: all outputs must be the golden model's.

`run.py` starts it.
"""

from random import Random

import cocotb
import numpy as np
from axis import AxisSink, AxisSource, defined
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, with_timeout
from golden import IMAGES, NETWORK, PERIOD_NS, SEED, SIDECAR, SIZE, Images


class Bench:
    """The design, a source, a sink, a status monitor, and the answers still to come."""

    def __init__(self, dut, source_stall: float = 0.0, sink_stall: float = 0.0):
        self.dut, self.random = dut, Random(SEED)
        self._images = Images()
        self.source = AxisSource(dut, "s_axis", Random(SEED + 1), source_stall)
        self.sink = AxisSink(dut, "m_axis", Random(SEED + 2), sink_stall,
                             NETWORK.output_format.signed)
        self.frame_errors = 0
        self.busy_cycles: dict[int, int] = {}
        self.expected: list[list[int]] = []
        slowest = 1 / (1 - max(source_stall, sink_stall))
        beats = SIZE + NETWORK.output_format.size
        self._patience_ns = PERIOD_NS * (1000 + 20 * (SIDECAR["cycles_per_image"]
                                                      + int(beats * slowest)))

    async def start(self) -> None:
        """Run the clock, reset, and start all drivers."""
        self.dut.rst.value = 1
        cocotb.start_soon(Clock(self.dut.clk, PERIOD_NS, unit="ns").start())
        await self.cycles(3)
        self.dut.rst.value = 0
        for task in (self.source, self.sink, self):
            cocotb.start_soon(task.run())

    async def run(self) -> None:
        """Watch the status outputs for ever."""
        while True:
            await FallingEdge(self.dut.clk)
            await ReadOnly()
            self.frame_errors += defined(self.dut.frame_error)
            if defined(self.dut.busy):
                layer = defined(self.dut.layer)
                self.busy_cycles[layer] = self.busy_cycles.get(layer, 0) + 1

    async def cycles(self, count: int) -> None:
        """Let time pass; ends where signals may be driven."""
        for _ in range(count):
            await FallingEdge(self.dut.clk)

    async def until(self, condition) -> None:
        """Let time pass until `condition()` holds, for a limited time."""
        async def wait():
            while not condition():
                await FallingEdge(self.dut.clk)
        await with_timeout(wait(), self._patience_ns, "ns")

    def image(self) -> np.ndarray:
        """Elements of a random input, whose answer is not expected."""
        return np.array(self._images.next()[0])

    def send(self, count: int = 1) -> None:
        """Queue whole images and expect their answers."""
        for _ in range(count):
            elements, answer = self._images.next()
            self.source.send(elements)
            self.expected.append(answer)

    async def check(self) -> None:
        """Wait for all answers expected and compare; nothing more may come."""
        for index, expected in enumerate(self.expected):
            await self.until(lambda index=index: len(self.sink.frames) > index)
            answer = self.sink.frames[index]
            assert answer == expected, (
                f"answer {index} must be {expected} "
                f"({[hex(v & 0xFFFFFFFF) for v in expected]}), not {answer} "
                f"({[hex(v & 0xFFFFFFFF) for v in answer]})")
        await self.until(lambda: self.source.idle)
        await self.cycles(2 * SIDECAR["cycles_per_image"] + 50)
        assert len(self.sink.frames) == len(self.expected) and not self.sink.partial, \
            "an answer came that no image asked for"

    async def reset(self) -> None:
        """Reset for three cycles; what was in flight is lost."""
        self.expected = self.expected[:len(self.sink.frames)]
        self.dut.rst.value = 1
        await self.cycles(3)
        self.sink.forget()
        self.dut.rst.value = 0
        await self.cycles(1)


@cocotb.test
async def back_to_back(dut):
    """Images without a pause: every answer, and every pass in exactly its predicted cycles."""
    bench = Bench(dut)
    await bench.start()
    bench.send(IMAGES)
    await bench.check()
    predicted = {index: item["cycles"] * IMAGES for index, item in enumerate(SIDECAR["passes"])}
    assert bench.busy_cycles == predicted, \
        f"passes must take {predicted} cycles for {IMAGES} images, not {bench.busy_cycles}"
    assert bench.frame_errors == 0


@cocotb.test
@cocotb.parametrize(source_stall=[0.0, 0.7], sink_stall=[0.3, 0.9])
async def random_stalls(dut, source_stall: float, sink_stall: float):
    """Both streams pause at random."""
    bench = Bench(dut, source_stall, sink_stall)
    await bench.start()
    bench.send(IMAGES)
    await bench.check()
    assert bench.frame_errors == 0


@cocotb.test
async def blocked_output(dut):
    """Nobody takes answers for a long time: nothing is lost, nothing comes twice."""
    bench = Bench(dut)
    await bench.start()
    bench.sink.blocked = True
    bench.send(IMAGES)
    await bench.cycles(IMAGES * SIDECAR["cycles_per_image"] + 2 * SIZE)
    bench.sink.blocked = False
    await bench.check()


@cocotb.test
@cocotb.parametrize(moment=["input", "passes", "output"])
async def reset_in_mid_image(dut, moment: str):
    """After a reset at any moment the next image is as good as the first."""
    bench = Bench(dut, 0.1, 0.5)
    await bench.start()
    bench.send(1)
    if moment == "input":
        bench.source.send(bench.image()[:-1], last=None)
        half = SIZE + SIZE // 2
        await bench.until(lambda: bench.source.accepted >= half)
        await bench.until(lambda: bench.source.idle)
    elif moment == "passes":
        await bench.until(lambda: bool(bench.busy_cycles))
        await bench.cycles(bench.random.randrange(SIDECAR["cycles_per_image"] // 2))
    else:
        await bench.until(lambda: bench.sink.partial or bench.sink.frames)
    await bench.reset()
    bench.send(IMAGES)
    await bench.check()
    assert bench.frame_errors == 0


@cocotb.test
@cocotb.parametrize(stall=[0.0, 0.4])
async def wrong_tlast(dut, stall: float):
    """tlast too early or missing: that image is dropped, all others are answered."""
    bench = Bench(dut, stall, stall)
    await bench.start()
    wrong = 0
    bench.send(1)
    for length in sorted({1, SIZE // 2, SIZE - 1} - {0, SIZE}):
        bench.source.send(bench.image()[:length])  # early
        wrong += 1
        bench.send(1)
    for extra in (1, SIZE):
        image = bench.image()
        bench.source.send(image, last=None)  # missing; dropped up to the next tlast
        bench.source.send(np.resize(image, extra))
        wrong += 1
        bench.send(1)
    bench.send(1)
    await bench.check()
    assert bench.frame_errors == wrong, \
        f"frame_error must pulse {wrong} times, not {bench.frame_errors}"
