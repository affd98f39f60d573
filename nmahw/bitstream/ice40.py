"""Lattice iCE40 from the bitstream itself, through Project IceStorm's iceunpack and icebox_vlog.

The block RAM is modelled from Lattice's FPGA-TN-02002 (memory usage guide for iCE40 devices).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BuildError
from ..toolchain import find
from . import Readback
from ._icebox import read_icebox
from .netlist import Netlist

if TYPE_CHECKING:
    from ..boards import Pin
    from ..workbench import Workbench

__all__ = ["Ice40Readback", "RAM_MODEL"]


def _pins(name: str, bits: int) -> str:
    return ", ".join(f"{name}{bit}" for bit in range(bits))


def _one_lane(name: str, bits: int) -> str:
    """Bits of a bus in one lane."""
    return "{" + ", ".join(f"{name}{bit}[i]" for bit in reversed(range(bits))) + "}"


# 256 words of 16 bits. A narrower port sees every second, fourth or eighth of them: which one, the
# address bits above the lowest eight say; its data are on the pins named in the guide's table.
RAM_MODEL = f"""
module SB_RAM40_4K #(parameter L = 1, READ_MODE = 0, WRITE_MODE = 0, parameter [4095:0] INIT = 0)
 (input clk, input [L-1:0] {_pins("WADDR", 11)}, {_pins("RADDR", 11)}, {_pins("MASK", 16)},
  {_pins("WDATA", 16)}, WE, WCLKE, RE, RCLKE, output reg [L-1:0] {_pins("RDATA", 16)});
  reg [15:0] words [0:256*L-1];
  reg [15:0] word, mask, out;
  reg [10:0] at;
  integer i, k;
  initial begin
    for (i = 0; i < L; i = i + 1)
      for (k = 0; k < 256; k = k + 1) words[256*i + k] = INIT[16*k +: 16];
{"".join(f"    RDATA{bit} = 0;{chr(10)}" for bit in range(16))}  end
  always @(posedge clk)
    for (i = 0; i < L; i = i + 1) begin
      if (RE[i] & RCLKE[i]) begin
        at = {_one_lane("RADDR", 11)};
        word = words[256*i + at[7:0]];
        case (READ_MODE)
          0: out = word;
          1: out = (word >> at[8]) & 16'h5555;
          2: out = ((word >> at[9:8]) & 16'h1111) << 1;
          default: out = ((word >> at[10:8]) & 16'h0101) << 3;
        endcase
{"".join(f"        RDATA{bit}[i] <= out[{bit}];{chr(10)}" for bit in range(16))}      end
      if (WE[i] & WCLKE[i]) begin
        at = {_one_lane("WADDR", 11)};
        word = {_one_lane("WDATA", 16)};
        case (WRITE_MODE)
          0: mask = ~{_one_lane("MASK", 16)};
          1: begin mask = 16'h5555 << at[8]; word = (word & 16'h5555) * 3; end
          2: begin mask = 16'h1111 << at[9:8]; word = ((word >> 1) & 16'h1111) * 15; end
          default: begin mask = 16'h0101 << at[10:8]; word = ((word >> 3) & 16'h0101) * 255; end
        endcase
        words[256*i + at[7:0]] = (words[256*i + at[7:0]] & ~mask) | (word & mask);
      end
    end
endmodule
"""


def _plain(port: str) -> str:
    """``so[3]`` as a name of its own: ``so_3``."""
    return port.replace("[", "_").rstrip("]")


class Ice40Readback(Readback):
    """iCE40 HX, LP and UP; of the latter's own blocks (DSP, SPRAM, oscillators) none."""

    name = "ice40"
    source = "bitstream"
    reads_bitstream = True

    @classmethod
    def take(cls, path: Path, pins: Mapping[str, Pin], bench: Workbench) -> Netlist:
        unpack, to_verilog = find("iceunpack"), find("icebox_vlog")

        def build(folder: Path) -> None:
            shutil.copyfile(path, folder / "design.bin")
            bench.run(unpack, ["design.bin", "design.asc"], folder, folder / "unpack.log",
                      "unpacking the bitstream")
            (folder / "pins.pcf").write_text("".join(
                f"set_io {_plain(port)} {pin.location}\n" for port, pin in pins.items()))
            text = bench.run(to_verilog, ["-s", "-p", "pins.pcf", "design.asc"], folder,
                             folder / "vlog.log", "reading the device's configuration")
            (folder / "design.v").write_text(text)
            for name in ("design.bin", "design.asc", "vlog.log"):
                (folder / name).unlink()

        try:
            bits = path.read_bytes()
        except OSError as error:
            raise BuildError(f"the bitstream must be readable: {path}: {error.strerror}") from None
        entry = bench.cache.get_or_build("readback", {
            "bits": bits, "pins": {port: pin.location for port, pin in pins.items()},
            "tools": [unpack.version, to_verilog.version]}, build)
        netlist = read_icebox((entry / "design.v").read_text())
        netlist.models["SB_RAM40_4K"] = RAM_MODEL
        return netlist
