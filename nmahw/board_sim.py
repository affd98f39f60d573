"""A board that one can run without owning one: the Verilog behind a pseudo-terminal or a socket.

The same host commands talk to it as to a real board. By default bytes go straight to the frames'
gateware; on request they go over the pins of the board's UART, bit by bit.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from amaranth.back import rtlil

from .cache import Cache
from .design import Design
from .errors import EnvironmentProblem, UsageError
from .gateware.link.endpoint import Endpoint
from .gateware.link.serial_endpoint import SerialEndpoint
from .gateware.link.uart import check_baud
from .link.description import Description
from .verilate import build_simulator

__all__ = ["VirtualBoard", "board_rtlil"]

_HARNESS = Path(__file__).parent / "harness" / "nmahw_board.cpp"
_TOP = "nmahw_board"


def board_rtlil(design: Design, clock_hz: int, baud: int | None = None) -> str:
    """RTLIL of a design with its host link: byte streams, or a UART's pins when `baud` is given."""
    endpoint = Endpoint(design, Description.of(design, clock_hz).encode())
    if baud is not None:
        return rtlil.convert(SerialEndpoint(endpoint, clock_hz, baud), name=_TOP, emit_src=False)
    # Verilator mangles the names that nested streams would get.
    ports = {"from_host_data": endpoint.i.payload, "from_host_valid": endpoint.i.valid,
             "from_host_ready": endpoint.i.ready, "to_host_data": endpoint.o.payload,
             "to_host_valid": endpoint.o.valid, "to_host_ready": endpoint.o.ready,
             "busy": endpoint.busy}
    return rtlil.convert(endpoint, name=_TOP, emit_src=False,
                         ports={name: (value, None) for name, value in ports.items()})


@dataclass
class VirtualBoard:
    """A simulated board; starts and ends as a context manager.

    Parameters
    ----------
    design : Design
    clock_hz : int
        What the board says its clock is; time in the simulation is counted in cycles only.
    baud : int, optional
        Simulate the UART's pins at this rate; by default bytes go past it.
    host_baud : float, optional
        What the host's end of the UART really runs at, by default `baud`.
    cache : Cache, optional
    say : callable
        Told that compiling begins.
    reset_every : int
        Reset the board after so many bytes from the host, again and again; 0: never.

    Attributes
    ----------
    port : str
        What hosts have to open.
    """

    design: Design
    clock_hz: int
    baud: int | None = None
    host_baud: float | None = None
    cache: Cache | None = None
    say: Callable[[str], None] = lambda text: None
    reset_every: int = 0

    def __post_init__(self):
        if self.baud is not None:
            check_baud(self.clock_hz, self.baud)
        self.port = ""
        self._process: subprocess.Popen | None = None
        self._open: list[int] = []
        self._link: Path | None = None
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def start(self, address: tuple[str, int] | None = None, link: Path | None = None) -> str:
        """Build the simulation, start it, and give the name of its port.

        Parameters
        ----------
        address : (str, int), optional
            Listen there instead of making a pseudo-terminal; port 0 is any free one.
        link : Path, optional
            Also make a symbolic link of this name to the pseudo-terminal.

        Raises
        ------
        EnvironmentProblem, BuildError
            See `nmahw.verilate.build_simulator`; or the address cannot be had, or the link
            cannot be made.
        UsageError
            `link` is there already and is no link to a pseudo-terminal.
        """
        program = build_simulator(board_rtlil(self.design, self.clock_hz, self.baud), self.cache,
                                  self.say, harness=_HARNESS)
        command = [str(program), f"--reset-every={self.reset_every}"]
        if self.baud is not None:
            command.append(f"--clocks-per-bit={self.clock_hz / (self.host_baud or self.baud):.6f}")
        if address is None:
            self.port = self._start_terminal(command, link)
        else:
            self.port = self._start_socket(command, address)
        return self.port

    def wait(self) -> int:
        """Until the simulation ends, which it does not by itself; its exit code."""
        return self._process.wait()

    def stop(self) -> None:
        """End the simulation and give everything back."""
        self._closing.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._thread is not None:
            self._thread.join()
        if self._listener is not None:
            self._listener.close()
        for number in self._open:
            os.close(number)
        self._open.clear()
        # Another board may have put its own in the place of ours meanwhile.
        if self._link is not None and _target(self._link) == self.port:
            self._link.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def _spawn(self, command: list[str], end: int) -> None:
        self._process = subprocess.Popen(command, stdin=end, stdout=end, start_new_session=True,
                                         cwd=Path(command[0]).parent)

    def _start_terminal(self, command: list[str], link: Path | None) -> str:
        try:
            import pty
            import tty
        except ImportError:
            raise EnvironmentProblem("this system has no pseudo-terminals: give --tcp HOST:PORT"
                                     ) from None
        board, host = pty.openpty()
        # The host's end stays open here too: a host that leaves does not hang up the line.
        self._open += [board, host]
        tty.setraw(host)
        name = os.ttyname(host)
        if link is not None:
            _make_link(link, name)
            self._link = link
        self._spawn(command, board)
        return name

    def _start_socket(self, command: list[str], address: tuple[str, int]) -> str:
        try:
            self._listener = socket.create_server(address)
        except OSError as error:
            reason = (error.strerror or str(error)).partition(" (while")[0]
            raise EnvironmentProblem(f"address {address[0]}:{address[1]} must be free and ours: "
                                     f"{reason}") from None
        ours, board = socket.socketpair()
        self._spawn(command, board.fileno())
        board.close()
        self._thread = threading.Thread(target=self._serve, args=(ours,), daemon=True)
        self._thread.start()
        host, port = self._listener.getsockname()[:2]
        return f"tcp://{host}:{port}"

    def _serve(self, board: socket.socket) -> None:
        """One host at a time; the others wait until it leaves."""
        with board:
            while not self._closing.is_set():
                if not select.select([self._listener], [], [], 0.2)[0]:
                    continue
                host, _ = self._listener.accept()
                with host:
                    _relay(host, board, self._closing)


def _target(link: Path) -> str | None:
    """What `link` points to, whether that is there or not; None when it is no link."""
    try:
        return os.readlink(link)
    except OSError:
        return None


def _make_link(link: Path, terminal: str) -> None:
    """Make `link` point to a pseudo-terminal, in the place of one that a killed board left."""
    folder = os.path.dirname(terminal) + os.sep
    try:
        if (_target(link) or "").startswith(folder):
            link.unlink()
        link.symlink_to(terminal)
    except FileExistsError:
        raise UsageError(f"link must be a new name, but {link} is there already") from None
    except OSError as error:
        raise EnvironmentProblem(f"link {link} must be writable: {error.strerror}") from None


def _relay(host: socket.socket, board: socket.socket, closing: threading.Event) -> None:
    """Carry bytes both ways until the host leaves."""
    while not closing.is_set():
        ready, _, _ = select.select([host, board], [], [], 0.2)
        try:
            for source, target in ((host, board), (board, host)):
                if source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    target.sendall(data)
        except OSError:
            return
