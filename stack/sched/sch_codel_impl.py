"""Controlled delay: drop when packets wait too long for too long (RFC 8289; Linux: include/net/codel_impl.h)."""

from collections.abc import Callable
from math import isqrt

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import SkBuff, kfree_skb_reason
from .inet_ecn import INET_ECN_set_ce
from .qdisc import Qdisc

__all__ = [
    "CodelParams",
    "CodelStats",
    "CodelVars",
    "codel_dequeue",
    "codel_time",
    "codel_time_from_us",
    "codel_time_to_us",
]

CODEL_SHIFT = 10  # Time is counted in units of 1,024 ns.
CODEL_DISABLED_THRESHOLD = 0x7FFFFFFF

Packet = tuple[SkBuff, int]  # With the time at which it came.


def codel_time(sch: Qdisc) -> int:
    """Return the time."""
    return sch.dev_queue.dev.kernel.now_ns() >> CODEL_SHIFT


def codel_time_from_us(us: int) -> int:
    """Return a time that was given in microseconds."""
    return us * 1000 >> CODEL_SHIFT


def codel_time_to_us(time: int) -> int:
    """Return a time in microseconds."""
    return (time << CODEL_SHIFT) // 1000


class CodelParams:
    """What a queue may do.

    Members
    -------
    target, interval : int
        Longest time that packets may wait, and for how long they may wait longer.
    ce_threshold : int
        Packets that waited longer are marked, whatever else happens.
    ecn : bool
        Mark packets that can be marked, rather than drop them.
    mtu : int
        A queue of not more octets is never too long.
    """

    __slots__ = ("ce_threshold", "ecn", "interval", "mtu", "target")

    def __init__(self, sch: Qdisc, ecn: bool) -> None:
        dev = sch.dev_queue.dev
        self.target = codel_time_from_us(5_000)
        self.interval = codel_time_from_us(100_000)
        self.ce_threshold = CODEL_DISABLED_THRESHOLD
        self.ecn = ecn
        self.mtu = dev.mtu + dev.hard_header_len


class CodelVars:
    """The state of one queue: RFC 8289 §5.3's, and how long the last packet waited."""

    __slots__ = ("count", "drop_next", "dropping", "first_above_time", "lastcount", "ldelay")

    def __init__(self) -> None:
        self.count = self.lastcount = 0
        self.dropping = False
        self.first_above_time = self.drop_next = self.ldelay = 0


class CodelStats:
    """What all queues of a qdisc counted; drops since they were last told of upwards."""

    __slots__ = ("ce_mark", "drop_count", "drop_len", "ecn_mark", "maxpacket")

    def __init__(self) -> None:
        self.maxpacket = self.drop_count = self.drop_len = self.ecn_mark = self.ce_mark = 0


def control_law(time: int, interval: int, count: int) -> int:
    """Return when to drop next: the more were dropped, the sooner (RFC 8289 §5.3)."""
    return time + isqrt(interval * interval // count)


def codel_should_drop(
    packet: Packet | None, sch: Qdisc, params: CodelParams, state: CodelVars, stats: CodelStats, now: int
) -> bool:
    """Return whether packets have waited too long for a whole interval (``dodequeue`` of RFC 8289 §5.6)."""
    if packet is None:
        state.first_above_time = 0
        return False
    skb, came = packet
    state.ldelay = now - came
    stats.maxpacket = max(stats.maxpacket, skb.len)
    if state.ldelay < params.target or sch.backlog_octets <= params.mtu:
        state.first_above_time = 0
        return False
    if not state.first_above_time:
        state.first_above_time = now + params.interval
        return False
    return now > state.first_above_time


def _mark_or_drop(skb: SkBuff, sch: Qdisc, params: CodelParams, stats: CodelStats) -> bool:
    """Mark a packet, if that may be and makes sense, or drop it; return whether it is still there."""
    if params.ecn and INET_ECN_set_ce(skb):
        stats.ecn_mark += 1
        return True
    stats.drop_count += 1
    stats.drop_len += skb.len
    sch.drops += 1
    kfree_skb_reason(skb, SkbDropReason.QDISC_DROP)
    return False


def codel_dequeue(
    sch: Qdisc,
    params: CodelParams,
    state: CodelVars,
    stats: CodelStats,
    dequeue: Callable[[], Packet | None],
) -> SkBuff | None:
    """Take the next packet of a queue, after dropping (or marking) those that are due (``deque`` of RFC 8289 §5.5).

    Parameters
    ----------
    sch : Qdisc
        Whose queue it is.
    params, state, stats : CodelParams, CodelVars, CodelStats
        Of the queue.
    dequeue : callable
        Takes a packet out of the queue, and out of the qdisc's length and backlog.
    """
    packet = dequeue()
    if packet is None:
        state.dropping = False
        return None
    now = codel_time(sch)
    drop = codel_should_drop(packet, sch, params, state, stats, now)

    if state.dropping:
        if not drop:
            state.dropping = False
        while state.dropping and now >= state.drop_next and packet is not None:
            state.count += 1
            if _mark_or_drop(packet[0], sch, params, stats):
                state.drop_next = control_law(state.drop_next, params.interval, state.count)
                break
            packet = dequeue()
            if codel_should_drop(packet, sch, params, state, stats, now):
                state.drop_next = control_law(state.drop_next, params.interval, state.count)
            else:
                state.dropping = False
    elif drop:
        if not _mark_or_drop(packet[0], sch, params, stats):
            packet = dequeue()
            codel_should_drop(packet, sch, params, state, stats, now)
        state.dropping = True
        # If it was dropping not long ago, it goes on at the pace that it had then.
        delta = state.count - state.lastcount
        state.count = delta if delta > 1 and now - state.drop_next < 16 * params.interval else 1
        state.lastcount = state.count
        state.drop_next = control_law(now, params.interval, state.count)
    if packet is None:
        return None
    skb = packet[0]
    if state.ldelay > params.ce_threshold and INET_ECN_set_ce(skb):
        stats.ce_mark += 1
    return skb
