"""An accelerator behind registers, as software sees it, and the scenarios that every bus must pass.

Numbers of registers and fields come from the side-car, as a driver's author would take them.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

from golden import IMAGES, NETWORK, SEED, SIDECAR, SIZE, Images

__all__ = ["Bus", "Software"]

REGISTERS = {register["name"]: register for register in SIDECAR["registers"]}
# Longest time without any progress.
_PATIENCE_READS = 50 + 4 * SIDECAR["cycles_per_image"]


class Bus(Protocol):
    """How software reaches the registers."""

    async def read(self, number: int) -> int:
        """Value of a register."""

    async def write(self, number: int, value: int) -> None:
        """Write a register."""

    async def push(self, word: int, last: bool) -> None:
        """The image's next word; there is room."""

    async def pop(self) -> int:
        """The next result; there is one."""


class Software:
    """A driver, written from the table of registers alone.

    Parameters
    ----------
    bus : Bus
    """

    def __init__(self, bus: Bus):
        self.bus = bus
        self.images = Images()
        self.random = Random(SEED)

    async def read(self, name: str, index: int = 0) -> int:
        """Value of a register."""
        return await self.bus.read(REGISTERS[name]["number"] + index)

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        await self.bus.write(REGISTERS[name]["number"], value)

    async def command(self, field: str) -> None:
        """Write one bit of CONTROL."""
        item = next(f for f in REGISTERS["CONTROL"]["fields"] if f["name"] == field)
        await self.write("CONTROL", 1 << item["low"])

    async def fields(self, name: str) -> dict[str, int]:
        """A register taken apart."""
        word = await self.read(name)
        return {item["name"]: (word >> item["low"]) & ((1 << item["width"]) - 1)
                for item in REGISTERS[name]["fields"]}

    @staticmethod
    def words(elements: list[int], size: int) -> list[int]:
        """Elements of `size` bytes packed into words, the first lowest."""
        lanes, mask = 4 // size, (1 << 8 * size) - 1
        return [sum((element & mask) << (8 * size * lane)
                    for lane, element in enumerate(elements[at:at + lanes]))
                for at in range(0, len(elements), lanes)]

    async def identify(self) -> None:
        """Who is there: all registers that never change."""
        assert await self.read("MAGIC") == int.from_bytes(b"nmah", "little")
        assert await self.read("VERSION") == 1
        assert (await self.read("INPUTS"), await self.read("OUTPUTS")) == (
            SIZE, NETWORK.output_format.size)
        assert await self.read("IMAGE_CYCLES") == SIDECAR["cycles_per_image"]
        words = [await self.read("HASH", index) for index in range(8)]
        found = b"".join(word.to_bytes(4, "little") for word in words).hex()
        assert found == SIDECAR["network"]["sha256"], found
        form = await self.fields("FORMAT")
        assert form["INPUT_SIGNED"] == NETWORK.input_format.signed
        assert form["OUTPUT_SIGNED"] == NETWORK.output_format.signed

    async def stream(self, images: list[list[int]], answers: int) -> list[list[int]]:
        """Send images and take `answers` answers, as STATUS permits.

        Each image's last word is the one that its elements end with, whatever their number.
        """
        size = (await self.fields("FORMAT"))["INPUT_BYTES"]
        words = [(word, at == len(packed) - 1) for packed in (self.words(e, size) for e in images)
                 for at, word in enumerate(packed)]
        taken, row, idle = [], [], 0
        while words or len(taken) < answers:
            status = await self.fields("STATUS")
            assert bool(status["ROOM"]) == status["WRITABLE"]
            assert bool(status["WAITING"]) == status["READABLE"]
            for _ in range(min(status["ROOM"], len(words), self.random.randrange(1, 20))):
                await self.bus.push(*words.pop(0))
                idle = 0
            if status["READABLE"] and self.random.random() < 0.8:
                value = await self.bus.pop()
                row.append(value - ((value >> 31) << 32 if NETWORK.output_format.signed else 0))
                idle = 0
                if status["LAST"]:
                    taken.append(row)
                    row = []
            idle += 1
            assert idle < _PATIENCE_READS, f"no progress: {status}, {len(taken)} answers"
        assert not row
        return taken

    async def classify(self, count: int = IMAGES) -> None:
        """Random images, all answers right."""
        pairs = [self.images.next() for _ in range(count)]
        answers = await self.stream([elements for elements, _ in pairs], count)
        for index, (answer, (_, expected)) in enumerate(zip(answers, pairs, strict=True)):
            assert answer == expected, f"answer {index} must be {expected}, not {answer}"

    async def count(self) -> None:
        """Counters after a reset: images, cycles of the array exactly as predicted."""
        await self.command("RESET")
        assert await self.read("CYCLES") < 100
        await self.classify()
        predicted = IMAGES * sum(item["cycles"] for item in SIDECAR["passes"])
        assert await self.read("IMAGES") == IMAGES
        assert await self.read("DROPPED") == 0
        busy = await self.read("BUSY_CYCLES")
        assert busy == predicted, f"the array must compute {predicted} cycles, not {busy}"
        assert await self.read("CYCLES") > busy

    async def wrong_lengths(self) -> None:
        """Images too short and too long are dropped and flagged, all others answered."""
        lanes = 4 // (await self.fields("FORMAT"))["INPUT_BYTES"]
        lengths = sorted({length for length in (1, SIZE - lanes, SIZE + lanes, 2 * SIZE + lanes)
                          if length > 0 and -(-length // lanes) != -(-SIZE // lanes)})
        assert lengths
        for length in lengths:
            elements, _ = self.images.next()
            await self.stream([(elements * 3)[:length]], 0)
            await self.classify(1)
            assert (await self.fields("STATUS"))["FRAME_ERROR"] == 1
            await self.command("CLEAR")
            assert (await self.fields("STATUS"))["FRAME_ERROR"] == 0
        assert await self.read("DROPPED") == len(lengths)

    async def reset_anywhere(self) -> None:
        """After a reset at any moment the next image is as good as the first."""
        for moment in range(4):
            elements, _ = self.images.next()
            size = (await self.fields("FORMAT"))["INPUT_BYTES"]
            packed = self.words(elements, size)
            for at, word in enumerate(packed if moment else packed[:len(packed) // 2 or 1]):
                while not (await self.fields("STATUS"))["WRITABLE"]:
                    pass
                await self.bus.push(word, bool(moment) and at == len(packed) - 1)
            for _ in range(self.random.randrange(SIDECAR["cycles_per_image"] // 2)
                           if moment > 1 else 0):
                await self.read("MAGIC")
            await self.command("RESET")
            status = await self.fields("STATUS")
            assert not (status["READABLE"] or status["BUSY"]) and status["WRITABLE"]
            assert await self.read("IMAGES") == 0
            await self.classify(1)

    async def empty_output(self) -> None:
        """A result that is not there reads as 0 and is flagged."""
        assert not (await self.fields("STATUS"))["READABLE"]
        assert await self.bus.pop() == 0
        assert (await self.fields("STATUS"))["UNDERFLOW"] == 1
        await self.command("CLEAR")
        assert (await self.fields("STATUS"))["UNDERFLOW"] == 0

    async def fill(self, push: Callable[[int, bool], Awaitable[object]]) -> None:
        """Send images without taking answers, until there is no room."""
        size = (await self.fields("FORMAT"))["INPUT_BYTES"]
        for _ in range(100):
            packed = self.words(self.images.next()[0], size)
            for at, word in enumerate(packed):
                for attempt in range(_PATIENCE_READS):
                    if (await self.fields("STATUS"))["WRITABLE"]:
                        break
                    if attempt == _PATIENCE_READS - 1:
                        return
                await push(word, at == len(packed) - 1)
        raise AssertionError("a blocked output must block the input")
