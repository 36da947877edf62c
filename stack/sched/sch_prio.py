"""Bands of which the first that has packets goes first (Linux: net/sched/sch_prio.c, tc-prio(8))."""

from collections.abc import Iterator
from errno import EINVAL
from typing import Any

from ..core.skbuff import SkBuff
from .cls_api import TcfBlock, TcfResult, tcf_block_put, tcf_classify
from .pkt_sched import TC_H_MAJ, TC_H_MAKE, TC_H_MIN, TC_PRIO_MAX, Options
from .qdisc import Qdisc, QdiscClassOps, QdiscOps
from .qdisc_queue import qdisc_count_out, qdisc_dequeue_peeked, qdisc_enqueue
from .sch_api_tree import qdisc_hash_add
from .sch_fifo import pfifo_ops
from .sch_generic import qdisc_create_dflt, qdisc_purge_queue, qdisc_put, qdisc_reset
from .sch_pfifo_fast import PRIO2BAND, TC_PRIO_QOPT

__all__ = ["PrioPriv", "prio_ops"]

_MIN_BANDS, _MAX_BANDS = 2, 16


class PrioPriv:
    """Bands, the band of each priority, and filters that know better."""

    __slots__ = ("block", "prio2band", "queues")

    def __init__(self, sch: Qdisc) -> None:
        self.queues: list[Qdisc] = []
        self.prio2band: tuple[int, ...] = ()
        self.block = TcfBlock(sch)


def prio_tune(sch: Qdisc, options: Options) -> None:
    """Set the bands and the map; packets in bands that go are dropped."""
    bands = options.get("bands", 3)
    priomap = tuple(options.get("priomap", PRIO2BAND))
    if not _MIN_BANDS <= bands <= _MAX_BANDS:
        raise OSError(EINVAL, f"prio has {_MIN_BANDS} to {_MAX_BANDS} bands, not {bands}")
    if len(priomap) != TC_PRIO_MAX + 1 or max(priomap) >= bands:
        raise OSError(EINVAL, f"a priomap has {TC_PRIO_MAX + 1} numbers of bands below {bands}, not {priomap}")
    priv: PrioPriv = sch.priv
    for gone in priv.queues[bands:]:
        qdisc_purge_queue(gone)
        qdisc_put(gone)
    del priv.queues[bands:]
    while len(priv.queues) < bands:
        priv.queues.append(_prio_default(sch, len(priv.queues) + 1))
    priv.prio2band = priomap


def _prio_default(sch: Qdisc, cl: int) -> Qdisc:
    child = qdisc_create_dflt(sch.dev_queue, pfifo_ops, TC_H_MAKE(sch.handle, cl))
    qdisc_hash_add(child, True)
    return child


def prio_init(sch: Qdisc, options: Options) -> None:
    """Make the bands."""
    sch.priv = PrioPriv(sch)
    prio_tune(sch, options)


def prio_classify(skb: SkBuff, sch: Qdisc) -> Qdisc:
    """Return the band of a packet: that which its priority names as a class, the filters, or the map."""
    priv: PrioPriv = sch.priv
    band = skb.priority
    if TC_H_MAJ(band) != sch.handle:
        result = TcfResult()
        if not priv.block.chain or tcf_classify(skb, priv.block, result) < 0:
            return priv.queues[priv.prio2band[0 if TC_H_MAJ(band) else band & TC_PRIO_MAX]]
        band = result.classid
    band = TC_H_MIN(band) - 1
    return priv.queues[band if 0 <= band < len(priv.queues) else priv.prio2band[0]]


def prio_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet in its band."""
    return qdisc_enqueue(skb, prio_classify(skb, sch), sch, to_free)


def prio_dequeue(sch: Qdisc) -> SkBuff | None:
    """Take a packet of the first band that has one to give."""
    for child in sch.priv.queues:
        skb = qdisc_dequeue_peeked(child)
        if skb is not None:
            return qdisc_count_out(skb, sch)
    return None


def prio_peek(sch: Qdisc) -> SkBuff | None:
    """Return what would come next."""
    for child in sch.priv.queues:
        skb: SkBuff | None = child.ops.peek(child)
        if skb is not None:
            return skb
    return None


def prio_reset(sch: Qdisc) -> None:
    """Drop what the bands hold."""
    for child in sch.priv.queues:
        qdisc_reset(child)


def prio_destroy(sch: Qdisc) -> None:
    """End the bands and the filters."""
    tcf_block_put(sch.priv.block)
    for child in sch.priv.queues:
        qdisc_put(child)


def prio_dump(sch: Qdisc) -> dict[str, Any]:
    """Return the bands and the map."""
    return {"bands": len(sch.priv.queues), "priomap": sch.priv.prio2band}


def prio_graft(sch: Qdisc, cl: int, new: Qdisc | None) -> Qdisc:
    """Put another qdisc in a band; by default a pfifo."""
    queues: list[Qdisc] = sch.priv.queues
    old, queues[cl - 1] = queues[cl - 1], new or _prio_default(sch, cl)
    qdisc_purge_queue(old)
    return old


def prio_leaf(sch: Qdisc, cl: int) -> Qdisc:
    """Return the qdisc of a band."""
    child: Qdisc = sch.priv.queues[cl - 1]
    return child


def prio_find(sch: Qdisc, classid: int) -> int:
    """Return the number of a band, from 1 up."""
    band = TC_H_MIN(classid)
    return band if band <= len(sch.priv.queues) else 0


def prio_walk(sch: Qdisc) -> Iterator[int]:
    """Yield the numbers of the bands."""
    yield from range(1, len(sch.priv.queues) + 1)


def prio_tcf_block(sch: Qdisc, cl: int) -> TcfBlock | None:
    """Return the filters, which the bands have not."""
    block: TcfBlock = sch.priv.block
    return None if cl else block


def prio_dump_class_stats(sch: Qdisc, cl: int) -> dict[str, int]:
    """Return the statistics of a band's qdisc."""
    child: Qdisc = sch.priv.queues[cl - 1]
    return {
        "bytes": child.octets,
        "packets": child.packets,
        "drops": child.drops,
        "overlimits": child.overlimits,
        "requeues": child.requeues,
        "backlog": child.backlog_octets,
        "qlen": child.qlen,
    }


prio_ops = QdiscOps(
    "prio",
    prio_enqueue,
    prio_dequeue,
    prio_peek,
    prio_init,
    prio_reset,
    prio_destroy,
    prio_tune,
    prio_dump,
    cl_ops=QdiscClassOps(
        prio_find,
        prio_walk,
        prio_leaf,
        prio_graft,
        prio_tcf_block,
        prio_find,
        dump_stats=prio_dump_class_stats,
    ),
    qopt=TC_PRIO_QOPT,
)
