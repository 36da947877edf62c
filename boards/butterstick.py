"""ButterStick r1.0: ECP5-5G, KSZ9031 on RGMII, UART on SYZYGY connector 0."""

# Ref: https://github.com/butterstick-fpga/butterstick-hardware, r1.0; Microchip DS00002117, KSZ9031RNX

from amaranth.build import Attrs, Pins, Resource, Subsignal
from amaranth.hdl import Cat, ClockDomain, Module, Signal
from amaranth.lib import io
from amaranth_boards.butterstick import ButterStickPlatform

from .card import Card
from .ecp5_board import Ecp5Board

__all__ = ["ButterStick"]

# A voltage regulator of 0.6 V at its feedback pin: 13 kOhm to ground, 53.6 kOhm to its output, 68 kOhm to a pin of the
# FPGA, whose mean voltage therefore sets the output.
_FEEDBACK_V, _SET_OHM, _FEEDBACK_OHM, _PIN_OHM = 0.6, 13_000, 53_600, 68_000
_SUPPLY_V, _VIO_V = 3.3, 3.3
_LEVELS = 1024
_SETTLING_CYCLES = 30_000 * 30  # Four time constants of 68 kOhm and 0.1 uF.


def _pulse_width(vio_v: float) -> int:
    """Return for how many of 1024 cycles the pin is high, so that the regulator gives a voltage."""
    pin_v = _FEEDBACK_V + _PIN_OHM * (_FEEDBACK_V / _SET_OHM - (vio_v - _FEEDBACK_V) / _FEEDBACK_OHM)
    return round(pin_v / _SUPPLY_V * _LEVELS)


class ButterStick(Ecp5Board, ButterStickPlatform):
    """The board with an LFE5UM5G-85F; its USB connector leads to no UART."""

    title = "ButterStick r1.0"
    phy = "KSZ9031RNX"
    baud = 1_000_000
    uart = "SYZYGY 0: S0 (G2) sends to the host, S2 (F1) receives; 3.3 V"
    loader = "--dfu --vid 0x1209 --pid 0x5af1 --altsetting 0"  # Its boot loader, on the USB connector.
    # As on the ECPIX-5: TXC is for the MAC to delay. RXD has its way to the registers lengthened like RXC's.
    tx_clk_delay_ns = 2.0
    rx_data_delay_ns = 2.0
    resources = [
        *ButterStickPlatform.resources,
        Resource(
            "uart",
            0,
            Subsignal("tx", Pins("G2", dir="o")),
            Subsignal("rx", Pins("F1", dir="i"), Attrs(PULLMODE="UP")),
            Attrs(IO_TYPE="LVCMOS33"),
        ),
    ]

    def led_ports(self) -> list[io.PortLike]:
        """Return the first three of a row, all of one colour."""
        self._leds = self.request("rgb_leds_muxed", 0, dir={name: "-" for name in ("leds", "r", "g", "b")})
        return [self._leds.leds[number] for number in range(3)]

    def connect_more(self, m: Module, card: Card) -> None:
        """Light the LEDs green, and give the pins of SYZYGY 0 their 3.3 V."""
        m.submodules.green_buffer = green = io.Buffer("o", self._leds.g)
        m.d.comb += green.o.eq(1)
        control = self.request("vccio_ctrl", 0, dir={"pdm": "-", "en": "-"})
        m.submodules.pdm_buffer = pdm = io.Buffer("o", control.pdm)
        m.submodules.en_buffer = enable = io.Buffer("o", control.en)
        m.domains.vio = vio = ClockDomain(local=True, reset_less=True)
        m.d.comb += vio.clk.eq(card.clk)
        phase, settled = Signal(range(_LEVELS)), Signal(range(_SETTLING_CYCLES + 1))
        high = Signal()
        m.d.vio += [phase.eq(phase + 1), high.eq(phase < _pulse_width(_VIO_V))]
        with m.If(settled != _SETTLING_CYCLES):
            m.d.vio += settled.eq(settled + 1)
        m.d.comb += [pdm.o.eq(Cat(high, high, high)), enable.o.eq(settled == _SETTLING_CYCLES)]
