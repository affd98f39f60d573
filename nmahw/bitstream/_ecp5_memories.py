"""Models of ECP5's memories (Lattice FPGA-TN-02204): block RAM DP16KD and distributed RAM.

A DP16KD is 2,048 bytes of nine bits, of which widths 1, 2 and 4 leave the ninth alone. With a
width of 36, port A writes and port B reads four bytes, the lower half of the word on the pins of
half A.
Both ports have the same clock here; a word read and written at once reads as it was.

A distributed RAM is a look-up table that can be written. Its write address has the order of the
table's inputs D, B, C, A (from bit 0 on).
"""

__all__ = ["BLOCK_RAM", "DISTRIBUTED_RAM", "INPUT_PINS", "MODES", "WIDTHS"]

#: Data widths, and write modes in the order of the model's parameter.
WIDTHS = (1, 2, 4, 9, 18, 36)
MODES = ("NORMAL", "READBEFOREWRITE", "WRITETHROUGH")
#: Pins that a netlist may connect, clocks and chip selects left out.
INPUT_PINS: tuple[str, ...] = tuple(
    f"{kind}{port}{bit}" for port in "AB" for kind, bits in (("AD", 14), ("DI", 18))
    for bit in range(bits)) + tuple(f"{kind}{port}" for port in "AB"
                                    for kind in ("CE", "OCE", "WE", "RST"))


def _bus(name: str, bits: int) -> str:
    return "{" + ", ".join(f"{name}{bit}[i]" for bit in reversed(range(bits))) + "}"


def _address(port: str) -> str:
    """Byte address, position in the byte and byte enables of a port."""
    return f"""
      ad{port} = {_bus(f"AD{port}", 14)};
      at{port} = WIDTH_{port} == 36 ? {{ad{port}[13:5], 2'b00}} :
            WIDTH_{port} == 18 ? {{ad{port}[13:4], 1'b0}} : ad{port}[13:3];
      low{port} = WIDTH_{port} == 4 ? {{ad{port}[2], 2'b00}} :
             WIDTH_{port} == 2 ? {{ad{port}[2:1], 1'b0}} : WIDTH_{port} == 1 ? ad{port}[2:0] : 0;
      on{port} = WIDTH_{port} == 36 ? ad{port}[3:0] : WIDTH_{port} == 18 ? {{2'd0, ad{port}[1:0]}}
            : 4'd1;
      ones{port} = WIDTH_{port} < 9 ? (1 << WIDTH_{port}) - 1 : 9'h1ff;
      first{port} = 2048 * i + at{port};"""


def _read(port: str) -> str:
    # Whole words beside each other: those above the port's width are not looked at.
    return f"""
      word{port} = {{bytes[first{port} | (WIDTH_{port} == 36 ? 3 : 0)],
               bytes[first{port} | (WIDTH_{port} == 36 ? 2 : 0)],
               bytes[first{port} | (WIDTH_{port} >= 18 ? 1 : 0)],
               (bytes[first{port}] >> low{port}) & ones{port}}};"""


def _write(port: str) -> str:
    # In a word of 36 bits the upper half comes from the other port's pins.
    data = f"{{{_bus('DIB', 18)}, {_bus('DIA', 18)}}}" if port == "A" else _bus("DIB", 18)
    return f"""
      data = {data};
      for (k = 0; k < 4; k = k + 1)
        if (CE{port}[i] & WE{port}[i] & on{port}[k])
          bytes[first{port} | k] = (bytes[first{port} | k] & ~(ones{port} << low{port})) |
                              ((data[9*k +: 9] & ones{port}) << low{port});"""


def _latch(port: str) -> str:
    """Output latch and register of a half; the register takes what the latch had."""
    half = "wordB[17:0]" if port == "A" else "wordB[35:18]"
    return f"""
      if (RST{port}[i]) register{port}[i] = 0;
      else if (OCE{port}[i]) register{port}[i] = latch{port}[i];
      if (WIDTH_{port} == 36) begin
        if (CEB[i] & ~WEB[i]) latch{port}[i] = {half};
      end else if (CE{port}[i] & (~WE{port}[i] | (MODE_{port} == 1)))
        latch{port}[i] = word{port}[17:0];
      else if (CE{port}[i] & WE{port}[i] & (MODE_{port} == 2)) latch{port}[i] = data{port};
"""


def _out(port: str) -> str:
    return "".join(f"      DO{port}{bit}[i] <= OUTREG_{port} ? register{port}[i][{bit}] : "
                   f"latch{port}[i][{bit}];\n" for bit in range(18))


_PINS = ", ".join(INPUT_PINS)
_OUTPUTS = ", ".join(f"DO{port}{bit}" for port in "AB" for bit in range(18))

#: Ports not in use have `ZERO` at all pins.
BLOCK_RAM = f"""
module DP16KD #(parameter L = 1, WIDTH_A = 18, WIDTH_B = 18, OUTREG_A = 0, OUTREG_B = 0, MODE_A = 0,
  MODE_B = 0, parameter [20479:0] INIT = 0)
 (input clk, input [L-1:0] {_PINS}, output reg [L-1:0] {_OUTPUTS});
  reg [8:0] bytes [0:2048*L-1];
  reg [17:0] latchA [0:L-1], latchB [0:L-1], registerA [0:L-1], registerB [0:L-1];
  reg [13:0] adA, adB;
  reg [10:0] atA, atB;
  reg [2:0] lowA, lowB;
  reg [3:0] onA, onB;
  reg [8:0] onesA, onesB;
  reg [35:0] wordA, wordB, data;
  reg [17:0] dataA, dataB;
  integer i, k, firstA, firstB;
  initial for (i = 0; i < L; i = i + 1) begin
    latchA[i] = 0;
    latchB[i] = 0;
    registerA[i] = 0;
    registerB[i] = 0;
    for (k = 0; k < 2048; k = k + 1) bytes[2048*i + k] = INIT[(k >> 1) * 20 + (k & 1) * 9 +: 9];
  end
  always @(posedge clk)
    for (i = 0; i < L; i = i + 1) begin{_address("A")}{_address("B")}{_read("A")}{_read("B")}
      dataA = {_bus("DIA", 18)};
      dataB = {_bus("DIB", 18)};{_latch("A")}{_latch("B")}{_write("A")}{_write("B")}
{_out("A")}{_out("B")}    end
endmodule
"""


def _distributed() -> str:
    bits = range(16)
    pins = "ABCD"
    text = ["module DPR16X1 #(parameter L = 1, parameter [15:0] INIT = 0)\n"
            " (input clk, input [L-1:0] A, B, C, D, WA, WB, WC, WD, WRITE, DATA, "
            "output [L-1:0] F);\n"]
    terms = []
    for bit in bits:
        chosen = " & ".join(("" if bit >> at & 1 else "~") + f"W{pin}"
                            for at, pin in enumerate(pins))
        read = " & ".join(("" if bit >> at & 1 else "~") + pin for at, pin in enumerate(pins))
        text.append(f"  reg [L-1:0] m{bit} = {{L{{INIT[{bit}]}}}};\n"
                    f"  wire [L-1:0] w{bit} = WRITE & {chosen};\n"
                    f"  always @(posedge clk) m{bit} <= (m{bit} & ~w{bit}) | (DATA & w{bit});\n")
        terms.append(f"(m{bit} & {read})")
    return "\n" + "".join(text) + f"  assign F = {' | '.join(terms)};\nendmodule\n"


#: Contents and addresses in the order of the look-up table: input A is bit 0.
DISTRIBUTED_RAM = _distributed()
