"""Sending packets past the queue of their device (Linux: net/core/dev.c)."""

from .dev import netdev_core_pick_tx
from .dev_validate import validate_xmit_skb_list
from .drop_reasons import SkbDropReason
from .netdevice import NET_XMIT_DROP, NETDEV_TX_BUSY, dev_xmit_complete, netif_carrier_ok, netif_running
from .skbuff import SkBuff, kfree_skb_list_reason
from .softirq import local_bh_disable, local_bh_enable

__all__ = ["__dev_direct_xmit", "dev_direct_xmit"]


def __dev_direct_xmit(skb: SkBuff) -> int:
    """Hand a frame to its device's driver at once, unseen by taps; return what that said, the skb is the caller's."""
    dev = skb.dev
    assert dev is not None
    kernel = skb.kernel
    if not netif_running(dev) or not netif_carrier_ok(dev):
        return _drop(skb)
    valid = validate_xmit_skb_list(skb, dev)
    if valid is not skb:  # As it is, or not at all.
        return NET_XMIT_DROP if valid is None else _drop(valid)
    txq = netdev_core_pick_tx(dev, skb)
    code = NETDEV_TX_BUSY
    local_bh_disable(kernel)
    if not txq.state:
        kernel.softnet.xmit_more = False
        code = dev.netdev_ops.ndo_start_xmit(skb, dev)
    local_bh_enable(kernel)
    return code


def _drop(skb: SkBuff) -> int:
    assert skb.dev is not None
    skb.dev.core_stats.tx_dropped += 1
    kfree_skb_list_reason(skb, SkbDropReason.NOT_SPECIFIED)
    return NET_XMIT_DROP


def dev_direct_xmit(skb: SkBuff) -> int:
    """Hand a frame to its device's driver at once, unseen by taps, or drop it if that is busy.

    Returns
    -------
    int
        ``NETDEV_TX_*`` or ``NET_XMIT_DROP``.
    """
    code = __dev_direct_xmit(skb)
    if not dev_xmit_complete(code):
        kfree_skb_list_reason(skb, SkbDropReason.NOT_SPECIFIED)
    return code
