"""The default qdisc: three bands by priority (Linux: net/sched/sch_generic.c)."""

from collections import deque
from typing import Any

from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import NET_XMIT_SUCCESS
from ..core.skbuff import SkBuff, kfree_skb_reason
from .pkt_sched import Options, TcStruct
from .qdisc import Qdisc, QdiscOps
from .qdisc_queue import qdisc_drop

__all__ = ["PRIO2BAND", "TC_PRIO_QOPT", "pfifo_fast_ops"]

TC_PRIO_QOPT = TcStruct("tc_prio_qopt", (("bands", "s32"), ("priomap", "u8[16]")))
PRIO2BAND = (1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)


def pfifo_fast_init(sch: Qdisc, options: Options) -> None:
    """Make the three bands, each for as many packets as the device's queue length says."""
    sch.priv = (deque[SkBuff](), deque[SkBuff](), deque[SkBuff]())
    sch.limit = sch.dev_queue.dev.tx_queue_len


def pfifo_fast_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet in the band of its priority."""
    band = sch.priv[PRIO2BAND[skb.priority & 15]]
    if len(band) >= sch.limit:
        return qdisc_drop(skb, sch, to_free)
    band.append(skb)
    sch.qlen += 1
    sch.backlog_octets += skb.len
    return NET_XMIT_SUCCESS


def pfifo_fast_dequeue(sch: Qdisc) -> SkBuff | None:
    """Take the oldest packet of the first band that has any."""
    for band in sch.priv:
        if band:
            skb: SkBuff = band.popleft()
            sch.qlen -= 1
            sch.backlog_octets -= skb.len
            sch.packets += 1
            sch.octets += skb.len
            return skb
    return None


def pfifo_fast_peek(sch: Qdisc) -> SkBuff | None:
    """Return what would come next."""
    for band in sch.priv:
        if band:
            skb: SkBuff = band[0]
            return skb
    return None


def pfifo_fast_reset(sch: Qdisc) -> None:
    """Drop what the bands hold."""
    for band in sch.priv:
        while band:
            kfree_skb_reason(band.popleft(), SkbDropReason.QDISC_DROP)


def pfifo_fast_dump(sch: Qdisc) -> dict[str, Any]:
    """Return the bands, which cannot be changed."""
    return {"bands": 3, "priomap": PRIO2BAND}


pfifo_fast_ops = QdiscOps(
    "pfifo_fast",
    pfifo_fast_enqueue,
    pfifo_fast_dequeue,
    pfifo_fast_peek,
    pfifo_fast_init,
    pfifo_fast_reset,
    dump=pfifo_fast_dump,
    qopt=TC_PRIO_QOPT,
    nolock=True,
    can_bypass=True,
)
