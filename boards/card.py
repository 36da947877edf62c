"""The whole card that a board carries, behind the signals of its pins."""

from typing import Self

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

from ..hdl.config import NicConfig
from ..hdl.phy.mii import Mii
from ..hdl.phy.rgmii import Rgmii
from .bridge import BridgedNic
from .stretch import Stretch

__all__ = ["Card"]

_MEMBERS = {
    "clk": In(1),
    "rst": In(1),
    "uart_rx": In(1, init=1),
    "uart_tx": Out(1, init=1),
    "mdc": Out(1),
    "mdio_o": Out(1),
    "mdio_oe": Out(1),
    "mdio_i": In(1),
    "phy_rst_n": Out(1),
    "leds": Out(3),
}
_PHY_MEMBERS = {
    "rgmii": {
        "rgmii_tx_clk": Out(1),
        "rgmii_txd": Out(4),
        "rgmii_tx_ctl": Out(1),
        "rgmii_rx_clk": In(1),
        "rgmii_rxd": In(4),
        "rgmii_rx_ctl": In(1),
    },
    "mii": {
        "mii_tx_clk": In(1),
        "mii_txd": Out(4),
        "mii_tx_en": Out(1),
        "mii_tx_er": Out(1),
        "mii_rx_clk": In(1),
        "mii_rxd": In(4),
        "mii_rx_dv": In(1),
        "mii_rx_er": In(1),
    },
}
_PHY_RESET_CYCLES = 125_000 * 12  # 12 ms: the KSZ9031 and the 88E1512 ask for 10 ms.
_SHOWN_CYCLES = 125_000 * 60  # As long as an eye needs.


class Card(wiring.Component):
    """The card with its clocks and the adapter for its PHY, for a platform that is a `Board`.

    The platform gives the core clock from that of the board (``clocks``), delays RXD and TXC as its PHY needs it
    (``delay_rx_data``, ``delay_tx_clk``), and builds the pins that carry two bits a cycle.

    Timing
    ------
    Makes its own domains: ``sync``, by which RGMII sends, too, and ``phy_tx_late``, of 125 MHz, from ``clk``;
    ``phy_rx`` from ``rgmii_rx_clk`` (125 MHz), or ``phy_tx`` and ``phy_rx`` from ``mii_tx_clk`` and ``mii_rx_clk``
    (25 MHz). All are in reset until the PLL has locked, and while ``rst`` is high.

    Parameters
    ----------
    interface : str
        How the PHY is joined: ``rgmii`` or ``mii``.
    baud : int
        Of the UART, in bit/s.
    nic : NicConfig
        Parameters of the NIC.
    memory_octets : int
        Size of the card's memory, a power of two from 4096 up.
    phy_reset_cycles : int
        Length of the PHY's reset after that of the card, in cycles of ``sync``.

    Members
    -------
    clk : In(1)
        The board's oscillator.
    rst : In(1)
        Reset everything.
    uart_rx, uart_tx : In(1), Out(1)
        To the host.
    mdc, mdio_o, mdio_oe, mdio_i : Out(1), Out(1), Out(1), In(1)
        Management interface of the PHY.
    phy_rst_n : Out(1)
        The PHY's reset, active low.
    leds : Out(3)
        The host was heard lately; a frame goes out or comes in; a frame came in with an error.
    rgmii_*, mii_*
        The PHY: see `Rgmii` and `Mii`.

    Raises
    ------
    ValueError
        If ``interface`` is another one, or ``phy_reset_cycles`` is less than 1.
    """

    def __init__(
        self,
        *,
        interface: str,
        baud: int,
        nic: NicConfig,
        memory_octets: int,
        phy_reset_cycles: int = _PHY_RESET_CYCLES,
    ) -> None:
        if interface not in _PHY_MEMBERS:
            raise ValueError(f"interface must be one of {', '.join(_PHY_MEMBERS)}, not {interface!r}")
        if phy_reset_cycles < 1:
            raise ValueError(f"phy_reset_cycles must be at least 1, not {phy_reset_cycles!r}")
        self._interface = interface
        self._baud = baud
        self._nic = nic
        self._memory_octets = memory_octets
        self._phy_reset_cycles = phy_reset_cycles
        super().__init__(_MEMBERS | _PHY_MEMBERS[interface])

    @classmethod
    def of(cls, board, **changes) -> Self:
        """Return the card as a `Board` describes it, but for ``changes`` of parameters."""
        settled = {name: getattr(board, name) for name in ("interface", "baud", "nic", "memory_octets")}
        return cls(**(settled | changes))

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = BridgedNic(nic=self._nic, baud=self._baud, memory_octets=self._memory_octets)
        locked = self._clocks(m, platform)
        if self._interface == "rgmii":
            phy = Rgmii(max_frame_octets=self._nic.max_frame_octets, one_clock=True)
            m.submodules.phy = DomainRenamer({"phy_tx": "sync"})(phy)
            self._join_rgmii(m, platform, phy, locked)
        else:
            m.submodules.phy = phy = Mii(max_frame_octets=self._nic.max_frame_octets)
            self._join_mii(m, phy, locked)
        m.d.comb += [
            core.uart_rx.eq(self.uart_rx),
            self.uart_tx.eq(core.uart_tx),
            *(getattr(self, name).eq(getattr(core, name)) for name in ("mdc", "mdio_o", "mdio_oe")),
            core.mdio_i.eq(self.mdio_i),
            *(getattr(phy, name).eq(getattr(core, name)) for name in ("gmii_txd", "gmii_tx_en", "gmii_tx_er")),
            *(getattr(core, name).eq(getattr(phy, name)) for name in ("gmii_rxd", "gmii_rx_dv", "gmii_rx_er")),
            *(getattr(core, name).eq(getattr(phy, name)) for name in ("tx_enable", "rx_enable", "odd_nibble")),
        ]
        self._lights(m, core, phy)
        left = Signal(range(self._phy_reset_cycles), init=self._phy_reset_cycles - 1)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        m.d.sync += self.phy_rst_n.eq(left == 0)
        return m

    def _clocks(self, m: Module, platform) -> Signal:
        """Make the domains of the core clock; return if it is good."""
        m.domains += [ClockDomain("sync"), ClockDomain("phy_tx_late", reset_less=True)]
        locked = Signal()
        m.d.comb += locked.eq(platform.clocks(m, self.clk))
        m.submodules.reset_sync = ResetSynchronizer(~locked | self.rst)
        return locked

    def _join_rgmii(self, m: Module, platform, phy: Rgmii, locked: Signal) -> None:
        m.domains += ClockDomain("phy_rx")
        m.d.comb += ClockSignal("phy_rx").eq(self.rgmii_rx_clk)
        m.submodules.reset_rx = ResetSynchronizer(~locked | self.rst, domain="phy_rx")
        received = platform.delay_rx_data(m, Cat(self.rgmii_rxd, self.rgmii_rx_ctl))
        m.d.comb += [
            self.rgmii_tx_clk.eq(platform.delay_tx_clk(m, phy.tx_clk)),
            self.rgmii_txd.eq(phy.txd),
            self.rgmii_tx_ctl.eq(phy.tx_ctl),
            Cat(phy.rxd, phy.rx_ctl).eq(received),
        ]

    def _join_mii(self, m: Module, phy: Mii, locked: Signal) -> None:
        m.domains += [ClockDomain("phy_tx"), ClockDomain("phy_rx")]
        m.d.comb += [ClockSignal("phy_tx").eq(self.mii_tx_clk), ClockSignal("phy_rx").eq(self.mii_rx_clk)]
        m.submodules.reset_tx = ResetSynchronizer(~locked | self.rst, domain="phy_tx")
        m.submodules.reset_rx = ResetSynchronizer(~locked | self.rst, domain="phy_rx")
        m.d.comb += [
            *(getattr(self, f"mii_{name}").eq(getattr(phy, name)) for name in ("txd", "tx_en", "tx_er")),
            *(getattr(phy, name).eq(getattr(self, f"mii_{name}")) for name in ("rxd", "rx_dv", "rx_er")),
        ]

    def _lights(self, m: Module, core: BridgedNic, phy) -> None:
        m.submodules.activity = activity = Stretch(cycles=_SHOWN_CYCLES)
        m.submodules.error = error = Stretch(cycles=_SHOWN_CYCLES)
        m.d.sync += [
            activity.i.eq(core.gmii_tx_en | phy.gmii_rx_dv),
            error.i.eq(phy.rx_enable & (phy.gmii_rx_dv & phy.gmii_rx_er | phy.odd_nibble)),
        ]
        m.d.comb += self.leds.eq(Cat(core.host_seen, activity.o, error.o))
