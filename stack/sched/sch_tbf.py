"""Token bucket filter: a rate, and how much may go at once (Linux: net/sched/sch_tbf.c)."""

from errno import EINVAL

from ..core.netdevice import NET_XMIT_SUCCESS
from ..core.skbuff import SkBuff
from .sch_fifo import bfifo_ops
from .sch_generic import Qdisc, QdiscOps, qdisc_create, qdisc_drop, qdisc_reset
from .sch_watchdog import QdiscWatchdog, qdisc_watchdog_cancel, qdisc_watchdog_schedule_range_ns

__all__ = ["TbfPriv", "tbf_ops"]


class TbfPriv:
    """The bucket: tokens are the time, in ns, that the link may be busy at the rate.

    Members
    -------
    rate_bps : int
        Rate in bits a second.
    buffer_ns : int
        How long the burst takes at the rate: the most tokens.
    max_size : int
        Longest packet, in octets, that ever has tokens enough.
    tokens_ns, checkpoint_ns : int
        Tokens, and when they were counted.
    qdisc : Qdisc
        What holds the packets.
    """

    __slots__ = ("buffer_ns", "checkpoint_ns", "max_size", "qdisc", "rate_bps", "tokens_ns", "watchdog")

    def __init__(self, sch: Qdisc, rate_bps: int, burst: int, limit: int) -> None:
        self.rate_bps = rate_bps
        self.buffer_ns = burst * 8 * 1_000_000_000 // rate_bps
        self.max_size = burst
        self.tokens_ns = self.buffer_ns
        self.checkpoint_ns = sch.dev_queue.dev.kernel.now_ns()
        self.qdisc = qdisc_create(sch.dev_queue, bfifo_ops, limit=limit)
        self.watchdog = QdiscWatchdog(sch)


def tbf_init(sch: Qdisc, rate_bps: int = 0, burst: int = 0, limit: int = 0) -> None:
    """Set rate in bits a second, burst and limit in octets; all three are needed."""
    if rate_bps <= 0 or burst <= 0 or limit <= 0:
        raise OSError(EINVAL, "tbf needs rate_bps, burst and limit")
    sch.priv = TbfPriv(sch, rate_bps, burst, limit)


def tbf_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet, unless it is longer than the bucket is deep or there is no room."""
    priv: TbfPriv = sch.priv
    if skb.len > priv.max_size:
        return qdisc_drop(skb, sch, to_free)
    enqueue = priv.qdisc.enqueue
    assert enqueue is not None
    code = enqueue(skb, priv.qdisc, to_free)
    if code != NET_XMIT_SUCCESS:
        sch.drops += 1
        return code
    sch.qlen += 1
    sch.backlog_octets += skb.len
    return NET_XMIT_SUCCESS


def tbf_dequeue(sch: Qdisc) -> SkBuff | None:
    """Take the oldest packet if there are tokens for it; else come back when there are."""
    priv: TbfPriv = sch.priv
    peek = priv.qdisc.ops.peek
    assert peek is not None
    skb = peek(priv.qdisc)
    if skb is None:
        return None
    now_ns = sch.dev_queue.dev.kernel.now_ns()
    tokens_ns = min(priv.tokens_ns + now_ns - priv.checkpoint_ns, priv.buffer_ns)
    tokens_ns -= skb.len * 8 * 1_000_000_000 // priv.rate_bps
    if tokens_ns < 0:
        qdisc_watchdog_schedule_range_ns(priv.watchdog, now_ns - tokens_ns)
        sch.overlimits += 1
        return None
    skb = priv.qdisc.dequeue(priv.qdisc)
    assert skb is not None
    priv.checkpoint_ns = now_ns
    priv.tokens_ns = tokens_ns
    sch.qlen -= 1
    sch.backlog_octets -= skb.len
    sch.packets += 1
    sch.octets += skb.len
    return skb


def tbf_peek(sch: Qdisc) -> SkBuff | None:
    """Return the oldest packet, whether there are tokens for it or not."""
    priv: TbfPriv = sch.priv
    peek = priv.qdisc.ops.peek
    return None if peek is None else peek(priv.qdisc)


def tbf_reset(sch: Qdisc) -> None:
    """Drop what waits and fill the bucket."""
    priv: TbfPriv = sch.priv
    qdisc_reset(priv.qdisc)
    qdisc_watchdog_cancel(priv.watchdog)
    priv.tokens_ns = priv.buffer_ns
    priv.checkpoint_ns = sch.dev_queue.dev.kernel.now_ns()


tbf_ops = QdiscOps("tbf", tbf_enqueue, tbf_dequeue, tbf_peek, tbf_init, tbf_reset)
