"""Boards: complete, consistent, and with pins that the package has."""

import shlex
from pathlib import Path

import pytest
import typer
from small_designs import shared_bench, small_rtlil

from nmahw import boards
from nmahw.board_page import command_line
from nmahw.cli import app, run
from nmahw.devices import FlowOptions, device
from nmahw.errors import UsageError
from nmahw.place import place_and_route


def pins(board) -> dict[str, boards.Pin]:
    found = {"clk": board.clock, "si": board.uart_rx, "so": board.uart_tx, "rst": board.reset}
    return {port: pin for port, pin in found.items() if pin is not None}


@pytest.mark.parametrize("board", list(boards.BOARDS), ids=lambda board: board.name)
def test_a_board_says_everything(board):
    assert device(board.name) == board.fpga()
    assert board.fpga().limits == device(board.device).limits
    assert 1_000_000 <= board.clock_hz <= 200_000_000
    assert len({pin.location for pin in pins(board).values()}) == len(pins(board))
    assert board.title and board.flasher and board.fpga().rules.pack_tool
    places = [pin.location for pin in pins(board).values()]
    assert all(place == place.upper() and place.strip() for place in places)


def test_the_page_is_what_the_boards_say(capsys):
    assert run(["boards", "--markdown"]) == 0
    shown = capsys.readouterr().out
    page = (Path(__file__).parents[1] / "docs" / "boards.md").read_text()
    assert shown in page
    for board in boards.BOARDS:
        assert f"`{board.name}`" in shown and command_line(board) in shown


@pytest.mark.parametrize("board", list(boards.BOARDS), ids=lambda board: board.name)
def test_a_boards_command_line_is_one_that_the_commands_take(board):
    commands = typer.main.get_command(app).commands
    for part in command_line(board).split(" && ")[2:]:
        program, name, *arguments = shlex.split(part)
        assert program == "nmahw"
        given = commands[name].make_context(name, arguments).params
        assert given.get("board", board.name) == board.name


def test_unknown_board_lists_the_boards():
    with pytest.raises(UsageError, match="board must be one of .*tang_nano_9k.*not 'ulx'"):
        boards.BOARDS.get("ulx")


@pytest.mark.long
@pytest.mark.parametrize("board", list(boards.BOARDS), ids=lambda board: board.name)
def test_a_design_is_placed_on_the_boards_pins(board, tmp_path_factory):
    result, = place_and_route(small_rtlil(), board.fpga(), FlowOptions(), [1],
                              pins=pins(board), bench=shared_bench(tmp_path_factory))
    assert result.fmax_mhz * 1e6 > board.clock_hz
