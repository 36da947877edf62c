"""The root of a device with several TX queues: a qdisc for each (Linux: net/sched/sch_mq.c)."""

from collections.abc import Iterator
from errno import EOPNOTSUPP
from typing import Any

from ..core.netdevice import NetdevQueue, netif_running
from ..core.skbuff import SkBuff
from .pkt_sched import TC_H_MAKE, TC_H_MIN, TC_H_ROOT, Options
from .qdisc import Qdisc, QdiscClassOps, QdiscOps
from .sch_api_tree import qdisc_hash_add
from .sch_generic import (
    dev_activate,
    dev_deactivate,
    dev_graft_qdisc,
    noop_dequeue,
    noop_enqueue,
    noop_peek,
    qdisc_create_dflt,
    qdisc_put,
)

__all__ = ["mq_qdisc_ops"]


def mq_init(sch: Qdisc, options: Options) -> None:
    """Make a qdisc for each TX queue, which ``mq_attach`` puts in place."""
    dev = sch.dev_queue.dev
    if sch.parent != TC_H_ROOT or len(dev.tx) == 1:
        raise OSError(EOPNOTSUPP, f"mq is for the root of a device with several TX queues, not here on {dev.name}")
    sch.priv = []
    for txq in dev.tx:
        child = qdisc_create_dflt(txq, dev.kernel.default_qdisc_ops, TC_H_MAKE(sch.handle, txq.index + 1))
        child.one_txq = child.noparent = True
        sch.priv.append(child)


def mq_attach(sch: Qdisc) -> None:
    """Give each TX queue its qdisc."""
    children, sch.priv = sch.priv, []
    for child in children:
        old = dev_graft_qdisc(child.dev_queue, child)
        qdisc_put(old)
        qdisc_hash_add(child)


def mq_destroy(sch: Qdisc) -> None:
    """End the qdiscs that were not put in place."""
    for child in sch.priv:
        qdisc_put(child)


def mq_sum(sch: Qdisc) -> None:
    """Count what the qdiscs of the TX queues have counted; done whenever somebody wants to know."""
    children = [txq.qdisc_sleeping for txq in sch.dev_queue.dev.tx]
    for name in ("octets", "packets", "drops", "overlimits", "requeues", "backlog_octets", "qlen"):
        setattr(sch, name, sum(getattr(child, name) for child in children))


def mq_dump(sch: Qdisc) -> dict[str, Any]:
    """Return no options, but bring the statistics up to date."""
    mq_sum(sch)
    return {}


def mq_queue_get(sch: Qdisc, cl: int) -> NetdevQueue | None:
    """Return the TX queue of a class."""
    queues = sch.dev_queue.dev.tx
    return queues[cl - 1] if 0 < cl <= len(queues) else None


def mq_select_queue(sch: Qdisc, classid: int) -> NetdevQueue:
    """Return the TX queue that a class's qdisc works on."""
    return mq_queue_get(sch, TC_H_MIN(classid)) or sch.dev_queue


def mq_graft(sch: Qdisc, cl: int, new: Qdisc | None) -> Qdisc:
    """Give a TX queue another qdisc, or none that sends anything."""
    dev = sch.dev_queue.dev
    running = netif_running(dev)
    if running:
        dev_deactivate(dev)
    old = dev_graft_qdisc(dev.tx[cl - 1], new)
    if new is not None:
        new.one_txq = new.noparent = True
    if running:
        dev_activate(dev)
    return old


def mq_leaf(sch: Qdisc, cl: int) -> Qdisc:
    """Return the qdisc of a TX queue."""
    return sch.dev_queue.dev.tx[cl - 1].qdisc_sleeping


def mq_find(sch: Qdisc, classid: int) -> int:
    """Return the number of a TX queue, from 1 up."""
    cl = TC_H_MIN(classid)
    return cl if mq_queue_get(sch, cl) is not None else 0


def mq_walk(sch: Qdisc) -> Iterator[int]:
    """Yield the numbers of the TX queues."""
    yield from range(1, len(sch.dev_queue.dev.tx) + 1)


def mq_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Drop: packets go to the qdiscs of the TX queues."""
    return noop_enqueue(skb, sch, to_free)


mq_qdisc_ops = QdiscOps(
    "mq",
    mq_enqueue,
    noop_dequeue,
    noop_peek,
    mq_init,
    destroy=mq_destroy,
    dump=mq_dump,
    attach=mq_attach,
    cl_ops=QdiscClassOps(mq_find, mq_walk, mq_leaf, mq_graft, select_queue=mq_select_queue),
)
