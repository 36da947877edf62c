"""What qdiscs do with their queues and their children (Linux: include/net/sch_generic.h)."""

from collections.abc import Callable

from ..core.netdevice import NET_XMIT_DROP, NET_XMIT_SUCCESS
from ..core.skbuff import SkBuff
from .qdisc import Qdisc, net_xmit_drop_count

__all__ = [
    "qdisc_count_out",
    "qdisc_dequeue_head",
    "qdisc_dequeue_internal",
    "qdisc_dequeue_peeked",
    "qdisc_drop",
    "qdisc_enqueue",
    "qdisc_enqueue_tail",
    "qdisc_peek_dequeued",
    "qdisc_peek_head",
]


def qdisc_drop(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Drop a packet that a qdisc has no room for; the caller of ``enqueue`` frees it."""
    to_free.append(skb)
    sch.drops += 1
    return NET_XMIT_DROP


def qdisc_enqueue_tail(skb: SkBuff, sch: Qdisc) -> int:
    """Queue a packet behind the others."""
    sch.q.append(skb)
    sch.qlen += 1
    sch.backlog_octets += skb.len
    return NET_XMIT_SUCCESS


def qdisc_dequeue_head(sch: Qdisc) -> SkBuff | None:
    """Take the oldest packet."""
    if not sch.q:
        return None
    return qdisc_count_out(sch.q.popleft(), sch)


def qdisc_peek_head(sch: Qdisc) -> SkBuff | None:
    """Return the oldest packet and leave it there."""
    return sch.q[0] if sch.q else None


def qdisc_count_out(skb: SkBuff, sch: Qdisc) -> SkBuff:
    """Count a packet that leaves a qdisc, and return it."""
    length = skb.len
    sch.qlen -= 1
    sch.backlog_octets -= length
    sch.packets += 1
    sch.octets += length
    return skb


def qdisc_enqueue(skb: SkBuff, child: Qdisc, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Hand a packet to a child, and count it in the parent, too, as held or as dropped."""
    enqueue = child.enqueue
    assert enqueue is not None  # sch_api keeps noqueue out of classes.
    length = skb.len
    code = enqueue(skb, child, to_free)
    if code == NET_XMIT_SUCCESS:
        sch.qlen += 1
        sch.backlog_octets += length
    else:
        sch.drops += net_xmit_drop_count(code)
    return code


def qdisc_peek_dequeued(sch: Qdisc) -> SkBuff | None:
    """Return what comes next, of a qdisc that cannot say so without dequeueing it: it is kept for the next time."""
    if not sch.gso_skb:
        skb = sch.dequeue(sch)
        if skb is None:
            return None
        sch.gso_skb.append(skb)
        sch.qlen += 1
        sch.backlog_octets += skb.len
    return sch.gso_skb[0]


def qdisc_dequeue_internal(sch: Qdisc, dequeue: Callable[[Qdisc], SkBuff | None]) -> SkBuff | None:
    """Take a packet out of a qdisc that has to shrink: first one that was looked at."""
    return qdisc_dequeue_peeked(sch) if sch.gso_skb else dequeue(sch)


def qdisc_dequeue_peeked(sch: Qdisc) -> SkBuff | None:
    """Take the next packet of a child, first one that was looked at."""
    if not sch.gso_skb:
        return sch.dequeue(sch)
    skb = sch.gso_skb.popleft()
    sch.qlen -= 1
    sch.backlog_octets -= skb.len
    return skb
