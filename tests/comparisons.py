"""A comparison made by hand, for what presents one."""

from nmahw.certify import Certificate, Finding
from nmahw.compare import Comparison, Row
from nmahw.devices import FlowOptions, device
from nmahw.place import CriticalPath

#: What nobody sane would call a network.
HOSTILE = "<script>alert('x')</script> & $x$ [red]"


def _row(name, lut, fmax, cycles, dsp=0, baseline=False):
    findings = (Finding("RTLIL", "top", "$1", "$mul"),) if baseline else ()
    return Row(name, is_baseline=baseline, exact=True, cycles_per_image=cycles, accuracy=0.9876,
               resources={"lut": lut, "ff": 2 * lut, "dsp": dsp, "block_ram": 3},
               fmax_by_seed={1: fmax - 10.0, 2: fmax, 3: fmax + 20.0},
               certificate=Certificate(name, "ecp5-25k", findings, {"RTLIL": 10}),
               critical_path=CriticalPath("a", "b", 3.0, 5.0, 7),
               options=FlowOptions(hard_multiplier=name == "dsp"), macs_per_image=5000,
               tool_versions={"yosys": "0.70", "nextpnr-ecp5": "0.11"})


def comparison(title="LeNet") -> Comparison:
    """Two rows without a multiplier, one that does not fit, one not built, two baselines."""
    lacking = Row("too_big", is_baseline=False, exact=True, problem="does not fit: 50000 COMB",
                  lacking={"lut": (50000, 24288)}, cycles_per_image=10, macs_per_image=5000)
    refused = Row("refused", problem="refused takes weights of at most 4 bits, not 8 <b>")
    return Comparison(title, 5000, device("ecp5-25k"), 4, 8, (1, 2, 3), (
        _row("small", 1000, 200.0, 1000), _row("fast", 4000, 150.0, 100), lacking, refused,
        _row("dsp", 500, 100.0, 100, dsp=32, baseline=True),
        _row("booth", 8000, 80.0, 100, baseline=True)))
