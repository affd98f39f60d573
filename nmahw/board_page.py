"""The tables of docs/boards.md, from the boards' own files."""

from __future__ import annotations

from .boards import BOARDS, Board

__all__ = ["EXAMPLE_MODEL", "command_line", "markdown_boards"]

#: The network of the command lines: the smallest that is bundled.
EXAMPLE_MODEL = "digits-w4a4"


def command_line(board: type[Board]) -> str:
    """What leads from a clone of the repository to a board's answers."""
    bitstream = f"build/{board.name}{board.fpga().rules.bitstream_suffix}"
    return " && ".join((
        "make install", ". .venv/bin/activate",
        f"nmahw build {EXAMPLE_MODEL} --board {board.name} -o build",
        f"nmahw flash {board.name} {bitstream}", f"nmahw run --port {board.port}"))


def markdown_boards() -> str:
    """One table of what the boards are, and a command line for each."""
    lines = ["| board | what it is | device | logic cells | DSP | block RAM | KiB | clock, MHz "
             "| serial line: receive, transmit | flashed by |",
             "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- | --- |"]
    for board in BOARDS:
        device = board.fpga()
        kib = device.limits["block_ram"] * device.rules.block_ram_bits / 8192
        lines.append(f"| `{board.name}` | {board.title} | {device.part} "
                     f"| {device.limits['lut']:,} | {device.limits['dsp']} "
                     f"| {device.limits['block_ram']} | {kib:.0f} | {board.clock_hz / 1e6:g} "
                     f"| {board.uart_rx.location}, {board.uart_tx.location} "
                     f"| {board.flasher} |")
    for board in BOARDS:
        lines += ["", f"### {board.title}", ""]
        if board.wiring:
            lines += [f"To connect: {board.wiring}.", ""]
        lines += ["```console", f"$ {command_line(board)}", "```"]
    return "\n".join(lines) + "\n"
