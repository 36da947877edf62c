"""The side of a PHY adapter that the MAC is joined to."""

from amaranth.hdl import DomainRenamer, Module
from amaranth.lib.wiring import In, Out

from .elastic import ElasticRx, ElasticTx

__all__ = ["CORE_MEMBERS", "join_core"]

CORE_MEMBERS = {
    "gmii_txd": In(8),
    "gmii_tx_en": In(1),
    "gmii_tx_er": In(1),
    "tx_enable": Out(1),
    "gmii_rxd": Out(8),
    "gmii_rx_dv": Out(1),
    "gmii_rx_er": Out(1),
    "odd_nibble": Out(1),
    "rx_enable": Out(1),
}


def join_core(m: Module, adapter, *, max_frame_octets: int) -> tuple[ElasticTx, ElasticRx]:
    """Join an adapter's members for the MAC to queues into the PHY's domains, and return those.

    ``tx_enable`` goes to ``MacTx.enable``, ``rx_enable`` to ``MacRx.enable``, the others to members of the same name.
    All are in domain ``sync``; the other sides of the queues in ``phy_tx`` and ``phy_rx``.
    """
    m.submodules.tx = tx = DomainRenamer({"write": "sync", "read": "phy_tx"})(
        ElasticTx(max_frame_octets=max_frame_octets)
    )
    m.submodules.rx = rx = DomainRenamer({"write": "phy_rx", "read": "sync"})(ElasticRx())
    m.d.comb += [
        tx.i.octet.eq(adapter.gmii_txd),
        tx.i.dv.eq(adapter.gmii_tx_en),
        tx.i.error.eq(adapter.gmii_tx_er),
        adapter.tx_enable.eq(tx.enable),
        adapter.gmii_rxd.eq(rx.o.octet),
        adapter.gmii_rx_dv.eq(rx.o.dv),
        adapter.gmii_rx_er.eq(rx.o.error),
        adapter.odd_nibble.eq(rx.o.odd),
        adapter.rx_enable.eq(rx.enable),
    ]
    return tx, rx
