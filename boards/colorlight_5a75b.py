"""Colorlight 5A-75B, revision 7.0: two B50612D on RGMII, of which the first is used, UART on header J19."""

# Ref: https://github.com/q3k/chubby75, 5a-75b, hardware revision 7.0

from amaranth_boards.colorlight_5a75b_r7_0 import Colorlight_5A75B_R70Platform

from ..hdl.config import NicConfig
from .ecp5_board import Ecp5Board

__all__ = ["Colorlight5a75b"]


class Colorlight5a75b(Ecp5Board, Colorlight_5A75B_R70Platform):
    """The board with an LFE5U-25F; its only LED shares a pin with the UART, and shows what goes to the host."""

    title = "Colorlight 5A-75B"
    phy = "B50612D"
    baud = 1_000_000
    # The FPGA has 56 blocks of RAM; jumbo frames would take most of them.
    nic = NicConfig(max_frame_octets=1518, rx_buffer_octets=8192)
    memory_octets = 16_384
    uart = "J19: DATA_LED- sends to the host, KEY+ receives; 3.3 V"
    loader = "--cable ft232"
    # The PHY delays both clocks, as it is strapped; RXC is late inside the FPGA by some 2 ns more, and so must RXD be.
    rx_data_delay_ns = 2.0
