"""LambdaConcept ECPIX-5: ECP5-5G, KSZ9031 on RGMII, UART on its USB connector for debugging."""

# Ref: ECPIX-5 schematic, R03; Microchip DS00002117, KSZ9031RNX

from amaranth.lib import io
from amaranth_boards.ecpix5 import ECPIX545Platform, ECPIX585Platform

from .ecp5_board import Ecp5Board

__all__ = ["Ecpix545", "Ecpix585"]


class _Ecpix5(Ecp5Board):
    phy = "KSZ9031RNX"
    uart = "the micro USB connector, second channel of the FT2232H"
    loader = "--board ecpix5"
    has_reset = True
    # The PHY's pad skews stand at their defaults (6.1.4): it delays RXC by 1.2 ns, the way to the registers inside the
    # FPGA by the rest; for TXC it waits for a delay by the MAC.
    tx_clk_delay_ns = 2.0

    def led_ports(self) -> list[io.PortLike]:
        """Return a green, a blue and a red LED."""
        colors = {name: "-" for name in "rgb"}
        leds = [self.request("rgb_led", number, dir=colors) for number in range(3)]
        return [leds[0].g, leds[1].b, leds[2].r]


class Ecpix585(_Ecpix5, ECPIX585Platform):
    """The board with an LFE5UM5G-85F."""

    title = "LambdaConcept ECPIX-5 85F"


class Ecpix545(_Ecpix5, ECPIX545Platform):
    """The board with an LFE5UM5G-45F."""

    title = "LambdaConcept ECPIX-5 45F"
