"""Token bucket filter: a rate, and how much may go at once (Linux: net/sched/sch_tbf.c, tc-tbf(8))."""

from collections.abc import Iterator
from errno import EINVAL
from typing import Any

from ..core.dev_validate import netif_skb_features
from ..core.netdevice import NET_XMIT_DROP, NET_XMIT_SUCCESS, NETIF_F_GSO_MASK
from ..core.skbuff import SkBuff, consume_skb
from ..core.skbuff_segment import skb_gso_segment, skb_gso_validate_mac_len
from .pkt_sched import TC_H_MAKE, Options, TcStruct, psched_ns2ticks, psched_ticks2ns
from .qdisc import Qdisc, QdiscClassOps, QdiscOps
from .qdisc_queue import qdisc_count_out, qdisc_dequeue_peeked, qdisc_drop, qdisc_enqueue, qdisc_peek_dequeued
from .sch_api_tree import qdisc_hash_add, qdisc_tree_reduce_backlog
from .sch_fifo import bfifo_ops, fifo_create_dflt, fifo_set_limit
from .sch_generic import noop_qdisc_ops, qdisc_purge_queue, qdisc_put, qdisc_reset
from .sch_watchdog import QdiscWatchdog, qdisc_watchdog_cancel, qdisc_watchdog_schedule_range_ns

__all__ = ["PschedRatecfg", "TbfPriv", "tbf_ops"]

_RATESPEC = ("cell_log", "u8"), ("linklayer", "u8"), ("overhead", "u16"), ("cell_align", "s16"), ("mpu", "u16")
TC_TBF_QOPT = TcStruct(
    "tc_tbf_qopt",
    (
        *((f"rate_{name}", encoding) for name, encoding in _RATESPEC),
        ("rate", "u32"),
        *((f"peakrate_{name}", encoding) for name, encoding in _RATESPEC),
        ("peakrate", "u32"),
        ("limit", "u32"),
        ("buffer", "u32"),
        ("mtu", "u32"),
    ),
)
_LINKLAYER_ETHERNET, _LINKLAYER_ATM = 1, 2
_NSEC_PER_SEC = 1_000_000_000
_U32 = 0xFFFFFFFF


class PschedRatecfg:
    """A rate in octets a second, and what each packet takes more than its length."""

    __slots__ = ("linklayer", "overhead", "rate")

    def __init__(self, rate: int, overhead: int = 0, linklayer: int = _LINKLAYER_ETHERNET) -> None:
        self.rate = rate
        self.overhead = overhead
        self.linklayer = linklayer

    def l2t_ns(self, length: int) -> int:
        """Return how long so many octets take."""
        length += self.overhead
        if self.linklayer == _LINKLAYER_ATM:
            length = -(-length // 48) * 53
        return length * _NSEC_PER_SEC // self.rate

    def t2l(self, ns: int) -> int:
        """Return how many octets go in that time."""
        length = ns * self.rate // _NSEC_PER_SEC
        if self.linklayer == _LINKLAYER_ATM:
            length = length // 53 * 48
        return min(max(length - self.overhead, 0), _U32)


class TbfPriv:
    """The bucket: tokens are the time, in ns, that the link may be busy at the rate.

    Members
    -------
    rate, peak : PschedRatecfg, PschedRatecfg or None
        The rate, and that at which a burst goes.
    buffer_ns, mtu_ns : int
        How long the burst takes at the rate, and the peak's at the peak: the most tokens of either.
    max_size : int
        Longest packet, in octets, that ever has tokens enough.
    tokens_ns, ptokens_ns, checkpoint_ns : int
        Tokens of either, and when they were counted.
    qdisc : Qdisc
        What holds the packets.
    """

    __slots__ = (
        "buffer_ns",
        "checkpoint_ns",
        "max_size",
        "mtu_ns",
        "peak",
        "ptokens_ns",
        "qdisc",
        "rate",
        "tokens_ns",
        "watchdog",
    )

    def __init__(self, sch: Qdisc) -> None:
        self.rate: PschedRatecfg
        self.peak: PschedRatecfg | None = None
        self.buffer_ns = self.mtu_ns = self.max_size = 0
        self.tokens_ns = self.ptokens_ns = self.checkpoint_ns = 0
        self.qdisc: Qdisc
        self.watchdog = QdiscWatchdog(sch)


def _ratecfg(options: Options, name: str, rate: int) -> PschedRatecfg:
    linklayer = options.get(f"{name}_linklayer", 0) or _LINKLAYER_ETHERNET
    return PschedRatecfg(rate, options.get(f"{name}_overhead", 0), linklayer)


def _bucket(rate: PschedRatecfg, octets: int, ticks: int) -> tuple[int, int]:
    """Return a bucket's depth in ns and in octets; it was given as either."""
    if octets:
        return rate.l2t_ns(octets), octets
    ns = psched_ticks2ns(ticks)
    return ns, rate.t2l(ns)


def tbf_change(sch: Qdisc, options: Options) -> None:
    """Set rate, burst and limit, and fill the bucket."""
    get = options.get
    limit = get("limit", 0)
    rate_octets = get("rate64") or get("rate") or get("rate_bps", 0) // 8
    if not rate_octets or not limit or not (get("burst") or get("buffer")):
        raise OSError(EINVAL, "tbf needs rate_bps, burst and limit")
    rate = _ratecfg(options, "rate", rate_octets)
    buffer_ns, max_size = _bucket(rate, get("burst", 0), get("buffer", 0))
    peak_octets = get("prate64") or get("peakrate") or get("peakrate_bps", 0) // 8
    peak, mtu_ns = None, 0
    if peak_octets:
        peak = _ratecfg(options, "peakrate", peak_octets)
        if peak_octets <= rate_octets:
            raise OSError(EINVAL, f"peakrate {peak_octets} is lower than or equals to rate {rate_octets}")
        mtu_ns, peak_size = _bucket(peak, get("pburst", 0), get("mtu", 0))
        max_size = min(max_size, peak_size)
    if not max_size:
        raise OSError(EINVAL, "no packet is short enough for that burst")
    priv: TbfPriv | None = sch.priv
    if priv is None:
        priv = sch.priv = TbfPriv(sch)
        priv.qdisc = fifo_create_dflt(sch, bfifo_ops, limit)
        qdisc_hash_add(priv.qdisc, True)
    else:
        fifo_set_limit(priv.qdisc, limit)
    sch.limit = limit
    priv.rate, priv.buffer_ns, priv.max_size = rate, buffer_ns, max_size
    priv.peak, priv.mtu_ns = peak, mtu_ns
    _fill(sch)


def _fill(sch: Qdisc) -> None:
    priv: TbfPriv = sch.priv
    priv.tokens_ns, priv.ptokens_ns = priv.buffer_ns, priv.mtu_ns
    priv.checkpoint_ns = sch.dev_queue.dev.kernel.now_ns()


def tbf_segment(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Cut a packet that stands for many, which are not too long by themselves, and queue those for which is room."""
    priv: TbfPriv = sch.priv
    length, queued, octets = skb.len, 0, 0
    try:
        seg: SkBuff | None = skb_gso_segment(skb, netif_skb_features(skb, sch.dev_queue.dev) & ~NETIF_F_GSO_MASK)
    except OSError:
        return qdisc_drop(skb, sch, to_free)
    while seg is not None:
        following, seg.next = seg.next, None
        seg_len = seg.len
        if qdisc_enqueue(seg, priv.qdisc, sch, to_free) == NET_XMIT_SUCCESS:
            queued += 1
            octets += seg_len
        seg = following
    if queued:
        qdisc_tree_reduce_backlog(sch, 1 - queued, length - octets)  # For its parents it is one still.
    consume_skb(skb)
    return NET_XMIT_SUCCESS if queued else NET_XMIT_DROP


def tbf_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet, unless it is longer than the bucket is deep or there is no room."""
    priv: TbfPriv = sch.priv
    if skb.len > priv.max_size:
        if skb.gso_size and skb_gso_validate_mac_len(skb, priv.max_size):
            return tbf_segment(skb, sch, to_free)
        return qdisc_drop(skb, sch, to_free)
    return qdisc_enqueue(skb, priv.qdisc, sch, to_free)


def tbf_dequeue(sch: Qdisc) -> SkBuff | None:
    """Take the oldest packet if there are tokens for it; else come back when there are."""
    priv: TbfPriv = sch.priv
    child = priv.qdisc
    skb = child.ops.peek(child)
    if skb is None:
        return None
    now_ns = sch.dev_queue.dev.kernel.now_ns()
    new_ns = now_ns - priv.checkpoint_ns
    tokens_ns = min(priv.tokens_ns + new_ns, priv.buffer_ns) - priv.rate.l2t_ns(skb.len)
    ptokens_ns = 0
    if priv.peak is not None:
        ptokens_ns = min(priv.ptokens_ns + new_ns, priv.mtu_ns) - priv.peak.l2t_ns(skb.len)
    least_ns = min(tokens_ns, ptokens_ns)
    if least_ns < 0:
        qdisc_watchdog_schedule_range_ns(priv.watchdog, now_ns - least_ns)
        sch.overlimits += 1
        return None
    skb = qdisc_dequeue_peeked(child)
    if skb is None:
        return None
    priv.checkpoint_ns = now_ns
    priv.tokens_ns, priv.ptokens_ns = tokens_ns, ptokens_ns
    return qdisc_count_out(skb, sch)


def tbf_reset(sch: Qdisc) -> None:
    """Drop what waits and fill the bucket."""
    priv: TbfPriv = sch.priv
    qdisc_reset(priv.qdisc)
    _fill(sch)
    qdisc_watchdog_cancel(priv.watchdog)


def tbf_destroy(sch: Qdisc) -> None:
    """End the child, too."""
    qdisc_watchdog_cancel(sch.priv.watchdog)
    qdisc_put(sch.priv.qdisc)


def tbf_dump(sch: Qdisc) -> dict[str, Any]:
    """Return rates, depths and limit; the depths in ticks, of which Linux shows the low 32 bits."""
    priv: TbfPriv = sch.priv
    options: dict[str, Any] = {
        "limit": sch.limit,
        "rate": min(priv.rate.rate, _U32),
        "rate_overhead": priv.rate.overhead,
        "rate_linklayer": priv.rate.linklayer,
        "buffer": psched_ns2ticks(priv.buffer_ns) & _U32,
        "mtu": psched_ns2ticks(priv.mtu_ns) & _U32,
    }
    if priv.rate.rate > _U32:
        options["rate64"] = priv.rate.rate
    if priv.peak is not None:
        options["peakrate"] = min(priv.peak.rate, _U32)
        options["peakrate_overhead"] = priv.peak.overhead
        options["peakrate_linklayer"] = priv.peak.linklayer
        if priv.peak.rate > _U32:
            options["prate64"] = priv.peak.rate
    return options


def tbf_graft(sch: Qdisc, cl: int, new: Qdisc | None) -> Qdisc:
    """Put another child in place; by default one that drops everything."""
    priv: TbfPriv = sch.priv
    new = new or Qdisc(sch.dev_queue, noop_qdisc_ops, TC_H_MAKE(sch.handle, 1))
    old, priv.qdisc = priv.qdisc, new
    qdisc_purge_queue(old)
    return old


def tbf_leaf(sch: Qdisc, cl: int) -> Qdisc:
    """Return the child."""
    child: Qdisc = sch.priv.qdisc
    return child


def tbf_find(sch: Qdisc, classid: int) -> int:
    """Return the only class, whatever its name."""
    return 1


def tbf_walk(sch: Qdisc) -> Iterator[int]:
    """Yield it."""
    yield 1


tbf_ops = QdiscOps(
    "tbf",
    tbf_enqueue,
    tbf_dequeue,
    qdisc_peek_dequeued,
    tbf_change,
    tbf_reset,
    tbf_destroy,
    tbf_change,
    tbf_dump,
    cl_ops=QdiscClassOps(tbf_find, tbf_walk, tbf_leaf, tbf_graft),
    policy={1: TC_TBF_QOPT, 4: ("rate64", "u64"), 5: ("prate64", "u64"), 6: ("burst", "u32"), 7: ("pburst", "u32")},
    words=(("rate_bps", "u64"), ("peakrate_bps", "u64")),
)
