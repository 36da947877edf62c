"""First in, first out, limited in packets or in octets (Linux: net/sched/sch_fifo.c)."""

from typing import Any

from ..core.netdevice import NET_XMIT_CN
from ..core.skbuff import SkBuff
from .pkt_sched import TC_H_MAKE, Options, TcStruct
from .qdisc import Qdisc, QdiscOps
from .qdisc_queue import qdisc_dequeue_head, qdisc_drop, qdisc_enqueue_tail, qdisc_peek_head
from .sch_api_tree import qdisc_tree_reduce_backlog
from .sch_generic import qdisc_create_dflt

__all__ = ["bfifo_ops", "fifo_create_dflt", "fifo_set_limit", "pfifo_head_drop_ops", "pfifo_ops"]

TC_FIFO_QOPT = TcStruct("tc_fifo_qopt", (("limit", "u32"),))


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


def pfifo_tail_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet, in the place of the oldest if there are ``limit`` of them."""
    if sch.qlen < sch.limit:
        return qdisc_enqueue_tail(skb, sch)
    if not sch.q:
        return qdisc_drop(skb, sch, to_free)
    oldest = sch.q.popleft()
    sch.qlen -= 1
    sch.backlog_octets -= oldest.len
    qdisc_drop(oldest, sch, to_free)
    qdisc_enqueue_tail(skb, sch)
    qdisc_tree_reduce_backlog(sch, 0, oldest.len - skb.len)
    return NET_XMIT_CN


def _fifo_init(sch: Qdisc, limit: int, least: int) -> None:
    sch.limit = limit
    sch.can_bypass = limit >= least


def pfifo_init(sch: Qdisc, options: Options) -> None:
    """Set the limit in packets; the default is the device's queue length."""
    _fifo_init(sch, options.get("limit", sch.dev_queue.dev.tx_queue_len), 1)


def bfifo_init(sch: Qdisc, options: Options) -> None:
    """Set the limit in octets; the default is the device's queue length in full frames."""
    dev = sch.dev_queue.dev
    frame = dev.mtu + dev.hard_header_len
    _fifo_init(sch, options.get("limit", dev.tx_queue_len * frame), frame)


def pfifo_head_drop_init(sch: Qdisc, options: Options) -> None:
    """Set the limit in packets."""
    pfifo_init(sch, options)
    sch.can_bypass = False


def fifo_dump(sch: Qdisc) -> dict[str, Any]:
    """Return the limit."""
    return {"limit": sch.limit}


def fifo_set_limit(sch: Qdisc, limit: int) -> None:
    """Set the limit of a qdisc if it is one of these kinds."""
    if sch.ops.change is not None and sch.ops.qopt is TC_FIFO_QOPT:
        sch.ops.change(sch, {"limit": limit})


def fifo_create_dflt(sch: Qdisc, ops: QdiscOps, limit: int) -> Qdisc:
    """Make the child that a qdisc starts with."""
    child = qdisc_create_dflt(sch.dev_queue, ops, TC_H_MAKE(sch.handle, 1))
    fifo_set_limit(child, limit)
    return child


pfifo_ops = QdiscOps(
    "pfifo",
    pfifo_enqueue,
    qdisc_dequeue_head,
    qdisc_peek_head,
    pfifo_init,
    change=pfifo_init,
    dump=fifo_dump,
    qopt=TC_FIFO_QOPT,
)
bfifo_ops = QdiscOps(
    "bfifo",
    bfifo_enqueue,
    qdisc_dequeue_head,
    qdisc_peek_head,
    bfifo_init,
    change=bfifo_init,
    dump=fifo_dump,
    qopt=TC_FIFO_QOPT,
)
pfifo_head_drop_ops = QdiscOps(
    "pfifo_head_drop",
    pfifo_tail_enqueue,
    qdisc_dequeue_head,
    qdisc_peek_head,
    pfifo_head_drop_init,
    change=pfifo_head_drop_init,
    dump=fifo_dump,
    qopt=TC_FIFO_QOPT,
)
