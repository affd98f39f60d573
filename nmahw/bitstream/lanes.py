"""Verilog of a netlist that simulates many devices at once, one in each bit of every word.

A net is a word, a gate one operation on it, a register a word of flip-flops. Memories address each
bit's own contents. All devices share the clock and nothing else.
"""

from __future__ import annotations

from ..errors import BuildError
from .netlist import ONE, ZERO, FlipFlop, Memory, Netlist, nets_in

__all__ = ["LANES_TOP", "MAX_LANES", "lanes_verilog"]

#: Module that `lanes_verilog` writes, and the most devices it may hold.
LANES_TOP, MAX_LANES = "nmahw_pins", 64


def lanes_verilog(netlist: Netlist, lanes: int, tied: dict[str, bool] | None = None) -> str:
    """A module `LANES_TOP` with a port ``clk`` and a word for every other port.

    Parameters
    ----------
    netlist : Netlist
    lanes : int
        Devices, 1..`MAX_LANES`.
    tied : dict of str to bool, optional
        Inputs that are no ports but constants.

    Raises
    ------
    BuildError
        The design has not one clock, uses it as a value, or reads what nothing drives.
    """
    tied = tied or {}
    clock = netlist.clock()
    no_values = netlist.buffers_of(clock)
    ports = [name for name in netlist.inputs if name not in no_values and name not in tied]
    text = [f"module {LANES_TOP} (input clk"]
    text += [f",\n  input [L-1:0] {name}" for name in ports]
    text += [f",\n  output [L-1:0] {name}" for name in netlist.outputs]
    text.append(f");\n  localparam L = {lanes};\n  localparam [L-1:0] ZERO = {{L{{1'b0}}}};\n"
                "  localparam [L-1:0] ONE = {L{1'b1}};\n")
    text += [f"  wire [L-1:0] {name} = {ONE if value else ZERO};\n"
             for name, value in tied.items() if name in netlist.inputs]
    known = set(ports) | set(tied)
    gates = {net: value for net, value in netlist.gates.items() if net not in no_values}
    driven = [*gates, *(register.q for register in netlist.flip_flops),
              *(net for memory in netlist.memories for net in memory.outputs.values())]
    if len(set(driven)) != len(driven) or known & set(driven):
        raise BuildError("every net must have one driver, but some have several")
    text += [f"  wire [L-1:0] {net};\n  assign {net} = {value};\n" for net, value in gates.items()]
    for rising in (True, False):
        text.append(_registers([item for item in netlist.flip_flops if item.falling != rising],
                               "posedge" if rising else "negedge"))
    text += [_instance(memory) for memory in netlist.memories]
    text += [f"  assign {port} = {value};\n" for port, value in netlist.outputs.items()]
    read = set().union(*map(nets_in, [
        *gates.values(), *netlist.outputs.values(),
        *(register.following for register in netlist.flip_flops),
        *(value for memory in netlist.memories for value in memory.inputs.values())]))
    if read & no_values:
        raise BuildError("the clock must only be a clock, but logic reads it")
    if loose := sorted(read - set(driven) - known):
        raise BuildError(f"what logic reads must come from cells that are modelled, but nothing "
                         f"drives {', '.join(loose[:5])}: a hard block of the device does perhaps")
    text.append("endmodule\n")
    # Ports come before L is known.
    return "".join(text).replace("[L-1:0]", f"[{lanes - 1}:0]") + "".join(
        netlist.models[name] for name in sorted({memory.model for memory in netlist.memories}))


def _registers(registers: list[FlipFlop], edge: str) -> str:
    if not registers:
        return ""
    text, body = [], []
    for register in registers:
        held = f"{register.q}_held" if register.asynchronous else register.q
        text.append(f"  reg [L-1:0] {held} = {ONE if register.initial else ZERO};\n")
        if register.asynchronous:
            value = (f"{held} | {register.reset}" if register.reset_value else
                     f"{held} & ~{register.reset}")
            text.append(f"  wire [L-1:0] {register.q} = {value};\n")
        body.append(f"    {held} <= {register.following};\n")
    return "".join(text) + f"  always @({edge} clk) begin\n{''.join(body)}  end\n"


def _instance(memory: Memory) -> str:
    outputs = "".join(f"  wire [L-1:0] {net};\n" for net in memory.outputs.values())
    parameters = "".join(f", .{name}({value})" for name, value in memory.parameters.items())
    pins = [".clk(clk)", *(f".{pin}({value})" for pin, value in memory.inputs.items()),
            *(f".{pin}({net})" for pin, net in memory.outputs.items())]
    return f"{outputs}  {memory.model} #(.L(L){parameters}) {memory.name} ({', '.join(pins)});\n"
