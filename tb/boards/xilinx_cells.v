// The ports of cells of Xilinx 7 series that our boards use, for a linter. Ref: Xilinx UG953, 7 Series Libraries Guide.
(* blackbox *) module BUFG (input I, output O); endmodule
(* blackbox *) module IBUF (input I, output O); endmodule
(* blackbox *) module IBUFDS (input I, input IB, output O); endmodule
(* blackbox *) module OBUFT (input I, input T, output O); endmodule
(* blackbox *) module IOBUF (input I, input T, output O, inout IO); endmodule
(* blackbox *) module FDPE #(parameter INIT = 1'b1) (input C, input CE, input D, input PRE, output Q); endmodule
(* blackbox *) module IDDR #(parameter DDR_CLK_EDGE = "OPPOSITE_EDGE")
  (input C, input CE, input D, input R, input S, output Q1, output Q2); endmodule
(* blackbox *) module ODDR #(parameter DDR_CLK_EDGE = "OPPOSITE_EDGE")
  (input C, input CE, input D1, input D2, input R, input S, output Q); endmodule
(* blackbox *) module IDELAYCTRL (input REFCLK, input RST, output RDY); endmodule
(* blackbox *) module IDELAYE2 #(
  parameter IDELAY_TYPE = "FIXED", parameter DELAY_SRC = "IDATAIN", parameter SIGNAL_PATTERN = "DATA",
  parameter HIGH_PERFORMANCE_MODE = "FALSE", parameter integer IDELAY_VALUE = 0, parameter real REFCLK_FREQUENCY = 200.0
) (
  input C, input CE, input CINVCTRL, input [4:0] CNTVALUEIN, input DATAIN, input IDATAIN, input INC, input LD,
  input LDPIPEEN, input REGRST, output [4:0] CNTVALUEOUT, output DATAOUT
); endmodule
(* blackbox *) module PLLE2_BASE #(
  parameter real CLKIN1_PERIOD = 0.0, parameter integer CLKFBOUT_MULT = 5, parameter integer CLKOUT0_DIVIDE = 1,
  parameter integer CLKOUT1_DIVIDE = 1, parameter integer CLKOUT2_DIVIDE = 1, parameter real CLKOUT1_PHASE = 0.0
) (
  input CLKIN1, input CLKFBIN, input RST, input PWRDWN, output CLKFBOUT, output CLKOUT0, output CLKOUT1, output CLKOUT2,
  output CLKOUT3, output CLKOUT4, output CLKOUT5, output LOCKED
); endmodule
