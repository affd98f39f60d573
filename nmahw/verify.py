"""The truth of a bitstream: what was built, simulated behind its pins, against the golden model.

A host's whole conversation goes over the UART of the simulated device: reset, identification,
images, counters. Every reply must come, and every output of every image must be the golden model's.
Many devices are simulated at once (`nmahw.bitstream.lanes`), each with images of its own.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .bitstream import READBACKS
from .bitstream.lanes import LANES_TOP, MAX_LANES, lanes_verilog
from .bitstream.netlist import Netlist
from .boards import BOARDS, Board
from .build import REPORT, ROUTED_NETLIST, board_pins
from .errors import MismatchError, ModelError, UsageError
from .link import CRC_BYTES, FLAG, HEADER_BYTES, REPLY, Request
from .link.description import Description
from .link.frames import Decoder, Frame, encode
from .link.recognise import network_run
from .mismatch import describe
from .network import Network
from .toolchain import Tool
from .verilate import build_verilog_simulator
from .verilog import network_sha256
from .workbench import Workbench

__all__ = ["BuiltFolder", "Verified", "verify"]

_HARNESS = Path(__file__).parent / "harness" / "nmahw_pins.cpp"
# Longer than the board's own reset.
_START_CYCLES = 3000
_IDLE = 256
# Above the fastest clock at the slowest baud rate; the harness counts waits in 32 bits.
_MAX_BIT_CLOCKS = 1_000_000
# More than the reply to IDENTIFY has with ordinary names; a longer one only delays answers.
_DESCRIPTION_BYTES = 240


@dataclass(frozen=True)
class BuiltFolder:
    """What `nmahw.build` left in a folder.

    Attributes
    ----------
    board : type of Board
    report : dict
        Of plain values.
    source : Path
        The file that the family's devices are taken back from.
    """

    board: type[Board]
    report: dict[str, object]
    source: Path

    @classmethod
    def read(cls, folder: Path) -> BuiltFolder:
        """Read a folder, and check that its files are those that were built together.

        Raises
        ------
        UsageError
            It is no such folder, nothing can be taken back for its device, or its weights are not
            in it.
        ModelError
            A file is not the one that was built.
        """
        try:
            report = json.loads((folder / REPORT).read_text())
            name, files = report["board"], dict(report["files"])
            images = dict(report.get("array", {})).get("images", 1)
            numbers = [*(report[key] for key in ("clock_hz", "baud", "cycles_per_image")), images]
            if not isinstance(name, str) or not all(
                    isinstance(number, (int, float)) and 1 <= number < 1 << 31
                    for number in numbers) or not 1 <= numbers[0] / numbers[1] <= _MAX_BIT_CLOCKS:
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(f"folder must be one that 'nmahw build' wrote to, with {REPORT} in "
                             f"it, not {folder}") from None
        if report.get("weights") == "loaded":
            raise UsageError("weights must be constant in a design that is taken back, not loaded "
                             "at start")
        board = BOARDS.get(name)
        family = board.fpga().rules
        if family.name not in READBACKS:
            raise UsageError(f"device family must be one of {', '.join(READBACKS.names())}, not "
                             f"{family.name}: its bitstreams cannot be taken back")
        bitstream = f"{board.name}{family.bitstream_suffix}"
        from_bitstream = READBACKS.get(family.name).reads_bitstream
        for name in {bitstream, *(() if from_bitstream else (ROUTED_NETLIST,))}:
            try:
                found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            except OSError as error:
                raise ModelError(f"{folder / name} must be readable: {error.strerror}") from None
            if found != files.get(name):
                raise ModelError(f"{folder / name} must be the file that {REPORT} tells of, but "
                                 f"its SHA-256 is another")
        return cls(board, report, folder / (bitstream if from_bitstream else ROUTED_NETLIST))

    @property
    def batch_cycles(self) -> int:
        """Clock cycles that an image may take: images in lockstep are done at the same time."""
        images = dict(self.report.get("array", {})).get("images", 1)
        return int(self.report["cycles_per_image"] * images)


@dataclass(frozen=True)
class Verified:
    """What a device was found to do.

    Attributes
    ----------
    outputs : int64 array (images, outputs)
    cycles : int64 array (images,)
        Of the device's clock, as it told them.
    lanes : int
        Devices simulated side by side.
    clock_cycles : int
        Simulated, of each.
    gates, flip_flops, memories : int
        What was taken back.
    """

    outputs: np.ndarray
    cycles: np.ndarray
    lanes: int
    clock_cycles: int
    gates: int
    flip_flops: int
    memories: int


def verify(folder: Path, network: Network, images: np.ndarray, bench: Workbench | None = None
           ) -> Verified:
    """Take a built design back and run images on it.

    Parameters
    ----------
    folder : Path
        That `nmahw.build.build` wrote to.
    network : Network
    images : integer array (images, *input shape)
    bench : Workbench, optional

    Raises
    ------
    UsageError, ModelError
        See `BuiltFolder.read`; or the network is another one, or the images are not its own.
    MismatchError
        A reply is missing or wrong; names image, output and both values.
    BuildError, EnvironmentProblem
        See `Readback.take` and `nmahw.verilate.build_simulator`.
    """
    bench = bench or Workbench()
    built = BuiltFolder.read(folder)
    title = network.title
    # An approximate arithmetic makes another network of the one in the file.
    network = network_run(network, str(built.report.get("arithmetic", "")),
                          str(built.report.get("network_sha256")))
    if network is None:
        raise UsageError(f"model must be the one that was built, {built.report.get('network')!r}, "
                         f"not {title!r}")
    images = network.check_input(images)
    if not len(images):
        raise UsageError("there must be at least one image to verify with")
    readback = READBACKS.get(built.board.fpga().rules.name)
    netlist = readback.take(built.source, board_pins(built.board), bench)
    check_clock(netlist, built)
    return run_images(netlist, built, network, images, bench)


def check_clock(netlist: Netlist, built: BuiltFolder) -> None:
    """Check that the clock is as fast as the report says.

    Raises
    ------
    MismatchError
    """
    found_hz = float(netlist.ratios.get(netlist.clock(), Fraction(1)) * built.board.clock_hz)
    if abs(found_hz - built.report["clock_hz"]) > 1:
        raise MismatchError(f"the clock must be {built.report['clock_hz'] / 1e6:.3f} MHz, not "
                            f"{found_hz / 1e6:.3f} MHz")


def run_images(netlist: Netlist, built: BuiltFolder, network: Network, images: np.ndarray,
               bench: Workbench) -> Verified:
    """Simulate `netlist` with `images` and compare; see `verify`."""
    lanes = min(MAX_LANES, -(-len(images) // 2))
    tied = {} if built.board.reset is None else {"button": bool(built.board.reset.inverted)}
    text = lanes_verilog(netlist, lanes, tied)
    program = build_verilog_simulator(
        lambda: text, {"verilog": hashlib.sha256(text.encode()).hexdigest()}, LANES_TOP, _HARNESS,
        bench.cache, bench.say, bench.group)
    report = built.report
    clocks_a_bit = report["clock_hz"] / report["baud"]
    conversations = [_Conversation(network, images[lane::lanes], built.batch_cycles, clocks_a_bit)
                     for lane in range(lanes)]
    with tempfile.TemporaryDirectory(prefix="nmahw-") as scratch:
        sent, came = Path(scratch) / "in", Path(scratch) / "out"
        sent.write_bytes(b"".join(struct.pack("<I", len(one.words)) + one.words.tobytes()
                                  for one in conversations))
        quiet = 2 * built.batch_cycles + int(40 * clocks_a_bit) + 2000
        bench.run(Tool("the simulation", (str(program),)),
                  [f"--lanes={lanes}", f"--clocks-per-bit={clocks_a_bit:.6f}", f"--quiet={quiet}",
                   f"--in={sent}", f"--out={came}"], program.parent, Path(scratch) / "log",
                  f"simulating {lanes} devices, {len(images)} images")
        data = came.read_bytes()
    golden = network.predict(images).reshape(len(images), -1)
    outputs, cycles = np.zeros_like(golden), np.zeros(len(images), np.int64)
    at = 0
    for lane, conversation in enumerate(conversations):
        size, = struct.unpack_from("<I", data, at)
        conversation.read(data[at + 4:at + 4 + size], lane, lanes, golden, outputs, cycles)
        at += 4 + size
    return Verified(outputs, cycles, lanes, struct.unpack_from("<Q", data, at)[0],
                    len(netlist.gates), len(netlist.flip_flops), len(netlist.memories))


class _Conversation:
    """What one host sends, and what must come back."""

    def __init__(self, network: Network, images: np.ndarray, batch_cycles: int,
                 clocks_a_bit: float):
        self._network = network
        before, after = network.input_format, network.output_format
        self._width, self._signed = -(-after.bits // 8), after.signed
        width = -(-before.bits // 8)
        rows = images.reshape(len(images), -1).astype("<i8").view(np.uint8)
        rows = rows.reshape(len(images), before.size, 8)[:, :, :width]
        frames = [Frame(Request.RESET, 1), Frame(Request.IDENTIFY, 2)]
        frames += [Frame(Request.RUN, 3 + index, row.tobytes()) for index, row in enumerate(rows)]
        frames.append(Frame(Request.COUNTERS, 3 + len(rows)))
        answer = HEADER_BYTES + CRC_BYTES + 2 + self._width * after.size + 4
        words = [_IDLE + _START_CYCLES, FLAG]
        for frame in frames:
            words += encode(frame)
            # Answers, which escapes may double, and the image itself take their time.
            if frame.kind == Request.RUN:
                line = int(10 * clocks_a_bit * (2 * answer - len(frame.payload)))
                words.append(_IDLE + max(line, batch_cycles))
            elif frame.kind == Request.IDENTIFY:
                words.append(_IDLE + int(10 * clocks_a_bit * _DESCRIPTION_BYTES))
        self.words = np.array(words, "<u4")
        self._images = len(rows)

    def read(self, data: bytes, lane: int, lanes: int, golden: np.ndarray, outputs: np.ndarray,
             cycles: np.ndarray) -> None:
        """Put what came back into `outputs` and `cycles`; refuse what is wrong."""
        decoder = Decoder()
        replies = {frame.sequence: frame for frame in decoder.feed(data)}
        if decoder.dropped:
            raise MismatchError(f"device {lane} must send whole frames, but {decoder.dropped} are "
                                f"damaged")

        def reply(kind: Request, sequence: int, what: str) -> bytes:
            frame = replies.pop(sequence, None)
            if frame is None or frame.kind != kind | REPLY:
                raise MismatchError(f"device {lane} must answer {what}, but "
                                    + ("sends nothing" if frame is None else
                                       f"sends a frame of kind {frame.kind:02x}"))
            return frame.payload

        reply(Request.RESET, 1, "RESET")
        told = Description.decode(reply(Request.IDENTIFY, 2, "IDENTIFY"))
        if told.network_sha256 != network_sha256(self._network):
            raise MismatchError(f"device {lane} must tell the network's hash, not "
                                f"{told.network_sha256}")
        for index in range(self._images):
            image = lane + index * lanes
            payload = reply(Request.RUN, 3 + index, f"image {image}")
            size = self._width * golden.shape[1]
            if len(payload) != size + 4:
                raise MismatchError(f"the answer to image {image} must have {size + 4} bytes, not "
                                    f"{len(payload)}")
            for element in range(golden.shape[1]):
                value = int.from_bytes(payload[element * self._width:][:self._width], "little",
                                       signed=self._signed)
                if value != golden[image, element]:
                    raise MismatchError(f"image {image}, output element {element}: "
                                        + describe(value, int(golden[image, element])))
                outputs[image, element] = value
            cycles[image] = int.from_bytes(payload[size:], "little")
        counters = np.frombuffer(reply(Request.COUNTERS, 3 + self._images, "COUNTERS"), "<u4")
        if counters[:3].tolist() != [self._images, 0, 0]:
            raise MismatchError(f"device {lane} must have counted {self._images} images and "
                                f"nothing dropped, not {counters[:3].tolist()}")
        if replies:
            raise MismatchError(f"device {lane} must answer what it is asked, but also sends "
                                f"{len(replies)} other frames")
