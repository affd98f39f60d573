"""The registers inside ECP5 block RAMs and multipliers, taken into use after mapping.

**Block RAM, output registers** (FPGA-TN-02204).

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

**Multipliers, registers of operands and product** (FPGA-TN-02205). Yosys takes a MULT18X18D as
logic between flip-flops in the fabric; the ways to it and back, and through it, are then one path.
With the registers in the block (``REG_INPUTA_CLK``, ``REG_INPUTB_CLK``, ``REG_OUTPUT_CLK``) they
are three, of which nextpnr times those outside alone. Every bit of both operands must be a constant
0 or come from a flip-flop like those above, which stays where somebody else reads it as well; every
used bit of the product must drive one like those above, or only the operands' registers are moved.
"""

from collections import defaultdict
from collections.abc import Iterable

__all__ = ["use_multiplier_registers", "use_output_registers"]

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


def use_multiplier_registers(module: dict) -> int:
    """Move flip-flops before and behind multipliers into them.

    Parameters
    ----------
    module : dict
        One module of a Yosys JSON netlist of ECP5 cells; changed in place.

    Returns
    -------
    int
        How many multipliers were changed.
    """
    cells, users, changed = module["cells"], _users(module), []
    driver = {cell["connections"]["Q"][0]: name for name, cell in cells.items()
              if cell["type"] == "TRELLIS_FF"}
    passed: set[int] = set()
    for name, cell in cells.items():
        if cell["type"] == "MULT18X18D":
            nets = _take_operands(name, cells, users, driver)
            changed += [cell] if nets else []
            passed |= nets
    gone = {net for net in passed if not users[net]}  # only multipliers read them
    for net in gone:
        del cells[driver[net]]
    for cell in changed:
        gone |= _give_product(cells, users, cell)
    _forget(module, gone)
    return len(changed)


def _take_operands(name: str, cells: dict, users: dict, driver: dict) -> set[int]:
    """Connect a multiplier to what the flip-flops before it take; the nets it let go of."""
    multiplier = cells[name]
    text, pin = _texts(multiplier), multiplier["connections"]
    pins = [f"{operand}{bit}" for operand in "AB" for bit in range(_BITS)]
    nets = {at: pin[at][0] for at in pins if pin.get(at, ["0"])[0] != "0"}
    flip_flops = {at: cells.get(driver.get(net, "")) for at, net in nets.items()}
    clocks = {cell["connections"]["CLK"][0] for cell in flip_flops.values() if cell}
    # The block's ways for operands from a neighbour, and registers that are in use, stay.
    own = any(text.get(f"REG_{which}_CLK", "NONE") != "NONE"
              for which in ("INPUTA", "INPUTB", "INPUTC", "PIPELINE", "OUTPUT"))
    signs = {pin.get(f"SIGNED{half}", ["0"])[0] for half in "AB"}
    if (own or len(clocks) != 1 or not signs <= {"0", "1"}
            or any(pin.get(f"SOURCE{half}") != ["0"] for half in "AB")
            or not all(cell and _is_plain(cell, (next(iter(clocks)), False))
                       for cell in flip_flops.values())):
        return set()
    for at, net in nets.items():
        users[net].remove((name, at))
        pin[at] = list(flip_flops[at]["connections"]["DI"])
        users[pin[at][0]].append((name, at))
    multiplier["parameters"] |= {"REG_INPUTA_CLK": "CLK0", "REG_INPUTB_CLK": "CLK0",
                                 "GSR": "DISABLED"}
    for at, value in (("CLK0", clocks.pop()), ("CE0", "1"), ("RST0", "0")):
        pin[at] = [value]
        multiplier["port_directions"][at] = "input"
    return set(nets.values())


def _give_product(cells: dict, users: dict, multiplier: dict) -> set[int]:
    """Take the flip-flops behind a multiplier whose operands are in it; the nets that are gone."""
    pin = multiplier["connections"]
    nets = {at: net for at in (f"P{bit}" for bit in range(2 * _BITS))
            if isinstance(net := pin.get(at, ["x"])[0], int) and users[net]}
    flip_flops = {at: users[net][0] for at, net in nets.items()}
    if not all(len(users[nets[at]]) == 1 and flip_flop and to == "DI"
               and _is_plain(cells[flip_flop], (pin["CLK0"][0], False))
               for at, (flip_flop, to) in flip_flops.items()):
        return set()
    for at, (flip_flop, _) in flip_flops.items():
        pin[at] = list(cells.pop(flip_flop)["connections"]["Q"])
    multiplier["parameters"]["REG_OUTPUT_CLK"] = "CLK0"
    return set(nets.values())


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
