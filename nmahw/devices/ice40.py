"""Lattice iCE40 (FPGA-DS-02029, FPGA-DS-02008) through Project IceStorm.

One logic cell (``ICESTORM_LC``) holds a LUT4, a carry and a flip-flop, used together or not.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from . import Device, Family, FlowOptions, count

if TYPE_CHECKING:
    from ..boards import Pin

__all__ = ["Ice40"]


class Ice40(Family):
    """iCE40 HX8K (no hard multiplier) and UltraPlus UP5K (eight 16x16 ones)."""

    name = "ice40"
    place_tool = "nextpnr-ice40"
    lut_name = "LC"
    devices = (
        Device("ice40-hx8k", "iCE40HX8K-CT256", "ice40",
               {"lut": 7680, "ff": 7680, "dsp": 0, "block_ram": 32},
               ("--hx8k", "--package", "ct256")),
        Device("ice40-up5k", "iCE40UP5K-SG48", "ice40",
               {"lut": 5280, "ff": 5280, "dsp": 8, "block_ram": 30},
               ("--up5k", "--package", "sg48")),
    )
    block_ram_bits = 4096
    hard_multipliers = frozenset({"SB_MAC16", "ICESTORM_DSP"})

    @classmethod
    def map_commands(cls, device: Device, options: FlowOptions) -> list[str]:
        # The slice has no multiplexers that join LUTs, so `wide_lut` means nothing here.
        flags = ["-dsp"] if options.hard_multiplier else []
        kind = "u" if device.limits["dsp"] else "hx"
        return [" ".join(["synth_ice40", "-top top", f"-device {kind}", *flags])]

    @classmethod
    def place_arguments(cls, device: Device) -> list[str]:
        return [*device.arguments, "--pcf", "pins.pcf", "--pcf-allow-unconstrained"]

    @classmethod
    def constraint_files(cls, device: Device, top_ports: Sequence[str],
                         pins: "Mapping[str, Pin]") -> dict[str, str]:
        lines = []
        for port, pin in pins.items():
            pull_up = ["-pullup yes"] if ("PULLUP", "1") in pin.attributes else []
            lines.append(" ".join(["set_io", *pull_up, port, pin.location]) + "\n")
        return {"pins.pcf": "".join(lines)}

    @classmethod
    def at_least(cls, cells: Mapping[str, int]) -> dict[str, int]:
        flip_flops = count(cells, "SB_DFF")
        return {"lut": max(cells.get("SB_LUT4", 0), cells.get("SB_CARRY", 0), flip_flops),
                "ff": flip_flops, "dsp": cells.get("SB_MAC16", 0),
                "block_ram": count(cells, "SB_RAM40_4K")}

    @classmethod
    def utilisation(cls, raw: Mapping[str, int], cells: Mapping[str, int]) -> dict[str, int]:
        return {"lut": raw["ICESTORM_LC"], "ff": count(cells, "SB_DFF"),
                "dsp": raw.get("ICESTORM_DSP", 0), "block_ram": raw["ICESTORM_RAM"],
                "carry": cells.get("SB_CARRY", 0)}

    @classmethod
    def vendor_cells(cls) -> Mapping[str, str]:
        return {"ICESTORM_LC": "lut", "ICESTORM_DSP": "dsp", "ICESTORM_RAM": "block_ram"}
