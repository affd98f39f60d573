"""``nmahw boards``."""

from typing import Annotated

import typer

from ._terminal import show_table

EXAMPLE = "nmahw boards"


def command(markdown: Annotated[bool, typer.Option(
        "--markdown", help="The tables of docs/boards.md.")] = False):
    """List the boards: device, what is in it, clock, line to the host."""
    from ..boards import BOARDS
    if markdown:
        from ..board_page import markdown_boards
        typer.echo(markdown_boards(), nl=False)
        return
    rows = []
    for board in BOARDS:
        device = board.fpga()
        rows.append((board.name, board.title, device.part, device.limits["lut"],
                     device.limits["dsp"], device.limits["block_ram"],
                     f"{device.limits['block_ram'] * device.rules.block_ram_bits / 8192:.0f}",
                     f"{board.clock_hz / 1e6:g}",
                     f"UART {board.uart_rx.location} {board.uart_tx.location}",
                     board.flasher))
    show_table("Boards", ("board", "title", "device", "logic cells", "DSP", "block RAM", "KiB",
                          "clock, MHz", "link (receive, transmit)", "flashed by"), rows,
               left=(0, 1, 2, 8, 9))
