"""Lattice iCE40 (FPGA-DS-02029, FPGA-DS-02008) through Project IceStorm.

One logic cell (``ICESTORM_LC``) holds a LUT4, a carry and a flip-flop, used together or not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .._mapping_rules import MappingRules
from ..weight_store import WeightStore
from . import Device, Family, FlowOptions, Pll, count
from ._plls import ice40_pll

if TYPE_CHECKING:
    from ..boards import Pin
    from ..carry_chain import CarryChain

__all__ = ["Ice40"]


class Ice40(Family):
    """iCE40 HX and LP (no hard multiplier) and UltraPlus UP5K (eight 16x16 ones)."""

    name = "ice40"
    place_tool = "nextpnr-ice40"
    lut_name = "LC"
    devices = (
        Device("ice40-hx8k", "iCE40HX8K-CT256", "ice40",
               {"lut": 7680, "ff": 7680, "dsp": 0, "block_ram": 32},
               ("--hx8k", "--package", "ct256")),
        Device("ice40-up5k", "iCE40UP5K-SG48", "ice40",
               {"lut": 5280, "ff": 5280, "dsp": 8, "block_ram": 30, "spram": 4},
               ("--up5k", "--package", "sg48"),
               WeightStore(blocks=4, block_bits=16, block_words=1 << 14, style="huge")),
        Device("ice40-hx1k", "iCE40HX1K-TQ144", "ice40",
               {"lut": 1280, "ff": 1280, "dsp": 0, "block_ram": 16},
               ("--hx1k", "--package", "tq144")),
        Device("ice40-lp8k", "iCE40LP8K-CM81", "ice40",
               {"lut": 7680, "ff": 7680, "dsp": 0, "block_ram": 32},
               ("--lp8k", "--package", "cm81")),
    )
    block_ram_bits = 4096
    hard_multipliers = frozenset({"SB_MAC16", "ICESTORM_DSP"})
    cell_models = "+/ice40/cells_sim.v"
    mapping = MappingRules(
        block_shapes=((16, 256), (8, 512), (4, 1024), (2, 2048)),
        dual_port_bits=0, block_cost=64, has_distributed_ram=False, register_bits=0,
        adder_step=1, least_adder_bits=3, multiplier_bits=16,
        least_product_bits=11, multiplier_takes_registers=True, cells_hold_both=True)

    pack_tool = "icepack"
    bitstream_arguments = ("--asc", "top.asc")
    packed_from = "top.asc"
    bitstream_suffix = ".bin"

    @classmethod
    def pll(cls, device: Device, input_hz: int, target_hz: float, from_pad: bool = False
            ) -> Pll | None:
        return ice40_pll(input_hz, target_hz, from_pad)

    @classmethod
    def carry_chain(cls, chain: "CarryChain") -> str | None:
        # A carry takes its operands as they are, but the LUT of the sum has a fourth input, which
        # can choose the augend instead: with the gate off, carries run that nobody looks at. To
        # invert the addend takes a LUT per bit before the chain, and so does gating it.
        if not chain.gate or chain.negate or chain.twos or chain.carry:
            return None
        if chain.subtract:
            # Yosys puts the choice into the chain's LUTs.
            inverted = f"{{{chain.bits}{{subtract}}}}"
            return (f"  wire [{chain.bits}:0] sum = {{augend, 1'b1}} + "
                    f"{{addend ^ {inverted}, subtract}};\n"
                    f"  assign total = gate ? sum[{chain.bits}:1] : augend;\n")
        cells = [f"  wire [{chain.bits}:0] carried;\n  assign carried[0] = 1'b0;\n"]
        for bit in range(chain.bits):
            operands = f".I1(augend[{bit}]), .I2(addend[{bit}])"
            # I0 ? I1 ^ I2 ^ I3 : I1
            cells.append(f"  SB_LUT4 #(.LUT_INIT(16'hC66C)) sum{bit} (.I0(gate), {operands}, "
                         f".I3(carried[{bit}]), .O(total[{bit}]));\n")
            if bit + 1 < chain.bits:
                cells.append(f"  SB_CARRY carry{bit} (.I0(augend[{bit}]), .I1(addend[{bit}]), "
                             f".CI(carried[{bit}]), .CO(carried[{bit + 1}]));\n")
        return "".join(cells)

    @classmethod
    def map_commands(cls, device: Device, options: FlowOptions) -> list[str]:
        # The slice has no multiplexers that join LUTs, so `wide_lut` means nothing here.
        flags = ["-dsp"] if options.hard_multiplier else []
        kind = "u" if device.limits["dsp"] else device.name[6:8]
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
                "block_ram": count(cells, "SB_RAM40_4K"), "spram": cells.get("SB_SPRAM256KA", 0)}

    @classmethod
    def packed_luts(cls, module: dict) -> int:
        # As nextpnr packs (ice40/pack.cc): a flip-flop shares a cell with a LUT that drives
        # nothing else, a carry with a LUT of the same operands; a chain that does not start with
        # a constant has a cell in front.
        pins = {name: {port: bits[0] for port, bits in cell["connections"].items() if bits}
                for name, cell in module["cells"].items() if cell["type"].startswith("SB_")}
        kinds = {name: module["cells"][name]["type"] for name in pins}
        sinks = Counter(bit for name, cell in pins.items() for port, bit in cell.items()
                        if module["cells"][name]["port_directions"][port] == "input")
        sinks.update(bit for port in module["ports"].values() if port["direction"] == "output"
                     for bit in port["bits"])
        luts = [cell for name, cell in pins.items() if kinds[name] == "SB_LUT4"]
        flip_flops = [cell for name, cell in pins.items() if kinds[name].startswith("SB_DFF")]
        carries = [cell for name, cell in pins.items() if kinds[name] == "SB_CARRY"]
        alone = {lut["O"] for lut in luts if sinks[lut["O"]] == 1}
        operands = {(lut["I1"], lut["I2"], lut["I3"]) for lut in luts}
        carried = {carry["CO"] for carry in carries} | {"0", "1"}
        return (len(luts) + sum(flip_flop["D"] not in alone for flip_flop in flip_flops)
                + sum((carry["I0"], carry["I1"], carry["CI"]) not in operands
                      for carry in carries)
                + sum(carry["CI"] not in carried for carry in carries))

    @classmethod
    def utilisation(cls, raw: Mapping[str, int], cells: Mapping[str, int]) -> dict[str, int]:
        spram = raw.get("ICESTORM_SPRAM", 0)
        return {"lut": raw["ICESTORM_LC"], "ff": count(cells, "SB_DFF"),
                "dsp": raw.get("ICESTORM_DSP", 0), "block_ram": raw["ICESTORM_RAM"],
                "carry": cells.get("SB_CARRY", 0), **({"spram": spram} if spram else {})}

    @classmethod
    def vendor_cells(cls) -> Mapping[str, str]:
        return {"ICESTORM_LC": "lut", "ICESTORM_DSP": "dsp", "ICESTORM_RAM": "block_ram",
                "ICESTORM_SPRAM": "spram"}
