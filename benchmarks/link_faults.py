"""What the host link makes of bad lines: faults in simulation of the real gateware.

    python benchmarks/link_faults.py            # measure, and write the record
    python benchmarks/link_faults.py --table    # the record as a table (docs/protocol.md)

A host runs images on a virtual board (the Verilog behind a pseudo-terminal) over a line that
damages what it carries, both ways. An answer that differs from the golden model's is wrong; a board
that answers no more is wedged. After every fault a second host with a sound line connects and must
be answered at once, nothing repeated.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nmahw.board_sim import VirtualBoard
from nmahw.bundled import load_model, sample_for
from nmahw.design import Design
from nmahw.errors import EnvironmentProblem
from nmahw.link import Request
from nmahw.link.frames import Frame, encode
from nmahw.link.host import Host
from nmahw.link.ports import SerialLine

RECORD = Path(__file__).parent / "results" / "link_faults.json"
MODEL, ARITHMETIC, ARRAY, CLOCK_HZ = "digits-w4a4", "shared_multiples", (8, 8), 1_000_000
TIMEOUT_S = 0.5
#: Sound conversation after every fault.
AFTER = 8
_STARTS = {True: "clean", False: "not clean", None: "not asked"}

Damage = Callable[[random.Random, bytes], bytes]


def _random_bytes(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at:]


def _truncated(rng: random.Random, data: bytes) -> bytes:
    return data[:rng.randrange(len(data))]


def _flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _dropped(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + 1:]


def _doubled(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at:at + 1] * 2 + data[at + 1:]


#: Damage to what is written or read at once.
DAMAGE: dict[str, Damage] = {
    "random bytes between and inside frames": _random_bytes, "truncated frames": _truncated,
    "one wrong bit": _flipped, "one byte dropped": _dropped, "one byte doubled": _doubled}


@dataclass
class BadLine:
    """A line that damages some of what it carries."""

    line: SerialLine
    rng: random.Random
    damage: Damage | None = None
    rate: float = 0.0
    pauses: bool = False
    faults: int = field(default=0, init=False)
    sent: int = field(default=0, init=False)

    def _carry(self, data: bytes) -> bytes:
        if self.damage is None or not data or self.rng.random() >= self.rate:
            return data
        self.faults += 1
        return self.damage(self.rng, data)

    def write(self, data: bytes) -> None:
        if self.pauses and self.rng.random() < 0.2:
            at = self.rng.randrange(len(data))
            self.line.write(data[:at])
            time.sleep(self.rng.random() * 0.01)
            data = data[at:]
        data = self._carry(data)
        self.sent += len(data)
        self.line.write(data)

    def read(self, timeout_s: float) -> bytes:
        if self.pauses and self.rng.random() < 0.05:
            time.sleep(self.rng.random() * 0.02)
        return self._carry(self.line.read(timeout_s))


@dataclass
class Bench:
    """One design on virtual boards."""

    design: Design
    images: np.ndarray
    golden: np.ndarray

    def talk(self, line: object, count: int, timeout_s: float = TIMEOUT_S) -> dict[str, int]:
        """Run `count` images; how it went."""
        chosen = np.arange(count) % len(self.images)
        result = {"images": count, "answered": 0, "wrong": 0, "repeated": 0, "wedged": 0}
        host = None
        try:
            host = Host(line, timeout_s)
            for answer in host.run(self.images[chosen]):
                result["answered"] += 1
                expected = self.golden[chosen[answer.index]]
                result["wrong"] += int(not np.array_equal(answer.outputs, expected))
        except EnvironmentProblem as error:
            print(f"  given up: {error}")
            result["wedged"] = 1
        result["repeated"] = host.repeated if host else 0
        return result

    def case(self, name: str, count: int, *, damage: Damage | None = None, rate: float = 0.0,
             pauses: bool = False, unplug: int = 0, baud: int | None = None, error: float = 0.0,
             reset_every: int = 0, seed: int = 1) -> dict[str, object]:
        """One kind of fault on a board of its own, and a sound host behind it."""
        rng = random.Random(seed)
        begun = time.monotonic()
        board = VirtualBoard(self.design, CLOCK_HZ, baud, baud and baud * (1 + error),
                             reset_every=reset_every)
        with board:
            board.start()
            faults = 0
            for _ in range(unplug):
                # A host that gets an answer or none, and goes in the middle of an image.
                with SerialLine(board.port, 115200) as line:
                    host = Host(line, 20.0)
                    image = bytes(host.description.inputs * host.description.input_bytes)
                    data = encode(Frame(Request.RUN, rng.randrange(1 << 16), image))
                    line.write(data + data[:rng.randrange(1, len(data))])
                    faults += 1
                    time.sleep(rng.random() * 0.02)
                with SerialLine(board.port, 115200) as line:
                    found = self.talk(line, AFTER, 20.0)
                    if found != dict(found, answered=AFTER, wrong=0, repeated=0, wedged=0):
                        return {"fault": name, **found, "faults": faults, "after": False}
            with SerialLine(board.port, 115200) as sound:
                line = BadLine(sound, rng, damage, rate, pauses)
                result = self.talk(line, count, 20.0 if not (rate or reset_every) else TIMEOUT_S)
                faults += line.faults
            if reset_every:
                faults += line.sent // reset_every
                after = None  # this board is reset again and again: nothing is sound behind it
            else:
                with SerialLine(board.port, 115200) as line:
                    found = self.talk(line, AFTER, 20.0)
                after = (found["answered"], found["repeated"], found["wrong"]) == (AFTER, 0, 0)
        print(f"{name}: {result}, {faults} faults, {time.monotonic() - begun:.0f} s", flush=True)
        return {"fault": name, **result, "faults": faults, "after": after}


def measure(soak: int) -> dict[str, object]:
    """Every kind of fault."""
    network = load_model(MODEL)
    design = Design.of(network, ARITHMETIC, *ARRAY)
    images = sample_for(network).x.reshape(-1, network.input_format.size)
    shaped = images.reshape(-1, *network.input_format.shape)
    bench = Bench(design, images, network.predict(shaped).reshape(len(images), -1))
    cases = [bench.case(name, 300, damage=damage, rate=0.1) for name, damage in DAMAGE.items()]
    cases.append(bench.case("board reset in mid-frame", 300, reset_every=1009))
    cases.append(bench.case("host unplugged in mid-image", 50, unplug=50))
    cases += [bench.case(f"baud rate {error:+.0%}", 200, baud=100_000, error=error)
              for error in (-0.02, 0.02)]
    cases.append(bench.case(f"none: {soak:,} images, random pauses", soak, pauses=True))
    return {"model": MODEL, "arithmetic": str(design.arithmetic),
            "array": f"{ARRAY[0]}x{ARRAY[1]}", "timeout_s": TIMEOUT_S, "cases": cases}


def table(record: dict[str, object]) -> str:
    """The record as Markdown."""
    lines = ["| fault | images | faults | sent again | wrong answers | given up | next host |",
             "| --- | ---: | ---: | ---: | ---: | ---: | --- |"]
    for case in record["cases"]:
        lines.append(f"| {case['fault']} | {case['images']:,} | {case['faults']:,} | "
                     f"{case['repeated']:,} | {case['wrong']} | {case['wedged']} | "
                     f"{_STARTS[case['after']]} |")
    return "\n".join(lines)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="show the record")
    parser.add_argument("--soak", type=int, default=10_000, help="images of the soak")
    parser.add_argument("--record", type=Path, default=RECORD)
    chosen = parser.parse_args()
    if not chosen.table:
        chosen.record.write_text(json.dumps(measure(chosen.soak), indent=1) + "\n")
    record = json.loads(chosen.record.read_text())
    print(table(record))
    if any(case["wrong"] or case["wedged"] or case["after"] is False
           for case in record["cases"]):
        raise SystemExit("a wrong answer, a wedge, or no clean start")


if __name__ == "__main__":
    main()
