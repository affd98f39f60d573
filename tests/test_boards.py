"""Boards: complete, consistent, and with pins that the package has."""

import pytest
from small_designs import small_rtlil

from nmahw import boards
from nmahw.cache import Cache
from nmahw.devices import FlowOptions, device
from nmahw.errors import UsageError
from nmahw.synthesise import synthesise
from nmahw.toolchain import find, run
from nmahw.workbench import Workbench

#: How each family's nextpnr is told pins: file name, line, option.
CONSTRAINTS = {
    "ecp5": ("pins.lpf", 'LOCATE COMP "{port}" SITE "{pin}";\n', ["--lpf", "pins.lpf"]),
    "ice40": ("pins.pcf", "set_io {port} {pin}\n", ["--pcf", "pins.pcf"]),
    "gowin": ("pins.cst", 'IO_LOC "{port}" {pin};\n', []),
}


def pins(board) -> dict[str, str]:
    found = {"clk": board.clock, "si": board.uart_rx, "so": board.uart_tx, "rst": board.reset}
    return {port: pin.location for port, pin in found.items() if pin is not None}


@pytest.mark.parametrize("board", list(boards.BOARDS), ids=lambda board: board.name)
def test_a_board_says_everything(board):
    assert device(board.name) is device(board.device)
    assert 1_000_000 <= board.clock_hz <= 200_000_000
    assert len(set(pins(board).values())) == len(pins(board))
    assert board.title and board.flash


def test_unknown_board_lists_the_boards():
    with pytest.raises(UsageError, match="board must be one of .*tang_nano_9k.*not 'ulx'"):
        boards.BOARDS.get("ulx")


@pytest.mark.long
@pytest.mark.parametrize("board", list(boards.BOARDS), ids=lambda board: board.name)
def test_the_package_has_the_pins(board, tmp_path):
    part = device(board.device)
    netlist = synthesise(small_rtlil(), part, FlowOptions(), Workbench(Cache(tmp_path / "cache")))
    (tmp_path / "netlist.json").write_bytes(netlist.path.read_bytes())
    name, line, option = CONSTRAINTS[part.family]
    (tmp_path / name).write_text("".join(line.format(port=port, pin=pin)
                                         for port, pin in pins(board).items()))
    arguments = [*part.rules.place_arguments(part, pins(board)), *option, "--json",
                 "netlist.json", "--timing-allow-fail", "--write", "placed.json"]
    run(find(part.rules.place_tool), arguments, tmp_path, tmp_path / "log")
    assert (tmp_path / "placed.json").stat().st_size
