"""The host's side of the line: asks a board, again if need be, and believes no damaged answer.

Every request has a sequence number of its own, a repeated one too, so that a late answer is never
taken for another one's. A conversation begins with RESET: what an earlier host left behind is
dropped.
"""

from __future__ import annotations

import secrets
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import EnvironmentProblem, MismatchError, ModelError
from . import CRC_BYTES, FLAG, HEADER_BYTES, REPLY, ErrorCode, Request
from .description import Description
from .frames import Decoder, Frame, encode

__all__ = ["COUNTERS", "Answer", "Host", "Line"]

#: What COUNTERS tells, four bytes each, in this order (docs/protocol.md).
COUNTERS: tuple[str, ...] = ("images", "bad_frames", "dropped_images", "cycles")
#: Bytes of weights in one LOAD: short enough to be sent again.
LOAD_BYTES = 1024
# A dead line is found out in some seconds; a bad one still carries images.
_TRIES, _IMAGE_TRIES, _LOAD_TRIES = 5, 10, 3
# A busy board is asked again after this part of the time-out, so that all tries take all of it.
_BUSY_SHARE = 1 / _IMAGE_TRIES


class Line(Protocol):
    """Bytes to and from a board; see `nmahw.link.ports`."""

    def write(self, data: bytes) -> None:
        """Send all of `data`."""

    def read(self, timeout_s: float) -> bytes:
        """What has come in; waits up to `timeout_s` for the first byte."""


@dataclass(frozen=True)
class Answer:
    """What a board said to one image.

    Attributes
    ----------
    index : int
        Of the image.
    outputs : int64 array (outputs,)
    cycles : int
        Of the board's clock, from the image's last element in to its first output.
    seconds : float
        From request to answer, the line's time included.
    tries : int
        Requests it took.
    """

    index: int
    outputs: np.ndarray
    cycles: int
    seconds: float
    tries: int


@dataclass
class _Sent:
    index: int
    image: bytes
    tries: int
    at_s: float
    deadline_s: float


class Host:
    """A conversation with one board.

    Parameters
    ----------
    line : Line
    timeout_s : float
        How long an answer may take, the line's own time for it apart.
    seconds_per_byte : float
        Of the line, for the time that a request and its answer take on it.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    repeated : int
        Requests that had to be sent again.
    weights : bytes or None
        What `run` loads again if the board has lost its weights; set by `load`.

    Raises
    ------
    EnvironmentProblem
        No answer from a board.
    MismatchError
        What answers is no accelerator, or one of another protocol version.
    """

    def __init__(self, line: Line, timeout_s: float = 2.0, seconds_per_byte: float = 0.0,
                 clock: Callable[[], float] = time.monotonic):
        self._line, self._clock = line, clock
        self._timeout_s, self._seconds_per_byte = timeout_s, seconds_per_byte
        self._decoder = Decoder()
        # Not where another host may just have been.
        self._sequence = secrets.randbelow(1 << 16)
        self._pending: deque[Frame] = deque()
        self.repeated = 0
        self.weights: bytes | None = None
        # Ends whatever half frame the line may hold.
        line.write(bytes([FLAG]))
        self.reset()
        self.description = Description.decode(self._ask(Request.IDENTIFY).payload)

    def reset(self) -> None:
        """Drop all images that are on their way, and clear the counters."""
        self._ask(Request.RESET)

    def counters(self) -> dict[str, int]:
        """Images answered, frames and images dropped, clock cycles, since the last reset."""
        payload = self._ask(Request.COUNTERS).payload
        if len(payload) != 4 * len(COUNTERS):
            raise MismatchError(f"the board's counters must be {len(COUNTERS)}, not "
                                f"{len(payload) / 4:g}")
        return {name: int(value) for name, value in
                zip(COUNTERS, np.frombuffer(payload, "<u4"), strict=True)}

    def verify(self) -> int:
        """CRC-32 of the weights on the board; if it is the right one, images may be run."""
        return int.from_bytes(self._ask(Request.VERIFY).payload, "little")

    def load(self, weights: bytes, say: Callable[[int, int], None] = lambda done, total: None
             ) -> bool:
        """Load the board's weights, unless they are there already.

        Parameters
        ----------
        weights : bytes
            All of them.
        say : callable
            Told how many bytes of how many are loaded.

        Returns
        -------
        bool
            Whether anything was loaded.

        Raises
        ------
        MismatchError
            The board has other contents in its memory than were loaded, or takes none.
        """
        self.weights = weights
        expected = zlib.crc32(weights)
        if self.verify() == expected:
            return False
        for _ in range(_LOAD_TRIES):
            for at in range(0, len(weights), LOAD_BYTES):
                self._ask(Request.LOAD, struct.pack("<I", at) + weights[at:at + LOAD_BYTES])
                say(min(at + LOAD_BYTES, len(weights)), len(weights))
            found = self.verify()
            if found == expected:
                return True
        raise MismatchError(f"the board's weights must have the CRC-32 {expected:08x} after they "
                            f"were loaded, not {found:08x}")

    def run(self, images: np.ndarray) -> Iterator[Answer]:
        """Answers to `images`, in the order in which they come.

        Parameters
        ----------
        images : integer array (images, ...)
            Input codes, as many a row as the board takes.

        Raises
        ------
        ModelError
            Images that are none of the board's.
        EnvironmentProblem
            An image is not answered, however often it is sent.
        """
        payloads = self._payloads(images)
        waiting = deque((index, payload, 1) for index, payload in enumerate(payloads))
        sent: dict[int, _Sent] = {}
        while waiting or sent:
            while waiting and len(sent) < self.description.outstanding:
                index, payload, tries = waiting.popleft()
                sequence = self._send(Request.RUN, payload)
                now = self._clock()
                sent[sequence] = _Sent(index, payload, tries, now,
                                       now + self._patience(payload, len(sent) + 1))
            frame = self._receive(min(item.deadline_s for item in sent.values()))
            now = self._clock()
            if frame is not None and frame.sequence in sent:
                item = sent[frame.sequence]
                if frame.kind == Request.RUN | REPLY:
                    outputs, cycles = self._decode(frame.payload)
                    del sent[frame.sequence]
                    yield Answer(item.index, outputs, cycles, now - item.at_s, item.tries)
                elif frame.kind == Request.ERROR | REPLY:
                    item.deadline_s = now  # again
                    if self._judge(frame.payload) == ErrorCode.NOT_LOADED:
                        self.load(self.weights)  # the board was reset
                    else:
                        # It still computes for a host before; a batch of images takes its time.
                        item.deadline_s += self._timeout_s * _BUSY_SHARE
            for sequence in [s for s, item in sent.items() if item.deadline_s <= now]:
                item = sent.pop(sequence)
                if item.tries >= _IMAGE_TRIES:
                    raise EnvironmentProblem(f"the board must answer image {item.index}, but has "
                                             f"not done so in {item.tries} tries: check the line "
                                             f"and its baud rate")
                self.repeated += 1
                waiting.appendleft((item.index, item.image, item.tries + 1))

    def _payloads(self, images: np.ndarray) -> list[bytes]:
        images = np.asarray(images)
        board = self.description
        if images.dtype.kind not in "iu" or images.ndim < 2 \
                or images[0:1].size not in (0, board.inputs):
            raise ModelError(f"images must be integers, {board.inputs} each, for "
                             f"{board.title!r} on the board, not {images.dtype} of shape "
                             f"{images.shape}")
        rows = images.reshape(len(images), board.inputs).astype(np.int64)
        half = 1 << (8 * board.input_bytes - 1)
        if rows.size and (rows.min() < -half or rows.max() >= 2 * half):
            raise ModelError(f"images must have elements of {board.input_bytes} bytes, not "
                             f"{rows.min()}..{rows.max()}")
        # The low bytes of every element.
        octets = rows.astype("<i8").view(np.uint8).reshape(len(rows), board.inputs, 8)
        return [row[:, :board.input_bytes].tobytes() for row in octets]

    def _decode(self, payload: bytes) -> tuple[np.ndarray, int]:
        board = self.description
        size = board.outputs * board.output_bytes
        if len(payload) != size + 4:
            raise MismatchError(f"an answer must have {size + 4} bytes, not {len(payload)}")
        values = [int.from_bytes(payload[at:at + board.output_bytes], "little",
                                 signed=board.signed_output)
                  for at in range(0, size, board.output_bytes)]
        return np.array(values, np.int64), int.from_bytes(payload[size:], "little")

    def _judge(self, payload: bytes) -> int:
        """The error's code, if the request may be made again."""
        code = payload[0] if payload else 0
        if code == ErrorCode.BUSY or (code == ErrorCode.NOT_LOADED and self.weights is not None):
            return code
        known = {item.value: item.name.lower().replace("_", " ") for item in ErrorCode}
        raise MismatchError(f"the board must take the request, but refuses it: "
                            f"{known.get(code, f'error {code}')}")

    def _patience(self, payload: bytes, images: int) -> float:
        """Seconds that an answer may take, with `images` before it on the line."""
        board = self.description
        length = 2 * (len(payload) + board.outputs * board.output_bytes + 4
                      + 2 * (HEADER_BYTES + CRC_BYTES + 2))
        return self._timeout_s + length * self._seconds_per_byte * images

    def _send(self, kind: Request, payload: bytes = b"") -> int:
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._line.write(encode(Frame(kind, self._sequence, payload)))
        return self._sequence

    def _receive(self, deadline_s: float) -> Frame | None:
        """The next frame, None when none comes before the deadline."""
        while not self._pending:
            left = deadline_s - self._clock()
            if left <= 0:
                return None
            self._pending.extend(self._decoder.feed(self._line.read(left)))
        return self._pending.popleft()

    def _ask(self, kind: Request, payload: bytes = b"") -> Frame:
        """The reply to a request that is no RUN."""
        for attempt in range(_TRIES):
            self.repeated += attempt > 0
            sequence = self._send(kind, payload)
            deadline_s = (self._clock() + self._timeout_s
                          + (200 + 2 * len(payload)) * self._seconds_per_byte)
            while (frame := self._receive(deadline_s)) is not None:
                # Anything else is a late answer to somebody else's request.
                if frame.sequence == sequence and frame.kind == kind | REPLY:
                    return frame
                if frame.sequence == sequence and frame.kind == Request.ERROR | REPLY:
                    self._judge(frame.payload)
        raise EnvironmentProblem(f"no board answers: {kind.name} was sent {_TRIES} times, "
                                 f"{self._timeout_s:g} s apart; check port, baud rate, that the "
                                 f"board is configured and that no other host is using it")
