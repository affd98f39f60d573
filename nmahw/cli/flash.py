"""``nmahw flash``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ._choices import completion
from ._terminal import tell

EXAMPLE = "nmahw flash ulx3s_45f build/ulx3s_45f.bit"


def command(
        board: Annotated[str, typer.Argument(
            metavar="BOARD", help="Board: {boards}.", show_default=False,
            autocompletion=completion("boards"))],
        file: Annotated[Path, typer.Argument(
            metavar="FILE", help="A bitstream that 'nmahw build' made.", show_default=False)],
        keep: Annotated[bool, typer.Option(
            "--keep", help="Into the board's flash memory, where it stays when power goes.")
        ] = False,
        dry_run: Annotated[bool, typer.Option(
            "--dry-run", help="Only print the command.")] = False):
    """Put a bitstream onto a board."""
    from ..boards import BOARDS
    from ..flash import flash, flash_command
    chosen = BOARDS.get(board)
    tool, line = flash_command(chosen, file, keep)
    tell(shlex.join(line))
    if dry_run:
        if tool is None:
            tell(f"{chosen.flasher} is not installed")
        return
    flash(chosen, file, keep)
    tell(f"{chosen.title} runs {file.name}: nmahw run --port PORT")
    if chosen.wiring:
        tell(f"to connect: {chosen.wiring}")
