"""A PHY on GMII."""

# Ref: IEEE Std 802.3-2022, clause 35

from amaranth.hdl import Const, DomainRenamer, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .core import CORE_MEMBERS, join_core
from .ddr import DdrOutput

__all__ = ["Gmii"]


class Gmii(wiring.Component):
    """Join the MAC to a PHY on GMII, at 1 Gb/s.

    Timing
    ------
    The MAC's side in domain ``sync``, of at least 125 MHz less 100 ppm; ``phy_tx`` is 125 MHz, ``phy_rx`` the PHY's
    RX_CLK. The pins are registers. ``gtx_clk`` is ``phy_tx`` inverted: it rises in the middle of an octet, 4 ns before
    and after a change (35.4.2.3 asks for 2.5 ns and 0.5 ns). Way through: see `ElasticTx` and `ElasticRx`, and one
    cycle for the pins of RX.

    Parameters
    ----------
    max_frame_octets : int
        Longest frame, without FCS.

    Members
    -------
    gmii_*, tx_enable, rx_enable, odd_nibble
        The MAC's side: see `join_core`.
    txd, tx_en, tx_er, gtx_clk : Out(8), Out(1), Out(1), Out(1)
        Pins, in domain ``phy_tx``.
    rxd, rx_dv, rx_er : In(8), In(1), In(1)
        Pins, in domain ``phy_rx``.
    """

    def __init__(self, *, max_frame_octets: int = 9018) -> None:
        self._max_frame_octets = max_frame_octets
        pins = {"txd": Out(8), "tx_en": Out(1), "tx_er": Out(1), "gtx_clk": Out(1)}
        super().__init__(CORE_MEMBERS | pins | {"rxd": In(8), "rx_dv": In(1), "rx_er": In(1)})

    def elaborate(self, platform):
        m = Module()
        tx, rx = join_core(m, self, max_frame_octets=self._max_frame_octets)
        m.submodules.clock = clock = DomainRenamer("phy_tx")(DdrOutput(width=1))
        m.d.comb += [
            self.txd.eq(tx.o.octet),
            self.tx_en.eq(tx.o.dv),
            self.tx_er.eq(tx.o.error),
            clock.rise.eq(Const(0)),
            clock.fall.eq(Const(1)),
            self.gtx_clk.eq(clock.pins),
        ]
        m.d.phy_rx += [rx.i.octet.eq(self.rxd), rx.i.dv.eq(self.rx_dv), rx.i.error.eq(self.rx_er)]
        return m
