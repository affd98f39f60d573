"""Frames on a byte line: encode, and decode whatever comes in.

A frame is ``kind, sequence number, length, payload, CRC-32`` between two flags, with flags and
escapes inside it escaped as in RFC 1662. A decoder that begins anywhere, or loses or gains
bytes, is in step again at the next flag; what fails the CRC or the length is dropped.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from . import CRC_BYTES, ESCAPE, ESCAPE_XOR, FLAG, HEADER_BYTES, MAX_PAYLOAD_BYTES

__all__ = ["Decoder", "Frame", "encode"]

_LONGEST = HEADER_BYTES + MAX_PAYLOAD_BYTES + CRC_BYTES


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes
    ----------
    kind : int
        0..255, see `Request` and `REPLY`.
    sequence : int
        0..65535; a reply has its request's.
    payload : bytes
        At most `MAX_PAYLOAD_BYTES`.
    """

    kind: int
    sequence: int
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """The bytes of `frame`, flags included.

    Raises
    ------
    ValueError
        A field is out of range.
    """
    if not (0 <= frame.kind <= 0xFF and 0 <= frame.sequence <= 0xFFFF
            and len(frame.payload) <= MAX_PAYLOAD_BYTES):
        raise ValueError(f"frame fields must be in range, not {frame.kind}, {frame.sequence}, "
                         f"{len(frame.payload)} bytes")
    body = (bytes([frame.kind]) + frame.sequence.to_bytes(2, "little")
            + len(frame.payload).to_bytes(2, "little") + frame.payload)
    body += zlib.crc32(body).to_bytes(CRC_BYTES, "little")
    escaped = bytearray([FLAG])
    for byte in body:
        escaped += bytes([ESCAPE, byte ^ ESCAPE_XOR]) if byte in (FLAG, ESCAPE) else bytes([byte])
    escaped.append(FLAG)
    return bytes(escaped)


class Decoder:
    """Finds frames in what a line gives, in pieces of any size.

    Attributes
    ----------
    dropped : int
        Pieces between flags that were no whole frame.
    """

    def __init__(self):
        self.dropped = 0
        self._body = bytearray()
        self._escaped = False
        self._overlong = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Frames that end within `data`."""
        for byte in data:
            if byte == FLAG:
                frame = self._end()
                if frame is not None:
                    yield frame
            elif byte == ESCAPE:
                self._escaped = True
            elif len(self._body) >= _LONGEST:
                self._overlong = True
            else:
                self._body.append(byte ^ ESCAPE_XOR if self._escaped else byte)
                self._escaped = False

    def _end(self) -> Frame | None:
        body, whole = bytes(self._body), not (self._escaped or self._overlong)
        self._body.clear()
        self._escaped = self._overlong = False
        if not body:
            # Two flags in a row: the end of one frame and the beginning of the next.
            return None
        payload = body[HEADER_BYTES:-CRC_BYTES]
        if (whole and len(body) >= HEADER_BYTES + CRC_BYTES
                and zlib.crc32(body[:-CRC_BYTES]) == int.from_bytes(body[-CRC_BYTES:], "little")
                and int.from_bytes(body[3:5], "little") == len(payload)):
            return Frame(body[0], int.from_bytes(body[1:3], "little"), payload)
        self.dropped += 1
        return None
