"""The side of a PHY adapter that the MAC is joined to."""

from amaranth.hdl import Cat, DomainRenamer, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from .elastic import ElasticRx, ElasticTx, PhyOctet

__all__ = ["CORE_MEMBERS", "join_core", "join_core_rx", "join_core_tx_directly"]

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
    m.d.comb += [tx.i.eq(_sent(adapter)), adapter.tx_enable.eq(tx.enable)]
    return tx, join_core_rx(m, adapter)


def join_core_tx_directly(m: Module, adapter) -> PhyOctet:
    """Join an adapter's members for the MAC's TX to a register, and return it: the PHY takes the core clock."""
    octet = Signal(PhyOctet)
    m.d.sync += octet.eq(_sent(adapter))
    m.d.comb += adapter.tx_enable.eq(1)
    return octet


def join_core_rx(m: Module, adapter) -> ElasticRx:
    """Join an adapter's members for the MAC's RX to a queue, and return that; see `join_core`."""
    m.submodules.rx = rx = DomainRenamer({"write": "phy_rx", "read": "sync"})(ElasticRx())
    m.d.comb += [
        adapter.gmii_rxd.eq(rx.o.octet),
        adapter.gmii_rx_dv.eq(rx.o.dv),
        adapter.gmii_rx_er.eq(rx.o.error),
        adapter.odd_nibble.eq(rx.o.odd),
        adapter.rx_enable.eq(rx.enable),
    ]
    return rx


def _sent(adapter) -> Value:
    """Return what the MAC sends, as a `PhyOctet`."""
    return Cat(adapter.gmii_txd, adapter.gmii_tx_er, adapter.gmii_tx_en, 0)
