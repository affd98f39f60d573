"""Open ends of ECP5 carry chains, in a mapped netlist.

nextpnr puts a CCU2C of its own before every chain whose CIN is connected, be it to a constant,
and one behind every chain whose COUT is connected, be it to nobody: four LUTs a chain that do
nothing. A bit "x" counts as no connection. So a COUT that nobody reads is cut off; a chain that
begins with a constant carry and ends with half a cell to spare gets the half that makes the
carry instead; and a CIN that the first half passes on in no case is cut off.
"""

from collections import Counter
from itertools import product

__all__ = ["open_chain_ends"]

_CONSTANTS = ("0", "1", "x")
# Pins and parameters of one half of a cell, without its number.
_PINS, _PARAMETERS = "ABCDS", ("INIT", "INJECT1_")


def open_chain_ends(module: dict) -> int:
    """Change the carry chains of a module of a Yosys JSON netlist in place.

    Returns
    -------
    int
        Number of ends cut off.
    """
    cells = module["cells"].values()
    readers = Counter(bit for cell in cells for port, bits in cell["connections"].items()
                      if cell["port_directions"][port] == "input" for bit in bits
                      if bit not in _CONSTANTS)
    readers.update(bit for port in module["ports"].values() for bit in port["bits"])
    carries = [cell for cell in cells if cell["type"] == "CCU2C"]
    followers = {_net(cell, "CIN"): cell for cell in carries}
    opened = 0
    for cell in carries:
        if not readers[_net(cell, "COUT")]:
            opened += _net(cell, "COUT") not in _CONSTANTS
            cell["connections"]["COUT"] = ["x"]
    for cell in carries:
        if _net(cell, "CIN") not in ("0", "1"):
            continue
        if not _is_generated(cell):
            chain = [cell]
            while readers[_net(chain[-1], "COUT")] == 1 and _net(chain[-1], "COUT") in followers:
                chain.append(followers[_net(chain[-1], "COUT")])
            if _net(chain[-1], "COUT") != "x" or readers[_net(chain[-1], "S1")]:
                continue
            _begin_with_a_carry(chain, _net(cell, "CIN") == "1")
        cell["connections"]["CIN"] = ["x"]
        opened += 1
    return opened


def _net(cell: dict, port: str) -> int | str:
    return (cell["connections"].get(port) or ["x"])[0]


def _is_generated(cell: dict) -> bool:
    """Whether the first half passes no carry on: its LUT is 0 whatever the signals."""
    init, pins = int(cell["parameters"]["INIT0"], 2), [_net(cell, f"{pin}0") for pin in "ABCD"]
    return not any(init >> sum(bit << place for place, bit in enumerate(bits)) & 1
                   for bits in product((0, 1), repeat=4)
                   if all(pin not in ("0", "1") or int(pin) == bit
                          for pin, bit in zip(pins, bits, strict=True)))


def _begin_with_a_carry(chain: list[dict], carry: bool) -> None:
    """Move every half of a chain one place on, over the last one, behind one that carries."""
    first = {**dict.fromkeys("ABC", ["0"]), "D": ["1"], "S": ["x"],
             "INIT": format(0x000F if carry else 0, "016b"), "INJECT1_": "NO"}
    halves = [first] + [_half(cell, number) for cell in chain for number in (0, 1)]
    for index, cell in enumerate(chain):
        for number in (0, 1):
            half = halves[2 * index + number]
            for pin in _PINS:
                cell["connections"][f"{pin}{number}"] = half[pin]
            for name in _PARAMETERS:
                cell["parameters"][f"{name}{number}"] = half[name]


def _half(cell: dict, number: int) -> dict:
    return {**{pin: [_net(cell, f"{pin}{number}")] for pin in _PINS},
            **{name: cell["parameters"][f"{name}{number}"] for name in _PARAMETERS}}
