"""cocotb bench of an accelerator as a custom function unit: all answers the golden model's.

Everything is driven at the falling edge and sampled after it, as in `axis.py`.
"""

from random import Random

import cocotb
from axis import defined
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from golden import PERIOD_NS, SEED, SIDECAR
from registers import REGISTERS, Software

FUNCTIONS = {function["name"]: function["number"] for function in SIDECAR["functions"]}


class Processor:
    """Issues instructions one by one and checks the handshakes.

    Parameters
    ----------
    dut : the design
    random : Random
    gap : float
        Probability that the processor waits in a cycle, before a command or with its answer.
    """

    def __init__(self, dut, random: Random, gap: float):
        self._dut, self._random, self._gap = dut, random, gap
        dut.cmd_valid.value = dut.rsp_ready.value = 0

    async def instruction(self, function: int, first: int, second: int) -> int:
        """The result of an instruction."""
        dut, random = self._dut, self._random
        command, answered, offered, held, waited = True, None, False, None, 0
        while answered is None:
            await FallingEdge(dut.clk)
            offered = command and (offered or random.random() >= self._gap)
            dut.cmd_valid.value = int(offered)
            dut.cmd_payload_function_id.value = function if offered else random.randrange(1024)
            dut.cmd_payload_inputs_0.value = first if offered else random.randrange(1 << 32)
            dut.cmd_payload_inputs_1.value = second if offered else random.randrange(1 << 32)
            ready = random.random() >= self._gap
            dut.rsp_ready.value = int(ready)
            await ReadOnly()
            valid = defined(dut.rsp_valid)
            if valid:
                assert not command, "no result may come before its command"
                result = defined(dut.rsp_payload_outputs_0)
                assert held in (None, result), "a result must not change while it waits"
                held = result
                answered = result if ready else None
            else:
                assert held is None, "a result must stay until it is taken"
            if offered and defined(dut.cmd_ready):
                command = offered = False
            waited += 1
            assert waited < 200, "every instruction must end"
        await FallingEdge(dut.clk)
        dut.cmd_valid.value = dut.rsp_ready.value = 0
        await ReadOnly()
        assert not defined(dut.rsp_valid), "a command must have one result"
        return answered

    async def call(self, name: str, first: int = 0, second: int = 0) -> int:
        """An instruction by its name, with any ``funct7``."""
        return await self.instruction(self._random.randrange(128) << 3 | FUNCTIONS[name], first,
                                      second)


class CfuBus:
    """Software's way to the registers."""

    def __init__(self, processor: Processor):
        self.processor = processor

    async def read(self, number: int) -> int:
        return await self.processor.call("READ", number)

    async def write(self, number: int, value: int) -> None:
        assert await self.processor.call("WRITE", number, value) == 1

    async def push(self, word: int, last: bool) -> None:
        assert await self.processor.call("PUSH", word, int(last)) == 1

    async def pop(self) -> int:
        return await self.processor.call("POP")


async def start(dut, gap: float = 0.0) -> Software:
    """Clock, reset and processor."""
    processor = Processor(dut, Random(SEED), gap)
    dut.reset.value = 1
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, unit="ns").start())
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.reset.value = 0
    return Software(CfuBus(processor))


@cocotb.test
@cocotb.parametrize(gap=[0.0, 0.6])
async def images(dut, gap: float):
    """Identity, images, counters, with a processor that waits at random."""
    software = await start(dut, gap)
    await software.identify()
    await software.count()
    await software.classify()


@cocotb.test
async def wrong_lengths(dut):
    """Images of wrong length are dropped."""
    await (await start(dut, 0.2)).wrong_lengths()


@cocotb.test
async def reset_anywhere(dut):
    """Software's reset, at any moment."""
    await (await start(dut)).reset_anywhere()


@cocotb.test
async def limits_of_the_buffers(dut):
    """A push without room changes nothing and says so; a write is lost and flagged."""
    software = await start(dut)
    call = software.bus.processor.call
    await software.empty_output()
    await software.fill(software.bus.push)
    for _ in range(3):
        assert await call("PUSH", 0, 1) == 0
    status = await software.fields("STATUS")
    assert status["OVERFLOW"] == status["ROOM"] == 0 and status["WAITING"] > 0
    assert await call("WRITE", REGISTERS["INPUT"]["number"], 0) == 0
    assert (await software.fields("STATUS"))["OVERFLOW"] == 1
    await software.command("RESET")
    await software.classify()


@cocotb.test
async def what_the_table_does_not_list(dut):
    """Unknown functions and registers give 0 and change nothing."""
    software = await start(dut)
    processor = software.bus.processor
    before = await software.fields("STATUS")
    access = {register["number"] + at: register["access"] for register in REGISTERS.values()
              for at in range(register["count"])}
    for number in (*range(32), 32 + REGISTERS["MAGIC"]["number"], 0xFFFFFFFF,
                   (1 << 31) + REGISTERS["CONTROL"]["number"]):
        if access.get(number) != "r":
            assert await processor.call("READ", number) == 0
        if access.get(number) != "w":
            assert await processor.call("WRITE", number, 0xFFFFFFFF) == 0
    for function in set(range(8)) - set(FUNCTIONS.values()):
        assert await processor.instruction(function, 0xFFFFFFFF, 0xFFFFFFFF) == 0
    assert await software.fields("STATUS") == before
    await software.classify(1)
