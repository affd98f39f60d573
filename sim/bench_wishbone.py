"""cocotb bench of an accelerator behind Wishbone: all answers must be the golden model's."""

from random import Random

import cocotb
from axis import defined
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from golden import PERIOD_NS, SEED
from registers import REGISTERS, Software
from wishbone import WishboneChecker, WishboneMaster


class WishboneBus:
    """Software's way to the registers."""

    def __init__(self, master: WishboneMaster):
        self.master = master

    async def read(self, number: int) -> int:
        (value, error), = await self.master.transfer([(number, None)])
        assert not error, f"register {number} must be readable"
        return value

    async def write(self, number: int, value: int) -> None:
        (_, error), = await self.master.transfer([(number, value)])
        assert not error, f"register {number} must be writable"

    async def push(self, word: int, last: bool) -> None:
        await self.write(REGISTERS["INPUT_LAST" if last else "INPUT"]["number"], word)

    async def pop(self) -> int:
        return await self.read(REGISTERS["OUTPUT"]["number"])


async def start(dut, pipelined: bool = False, gap: float = 0.0) -> Software:
    """Clock, reset, master and checker."""
    master = WishboneMaster(dut, Random(SEED), pipelined, gap)
    dut.rst.value = 1
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, unit="ns").start())
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    cocotb.start_soon(master.run())
    cocotb.start_soon(WishboneChecker(dut, pipelined).run())
    return Software(WishboneBus(master))


@cocotb.test
@cocotb.parametrize(pipelined=[False, True], gap=[0.0, 0.6])
async def images(dut, pipelined: bool, gap: float):
    """Identity, images, counters, with a master that waits at random."""
    software = await start(dut, pipelined, gap)
    await software.identify()
    await software.count()
    await software.classify()


@cocotb.test
@cocotb.parametrize(pipelined=[False, True])
async def wrong_lengths(dut, pipelined: bool):
    """Images of wrong length are dropped."""
    await (await start(dut, pipelined, 0.2)).wrong_lengths()


@cocotb.test
async def reset_anywhere(dut):
    """Software's reset, at any moment."""
    await (await start(dut)).reset_anywhere()


@cocotb.test
async def limits_of_the_buffers(dut):
    """What does not fit is lost and flagged, and spoils no other image."""
    software = await start(dut)
    await software.empty_output()
    await software.fill(software.bus.push)
    assert (await software.fields("STATUS"))["OVERFLOW"] == 0
    await software.bus.push(0, False)
    status = await software.fields("STATUS")
    assert status["OVERFLOW"] == 1 and status["ROOM"] == 0 and status["WAITING"] > 0
    await software.command("RESET")
    assert (await software.fields("STATUS"))["OVERFLOW"] == 0
    await software.classify()


@cocotb.test
@cocotb.parametrize(pipelined=[False, True])
async def a_burst(dut, pipelined: bool):
    """Requests one behind the other: answered in order, each once."""
    software = await start(dut, pipelined)
    numbers = [register["number"] for register in REGISTERS.values()
               if register["access"] == "r" and register["name"] in ("MAGIC", "INPUTS", "OUTPUTS",
                                                                     "VERSION", "IMAGE_CYCLES")]
    alone = [await software.bus.read(number) for number in numbers]
    many = await software.bus.master.transfer([(number, None) for number in numbers * 5])
    assert many == [(value, False) for value in alone * 5]


@cocotb.test
@cocotb.parametrize(pipelined=[False, True])
async def what_the_table_does_not_list(dut, pipelined: bool):
    """Wrong addresses, wrong directions and parts of words end in err and change nothing."""
    software = await start(dut, pipelined)
    transfer = software.bus.master.transfer
    access = {register["number"] + at: register["access"] for register in REGISTERS.values()
              for at in range(register["count"])}
    before = await software.fields("STATUS")
    for number in range(32):
        if access.get(number) != "r":
            (value, error), = await transfer([(number, None)])
            assert error and value == 0
        if access.get(number) != "w":
            (_, error), = await transfer([(number, 0xFFFFFFFF)])
            assert error
        for select in (0x0, 0x1, 0x7, 0xE):
            (_, error), = await transfer([(number, 0xFFFFFFFF)], select)
            assert error
    assert await software.fields("STATUS") == before
    await software.classify(1)


@cocotb.test
async def interrupt(dut):
    """`irq` is high while a result waits."""
    software = await start(dut)
    seen = set()

    async def watch():
        while True:
            await FallingEdge(dut.clk)
            await ReadOnly()
            seen.add(defined(dut.irq))

    cocotb.start_soon(watch())
    await software.identify()
    assert seen == {0}
    await software.classify(1)
    assert seen == {0, 1} and not (await software.fields("STATUS"))["READABLE"]
    await FallingEdge(dut.clk)
    await ReadOnly()
    assert defined(dut.irq) == 0
