"""First in, first out, limited in packets or in octets (Linux: net/sched/sch_fifo.c)."""

from ..core.netdevice import NET_XMIT_SUCCESS
from ..core.skbuff import SkBuff
from .sch_generic import Qdisc, QdiscOps, qdisc_drop

__all__ = ["bfifo_ops", "pfifo_ops", "qdisc_dequeue_head", "qdisc_enqueue_tail", "qdisc_peek_head"]


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
    skb = sch.q.popleft()
    sch.qlen -= 1
    sch.backlog_octets -= skb.len
    sch.packets += 1
    sch.octets += skb.len
    return skb


def qdisc_peek_head(sch: Qdisc) -> SkBuff | None:
    """Return the oldest packet and leave it there."""
    return sch.q[0] if sch.q else None


def pfifo_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet unless there are ``limit`` of them."""
    if sch.qlen < sch.limit:
        return qdisc_enqueue_tail(skb, sch)
    return qdisc_drop(skb, sch, to_free)


def bfifo_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet unless that makes more than ``limit`` octets."""
    if sch.backlog_octets + skb.len <= sch.limit:
        return qdisc_enqueue_tail(skb, sch)
    return qdisc_drop(skb, sch, to_free)


def pfifo_init(sch: Qdisc, limit: int | None = None) -> None:
    """Set the limit in packets; the default is the device's queue length."""
    sch.limit = (sch.dev_queue.dev.tx_queue_len or 1) if limit is None else limit


def bfifo_init(sch: Qdisc, limit: int | None = None) -> None:
    """Set the limit in octets; the default is the device's queue length in full frames."""
    dev = sch.dev_queue.dev
    sch.limit = (dev.tx_queue_len or 1) * (dev.mtu + dev.hard_header_len) if limit is None else limit


pfifo_ops = QdiscOps("pfifo", pfifo_enqueue, qdisc_dequeue_head, qdisc_peek_head, pfifo_init, can_bypass=True)
bfifo_ops = QdiscOps("bfifo", bfifo_enqueue, qdisc_dequeue_head, qdisc_peek_head, bfifo_init, can_bypass=True)
