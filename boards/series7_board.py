"""Boards with a Xilinx FPGA of the 7 series: PLL, pins of two bits a cycle, delays, and the flow of Vivado."""

# Ref: Xilinx UG472, 7 Series FPGAs Clocking Resources, 1.14; UG471, 7 Series FPGAs SelectIO Resources, 1.10

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value

from ..hdl.phy.ddr import DdrInput, DdrOutput
from .board import Board

__all__ = ["Series7Board"]

_VCO_MHZ = 1000
_CORE_DIVIDER = 8
_REFERENCE_DIVIDER = 5  # 200 MHz, by which the delays go.
_TAP_NS = 1 / (32 * 2 * 0.2)
_LONGEST_TAP = 31
_CORE_MHZ = _VCO_MHZ // _CORE_DIVIDER
_FILES = ("build_{{name}}.sh", "{{name}}.v", "{{name}}.tcl", "{{name}}.xdc")


class Series7Board(Board):
    """Builds the card's clocks and pins of what a 7-series FPGA has."""

    flow = "vivado"

    def clocks(self, m: Module, clk: Value) -> Value:
        """Make 125 MHz for domain ``sync``, and the same later for ``phy_tx_late``; return when they are good."""
        clk_mhz = self.default_clk_frequency / 1e6
        if _VCO_MHZ % clk_mhz:
            raise ValueError(f"no multiple of {clk_mhz!r} MHz is {_VCO_MHZ} MHz")
        feedback, locked = Signal(), Signal()
        core, late, reference = Signal(), Signal(), Signal()
        m.submodules.pll = Instance(
            "PLLE2_BASE",
            p_CLKIN1_PERIOD=1000 / clk_mhz,
            p_CLKFBOUT_MULT=int(_VCO_MHZ // clk_mhz),
            p_CLKOUT0_DIVIDE=_CORE_DIVIDER,
            p_CLKOUT1_DIVIDE=_CORE_DIVIDER,
            p_CLKOUT1_PHASE=self.tx_clk_delay_ns * _CORE_MHZ / 1000 * 360,
            p_CLKOUT2_DIVIDE=_REFERENCE_DIVIDER,
            i_CLKIN1=clk,
            i_CLKFBIN=feedback,
            i_RST=Const(0),
            i_PWRDWN=Const(0),
            o_CLKFBOUT=feedback,
            o_CLKOUT0=core,
            o_CLKOUT1=late,
            o_CLKOUT2=reference,
            o_LOCKED=locked,
        )
        m.submodules.core_buffer = Instance("BUFG", i_I=core, o_O=ClockSignal())
        if self.interface == "rgmii":
            m.submodules.late_buffer = Instance("BUFG", i_I=late, o_O=ClockSignal("phy_tx_late"))
            delays_clk = Signal()
            m.submodules.delays_buffer = Instance("BUFG", i_I=reference, o_O=delays_clk)
            m.submodules.delays = Instance("IDELAYCTRL", i_REFCLK=delays_clk, i_RST=~locked)
        return locked

    def delay_tx_clk(self, m: Module, tx_clk: Value) -> Value:
        """Return TXC, whose domain is late by itself."""
        return tx_clk

    def delay_rx_data(self, m: Module, data: Value) -> Value:
        """Return RXD and RX_CTL, as late as the clock comes to their registers."""
        taps = round(self.rx_data_delay_ns / _TAP_NS)
        if not 0 <= taps <= _LONGEST_TAP:
            raise ValueError(
                f"a pin can be delayed by up to {_LONGEST_TAP * _TAP_NS:.2f} ns, not {self.rx_data_delay_ns!r}"
            )
        late = Signal(len(data))
        for bit, pin in enumerate(data):
            m.submodules[f"rx_data_delay{bit}"] = Instance(
                "IDELAYE2",
                p_IDELAY_TYPE="FIXED",
                p_IDELAY_VALUE=taps,
                p_DELAY_SRC="IDATAIN",
                p_REFCLK_FREQUENCY=200.0,
                p_HIGH_PERFORMANCE_MODE="TRUE",
                p_SIGNAL_PATTERN="DATA",
                i_IDATAIN=pin,
                o_DATAOUT=late[bit],
                **{f"i_{name}": Const(0) for name in ("C", "CE", "INC", "LD", "LDPIPEEN", "REGRST", "CINVCTRL")},
                i_DATAIN=Const(0),
                i_CNTVALUEIN=Const(0, 5),
            )
        return Cat(late)

    def ddr_output(self, cell: DdrOutput) -> Module:
        """Return the cells of pins that change with both edges."""
        m = Module()
        for bit in range(cell.width):
            m.submodules[f"pin{bit}"] = Instance(
                "ODDR",
                p_DDR_CLK_EDGE="SAME_EDGE",
                i_C=ClockSignal(),
                i_CE=Const(1),
                i_S=Const(0),
                i_R=Const(0),
                i_D1=cell.rise[bit],
                i_D2=cell.fall[bit],
                o_Q=cell.pins[bit],
            )
        return m

    def ddr_input(self, cell: DdrInput) -> Module:
        """Return the cells of pins that are sampled with both edges."""
        m = Module()
        for bit in range(cell.width):
            m.submodules[f"pin{bit}"] = Instance(
                "IDDR",
                p_DDR_CLK_EDGE="SAME_EDGE_PIPELINED",
                i_C=ClockSignal(),
                i_CE=Const(1),
                i_S=Const(0),
                i_R=Const(0),
                i_D=cell.pins[bit],
                o_Q1=cell.rise[bit],
                o_Q2=cell.fall[bit],
            )
        return m

    @property
    def file_templates(self) -> dict[str, str]:
        """Return what is written of a design: Verilog, constraints, scripts."""
        return {name: text for name, text in super().file_templates.items() if name in _FILES}

    def toolchain_prepare(self, fragment: Any, name: str, **kwargs: Any) -> Any:
        """Write the files. Queues join the domains, so no path from one clock to the other is to be timed."""
        plan = super().toolchain_prepare(fragment, name, **kwargs)
        clocks = [port.name for port, _ in self.iter_port_clock_constraints()]
        groups = " ".join(f"-group [get_clocks -include_generated_clocks {clock}]" for clock in clocks)
        plan.files[f"{name}.xdc"] += f"\nset_clock_groups -asynchronous {groups}\n"
        return plan
