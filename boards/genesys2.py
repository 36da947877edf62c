"""Digilent Genesys 2: Kintex-7, RTL8211E-VL on RGMII, UART on a USB connector."""

# Ref: Digilent, Genesys 2 Reference Manual, revision B; schematic, revision H

from amaranth.lib import io
from amaranth_boards.genesys2 import Genesys2Platform

from .series7_board import Series7Board

__all__ = ["Genesys2"]


class Genesys2(Series7Board, Genesys2Platform):
    """The board with an XC7K325T."""

    title = "Digilent Genesys 2"
    phy = "RTL8211E-VL"
    uart = "the USB connector J15, FT232R"
    loader = "--board genesys2"
    has_reset = True
    # The PHY is strapped to delay RXC by 2 ns, but not TXC. RXD has to wait for RXC's way through a clock buffer.
    tx_clk_delay_ns = 2.0
    rx_data_delay_ns = 2.0

    def led_ports(self) -> list[io.PortLike]:
        """Return LD0, LD1 and LD2."""
        return [self.request("led", number, dir="-") for number in range(3)]
