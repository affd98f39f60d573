"""The board's end of the line to a host: UART, frames, and requests to an accelerator.

`docs/protocol.md` specifies what goes over the line; `nmahw.link` is the host's end.
"""
