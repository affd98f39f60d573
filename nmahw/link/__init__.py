"""The line between host and board: frames, requests and answers (docs/protocol.md).

What both ends have to know of each other stands here: numbers of requests and errors, and the
description a board gives of itself. The host's side is in this package; the board's is
`nmahw.gateware.link`. They share these numbers and nothing else.
"""

from enum import IntEnum

__all__ = ["ESCAPE", "ESCAPE_XOR", "FLAG", "HEADER_BYTES", "CRC_BYTES", "LOADED_OUTSTANDING",
           "MAX_PAYLOAD_BYTES", "OUTSTANDING", "PROTOCOL_VERSION", "REPLY", "ErrorCode", "Request"]

#: Raised when old hosts or boards would misunderstand new ones.
PROTOCOL_VERSION = 1

#: Ends a frame, and begins the next (RFC 1662).
FLAG = 0x7E
#: The next byte was changed by `ESCAPE_XOR`, because it was a flag or an escape.
ESCAPE = 0x7D
ESCAPE_XOR = 0x20

#: Kind, two bytes of sequence number, two of length.
HEADER_BYTES = 5
CRC_BYTES = 4
MAX_PAYLOAD_BYTES = 0xFFFF

#: Set in the kind of every reply, beside the kind of the request.
REPLY = 0x80
#: Images a board takes before the first one's answer is out.
OUTSTANDING = 4
#: The same of boards whose weights are loaded: their devices are short of logic cells.
LOADED_OUTSTANDING = 2


class Request(IntEnum):
    """Kinds of request."""

    IDENTIFY = 0x01
    RUN = 0x02
    COUNTERS = 0x03
    RESET = 0x04
    LOAD = 0x05
    VERIFY = 0x06
    #: Only as a reply: the payload is an `ErrorCode`.
    ERROR = 0x7F


class ErrorCode(IntEnum):
    """Why a board refused a request that came whole."""

    #: It knows no such request.
    UNKNOWN = 1
    #: The payload's length is not what the request needs.
    LENGTH = 2
    #: `OUTSTANDING` images are on their way already.
    BUSY = 3
    #: Weights must be loaded, and verified, first.
    NOT_LOADED = 4
