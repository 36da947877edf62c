"""What every board says of itself, and how its pins are joined to the card."""

from typing import ClassVar

from amaranth.build import Platform
from amaranth.hdl import Elaboratable, Module, Value
from amaranth.lib import io

from ..hdl.config import NicConfig
from .card import Card

__all__ = ["BITSTREAM", "TOP", "Board", "BoardTop"]

TOP = "hardwire_board"  # The topmost module.
BITSTREAM = f"{TOP}.bit"


class Board:
    """Facts of a board, and what its platform builds the card's clocks and pins of.

    A board is a platform of ``amaranth-boards`` with one of the subclasses for a family (`Ecp5Board`, `Series7Board`)
    in front of it. The class attributes are all that a file of a board holds, besides pins that have other names than
    usual.

    Members
    -------
    device, speed : str
        The FPGA, from the platform.
    required_tools : list of str
        Programs of the flow, from the platform.
    title, phy : str
        Names of the board and its PHY, for people.
    interface : str
        How the PHY is joined: ``rgmii`` or ``mii``.
    flow : str
        ``open`` (Yosys and nextpnr) or ``vivado``.
    seeds : tuple of int
        For nextpnr, in the order in which to try them.
    baud : int
        Of the UART to the host, in bit/s.
    nic : NicConfig
        Parameters of the NIC.
    memory_octets : int
        Size of the card's memory.
    uart : str
        Where its pins are.
    loader : str
        Options by which ``openFPGALoader`` finds the board.
    tx_clk_delay_ns, rx_data_delay_ns : float
        How much later than the data TXC leaves the FPGA, and how much the FPGA delays RXD to meet the clock inside.
    has_reset : bool
        There is a button for it.
    """

    device: str
    speed: str
    required_tools: ClassVar[list[str]]
    title = ""
    phy = ""
    interface = "rgmii"
    flow = ""
    seeds: tuple[int, ...] = ()
    baud = 3_000_000
    nic = NicConfig()
    memory_octets = 65_536
    uart = "USB"
    loader = ""
    tx_clk_delay_ns = 0.0
    rx_data_delay_ns = 0.0
    has_reset = False

    def led_ports(self) -> list[io.PortLike]:
        """Return the pins of up to three LEDs: host, activity, error."""
        return []

    def connect_more(self, m: Module, card: Card) -> None:
        """Drive pins that only this board has."""


class BoardTop(Elaboratable):
    """The card joined to the pins of a board, which is the platform it is elaborated for.

    Parameters
    ----------
    card : Card
        What is inside.
    """

    def __init__(self, card: Card) -> None:
        self._card = card

    def elaborate(self, platform: Platform) -> Module:
        m = Module()
        m.submodules.card = card = self._card
        clock = platform.request(platform.default_clk, dir="-")
        _input(m, "clk", clock, card.clk)
        if platform.has_reset:
            _input(m, "rst", platform.request(platform.default_rst, dir="-"), card.rst)
        uart = platform.request("uart", dir={name: "-" for name in ("rx", "tx")})
        _input(m, "uart_rx", uart.rx, card.uart_rx)
        _output(m, "uart_tx", uart.tx, card.uart_tx)
        for number, (port, led) in enumerate(zip(platform.led_ports(), card.leds, strict=False)):
            _output(m, f"led{number}", port, led)
        phy = platform.request(f"eth_{platform.interface}", dir="-")
        _output(m, "mdc", phy.mdc, card.mdc)
        _output(m, "phy_rst", phy.rst, ~card.phy_rst_n)
        m.submodules.mdio = mdio = io.Buffer("io", phy.mdio)
        m.d.comb += [mdio.o.eq(card.mdio_o), mdio.oe.eq(card.mdio_oe), card.mdio_i.eq(mdio.i)]
        join = {"rgmii": _join_rgmii, "mii": _join_mii}[platform.interface]
        join(m, platform, phy, card)
        platform.connect_more(m, card)
        return m


def _input(m: Module, name: str, port: io.PortLike, signal: Value) -> None:
    m.submodules[f"{name}_buffer"] = buffer = io.Buffer("i", port)
    m.d.comb += signal.eq(buffer.i)


def _output(m: Module, name: str, port: io.PortLike, signal: Value) -> None:
    m.submodules[f"{name}_buffer"] = buffer = io.Buffer("o", port)
    m.d.comb += buffer.o.eq(signal)


def _control(phy, way: str) -> io.PortLike:
    """Return TX_CTL or RX_CTL, which some platforms call so, others ``tx_ctrl``."""
    return getattr(phy, f"{way}_ctl") if hasattr(phy, f"{way}_ctl") else getattr(phy, f"{way}_ctrl")


def _join_rgmii(m: Module, platform: Platform, phy, card: Card) -> None:
    _output(m, "rgmii_tx_clk", phy.tx_clk, card.rgmii_tx_clk)
    _output(m, "rgmii_txd", phy.tx_data, card.rgmii_txd)
    _output(m, "rgmii_tx_ctl", _control(phy, "tx"), card.rgmii_tx_ctl)
    _input(m, "rgmii_rx_clk", phy.rx_clk, card.rgmii_rx_clk)
    _input(m, "rgmii_rxd", phy.rx_data, card.rgmii_rxd)
    _input(m, "rgmii_rx_ctl", _control(phy, "rx"), card.rgmii_rx_ctl)
    platform.add_clock_constraint(phy.rx_clk.io, 125e6)


def _join_mii(m: Module, platform: Platform, phy, card: Card) -> None:
    _output(m, "mii_txd", phy.tx_data, card.mii_txd)
    _output(m, "mii_tx_en", phy.tx_en, card.mii_tx_en)
    for name, port in (("tx_clk", phy.tx_clk), ("rx_clk", phy.rx_clk)):
        _input(m, f"mii_{name}", port, getattr(card, f"mii_{name}"))
        platform.add_clock_constraint(port.io, 25e6)
    _input(m, "mii_rxd", phy.rx_data, card.mii_rxd)
    _input(m, "mii_rx_dv", phy.rx_dv, card.mii_rx_dv)
    _input(m, "mii_rx_er", phy.rx_er, card.mii_rx_er)
