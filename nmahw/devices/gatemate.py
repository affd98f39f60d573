"""Cologne Chip GateMate (DS1001) through Project Peppercorn and nextpnr's himbaechel.

A programmable element (CPE) has two halves, each a LUT tree of four inputs (``L2T4``) and a
flip-flop; an adder of two bits takes both halves. There is no separate multiplier block: a
``CC_MULT`` is an array of CPEs in multiplier mode, so it counts as logic, but is a multiplier to
a certificate.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from . import Device, Family, FlowOptions

if TYPE_CHECKING:
    from ..boards import Pin

__all__ = ["GateMate"]

# Cell types of nextpnr that take both halves of a CPE.
_WHOLE = ("CPE_ADDF", "CPE_ADDF2", "CPE_MULT")


class GateMate(Family):
    """GateMate A1, at the flow's default of speed mode and worst-case timing."""

    name = "gatemate"
    place_tool = "nextpnr-himbaechel-gatemate"
    lut_name = "half CPE"
    devices = (
        Device("gatemate-a1", "CCGM1A1", "gatemate",
               {"lut": 40960, "ff": 40960, "dsp": 0, "block_ram": 64},
               ("--device", "CCGM1A1", "--vopt", "allow-unconstrained")),
    )
    # Half of a 40 kbit block.
    block_ram_bits = 20480
    hard_multipliers = frozenset({"CC_MULT", "CPE_MULT"})
    cell_models = "+/gatemate/cells_sim.v"

    pack_tool = "gmpack"
    bitstream_arguments = ("--vopt", "out=top.txt")
    packed_from = "top.txt"

    @classmethod
    def map_commands(cls, device: Device, options: FlowOptions) -> list[str]:
        # Wide multiplexer cells (MX4, MX8) are LUTs joined in their slice; nextpnr takes no MX8.
        flags = ["-luttree", "-nomx8"]
        if not options.hard_multiplier:
            flags.append("-nomult")
        command = " ".join(["synth_gatemate", "-top top", *flags])
        if options.wide_lut:
            return [command]
        # With both kinds forbidden, Yosys 0.70 runs muxcover without an option: all kinds.
        return [f"{command} -run begin:map_muxs", "opt -full", "simplemap",
                "techmap -map +/gatemate/mux_map.v", f"{command} -run map_luts:"]

    @classmethod
    def place_arguments(cls, device: Device) -> list[str]:
        return [*device.arguments, "--vopt", "ccf=pins.ccf"]

    @classmethod
    def constraint_files(cls, device: Device, top_ports: Sequence[str],
                         pins: "Mapping[str, Pin]") -> dict[str, str]:
        lines = []
        for port, pin in pins.items():
            settings = "".join(f" | {name}={'true' if value == '1' else value}"
                               for name, value in pin.attributes)
            lines.append(f'NET "{port}" Loc = "{pin.location}"{settings};\n')
        return {"pins.ccf": "".join(lines)}

    @classmethod
    def at_least(cls, cells: Mapping[str, int]) -> dict[str, int]:
        # Small LUTs may be joined with others.
        return {"lut": cells.get("CC_L2T4", 0) + 2 * cells.get("CC_L2T5", 0)
                + cells.get("CC_ADDF", 0),
                "ff": cells.get("CC_DFF", 0), "dsp": 0,
                "block_ram": cells.get("CC_BRAM_20K", 0) + 2 * cells.get("CC_BRAM_40K", 0)}

    @classmethod
    def utilisation(cls, raw: Mapping[str, int], cells: Mapping[str, int]) -> dict[str, int]:
        # nextpnr joins pairs of half block RAMs at its end and then counts a pair as one.
        return {"lut": raw.get("CPE_LT", 0) + 2 * sum(raw.get(kind, 0) for kind in _WHOLE),
                "ff": raw["CPE_FF"], "dsp": 0, "block_ram": cls.at_least(cells)["block_ram"],
                "carry": cells.get("CC_ADDF", 0)}

    @classmethod
    def vendor_cells(cls) -> Mapping[str, str]:
        return {"CPE_LT": "lut", "CPE_FF": "ff", "RAM_HALF": "block_ram"}
