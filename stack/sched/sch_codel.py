"""One queue under CoDel (RFC 8289; Linux: net/sched/sch_codel.c, tc-codel(8))."""

from collections import deque
from functools import partial
from typing import Any

from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import NET_XMIT_SUCCESS
from ..core.skbuff import SkBuff, kfree_skb_reason
from .pkt_sched import Options
from .qdisc import Qdisc, QdiscOps
from .qdisc_queue import qdisc_dequeue_internal, qdisc_drop, qdisc_peek_dequeued
from .sch_api_tree import qdisc_tree_reduce_backlog
from .sch_codel_impl import (
    CODEL_DISABLED_THRESHOLD,
    CodelParams,
    CodelStats,
    CodelVars,
    Packet,
    codel_dequeue,
    codel_time,
    codel_time_from_us,
    codel_time_to_us,
)

__all__ = ["CodelPriv", "codel_change_params", "codel_dump_params", "codel_ops", "codel_tell"]

_DEFAULT_LIMIT = 1000
POLICY = {
    1: ("target", "u32"),
    2: ("limit", "u32"),
    3: ("interval", "u32"),
    4: ("ecn", "u32"),
    5: ("ce_threshold", "u32"),
}


class CodelPriv:
    """The queue, and its state; ``drop_overlimit`` counts packets for which there was no room."""

    __slots__ = ("drop_overlimit", "params", "queue", "stats", "vars")

    def __init__(self, sch: Qdisc) -> None:
        self.params = CodelParams(sch, ecn=False)
        self.vars = CodelVars()
        self.stats = CodelStats()
        self.queue: deque[Packet] = deque()
        self.drop_overlimit = 0


def codel_change_params(params: CodelParams, options: Options) -> None:
    """Set what options say of CoDel."""
    for name in ("target", "interval", "ce_threshold"):
        if name in options:
            setattr(params, name, codel_time_from_us(options[name]))
    if "ecn" in options:
        params.ecn = bool(options["ecn"])


def codel_dump_params(params: CodelParams) -> dict[str, Any]:
    """Return the options of CoDel."""
    options = {
        "target": codel_time_to_us(params.target),
        "interval": codel_time_to_us(params.interval),
        "ecn": int(params.ecn),
    }
    if params.ce_threshold != CODEL_DISABLED_THRESHOLD:
        options["ce_threshold"] = codel_time_to_us(params.ce_threshold)
    return options


def codel_tell(sch: Qdisc, stats: CodelStats) -> None:
    """Tell those above of what was dropped in dequeueing; they would stop looking at a qdisc without packets."""
    if stats.drop_count and sch.qlen:
        qdisc_tree_reduce_backlog(sch, stats.drop_count, stats.drop_len)
        stats.drop_count = stats.drop_len = 0


def codel_init(sch: Qdisc, options: Options) -> None:
    """Start with an empty queue."""
    sch.limit = _DEFAULT_LIMIT
    sch.priv = CodelPriv(sch)
    codel_change(sch, options)
    sch.can_bypass = sch.limit >= 1


def codel_change(sch: Qdisc, options: Options) -> None:
    """Set options; packets over a smaller limit are dropped."""
    priv: CodelPriv = sch.priv
    codel_change_params(priv.params, options)
    sch.limit = options.get("limit", sch.limit)
    packets = octets = 0
    while sch.qlen > sch.limit:
        skb = qdisc_dequeue_internal(sch, _take)
        if skb is None:
            break
        packets += 1
        octets += skb.len
        sch.drops += 1
        kfree_skb_reason(skb, SkbDropReason.QDISC_DROP)
    qdisc_tree_reduce_backlog(sch, packets, octets)


def _take(sch: Qdisc) -> SkBuff | None:
    packet = _take_packet(sch)
    return None if packet is None else packet[0]


def _take_packet(sch: Qdisc) -> Packet | None:
    queue: deque[Packet] = sch.priv.queue
    if not queue:
        return None
    packet = queue.popleft()
    sch.qlen -= 1
    sch.backlog_octets -= packet[0].len
    return packet


def codel_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet, with the time, unless there are ``limit``."""
    priv: CodelPriv = sch.priv
    if sch.qlen >= sch.limit:
        priv.drop_overlimit += 1
        return qdisc_drop(skb, sch, to_free)
    priv.queue.append((skb, codel_time(sch)))
    sch.qlen += 1
    sch.backlog_octets += skb.len
    return NET_XMIT_SUCCESS


def codel_qdisc_dequeue(sch: Qdisc) -> SkBuff | None:
    """Take the oldest packet that is not to be dropped."""
    priv: CodelPriv = sch.priv
    skb = codel_dequeue(sch, priv.params, priv.vars, priv.stats, partial(_take_packet, sch))
    codel_tell(sch, priv.stats)
    if skb is not None:
        sch.packets += 1
        sch.octets += skb.len
    return skb


def codel_reset(sch: Qdisc) -> None:
    """Drop what waits, and start anew."""
    priv: CodelPriv = sch.priv
    while priv.queue:
        kfree_skb_reason(priv.queue.popleft()[0], SkbDropReason.QDISC_DROP)
    priv.vars = CodelVars()


def codel_dump(sch: Qdisc) -> dict[str, Any]:
    """Return the options, times in microseconds."""
    return {**codel_dump_params(sch.priv.params), "limit": sch.limit}


def codel_dump_stats(sch: Qdisc) -> dict[str, int]:
    """Return the fields of ``struct tc_codel_xstats``."""
    priv: CodelPriv = sch.priv
    state = priv.vars
    wait = state.drop_next - codel_time(sch)
    return {
        "maxpacket": priv.stats.maxpacket,
        "count": state.count,
        "lastcount": state.lastcount,
        "ldelay": codel_time_to_us(state.ldelay),
        "drop_next": (codel_time_to_us(wait) if wait >= 0 else -codel_time_to_us(-wait)) if state.dropping else 0,
        "drop_overlimit": priv.drop_overlimit,
        "ecn_mark": priv.stats.ecn_mark,
        "dropping": int(state.dropping),
        "ce_mark": priv.stats.ce_mark,
    }


codel_ops = QdiscOps(
    "codel",
    codel_enqueue,
    codel_qdisc_dequeue,
    qdisc_peek_dequeued,
    codel_init,
    codel_reset,
    change=codel_change,
    dump=codel_dump,
    dump_stats=codel_dump_stats,
    policy=POLICY,
)
