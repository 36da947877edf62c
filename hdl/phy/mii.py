"""A PHY on MII."""

# Ref: IEEE Std 802.3-2022, clause 22

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .core import CORE_MEMBERS, join_core

__all__ = ["Mii"]

_PREAMBLE_NIBBLE, _SFD_NIBBLE = 0x5, 0xD


class Mii(wiring.Component):
    """Join the MAC to a PHY on MII, at 100 Mb/s or 10 Mb/s.

    The lower half of an octet goes first (22.2.3). A PHY may begin a frame with any part of the preamble, so which
    halves belong together is told by the start frame delimiter (22.2.3.2.2). What is left over at a frame's end is
    dropped and told by ``odd_nibble``.

    Timing
    ------
    The MAC's side in domain ``sync``, of at least 12.5 MHz less 100 ppm; ``phy_tx`` and ``phy_rx`` are the PHY's TX_CLK
    and RX_CLK, 25 MHz. The pins are registers. Way through: see `ElasticTx` and `ElasticRx`, and a cycle for TX, two
    for RX.

    Parameters
    ----------
    max_frame_octets : int
        Longest frame, without FCS.

    Members
    -------
    gmii_*, tx_enable, rx_enable, odd_nibble
        The MAC's side: see `join_core`.
    txd, tx_en, tx_er : Out(4), Out(1), Out(1)
        Pins, in domain ``phy_tx``.
    rxd, rx_dv, rx_er : In(4), In(1), In(1)
        Pins, in domain ``phy_rx``.
    """

    def __init__(self, *, max_frame_octets: int = 9018) -> None:
        self._max_frame_octets = max_frame_octets
        pins = {"txd": Out(4), "tx_en": Out(1), "tx_er": Out(1), "rxd": In(4), "rx_dv": In(1), "rx_er": In(1)}
        super().__init__(CORE_MEMBERS | pins)

    def elaborate(self, platform):
        m = Module()
        tx, rx = join_core(m, self, max_frame_octets=self._max_frame_octets)
        upper = Signal()  # The upper half of an octet goes to the pins with the next clock.
        m.d.phy_tx += [
            upper.eq(~upper),
            self.txd.eq(Mux(upper, tx.o.octet[4:], tx.o.octet[:4])),
            self.tx_en.eq(tx.o.dv),
            self.tx_er.eq(tx.o.error),
        ]
        m.d.comb += tx.o_enable.eq(upper)
        self._receive(m, rx)
        return m

    def _receive(self, m: Module, rx) -> None:
        """Put the halves of octets together."""
        nibble, dv, error = Signal(4), Signal(), Signal()
        m.d.phy_rx += [nibble.eq(self.rxd), dv.eq(self.rx_dv), error.eq(self.rx_er)]

        lower, lower_error = Signal(4), Signal()
        half = Signal()  # `lower` is the lower half of an octet.
        aligned, delimiter, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            delimiter.eq(~aligned & (lower == _PREAMBLE_NIBBLE) & (nibble == _SFD_NIBBLE)),
            ends.eq(half | delimiter),
        ]
        m.d.phy_rx += [
            lower.eq(nibble),
            lower_error.eq(dv & error),
            half.eq(dv & ~ends),
            aligned.eq(dv & (aligned | delimiter)),
            rx.i_enable.eq(ends | ~dv),
            rx.i.octet.eq(Cat(lower, nibble)),
            rx.i.error.eq(lower_error | error),
            rx.i.dv.eq(dv),
            rx.i.odd.eq(half),
        ]
