"""A PHY on RGMII."""

# Ref: Reduced Gigabit Media Independent Interface (RGMII), HP, Broadcom, Marvell, version 2.0, 2002

from amaranth.hdl import Cat, Const, DomainRenamer, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .core import CORE_MEMBERS, join_core, join_core_rx, join_core_tx_directly
from .ddr import DdrInput, DdrOutput

__all__ = ["Rgmii"]


class Rgmii(wiring.Component):
    """Join the MAC to a PHY on RGMII, at 1 Gb/s.

    The lower half of an octet and ``dv`` go with the rise of the clock, the upper half and ``dv`` xor ``er`` with the
    fall. The status that a PHY shows between frames is not looked at.

    Timing
    ------
    The MAC's side in domain ``sync``, of at least 125 MHz less 100 ppm; ``phy_tx`` is 125 MHz, ``phy_rx`` the PHY's
    RXC, late enough to sample RXD (by the PHY, the board, or a delay at the pin). ``tx_clk`` is domain
    ``phy_tx_late``: that is ``phy_tx`` 2 ns later, or the same clock where PHY or board delay it. Way through: see
    `ElasticTx` and `ElasticRx`, and a cycle for TX, two for RX.

    Parameters
    ----------
    max_frame_octets : int
        Longest frame, without FCS.
    one_clock : bool
        ``phy_tx`` is the clock ``sync``: what is sent passes a register, in place of a queue.

    Members
    -------
    gmii_*, tx_enable, rx_enable, odd_nibble
        The MAC's side: see `join_core`.
    txd, tx_ctl, tx_clk : Out(4), Out(1), Out(1)
        Pins: TD, TX_CTL, TXC.
    rxd, rx_ctl : In(4), In(1)
        Pins: RD, RX_CTL.
    """

    def __init__(self, *, max_frame_octets: int = 9018, one_clock: bool = False) -> None:
        self._max_frame_octets = max_frame_octets
        self._one_clock = one_clock
        pins = {"txd": Out(4), "tx_ctl": Out(1), "tx_clk": Out(1), "rxd": In(4), "rx_ctl": In(1)}
        super().__init__(CORE_MEMBERS | pins)

    def elaborate(self, platform):
        m = Module()
        if self._one_clock:
            octet, rx = join_core_tx_directly(m, self), join_core_rx(m, self)
        else:
            tx, rx = join_core(m, self, max_frame_octets=self._max_frame_octets)
            octet = tx.o
        m.submodules.clock = clock = DomainRenamer("phy_tx_late")(DdrOutput(width=1))
        m.submodules.pins_out = pins_out = DomainRenamer("phy_tx")(DdrOutput(width=5))
        m.submodules.pins_in = pins_in = DomainRenamer("phy_rx")(DdrInput(width=5))
        m.d.comb += [
            clock.rise.eq(Const(1)),
            clock.fall.eq(Const(0)),
            self.tx_clk.eq(clock.pins),
            pins_out.rise.eq(Cat(octet.octet[:4], octet.dv)),
            pins_out.fall.eq(Cat(octet.octet[4:], octet.dv ^ octet.error)),
            Cat(self.txd, self.tx_ctl).eq(pins_out.pins),
            pins_in.pins.eq(Cat(self.rxd, self.rx_ctl)),
            rx.i.octet.eq(Cat(pins_in.rise[:4], pins_in.fall[:4])),
            rx.i.dv.eq(pins_in.rise[4]),
            rx.i.error.eq(pins_in.rise[4] ^ pins_in.fall[4]),
        ]
        return m
