"""Yosys's JSON netlists: what is read from and counted in them."""

import gzip
import json
from collections import Counter
from pathlib import Path

__all__ = ["count_cells", "netlist_cells", "port_bits", "read_top", "top_module"]


def read_top(netlist: Path) -> dict:
    """Module ``top`` of a netlist file, compressed (``.gz``) or not."""
    data = netlist.read_bytes()
    return top_module(json.loads(gzip.decompress(data) if netlist.suffix == ".gz" else data))


def top_module(netlist: dict) -> dict:
    """The module marked as top, or else called so."""
    modules = netlist["modules"]
    tops = [module for module in modules.values() if "top" in module.get("attributes", {})]
    return tops[0] if tops else modules["top"]


def port_bits(netlist: Path) -> list[str]:
    """Names of the top module's port bits, as nextpnr makes them."""
    names = []
    for name, port in read_top(netlist)["ports"].items():
        width = len(port["bits"])
        names += [name] if width == 1 else [f"{name}[{bit}]" for bit in range(width)]
    return names


def count_cells(module: dict) -> dict[str, int]:
    """Types of a module's cells and how many of each."""
    return dict(Counter(cell["type"] for cell in module["cells"].values()))


def netlist_cells(netlist: Path) -> list[tuple[str, str, str]]:
    """Name, type and source location of every cell of a JSON netlist (compressed or not)."""
    return [(name, cell["type"], cell.get("attributes", {}).get("src", ""))
            for name, cell in read_top(netlist)["cells"].items()]
