"""Gowin LittleBee (DS117: GW1NR) and Arora (DS226: GW2AR) through Project Apicula and nextpnr's
himbaechel.

A LUT site holds a LUT4 or an adder bit (``ALU``); a 16x4 distributed RAM takes four of them, and
nextpnr puts nothing into the other four of its tile: eight count as used. A flip-flop has no other
way in than through the LUT beside it.
Unlike the others, this nextpnr wants every port on a named pin.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .._mapping_rules import MappingRules
from ..errors import BuildError
from ..netlist import count_cells
from . import Device, Family, FlowOptions, Pll, count
from ._plls import gowin_pll

if TYPE_CHECKING:
    from ..boards import Pin
    from ..carry_chain import CarryChain

__all__ = ["Gowin"]

# Pins of the QN88 package that are plain I/O on the headers of the Tang Nano 9K and 20K: the clock,
# and others.
_PINS = {
    "gw1nr-9": ("52", ("25", "26", "27", "28", "29", "30", "33", "34", "40", "35", "41", "42", "51",
                       "53", "54", "55", "56", "57", "68", "69", "70", "71", "72", "73", "74",
                       "75", "76", "77")),
    "gw2ar-18": ("4", ("73", "74", "75", "85", "77", "15", "16", "27", "28", "25", "26", "29", "30",
                       "31", "17", "20", "19", "18", "42", "41", "56", "54", "51", "48", "55",
                       "49", "86", "79", "72", "71", "53", "52", "80", "76")),
}
# Range of the PLL's oscillator, MHz, and what the primitive calls the part (Gowin UG286).
_PLLS = {"gw1nr-9": ((400, 1200), "GW1NR-9C"), "gw2ar-18": ((500, 1250), "GW2AR-18C")}
_YOSYS_FAMILIES = {"gw1nr-9": "gw1n", "gw2ar-18": "gw2a"}


class Gowin(Family):
    """GW1NR-9 (speed grade C6/I5) and GW2AR-18 (C8/I7), as on the Tang Nano 9K and 20K."""

    name = "gowin"
    place_tool = "nextpnr-himbaechel-gowin"
    lut_name = "LUT4"
    devices = (
        Device("gw1nr-9", "GW1NR-LV9QN88PC6/I5", "gowin",
               # One DSP block makes two 18x18 or four 9x9 products; counted in 9x9 halves
               # as synthesis uses them.
               {"lut": 8640, "ff": 6480, "dsp": 40, "block_ram": 26, "alu": 6480},
               ("--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C")),
        Device("gw2ar-18", "GW2AR-LV18QN88C8/I7", "gowin",
               {"lut": 20736, "ff": 15552, "dsp": 96, "block_ram": 46, "alu": 15552},
               ("--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C")),
    )
    block_ram_bits = 18432
    hard_multipliers = frozenset({
        "MULT9X9", "MULT18X18", "MULT36X36", "MULT12X12", "MULT27X36", "MULTALU18X18",
        "MULTALU36X18", "MULTADDALU18X18", "MULTADDALU12X12", "MULTALU27X18", "MULTACC"})
    cell_models = "+/gowin/cells_sim.v"
    mapping = MappingRules(
        block_shapes=((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)),
        dual_port_bits=18, block_cost=128, has_distributed_ram=True, register_bits=0,
        adder_step=1, least_adder_bits=3, multiplier_bits=18, cells_hold_both=True,
        distributed_ram_luts=8, least_factor_bits=4, half_multiplier_bits=9)

    pack_tool = "gowin_pack"
    packed_from = "placed.json.gz"
    bitstream_suffix = ".fs"

    @classmethod
    def pack_arguments(cls, device: Device, source: str, target: str) -> list[str]:
        return ["-d", device.arguments[-1].removeprefix("family="), "-o", target, source]

    @classmethod
    def pll(cls, device: Device, input_hz: int, target_hz: float, from_pad: bool = False
            ) -> Pll | None:
        return gowin_pll(input_hz, target_hz, *_PLLS[device.name])

    @classmethod
    def carry_chain(cls, chain: "CarryChain") -> str | None:
        # An ALU's LUT gates one operand (mode MULT: (I0 & I1) + I3) or inverts it (mode ADDSUB:
        # I0 + (I1 ^ ~I3)); both at once need a LUT per bit, which is no better than the generic.
        invert = "negate" if chain.negate else "subtract" if chain.subtract else ""
        if (chain.gate and invert) or chain.twos:
            return None
        mode, pins = ((9, ".I0(addend[{0}]), .I1(gate), .I3(augend[{0}])") if chain.gate else
                      (2, f".I0(augend[{{0}}]), .I1(addend[{{0}}]), .I3(~{invert})"))
        cells = [f"  wire [{chain.bits}:0] carried;\n"]
        if carry := "carry" if chain.carry else "subtract" if chain.subtract else "":
            # Made as c + c: this nextpnr's own way from logic into a chain ors a stray carry.
            cells.append(f"  ALU #(.ALU_MODE(0)) first (.I0({carry}), .I1({carry}), .I3(1'b1), "
                         ".CIN(1'b0), .COUT(carried[0]));\n")
        else:
            cells.append("  assign carried[0] = 1'b0;\n")
        cells += [f"  ALU #(.ALU_MODE({mode})) bit{bit} ({pins.format(bit)}, .CIN(carried[{bit}]), "
                  f".COUT(carried[{bit + 1}]), .SUM(total[{bit}]));\n"
                  for bit in range(chain.bits)]
        return "".join(cells)

    @classmethod
    def map_commands(cls, device: Device, options: FlowOptions) -> list[str]:
        flags = [f"-family {_YOSYS_FAMILIES[device.name]}"]
        if not options.hard_multiplier:
            flags.append("-nodsp")
        # With multiplexers that join LUTs, ABC spends LUTs on depth: an array of Booth elements
        # takes twice as many, and none of those measured takes fewer (docs/design.md).
        if not options.wide_lut:
            flags.append("-nowidelut")
        return [" ".join(["synth_gowin", "-top top", *flags])]

    @classmethod
    def place_arguments(cls, device: Device) -> list[str]:
        return [*device.arguments, "--vopt", "cst=pins.cst"]

    @classmethod
    def constraint_files(cls, device: Device, top_ports: Sequence[str],
                         pins: "Mapping[str, Pin]") -> dict[str, str]:
        taken = {pin.location for pin in pins.values()}
        clock_pin, known = _PINS[device.name]
        free = [pin for pin in known if pin not in taken]
        places = {port: pin.location for port, pin in pins.items()}
        if "clk" in top_ports:
            places.setdefault("clk", clock_pin)
        others = [port for port in top_ports if port not in places]
        if len(others) > len(free):
            raise BuildError(f"a design for {device.name} must have at most {len(free)} port bits "
                             f"beside its clock, not {len(others)}")
        places.update(zip(others, free, strict=False))
        lines = [f'IO_LOC "{port}" {place};\n' for port, place in places.items()]
        for port, pin in pins.items():
            settings = " ".join(f"{name}={value}" for name, value in pin.attributes)
            if settings:
                lines.append(f'IO_PORT "{port}" {settings};\n')
        return {"pins.cst": "".join(lines)}

    @classmethod
    def at_least(cls, cells: Mapping[str, int]) -> dict[str, int]:
        alu = cells.get("ALU", 0)
        return {"lut": sum(cells.get(f"LUT{n}", 0) for n in range(1, 5)) + alu
                + cls.mapping.distributed_ram_luts * count(cells, "RAM16SDP"),
                "ff": count(cells, "DFF"), "dsp": _dsp_units(cells), "alu": alu,
                "block_ram": count(cells, "SDPB", "SDPX9B", "DPB", "DPX9B", "SPX9", "pROM")
                + cells.get("SP", 0)}

    @classmethod
    def packed_luts(cls, module: dict) -> int:
        # As nextpnr packs (himbaechel/uarch/gowin): a flip-flop takes what the LUT or ALU in its
        # cell makes, or goes through an idle LUT; a chain has a cell in front, one behind where
        # logic reads its carry, and an even number of cells.
        pins = {name: {port: bits[0] for port, bits in cell["connections"].items() if bits}
                for name, cell in module["cells"].items()}
        kinds = {name: cell["type"] for name, cell in module["cells"].items()}
        sinks = Counter(bit for name, cell in module["cells"].items()
                        for port, bits in cell["connections"].items()
                        if cell["port_directions"].get(port) == "input" for bit in bits)
        sinks.update(bit for port in module["ports"].values() if port["direction"] == "output"
                     for bit in port["bits"])
        made = (pin.get("SUM" if kinds[name] == "ALU" else "F") for name, pin in pins.items()
                if kinds[name] == "ALU" or kinds[name].startswith("LUT"))
        alone = {net for net in made if sinks[net] == 1}
        flip_flops = [pin for name, pin in pins.items() if kinds[name].startswith("DFF")]
        chains = _chain_lengths([pin for name, pin in pins.items() if kinds[name] == "ALU"], sinks)
        return (cls.at_least(count_cells(module))["lut"]
                + sum(pin["D"] not in alone for pin in flip_flops)
                + sum(more + (length + more) % 2 for length, more in chains))

    @classmethod
    def utilisation(cls, raw: Mapping[str, int], cells: Mapping[str, int]) -> dict[str, int]:
        # The four LUTs that a RAM16SDP4 is made of are among the LUT4; four more are blocked.
        blocked = (cls.mapping.distributed_ram_luts - 4) * raw["RAM16SDP4"]
        return {"lut": raw["LUT4"] + raw["ALU"] + blocked, "ff": raw["DFF"],
                "dsp": _dsp_units(raw), "block_ram": raw["BSRAM"],
                "distributed_ram": raw["RAM16SDP4"], "carry": raw["ALU"]}

    @classmethod
    def vendor_cells(cls) -> Mapping[str, str]:
        return {"LUT4": "lut", "ALU": "alu", "DFF": "ff", "BSRAM": "block_ram",
                "RAM16SDP4": "distributed_ram", "MULT9X9": "dsp", "MULT18X18": "dsp",
                "MULT36X36": "dsp"}


def _chain_lengths(alus: Sequence[Mapping[str, object]], sinks: Mapping[object, int]
                   ) -> list[tuple[int, int]]:
    """Lengths of the carry chains that ALUs are connected to, and cells before and behind them.

    Parameters
    ----------
    alus : sequence of mapping
        Pins to nets.
    sinks : mapping
        How many inputs read a net.
    """
    # A carry goes straight on to one ALU that nothing else reads it beside.
    after = {alu["CIN"]: alu for alu in alus
             if isinstance(alu["CIN"], int) and sinks[alu["CIN"]] == 1}
    straight = {carry for alu in alus if (carry := alu.get("COUT")) in after}
    found = []
    for alu in alus:
        if alu["CIN"] not in straight:
            length = 1
            while alu.get("COUT") in straight:
                alu, length = after[alu["COUT"]], length + 1
            carry = alu.get("COUT")
            found.append((length, 2 if isinstance(carry, int) and sinks[carry] else 1))
    return found


def _dsp_units(cells: Mapping[str, int]) -> int:
    """Hard multipliers in units of one 9x9."""
    return (cells.get("MULT9X9", 0) + 2 * cells.get("MULT18X18", 0)
            + 8 * cells.get("MULT36X36", 0))
