"""A behavioural DP16KD in Verilog, from its documentation (FPGA-TN-02204), for netlist tests.

Memory is 2,048 bytes of nine bits, of which widths 1, 2 and 4 leave the ninth alone. With a
width of 36, port A writes and port B reads four bytes; the lower half of the word is on the pins
of half A. Only what Yosys and nmahw make use of is here: write mode NORMAL, no chip select.
"""

def _pins(prefix: str, bits: int) -> str:
    return ", ".join(f"{prefix}{bit}" for bit in reversed(range(bits)))


def _half(half: str) -> str:
    wide = f"DATA_WIDTH_{half} == 36"
    return f"""
  wire clk{half} = CLK{half} ^ (CLK{half}MUX == "INV");
  wire [13:0] ad{half} = {{{_pins(f"AD{half}", 14)}}};
  wire [10:0] at{half} = {wide} ? {{ad{half}[13:5], 2'b00}} :
                   DATA_WIDTH_{half} == 18 ? {{ad{half}[13:4], 1'b0}} : ad{half}[13:3];
  wire [2:0] low{half} = DATA_WIDTH_{half} == 4 ? {{ad{half}[2], 2'b00}} :
                   DATA_WIDTH_{half} == 2 ? {{ad{half}[2:1], 1'b0}} :
                   DATA_WIDTH_{half} == 1 ? ad{half}[2:0] : 3'd0;
  localparam [8:0] ONES{half} = DATA_WIDTH_{half} < 9 ? (1 << DATA_WIDTH_{half}) - 1 : 9'h1ff;
  wire [35:0] word{half} = {{bytes[at{half} | 3], bytes[at{half} | 2],
                     bytes[at{half} | 1], bytes[at{half}] >> low{half}}};
  wire [35:0] in{half} = {{{_pins("DIB", 18) + ", " if half == "A" else "18'd0, "}
                     {_pins(f"DI{half}", 18)}}};
"""


#: The module's text.
DP16KD = f"""
module DP16KD(input {_pins("DIA", 18)}, {_pins("ADA", 14)}, CEA, OCEA, CLKA, WEA, RSTA,
  CSA2, CSA1, CSA0, {_pins("DIB", 18)}, {_pins("ADB", 14)}, CEB, OCEB, CLKB, WEB, RSTB,
  CSB2, CSB1, CSB0, output {_pins("DOA", 18)}, {_pins("DOB", 18)});
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG";
  parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB";
  parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL", GSR = "DISABLED";
  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC";
  parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000", INIT_DATA = "STATIC";
  parameter [319:0] {", ".join(f"INITVAL_{n:02X} = 0" for n in range(64))};
  localparam [64*320-1:0] INIT = {{{", ".join(f"INITVAL_{n:02X}" for n in reversed(range(64)))}}};

  reg [8:0] bytes [0:2047];
  integer i;
  initial for (i = 0; i < 2048; i = i + 1) bytes[i] = INIT[(i >> 1) * 20 + (i & 1) * 9 +: 9];
{_half("A")}{_half("B")}
  localparam WIDE = DATA_WIDTH_A == 36;
  wire [3:0] enableA = WIDE ? {{ADA3, ADA2, ADA1, ADA0}} :
                       DATA_WIDTH_A == 18 ? {{2'd0, ADA1, ADA0}} : 4'd1;
  wire [3:0] enableB = DATA_WIDTH_B == 18 ? {{2'd0, ADB1, ADB0}} : 4'd1;
  reg [17:0] latchA = 0, latchB = 0, registerA = 0, registerB = 0;
  always @(posedge clkA) begin
    for (i = 0; i < 4; i = i + 1)
      if (CEA && WEA && enableA[i])
        bytes[atA | i] <= (bytes[atA | i] & ~(ONESA << lowA)) |
                          ((inA[9*i +: 9] & ONESA) << lowA);
  end
  always @(posedge clkB) begin
    for (i = 0; i < 2; i = i + 1)
      if (CEB && WEB && enableB[i])
        bytes[atB | i] <= (bytes[atB | i] & ~(ONESB << lowB)) |
                          ((inB[9*i +: 9] & ONESB) << lowB);
    if (CEB && !WEB) latchB <= DATA_WIDTH_B == 36 ? wordB[35:18] :
                               wordB[17:0] & (DATA_WIDTH_B < 9 ? ONESB : 18'h3ffff);
    if (OCEB) registerB <= latchB;
  end
  // Half A reads at its own address, or is the lower half of a word of half B.
  wire read_clkA = WIDE ? clkB : clkA;
  always @(posedge read_clkA) begin
    if (WIDE ? CEB : CEA && !WEA)
      latchA <= WIDE ? wordB[17:0] : wordA[17:0] & (DATA_WIDTH_A < 9 ? ONESA : 18'h3ffff);
    if (OCEA) registerA <= latchA;
  end
  assign {{{_pins("DOA", 18)}}} = REGMODE_A == "OUTREG" ? registerA : latchA;
  assign {{{_pins("DOB", 18)}}} = REGMODE_B == "OUTREG" ? registerB : latchB;
endmodule
"""
