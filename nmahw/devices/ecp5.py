"""Lattice ECP5 (FPGA-DS-02012) through Project Trellis.

A slice holds LUT4s (``TRELLIS_COMB``); a ``CCU2C`` carry cell takes two of them, a 16x4
distributed RAM four and its write port (``TRELLIS_RAMW``) two. nextpnr's count of ``TRELLIS_COMB``
holds all of these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .._mapping_rules import MappingRules
from . import Device, Family, FlowOptions, Pll, count
from ._ecp5_chains import open_chain_ends
from ._ecp5_registers import use_multiplier_registers, use_output_registers
from ._plls import ecp5_pll

if TYPE_CHECKING:
    from ..boards import Pin
    from ..carry_chain import CarryChain

__all__ = ["Ecp5"]


def _device(size: int, comb: int, dsp: int, block_ram: int) -> Device:
    return Device(f"ecp5-{size}k", f"LFE5U-{25 if size == 25 else size}F-6BG381", "ecp5",
                  {"lut": comb, "ff": comb, "dsp": dsp, "block_ram": block_ram},
                  (f"--{size}k", "--package", "CABGA381", "--speed", "6"))


class Ecp5(Family):
    """ECP5, CABGA381 package, slowest speed grade (6)."""

    name = "ecp5"
    place_tool = "nextpnr-ecp5"
    lut_name = "COMB"
    devices = (_device(25, 24288, 28, 56), _device(45, 43848, 72, 108),
               _device(85, 83640, 156, 208))
    block_ram_bits = 18432
    hard_multipliers = frozenset({"MULT18X18C", "MULT18X18D", "MULT9X9C", "MULT9X9D", "ALU24A",
                                  "ALU24B", "ALU54A", "ALU54B"})
    cell_models = "+/ecp5/cells_sim.v"
    mapping = MappingRules(
        block_shapes=((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)),
        dual_port_bits=18, block_cost=128, has_distributed_ram=True, register_bits=18,
        adder_step=2, least_adder_bits=5, multiplier_bits=18,
        multiplier_takes_marked=True)
    finish_version = 2
    pack_tool = "ecppack"
    bitstream_arguments = ("--textcfg", "top.config")
    packed_from = "top.config"

    @classmethod
    def finish_netlist(cls, module: dict, options: FlowOptions,
                       multiplier_registers: bool = False) -> bool:
        opened = open_chain_ends(module)
        moved = use_output_registers(module) if options.block_ram_registers else 0
        if multiplier_registers:
            moved += use_multiplier_registers(module)
        return opened + moved > 0

    @classmethod
    def pack_arguments(cls, device: Device, source: str, target: str) -> list[str]:
        return ["--compress", "--input", source, "--bit", target]

    @classmethod
    def pll(cls, device: Device, input_hz: int, target_hz: float, from_pad: bool = False
            ) -> Pll | None:
        return ecp5_pll(input_hz, target_hz)

    @classmethod
    def in_package(cls, device: Device, package: str, speed: str) -> Device:
        # LFE5U part numbers say BG381 for what nextpnr calls CABGA381.
        name = ("CABGA" if package.startswith("BG") else "CSFBGA") + package[2:]
        part = f"{device.part.rpartition('-')[0]}-{speed}{package}"
        return replace(device, part=part, arguments=(device.arguments[0], "--package", name,
                                                     "--speed", speed))

    @classmethod
    def carry_chain(cls, chain: "CarryChain") -> str | None:
        # Half a CCU2C: with INIT 0x96AA its LUT is A when D is 0 and A ^ B ^ C when D is 1; the
        # carry is taken from A where the LUT is 0 and passed on where it is 1. That is
        # A + (D & (B ^ C)) + carry. With 0x0008 and D it carries A & B, which makes the first
        # carry: an input CIN from anywhere but another carry cell would cost a whole cell.
        gate = "gate" if chain.gate else "1'b1"
        invert = "negate" if chain.negate else "subtract" if chain.subtract else "1'b0"
        first = ("twos" if chain.twos else gate, "subtract") if chain.subtract else (
            "1'b1", "carry" if chain.carry else "1'b0")
        halves = [("16'h0008", *first, "1'b0", "1'b1", "")]
        halves += [("16'h96AA", f"augend[{bit}]", f"addend[{bit}]", invert, gate, f"total[{bit}]")
                   for bit in range(chain.bits)]
        if len(halves) % 2:
            halves.append(("16'h0000", *["1'b0"] * 4, ""))
        cells = []
        for index in range(0, len(halves), 2):
            parameters = [f'.INIT{half}({halves[index + half][0]}), .INJECT1_{half}("NO")'
                          for half in (0, 1)]
            pins = [f".{pin}{half}({net})" for half in (0, 1) for pin, net in
                    zip("ABCDS", halves[index + half][1:], strict=True)]
            if index:
                pins.append(f".CIN(carried[{index // 2 - 1}])")
            if index + 2 < len(halves):
                pins.append(f".COUT(carried[{index // 2}])")
            cells.append(f"  CCU2C #({', '.join(parameters)})\n"
                         f"    cell{index // 2} ({', '.join(pins)});\n")
        return f"  wire [{len(cells) - 1}:0] carried;\n" + "".join(cells)

    @classmethod
    def map_commands(cls, device: Device, options: FlowOptions) -> list[str]:
        flags = [] if options.hard_multiplier else ["-nodsp"]
        if not options.wide_lut:
            flags.append("-nowidelut")
        return [" ".join(["synth_ecp5", "-top top", *flags])]

    @classmethod
    def place_arguments(cls, device: Device) -> list[str]:
        return [*device.arguments, "--lpf", "pins.lpf", "--lpf-allow-unconstrained"]

    @classmethod
    def constraint_files(cls, device: Device, top_ports: Sequence[str],
                         pins: "Mapping[str, Pin]") -> dict[str, str]:
        lines = []
        for port, pin in pins.items():
            lines.append(f'LOCATE COMP "{port}" SITE "{pin.location}";\n')
            settings = " ".join(f"{name}={value}" for name, value in pin.attributes)
            if settings:
                lines.append(f'IOBUF PORT "{port}" {settings};\n')
        return {"pins.lpf": "".join(lines)}

    @classmethod
    def at_least(cls, cells: Mapping[str, int]) -> dict[str, int]:
        return {"lut": cells.get("LUT4", 0) + 2 * cells.get("CCU2C", 0)
                + 4 * cells.get("TRELLIS_DPR16X4", 0),
                "ff": cells.get("TRELLIS_FF", 0),
                "dsp": count(cells, "MULT18X18"),
                "block_ram": cells.get("DP16KD", 0)}

    @classmethod
    def utilisation(cls, raw: Mapping[str, int], cells: Mapping[str, int]) -> dict[str, int]:
        return {"lut": raw["TRELLIS_COMB"], "ff": raw["TRELLIS_FF"], "dsp": raw["MULT18X18D"],
                "block_ram": raw["DP16KD"], "distributed_ram": raw.get("TRELLIS_RAMW", 0),
                "carry": cells.get("CCU2C", 0)}

    @classmethod
    def vendor_cells(cls) -> Mapping[str, str]:
        return {"TRELLIS_COMB": "lut", "TRELLIS_FF": "ff", "MULT18X18D": "dsp",
                "DP16KD": "block_ram", "TRELLIS_RAMW": "distributed_ram"}
