"""What a board says of itself when it is asked to identify itself.

Numbers in a fixed order first, then texts; little-endian. Both ends use this file: one writes what
the other reads, and a test holds the form to docs/protocol.md byte by byte.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from ..errors import MismatchError
from . import LOADED_OUTSTANDING, OUTSTANDING, PROTOCOL_VERSION

if TYPE_CHECKING:
    from ..design import Design

__all__ = ["Description", "LoadedWeights"]

_MAGIC = b"nmah"
# Magic, version, outstanding images, elements and bytes of an input and of an output, flags,
# cycles an image, clock in hertz, hash of the network.
_FIXED = struct.Struct("<4sBBIBIBBII32s")
_SIGNED_OUTPUT, _LOADED_WEIGHTS = 1, 2
_LONGEST_TEXT = 255
# Rows, columns, blocks of memory, bits of their words, words, bytes to load, CRC-32.
_LOADING = struct.Struct("<BBBHIII")


@dataclass(frozen=True)
class LoadedWeights:
    """What a host has to know to load a board's weights.

    Attributes
    ----------
    rows, columns : int
        Of the array.
    blocks, block_bits, block_words : int
        See `nmahw.weight_store.WeightStore`.
    size : int
        Bytes to load.
    crc32 : int
        Theirs.
    """

    rows: int
    columns: int
    blocks: int
    block_bits: int
    block_words: int
    size: int
    crc32: int


@dataclass(frozen=True)
class Description:
    """A board and what it runs.

    Attributes
    ----------
    title : str
        Of the network.
    arithmetic : str
    network_sha256 : str
        See `nmahw.verilog.network_sha256`; 64 hexadecimal digits.
    inputs, input_bytes : int
        Elements of an image, and bytes of each.
    outputs, output_bytes : int
    signed_output : bool
    cycles_per_image : int
    clock_hz : int
    outstanding : int
        Images the board takes before the first one is answered.
    weights : LoadedWeights or None
        None where weights are constants.
    """

    title: str
    arithmetic: str
    network_sha256: str
    inputs: int
    input_bytes: int
    outputs: int
    output_bytes: int
    signed_output: bool
    cycles_per_image: int
    clock_hz: int
    outstanding: int = OUTSTANDING
    weights: LoadedWeights | None = None

    @classmethod
    def of(cls, design: Design, clock_hz: int) -> Description:
        """What a board that runs `design` at `clock_hz` says."""
        from ..verilog import network_sha256
        network = design.network
        before, after = network.input_format, network.output_format
        layout, store, weights = design.schedule.layout, design.store, None
        if layout is not None:
            weights = LoadedWeights(design.rows, design.columns, store.blocks, store.block_bits,
                                    store.block_words, len(layout.image), layout.crc32)
        return cls(network.title, str(design.arithmetic), network_sha256(network),
                   before.size, -(-before.bits // 8), after.size, -(-after.bits // 8),
                   after.signed, design.cycles_per_image, clock_hz,
                   LOADED_OUTSTANDING if weights else OUTSTANDING, weights)

    def encode(self) -> bytes:
        """The payload of the reply to IDENTIFY."""
        flags = (_SIGNED_OUTPUT if self.signed_output else 0) \
            | (_LOADED_WEIGHTS if self.weights else 0)
        return _FIXED.pack(_MAGIC, PROTOCOL_VERSION, self.outstanding, self.inputs,
                           self.input_bytes, self.outputs, self.output_bytes, flags,
                           self.cycles_per_image, self.clock_hz,
                           bytes.fromhex(self.network_sha256)) \
            + b"".join(bytes([len(text)]) + text for text in map(_short, (self.title,
                                                                          self.arithmetic))) \
            + (_LOADING.pack(*astuple(self.weights)) if self.weights else b"")

    @classmethod
    def decode(cls, payload: bytes) -> Description:
        """The description in a reply.

        Raises
        ------
        MismatchError
            It is none, or one of another protocol version.
        """
        if payload[:4] != _MAGIC or len(payload) < 5:
            raise MismatchError("the board must say that it is an nmahw accelerator, but its "
                                "description begins otherwise")
        if payload[4] != PROTOCOL_VERSION:
            raise MismatchError(f"the board must speak protocol version {PROTOCOL_VERSION}, not "
                                f"{payload[4]}: build its bitstream with this version of nmahw")
        try:
            (_, _, outstanding, inputs, input_bytes, outputs, output_bytes, flags, cycles, clock_hz,
             sha256) = _FIXED.unpack_from(payload)
            texts, rest = [], payload[_FIXED.size:]
            for _ in range(2):
                texts.append(rest[1:1 + rest[0]].decode("utf-8", "replace"))
                rest = rest[1 + rest[0]:]
            weights = (LoadedWeights(*_LOADING.unpack_from(rest)) if flags & _LOADED_WEIGHTS
                       else None)
        except (struct.error, IndexError):
            raise MismatchError("the board's description must be whole, but is cut off") from None
        if 0 in (outstanding, inputs, input_bytes, outputs, output_bytes) \
                or (weights and weights.block_bits % 8):
            raise MismatchError("the board's description must have images, elements and bytes, "
                                "and whole bytes in words of weights")
        return cls(texts[0], texts[1], sha256.hex(), inputs, input_bytes, outputs, output_bytes,
                   bool(flags & _SIGNED_OUTPUT), cycles, clock_hz, outstanding, weights)


def _short(text: str) -> bytes:
    """UTF-8 of at most 255 bytes, cut between characters."""
    return text.encode()[:_LONGEST_TEXT].decode("utf-8", "ignore").encode()
