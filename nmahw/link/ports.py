"""Lines to boards: serial ports, pseudo-terminals and TCP sockets, by pyserial."""

from __future__ import annotations

import errno
import re
import sys
from types import TracebackType
from typing import Self

from ..errors import EnvironmentProblem, UsageError

__all__ = ["SerialLine"]

_SOCKET = "tcp://"
# Above every USB bridge; drivers take 32 bits with a sign.
_MAX_BAUD = 100_000_000


class SerialLine:
    """A byte line by name; closes as a context manager.

    Parameters
    ----------
    port : str
        ``/dev/ttyUSB0``, ``COM3``, a pseudo-terminal's path, or ``tcp://HOST:PORT``.
    baud : int

    Attributes
    ----------
    seconds_per_byte : float
        Of a serial line; 0 for a socket.

    Raises
    ------
    EnvironmentProblem
        pyserial is missing, or the port is not there, not ours or in use.
    UsageError
        `port` cannot be a port, or `baud` no rate.
    """

    def __init__(self, port: str, baud: int):
        try:
            import serial
        except ImportError:
            raise EnvironmentProblem("pyserial must be installed to talk to boards: "
                                     "pip install 'nmahw[board]'") from None
        self._failure = (serial.SerialException, OSError)
        is_socket = port.startswith(_SOCKET)
        if not port or (is_socket and not _is_address(port.removeprefix(_SOCKET))):
            raise UsageError(f"port must be a device such as /dev/ttyUSB0 or tcp://HOST:PORT, not "
                             f"{port!r}")
        if not 1 <= baud <= _MAX_BAUD:
            raise UsageError(f"baud rate must be 1..{_MAX_BAUD}, not {baud}")
        self.seconds_per_byte = 0.0 if is_socket else 10 / baud
        self._port = port
        try:
            if is_socket:
                self._serial = serial.serial_for_url("socket://" + port.removeprefix(_SOCKET))
            else:
                # Exclusive: two hosts on one board would take each other's answers.
                options = {} if sys.platform == "win32" else {"exclusive": True}
                self._serial = serial.Serial(port, baud, write_timeout=10, **options)
        except ValueError as error:
            raise UsageError(f"port must be a device such as /dev/ttyUSB0 or tcp://HOST:PORT, not "
                             f"{port!r}: {error}") from None
        except self._failure as error:
            raise EnvironmentProblem(_advice(port, error)) from None

    def write(self, data: bytes) -> None:
        """Send all of `data`.

        Raises
        ------
        EnvironmentProblem
            The board was unplugged.
        """
        try:
            self._serial.write(data)
        except self._failure as error:
            raise self._lost(error) from None

    def read(self, timeout_s: float) -> bytes:
        """What has come in; waits up to `timeout_s` for the first byte."""
        try:
            self._serial.timeout = max(timeout_s, 0.001)
            first = self._serial.read(1)
            return first + self._serial.read(self._serial.in_waiting) if first else b""
        except self._failure as error:
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> EnvironmentProblem:
        return EnvironmentProblem(f"port {self._port} must stay open, but the board was unplugged, "
                                  f"or its simulation ended ({error})")

    def close(self) -> None:
        """Give the port back."""
        self._serial.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _is_address(text: str) -> bool:
    host, _, number = text.rpartition(":")
    return bool(host) and re.fullmatch("[0-9]{1,5}", number) is not None \
        and 1 <= int(number) <= 65535


def _advice(port: str, error: Exception) -> str:
    """What to do about a port that does not open."""
    number = getattr(error, "errno", None)
    if match := re.search(r"Errno (\d+)", str(error)):
        number = int(match[1])
    if number in (errno.EACCES, errno.EPERM):
        return (f"port {port} must be yours to open, but is not: add yourself to the group that "
                f"owns it (sudo usermod -aG dialout $USER, then log in again)")
    if number == errno.ENOENT:
        return f"port {port} must be there, but is not: is the board plugged in? ({_ports()})"
    if number in (errno.EAGAIN, errno.EBUSY):
        return f"port {port} must be free, but another program uses it"
    if number in (errno.ENOTTY, errno.EISDIR, errno.EINVAL) \
            or "Inappropriate ioctl" in str(error):
        return f"port {port} must be a serial port, but is not ({_ports()})"
    if number == errno.ECONNREFUSED:
        return f"{port} must be listening, but nothing does: start 'nmahw board-sim' first"
    return f"port {port} must be usable, but: {error}"


def _ports() -> str:
    from serial.tools.list_ports import comports
    names = [item.device for item in comports()]
    return f"there are {', '.join(names)}" if names else "there is no serial port at all"
