"""Handing packets to taps and to the driver (Linux: net/core/dev.c)."""

from .netdevice import NET_XMIT_MASK, NETDEV_TX_BUSY, NETDEV_TX_OK, QUEUE_STATE_DRV_XOFF, NetDevice, NetdevQueue
from .skbuff import PACKET_OUTGOING, SkBuff
from .skbuff_data import skb_clone

__all__ = ["dev_hard_start_xmit", "dev_queue_xmit_nit", "xmit_one"]


def dev_queue_xmit_nit(skb: SkBuff, dev: NetDevice) -> None:
    """Show a packet that is about to be sent to the taps, but not to the one of the socket that sends it."""
    if skb.tapped:
        return
    for ptype in (*dev.net.ptype_all, *dev.ptype_all):
        if ptype.ignore_outgoing or (skb.sk is not None and ptype.af_packet_priv is skb.sk):
            continue
        clone = skb_clone(skb)
        clone.mac_header = clone.data
        clone.pkt_type = PACKET_OUTGOING
        clone.tstamp_ns = skb.kernel.now_ns()
        if clone.network_header < clone.data:
            clone.network_header = clone.data
        ptype.func(clone, dev, ptype, dev)


def xmit_one(skb: SkBuff, dev: NetDevice, more: bool) -> int:
    """Hand one packet to the taps, then to the driver."""
    if dev.ptype_all or dev.net.ptype_all:
        dev_queue_xmit_nit(skb, dev)
    dev.kernel.softnet.xmit_more = more
    return dev.netdev_ops.ndo_start_xmit(skb, dev)


def dev_hard_start_xmit(skb: SkBuff, dev: NetDevice, txq: NetdevQueue) -> tuple[SkBuff | None, int]:
    """Hand a list of packets to the driver, until it takes no more.

    Returns
    -------
    tuple[SkBuff or None, int]
        Those that are left, and the driver's last word.
    """
    rest: SkBuff | None = skb
    rc = NETDEV_TX_OK
    while rest is not None:
        following = rest.next
        rest.next = None
        rc = xmit_one(rest, dev, following is not None)
        if rc >= NET_XMIT_MASK:  # dev_xmit_complete()
            rest.next = following
            break
        rest = following
        if rest is not None and txq.state & QUEUE_STATE_DRV_XOFF:
            rc = NETDEV_TX_BUSY
            break
    return rest, rc
