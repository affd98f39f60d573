"""Flashing: the command, and what is said when it cannot work."""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from nmahw.boards import BOARDS
from nmahw.cli import run
from nmahw.errors import BuildError, EnvironmentProblem, UsageError
from nmahw.flash import flash, flash_command


def programmer(folder: Path, words: str, code: int) -> None:
    """An openFPGALoader that says `words`."""
    path = folder / "openFPGALoader"
    path.write_text(f"#!/bin/sh\necho \"$@\" > {folder}/seen\ncat <<'END'\n{words}\nEND\n"
                    f"exit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def bitstream(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "design one.bit"
    path.write_bytes(b"bits")
    return path


def test_the_programmer_gets_board_and_file(bitstream):
    programmer(bitstream.parent, "done", 0)
    flash(BOARDS.get("ulx3s_85f"), bitstream)
    assert (bitstream.parent / "seen").read_text().strip() == f"-b ulx3s {bitstream}"
    flash(BOARDS.get("ulx3s_85f"), bitstream, to_flash=True)
    assert (bitstream.parent / "seen").read_text().strip() == f"-b ulx3s -f {bitstream}"


@pytest.mark.parametrize("words, error, hint", [
    ("error while loading shared libraries: libftdi1.so.2: cannot open shared object file",
     EnvironmentProblem, "apt install libftdi1"),
    ("unable to open ftdi device: -3 (device not found)\nJTAG init failed", EnvironmentProblem,
     "plugged in"),
    ("unable to open ftdi device: -4 (usb_open() failed: permission denied)", EnvironmentProblem,
     "udev"),
    ("unable to open ftdi device: -4 (libusb_open() failed)\nJTAG init failed with: unable to open "
     "ftdi device", EnvironmentProblem, "udev"),
    ("Error: libusb_open failed: LIBUSB_ERROR_ACCESS", EnvironmentProblem, "udev"),
    ("unable to open ftdi device: -5 (unable to claim usb device. Make sure the default FTDI "
     "driver is not in use)", EnvironmentProblem, "no other program"),
    ("unable to open ftdi device: -3 (device not found)\nError: Failed to claim cable",
     EnvironmentProblem, "plugged in"),
    ("Jtag: support for cmsisdap was not enabled at compile time\nJTAG init failed with: "
     "std::exception", EnvironmentProblem, "apt install openfpgaloader"),
    ("Error: IDCODE mismatch", EnvironmentProblem, "for this board"),
    ("it is broken", BuildError, "exit code 7")])
def test_what_fails_is_told_with_its_cure(bitstream, words, error, hint):
    programmer(bitstream.parent, words, 7)
    with pytest.raises(error, match=hint):
        flash(BOARDS.get("ulx3s_85f"), bitstream)


def test_the_command_line_ends_with_the_cure(bitstream, capsys):
    programmer(bitstream.parent, "unable to open ftdi device: -3 (device not found)", 1)
    assert run(["flash", "ulx3s_85f", str(bitstream)]) == EnvironmentProblem.exit_code
    assert "the board must be plugged in" in " ".join(capsys.readouterr().err.split())


def test_a_file_that_is_no_bitstream_of_the_board_is_refused(bitstream):
    board = BOARDS.get("icebreaker")
    with pytest.raises(UsageError, match=r"\.bin file"):
        flash_command(board, bitstream)
    with pytest.raises(UsageError, match="does not exist"):
        flash_command(board, bitstream.with_name("none.bin"))
    with pytest.raises(UsageError, match="is a folder"):
        flash_command(board, bitstream.parent)
    empty = bitstream.with_name("empty.bin")
    empty.touch()
    with pytest.raises(UsageError, match="is empty"):
        flash_command(board, empty)


def test_another_boards_bitstream_is_refused_where_the_report_tells(bitstream):
    files = {bitstream.name: hashlib.sha256(bitstream.read_bytes()).hexdigest()}
    report = bitstream.with_name("report.json")
    report.write_text(json.dumps({"board": "ulx3s_45f", "files": files}))
    flash_command(BOARDS.get("ulx3s_45f"), bitstream)
    with pytest.raises(UsageError, match="one for ulx3s_85f, but was built for ulx3s_45f"):
        flash_command(BOARDS.get("ulx3s_85f"), bitstream)
    # A report of another file says nothing of this one, nor does what is no report.
    for text in (json.dumps({"board": "ulx3s_45f", "files": {bitstream.name: "0" * 64}}),
                 json.dumps({"board": "ulx3s_45f", "files": {}}), "[]", "{", '{"board": 1}'):
        report.write_text(text)
        flash_command(BOARDS.get("ulx3s_85f"), bitstream)


@pytest.mark.parametrize("board", list(BOARDS), ids=lambda board: board.name)
def test_a_dry_run_prints_the_command(board, tmp_path, capsys):
    path = tmp_path / f"design{board.fpga().rules.bitstream_suffix}"
    path.write_bytes(b"bits")
    assert run(["flash", board.name, str(path), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert str(path) in shown and all(word in shown for word in board.flash)


def test_a_missing_programmer_is_named_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "design.bin"
    path.write_bytes(b"bits")
    with pytest.raises(EnvironmentProblem, match="pip install tinyprog"):
        flash(BOARDS.get("tinyfpga_bx"), path)
