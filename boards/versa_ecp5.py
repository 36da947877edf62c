"""Lattice Versa ECP5: two 88E1512 on RGMII, of which the first is used, UART on the USB connector."""

# Ref: Lattice FPGA-EB-02021, ECP5 Versa Development Board User Guide; Marvell 88E1512 data sheet, MV-S107146

from amaranth.lib import io
from amaranth_boards.versa_ecp5 import VersaECP5Platform

from .ecp5_board import Ecp5Board

__all__ = ["VersaEcp5"]


class VersaEcp5(Ecp5Board, VersaECP5Platform):
    """The board with an LFE5UM-45F."""

    title = "Lattice Versa ECP5"
    phy = "88E1512"
    uart = "the USB connector, second channel of the FT2232H"
    loader = "--cable ft2232"
    has_reset = True
    # The PHY delays both clocks: bits 4 and 5 of its register 21 on page 2 are 1 after a reset.

    def led_ports(self) -> list[io.PortLike]:
        """Return D18, D19 and D20."""
        return [self.request("led", number, dir="-") for number in range(3)]
