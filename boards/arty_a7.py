"""Digilent Arty A7-35T: Artix-7, DP83848J on MII, UART on the USB connector."""

# Ref: Digilent, Arty A7 Reference Manual, revision E; Texas Instruments SNLS250, DP83848J

from amaranth.build import Attrs, Pins, Resource
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import io
from amaranth_boards.arty_a7 import ArtyA7_35Platform

from ..hdl.phy.ddr import DdrOutput
from .series7_board import Series7Board

__all__ = ["ArtyA7"]

_PHY_CLK_CYCLES = 5


class ArtyA7(Series7Board, ArtyA7_35Platform):
    """The board with an XC7A35T."""

    title = "Digilent Arty A7-35T"
    phy = "DP83848J"
    interface = "mii"
    uart = "the USB connector, second channel of the FT2232H"
    loader = "--board arty_a7_35t"
    has_reset = True
    resources = [
        *ArtyA7_35Platform.resources,
        Resource("phy_clk", 0, Pins("G18", dir="o"), Attrs(IOSTANDARD="LVCMOS33")),
    ]

    def led_ports(self) -> list[io.PortLike]:
        """Return LD4, LD5 and LD6."""
        return [self.request("led", number, dir="-") for number in range(3)]

    def clocks(self, m: Module, clk: Value) -> Value:
        """Make those of the card, and the 25 MHz that the PHY has from no crystal, but from here."""
        locked = super().clocks(m, clk)
        m.submodules.phy_clk = phy_clk = DdrOutput(width=1)
        m.submodules.phy_clk_buffer = buffer = io.Buffer("o", self.request("phy_clk", dir="-"))
        cycle = Signal(range(_PHY_CLK_CYCLES))
        # Five halves of a cycle high, five low.
        m.d.sync += [
            cycle.eq(cycle + 1),
            phy_clk.rise.eq(cycle <= _PHY_CLK_CYCLES // 2),
            phy_clk.fall.eq(cycle < _PHY_CLK_CYCLES // 2),
        ]
        with m.If(cycle == _PHY_CLK_CYCLES - 1):
            m.d.sync += cycle.eq(0)
        m.d.comb += buffer.o.eq(phy_clk.pins)
        return locked
