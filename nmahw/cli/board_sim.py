"""``nmahw board-sim``."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import EnvironmentProblem, UsageError
from ._options import Arithmetic, Array, Lockstep, Model, Share, Weights, read_array, read_choice
from ._terminal import tell, tell_error, working

EXAMPLE = "nmahw board-sim lenet5-w8a8 --board ulx3s_45f"


def command(
        model: Model, arith: Arithmetic = "quarter_square", array: Array = "8x8",
        lockstep: Lockstep = 1, share: Share = 1,
        board: Annotated[str, typer.Option(
            "--board", metavar="NAME", help="Whose clock and line: {boards}.")] = "ulx3s_45f",
        weights: Weights = "auto",
        tcp: Annotated[str | None, typer.Option(
            "--tcp", metavar="HOST:PORT", show_default=False,
            help="Listen there instead of making a pseudo-terminal; port 0 is any free one.")
        ] = None,
        link: Annotated[Path | None, typer.Option(
            "--link", metavar="FILE", show_default=False,
            help="Also make a symbolic link of this name to the pseudo-terminal; one that an "
                 "earlier board left behind is replaced.")] = None,
        uart: Annotated[bool, typer.Option(
            "--uart", help="Simulate the UART's pins bit by bit, which is much slower.")] = False,
        baud: Annotated[int, typer.Option(
            metavar="N", min=300, help="Of the simulated UART.")] = 115200,
        baud_error: Annotated[float, typer.Option(
            "--baud-error", metavar="PERCENT", min=-20, max=20,
            help="How much faster the host's end of the simulated UART is.")] = 0.0):
    """A board without a board: the Verilog, simulated, behind a port that 'nmahw run' can open.

    Prints the port's name and runs until it is interrupted.
    """
    from ..board_sim import VirtualBoard
    from ..boards import BOARDS
    from ..bundled import load_model
    from ..design import Design
    rows, columns = read_array(array)
    chosen = BOARDS.get(board)
    address = None if tcp is None else _address(tcp)
    network = load_model(model)
    design = Design.of(network, read_choice(network, arith, rows, columns), rows, columns,
                       images=lockstep, share=share).with_weights(weights, chosen.fpga())
    if address is not None and link is not None:
        raise UsageError("a link needs a pseudo-terminal to point to: give --link or --tcp")
    if not uart and baud_error:
        raise UsageError("a baud error needs --uart: bytes have no bit time")
    with VirtualBoard(design, chosen.clock_hz, baud if uart else None,
                      baud * (1 + baud_error / 100)) as virtual:
        with working("building the board") as work:
            virtual.say = work.say
            port = virtual.start(address, link)
        tell(f"{network.title} on a virtual {chosen.title}, {design.arithmetic}, {rows}x{columns} "
             f"array")
        tell(f"port: {port}")
        tell(f"in another terminal: nmahw run --port {port} --model {model}")
        if address is not None and address[0] not in ("127.0.0.1", "::1", "localhost"):
            tell_error(f"anybody who can reach {address[0]} can use this board")
        code = virtual.wait()
    # The simulation has no end of its own.
    raise EnvironmentProblem("the simulation must run until it is interrupted, but ended with "
                             + (f"signal {-code}" if code < 0 else f"exit code {code}"))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise UsageError(f"--tcp must be HOST:PORT, for example 127.0.0.1:5555, not {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)
