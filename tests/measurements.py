"""Measurements made by hand, for what presents them."""

from nmahw.certify import Certificate, Finding
from nmahw.devices import FlowOptions, device
from nmahw.measure import ArrayTask, table_of
from nmahw.measured import ArrayMeasurement, ArrayRow
from nmahw.place import CriticalPath

#: What the table is of.
TASK = ArrayTask(8, 8, 4, 4)
#: Arithmetic to LUTs, write ports of distributed RAM, block RAMs, hard multipliers, Fmax, MAC/cycle
#: and weights that have a code.
FIGURES = {
    "distributed": (1200, 60, 4, 0, 200.0, 10.0, 256),
    "quarter_square": (1000, 0, 20, 0, 150.0, 16.0, 256),
    "l1": (600, 0, 4, 0, 250.0, 16.0, 256),
    "ternary": (400, 0, 4, 0, 260.0, 16.0, 3),
    "gate": (1500, 0, 20, 0, 140.0, 16.0, 256),
    "booth": (2800, 0, 4, 0, 100.0, 16.0, 256),
    "dsp": (600, 0, 4, 16, 130.0, 16.0, 256)}


def array_row(name: str) -> ArrayRow:
    """One of `FIGURES`."""
    lut, ports, block_ram, dsp, fmax, macs, weights = FIGURES[name]
    multiplies = name in ("booth", "dsp")
    found = (Finding("RTLIL", "top", "$1", "$mul"),) * 16 if multiplies else ()
    return ArrayRow(
        name, is_baseline=multiplies, exact=name != "gate",
        resources={"lut": lut, "ff": lut // 2, "dsp": dsp, "block_ram": block_ram,
                   "distributed_ram": ports},
        fmax_by_seed={1: fmax - 5, 2: fmax, 3: fmax + 20},
        certificate=Certificate(name, "ecp5-25k", found, {"RTLIL": 10, "netlist": 100}),
        critical_path=CriticalPath("from|here", "to_there", 3.0, 4.0, 5),
        options=FlowOptions(hard_multiplier=name == "dsp"),
        tool_versions={"yosys": "0.70", "nextpnr-ecp5": "0.11"},
        operands="u8 x s2" if name == "ternary" else "u8 x s8",
        other_operands="u8 x s8" if name == "ternary" else "",
        operation="l1" if name == "l1" else "product", weight_values=weights,
        macs_per_cycle=macs, limits=device("ecp5-25k").limits)


def array_measurement() -> ArrayMeasurement:
    """All of `FIGURES`, and one that does not fit."""
    lacking = ArrayRow("fabric", is_baseline=True, exact=True, operands="u8 x s8",
                       weight_values=256, macs_per_cycle=16.0,
                       problem="does not fit: 50000 COMB <b>", lacking={"lut": (50000, 24288)},
                       limits=device("ecp5-25k").limits)
    return table_of(TASK, device("ecp5-25k"), (1, 2, 3),
                    [*map(array_row, FIGURES), lacking])
