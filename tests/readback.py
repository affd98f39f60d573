"""A design's RTL and what was taken back of it, side by side in one simulation."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

from amaranth.hdl import Array, Cat, ClockDomain, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from nmahw.bitstream.lanes import LANES_TOP, lanes_verilog
from nmahw.bitstream.netlist import Netlist
from nmahw.verilate import build_verilog_simulator
from nmahw.verilog import to_verilog

LANES, OUTPUTS = 3, 4
_MAIN = """
#include <cstdio>
#include <cstdint>
#include "Vboth.h"
#include "verilated.h"
int main() {
    VerilatedContext context;
    Vboth top{&context};
    uint64_t state = 88172645463325252ull, different = 0, seen = 0;
    for (int cycle = 0; cycle < 20000; cycle++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        top.si = state >> 20 & 7;
        // Whatever an uninitialised memory holds is gone after the first reset.
        top.rst = cycle < 3 || (state >> 32) % 5000 == 0 ? 7 : 0;
        top.clk = 0;
        top.eval();
        if (cycle > 200) {
            different += top.expected != top.found;
            seen |= top.found;
        }
        top.clk = 1;
        top.eval();
    }
    std::printf("%llu %llx\\n", (unsigned long long)different, (unsigned long long)seen);
}
"""


class Shifted(wiring.Component):
    """Pins as few as a package has: operands are shifted in, results folded into four bits."""

    def __init__(self):
        super().__init__({"si": In(1), "so": Out(OUTPUTS)})

    def operands(self, m, bits):
        shifted = Signal(bits)
        m.d.sync += shifted.eq(Cat(self.si, shifted))
        return shifted

    def fold(self, m, *values):
        """Every bit of `values` shows in ``so``, some cycles later."""
        every = Cat(values)
        every = Cat(every, Const(0, -len(every) % OUTPUTS))
        terms = [every[at:at + OUTPUTS] for at in range(0, len(every), OUTPUTS)]
        while len(terms) > 1:
            level = []
            for one, other in zip(terms[::2], [*terms[1::2], *[0] * (len(terms) % 2)],
                                  strict=True):
                kept = Signal(OUTPUTS)
                m.d.sync += kept.eq(one ^ other)
                level.append(kept)
            terms = level
        m.d.sync += self.so.eq(Cat(self.so[1:], self.so[0]) ^ terms[0])


class Logic(Shifted):
    """Look-up tables of all sizes and registers with all kinds of control."""

    def elaborate(self, platform):
        m = Module()
        x = self.operands(m, 24)
        wide = Array(Const((0x9E3779B97F4A7C15 * (n + 1)) >> 17 & 1) for n in range(64))
        plain, enabled, preset, both = Signal(4), Signal(4), Signal(4, init=9), Signal(4, init=6)
        m.d.sync += [plain.eq(x[:4] ^ (x[4:8] & x[8:12])), preset.eq(preset + x[3:7])]
        with m.If(x[0] & x[9]):
            m.d.sync += enabled.eq(enabled ^ x[12:16])
        with m.If(x[1] & x[2] & x[11]):
            m.d.sync += both.eq(3)
        with m.Elif(x[5]):
            m.d.sync += both.eq(both + x[7])
        m.domains.late = late = ClockDomain(async_reset=True, local=True)
        hit = Signal()
        m.d.sync += hit.eq(x[2:7] == 19)
        m.d.comb += [late.clk.eq(wiring_clock()), late.rst.eq(hit)]
        held, started = Signal(4), Signal(4, init=5)
        m.d.late += [held.eq(held + x[6:8]), started.eq(started ^ x[8:11])]
        self.fold(m, plain, enabled, preset, both, wide[x[:6]], wide[x[8:14]], held, started)
        return m


def wiring_clock():
    from amaranth.hdl import ClockSignal
    return ClockSignal("sync")


class Carries(Shifted):
    """Counters, sums, differences and comparisons of several widths."""

    def elaborate(self, platform):
        m = Module()
        x = self.operands(m, 48)
        counter, down, total = Signal(19), Signal(11), Signal(signed(23))
        m.d.sync += [counter.eq(counter + 1), down.eq(down - x[:3])]
        with m.If(x[40]):
            m.d.sync += total.eq(total - x[:12].as_signed())
        with m.Else():
            m.d.sync += total.eq(total + Mux(x[41], x[12:24].as_signed(), 1))
        sums = [Signal(width + 1) for width in (3, 4, 5, 8, 13)]
        for one in sums:
            bits = len(one) - 1
            m.d.sync += one.eq(x[:bits] + x[20:20 + bits] + x[45])
        less = Signal(3)
        m.d.sync += less.eq(Cat(x[:9] < x[9:18], x[:9].as_signed() >= x[18:27].as_signed(),
                                x[3:20] == x[20:37]))
        self.fold(m, counter, down, total, *sums, less)
        return m


class Memories(Shifted):
    """Memories of the given (width, depth, granularity), read in the next cycle.

    Addresses are counted so that nobody reads what is written in that cycle.
    """

    def __init__(self, *shapes, combinational=False, registered=False):
        super().__init__()
        self.shapes, self.combinational, self.registered = shapes, combinational, registered

    def elaborate(self, platform):
        m = Module()
        x = self.operands(m, 80)
        results = []
        for width, depth, granularity in self.shapes:
            memory = Memory(shape=width, depth=depth, init=[
                (0x9E3779B97F4A7C15F39CC0605CEDC835 * (n + 3)) >> 40 & ((1 << width) - 1)
                for n in range(depth)])
            m.submodules += memory
            write = memory.write_port(granularity=granularity or None)
            read = memory.read_port(domain="comb" if self.combinational else "sync",
                                    transparent_for=())
            bits = (depth - 1).bit_length()
            address = Signal(range(depth))
            m.d.sync += address.eq(address + x[:2] + 1)
            enable = Signal(len(write.en))
            m.d.comb += [write.addr.eq(address), write.data.eq(x[:width]),
                         enable.eq(x[70:] & x[60:]), read.addr.eq(address ^ (1 << (bits - 1)))]
            m.d.comb += write.en.eq(enable)
            if not self.combinational:
                # A block's own output register is only for a port that always reads.
                m.d.comb += read.en.eq(1 if self.registered else x[50] | x[51])
            result = read.data
            if self.registered:
                kept = Signal(width, reset_less=True)
                m.d.sync += kept.eq(result)
                result = kept
            results.append(result)
        self.fold(m, *results)
        return m


def side_by_side(rtlil: str, netlist: Netlist, folder: Path) -> tuple[int, int]:
    """Cycles in which RTL and netlist differ, and all output bits that were ever 1.

    Parameters
    ----------
    rtlil : str
        Top module ``top`` with ports clk, rst, si, so.
    netlist : Netlist
        With the bits of ``so`` as ports of its own.
    """
    lanes = lanes_verilog(netlist, LANES)
    ports = re.findall(r"output \[\d+:0\] (\w+)", lanes.partition(");")[0])
    found = ", ".join(f".{port}(so{index})" for index, port in enumerate(sorted(ports)))
    top = [f"module both(input clk, input [{LANES - 1}:0] si, rst, "
           f"output [{LANES * OUTPUTS - 1}:0] expected, found);\n",
           *(f"  wire [{LANES - 1}:0] so{index};\n" for index in range(OUTPUTS)),
           f"  {LANES_TOP} taken(.clk(clk), .si(si), .rst(rst), {found});\n"]
    for lane in range(LANES):
        bits = ", ".join(f"so{index}[{lane}]" for index in reversed(range(OUTPUTS)))
        at = lane * OUTPUTS
        top += [f"  top rtl{lane}(.clk(clk), .si(si[{lane}]), .rst(rst[{lane}]), "
                f".so(expected[{at} +: {OUTPUTS}]));\n",
                f"  assign found[{at} +: {OUTPUTS}] = {{{bits}}};\n"]
    text = "".join(top) + "endmodule\n" + to_verilog(rtlil) + lanes
    main = folder / "main.cpp"
    main.write_text(_MAIN)
    program = build_verilog_simulator(
        lambda: text, {"verilog": hashlib.sha256(text.encode()).hexdigest()}, "both", main)
    done = subprocess.run([program], cwd=program.parent, check=True, capture_output=True, text=True)
    different, seen = done.stdout.split()
    return int(different), int(seen, 16)
