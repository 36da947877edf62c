"""Sending packets through a device's queue (Linux: net/core/dev.c)."""

from errno import ENETDOWN
from typing import TYPE_CHECKING

from ..sched.sch_generic import (
    Qdisc,
    __qdisc_run,
    qdisc_run,
    qdisc_run_begin,
    qdisc_run_end,
    sch_direct_xmit,
)
from ..xfrm.xfrm_device import xfrm_dev_backlog
from .dev_napi import net_rx_action
from .dev_validate import validate_xmit_skb
from .dev_xmit import dev_hard_start_xmit
from .drop_reasons import SkbDropReason
from .flow_dissector import skb_tx_hash
from .netdevice import IFF_UP, IFF_XMIT_DST_RELEASE, NET_XMIT_MASK, NET_XMIT_SUCCESS, NetDevice, NetdevQueue
from .skbuff import SkBuff, consume_skb, kfree_skb_list_reason
from .softirq import NET_RX_SOFTIRQ, NET_TX_SOFTIRQ, do_softirq, open_softirq

if TYPE_CHECKING:
    from .net import Kernel

__all__ = [
    "__dev_queue_xmit",
    "dev_queue_xmit",
    "net_dev_init",
    "net_tx_action",
    "netdev_core_pick_tx",
]

_XMIT_RECURSION_LIMIT = 8


def netdev_core_pick_tx(dev: NetDevice, skb: SkBuff) -> NetdevQueue:
    """Choose a TX queue: when there are several, that of the flow, or the one that the driver chooses."""
    queues = dev.tx
    if len(queues) == 1:
        return queues[0]
    select = dev.netdev_ops.ndo_select_queue
    index = skb.queue_mapping = skb_tx_hash(dev, skb) if select is None else select(dev, skb)
    return queues[index]


def dev_qdisc_enqueue(skb: SkBuff, q: Qdisc, to_free: list[SkBuff]) -> int:
    """Hand a packet to a qdisc."""
    enqueue = q.enqueue
    assert enqueue is not None
    return enqueue(skb, q, to_free) & NET_XMIT_MASK


def __dev_xmit_skb(skb: SkBuff, q: Qdisc, dev: NetDevice, txq: NetdevQueue) -> int:
    """Send a packet through a qdisc, or past it when it is empty and allows that."""
    if q.can_bypass and not q.qlen and not q.running:
        q.running = True
        q.packets += 1
        q.octets += skb.len
        if sch_direct_xmit(skb, q, dev, txq, True) and (q.qlen or not q.ops.nolock):
            __qdisc_run(q)
        qdisc_run_end(q)
        return NET_XMIT_SUCCESS
    to_free: list[SkBuff] = []
    code = dev_qdisc_enqueue(skb, q, to_free)
    if qdisc_run_begin(q):
        __qdisc_run(q)
        qdisc_run_end(q)
    for dropped in to_free:
        kfree_skb_list_reason(dropped, SkbDropReason.QDISC_DROP)
    return code


def __dev_queue_xmit(skb: SkBuff) -> int:
    """Send a packet, whose link header is in place, through the device that it names.

    Returns
    -------
    int
        ``NET_XMIT_*``, or a negative errno. Whatever it is, the skb is no longer the caller's.
    """
    dev = skb.dev
    assert dev is not None
    skb.mac_header = skb.data
    kernel = skb.kernel
    softirq = kernel.softirq
    softirq.count += 1  # local_bh_disable()
    if dev.priv_flags & IFF_XMIT_DST_RELEASE:
        skb.dst = None
    txq = netdev_core_pick_tx(dev, skb)
    q = txq.qdisc
    if q.enqueue is not None:
        code = __dev_xmit_skb(skb, q, dev, txq)
    else:
        code = _xmit_noqueue(skb, dev, txq)
    softirq.count -= 1  # local_bh_enable()
    if softirq.pending and not softirq.count and not softirq.hardirq:
        do_softirq(kernel)
    return code


def _xmit_noqueue(skb: SkBuff, dev: NetDevice, txq: NetdevQueue) -> int:
    """Send a packet through a device without a queue, such as loopback: straight to its driver."""
    softnet = skb.kernel.softnet
    left: SkBuff | None = skb
    if dev.flags & IFF_UP and softnet.xmit_recursion < _XMIT_RECURSION_LIMIT:
        valid = validate_xmit_skb(skb, dev)
        if valid is None:
            return -ENETDOWN
        left = valid
        if not txq.state:
            softnet.xmit_recursion += 1
            left, code = dev_hard_start_xmit(valid, dev, txq)
            softnet.xmit_recursion -= 1
            if code < NET_XMIT_MASK:
                return code
    dev.stats.tx_dropped += 1
    kfree_skb_list_reason(left, SkbDropReason.DEV_READY)
    return -ENETDOWN


def dev_queue_xmit(skb: SkBuff) -> int:
    """Send a packet, whose link header is in place, through the device that it names."""
    return __dev_queue_xmit(skb)


def net_tx_action(kernel: "Kernel") -> None:
    """Free sent skbs, and run the qdiscs that were scheduled."""
    softnet = kernel.softnet
    if softnet.completion_queue:
        done, softnet.completion_queue = softnet.completion_queue, []
        for skb in done:
            consume_skb(skb)
    # Qdiscs scheduled from here on wait for the next round.
    for _ in range(len(softnet.output_queue)):
        q = softnet.output_queue.popleft()
        q.scheduled = False
        if not q.deactivated:
            qdisc_run(q)
    xfrm_dev_backlog(kernel)


def net_dev_init(kernel: "Kernel") -> None:
    """Set the network softirqs up."""
    open_softirq(kernel, NET_TX_SOFTIRQ, net_tx_action)
    open_softirq(kernel, NET_RX_SOFTIRQ, net_rx_action)
