"""The output registers inside ECP5 block RAMs (FPGA-TN-02204), taken into use after mapping.

Yosys reads a block RAM straight from its latches, 5.8 ns after the clock in speed grade 6, and
puts a flip-flop in the fabric behind it. The block has registers of its own there (parameter
``REGMODE_A``, ``REGMODE_B``), which come out several times sooner. This pass moves such
flip-flops into the block, and only when nothing can be told apart afterwards:

- every used bit of a read port drives the data input of one flip-flop and nothing else;
- these flip-flops have the port's clock and edge, and neither enable, set nor reset;
- they start as 0, as the block's registers do;
- the port is always enabled, never reset and never writes.

A port of which one bit does not comply is left alone.

A block of one 36-bit read port has its bits on the outputs of both halves, A and B. Both are
switched then, and must agree on the clock, so that it does not matter which one rules.
"""

from collections import defaultdict
from collections.abc import Iterable

__all__ = ["use_output_registers"]

_BITS = 18
_PDP_WIDTH = 36


def use_output_registers(module: dict) -> int:
    """Move flip-flops behind block RAMs into them.

    Parameters
    ----------
    module : dict
        One module of a Yosys JSON netlist of ECP5 cells; changed in place.

    Returns
    -------
    int
        How many flip-flops went away.
    """
    users = _users(module)
    moved = {}
    for cell in list(module["cells"].values()):
        if cell["type"] == "DP16KD":
            for halves in _read_ports(cell):
                moved |= _absorb(module["cells"], users, cell, halves)
    _forget(module, set(moved))
    return len(moved)


def _users(module: dict) -> dict[int, list[tuple[str, str]]]:
    """Who uses a net: cell and port, or no cell and a port of the module."""
    users = defaultdict(list)
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) != "output":
                for bit in bits:
                    users[bit].append((name, port))
    for name, port in module["ports"].items():
        for bit in port["bits"]:
            users[bit].append(("", name))
    return users


def _read_ports(cell: dict) -> Iterable[str]:
    """The halves of the block that make one read port, for each that it has."""
    widths = [_integer(cell["parameters"].get(f"DATA_WIDTH_{half}", _BITS)) for half in "AB"]
    return ("AB",) if _PDP_WIDTH in widths else ("A", "B")


def _absorb(cells: dict, users: dict, memory: dict, halves: str) -> dict[int, str]:
    """Nets between block and flip-flops that are gone, with the flip-flops; none if refused."""
    pins = [(f"DO{half}{bit}", memory["connections"].get(f"DO{half}{bit}", ["x"])[0])
            for half in halves for bit in range(_BITS)]
    used = {pin: net for pin, net in pins if isinstance(net, int) and users[net]}
    if halves == "AB" and not any(pin.startswith("DOA") for pin in used):
        halves = "B"  # a narrow read port: half A only writes
    clock = _clock(memory, halves)
    if not used or clock is None:
        return {}
    moved = {}
    for net in used.values():
        flip_flop, pin = users[net][0]
        if len(users[net]) > 1 or not flip_flop or pin != "DI" or not _is_plain(
                cells[flip_flop], clock):
            return {}
        moved[net] = flip_flop
    for pin, net in used.items():
        memory["connections"][pin] = list(cells.pop(moved[net])["connections"]["Q"])
    for half in halves:
        memory["parameters"][f"REGMODE_{half}"] = "OUTREG"
        memory["connections"][f"OCE{half}"] = ["1"]
        memory["port_directions"][f"OCE{half}"] = "input"
    return moved


def _clock(memory: dict, halves: str) -> tuple[object, bool] | None:
    """Net and inversion of a read port's clock; None if the port cannot take a register."""
    clocks, text, pin = set(), _texts(memory), memory["connections"]
    for half in halves:
        if (text.get(f"REGMODE_{half}", "NOREG") != "NOREG"
                or text.get("GSR", "ENABLED") != "DISABLED"
                or pin.get(f"CE{half}") != ["1"] or pin.get(f"RST{half}") != ["0"]
                or (half == halves[-1] and pin.get(f"WE{half}") != ["0"])
                or not isinstance(pin.get(f"CLK{half}", ["x"])[0], int)):
            return None
        clocks.add((pin[f"CLK{half}"][0], text.get(f"CLK{half}MUX", f"CLK{half}") == "INV"))
    return clocks.pop() if len(clocks) == 1 else None


def _is_plain(cell: dict, clock: tuple[object, bool]) -> bool:
    """Whether a cell is a flip-flop of this clock that only ever takes its input."""
    text, pin = _texts(cell), cell["connections"]
    enable, reset = pin.get("CE", ["1"]), pin.get("LSR", ["0"])
    return (cell["type"] == "TRELLIS_FF"
            and (pin["CLK"][0], text.get("CLKMUX", "CLK") == "INV") == clock
            and (text.get("CEMUX", "1") == "1"
                 or (text["CEMUX"], enable) in (("CE", ["1"]), ("INV", ["0"])))
            and (text.get("LSRMUX", "LSR"), reset) in (("LSR", ["0"]), ("INV", ["1"]))
            and text.get("REGSET", "RESET") == "RESET"
            and text.get("LSRMODE", "LSR") == "LSR"
            and text.get("GSR", "ENABLED") == "DISABLED"
            and _integer(cell.get("attributes", {}).get("keep", 0)) == 0)


def _texts(cell: dict) -> dict[str, str]:
    # Yosys writes a blank behind a text that could be taken for binary digits, such as "1".
    return {name: str(value).rstrip() for name, value in cell["parameters"].items()}


def _integer(value: object) -> int:
    """A number as JSON netlists hold it: itself, or its binary digits."""
    return value if isinstance(value, int) else int(str(value), 2)


def _forget(module: dict, nets: set) -> None:
    """Names of nets that nothing drives or uses any more."""
    module["netnames"] = {name: net for name, net in module.get("netnames", {}).items()
                          if not nets.issuperset(net["bits"]) or not net["bits"]}
