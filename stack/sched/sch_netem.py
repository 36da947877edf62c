"""A network's faults: delay, loss, duplicates, reordering, corruption (Linux: net/sched/sch_netem.c, tc-netem(8))."""

from bisect import insort
from collections import deque
from collections.abc import Iterator
from errno import EINVAL
from random import Random
from typing import Any

from ..core.dev_validate import skb_checksum_help
from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import NET_XMIT_DROP, NET_XMIT_SUCCESS
from ..core.skbuff import CHECKSUM_PARTIAL, SkBuff, kfree_skb_reason, skb_headlen
from ..core.skbuff_data import pskb_expand_head, skb_clone, skb_cloned
from ..core.sock import skb_orphan_partial
from .inet_ecn import INET_ECN_set_ce
from .netem_random import Crndstate, LossGe, LossStates, get_crandom, tabledist
from .pkt_sched import TC_H_ROOT, Options, TcStruct, psched_ns2ticks, psched_ticks2ns
from .qdisc import NET_XMIT_BYPASS, Qdisc, QdiscClassOps, QdiscOps, net_xmit_drop_count
from .qdisc_queue import qdisc_count_out, qdisc_dequeue_peeked, qdisc_drop, qdisc_peek_dequeued
from .sch_api_tree import qdisc_tree_reduce_backlog
from .sch_generic import qdisc_purge_queue, qdisc_put, qdisc_reset
from .sch_watchdog import QdiscWatchdog, qdisc_watchdog_cancel, qdisc_watchdog_schedule_range_ns

__all__ = ["NetemPriv", "netem_ops"]

_U32 = 0xFFFFFFFF
_NSEC_PER_SEC = 1_000_000_000
_DEFAULT_LIMIT = 1000
_UNLIMITED = (1 << 31) - 1

TC_NETEM_QOPT = TcStruct(
    "tc_netem_qopt", tuple((name, "u32") for name in ("latency", "limit", "loss", "gap", "duplicate", "jitter"))
)
_TIMES = ("delay_corr", "loss_corr", "dup_corr")
POLICY: dict[int, Any] = {
    1: TcStruct("tc_netem_corr", tuple((name, "u32") for name in _TIMES)),
    2: ("delay_dist", "s16[]"),
    3: TcStruct("tc_netem_reorder", (("reorder", "u32"), ("reorder_corr", "u32"))),
    4: TcStruct("tc_netem_corrupt", (("corrupt", "u32"), ("corrupt_corr", "u32"))),
    5: {  # TCA_NETEM_LOSS: one of the two.
        1: TcStruct("tc_netem_gimodel", tuple((name, "u32") for name in ("p13", "p31", "p32", "p14", "p23"))),
        2: TcStruct("tc_netem_gemodel", tuple((name, "u32") for name in ("p", "r", "h", "k1"))),
    },
    6: TcStruct(
        "tc_netem_rate",
        (("rate", "u32"), ("packet_overhead", "s32"), ("cell_size", "u32"), ("cell_overhead", "s32")),
    ),
    7: ("ecn", "u32"),
    8: ("rate64", "u64"),
    10: ("latency64", "s64"),
    11: ("jitter64", "s64"),
    12: TcStruct(
        "tc_netem_slot",
        (
            ("min_delay", "s64"),
            ("max_delay", "s64"),
            ("max_packets", "s32"),
            ("max_bytes", "s32"),
            ("dist_delay", "s64"),
            ("dist_jitter", "s64"),
        ),
    ),
    13: ("slot_dist", "s16[]"),
    14: ("prng_seed", "u64"),
}
_GI = ("p13", "p31", "p32", "p14", "p23")
_GE = ("p", "r", "h", "k1")
_SLOT = ("min_delay", "max_delay", "max_packets", "max_bytes", "dist_delay", "dist_jitter")
_PLAIN = ("limit", "loss", "gap", "duplicate", "reorder", "corrupt", "ecn")
_RATE = ("packet_overhead", "cell_size", "cell_overhead")
_CORRELATIONS = (*_TIMES, "reorder_corr", "corrupt_corr")
_KEPT = ("delay_dist", "slot_dist", "prng_seed", "rate64", *_CORRELATIONS, *_RATE, *_SLOT)


class NetemPriv:
    """The network.

    Members
    -------
    options : dict[str, Any]
        As set; times in ns as ``latency64`` and ``jitter64``.
    tfifo : deque[tuple[int, SkBuff]]
        Packets by the time at which they arrive.
    counter : int
        Packets since one overtook.
    qdisc : Qdisc or None
        What they arrive in.
    slot_next, packets_left, bytes_left : int
        When the next slot starts (0: there are none), and what the present one still takes.
    """

    __slots__ = (
        "bytes_left",
        "counter",
        "crnd",
        "latency_ns",
        "loss_model",
        "options",
        "packets_left",
        "qdisc",
        "random",
        "rate",
        "slot_next",
        "tfifo",
        "watchdog",
    )

    def __init__(self, sch: Qdisc, seed: int) -> None:
        self.options: dict[str, Any] = {}
        self.tfifo: deque[tuple[int, SkBuff]] = deque()
        self.counter = 0
        self.qdisc: Qdisc | None = None
        self.watchdog = QdiscWatchdog(sch)
        self.random = Random(seed)
        self.crnd = {name: Crndstate(0, self.random_u32) for name in _CORRELATIONS}
        self.loss_model: LossStates | LossGe | None = None
        self.latency_ns = self.rate = 0
        self.slot_next = self.packets_left = self.bytes_left = 0

    def random_u32(self) -> int:
        """Return a random number of 32 bits."""
        return self.random.getrandbits(32)

    def happens(self, event: str, correlation: str) -> bool:
        """Return whether something of that probability, in 2**32, happens."""
        probability: int = self.options[event]
        return bool(probability) and probability >= get_crandom(self.crnd[correlation], self.random_u32)


def netem_init(sch: Qdisc, options: Options) -> None:
    """Start with an empty network, which has its own random numbers."""
    random_u32 = sch.dev_queue.dev.kernel.platform.random_u32
    seed = options.get("prng_seed") or random_u32() << 32 | random_u32()
    sch.priv = NetemPriv(sch, seed)
    netem_change(sch, {**options, "prng_seed": seed})


def netem_change(sch: Qdisc, options: Options) -> None:
    """Set what happens; what belongs to an attribute that is not there stays as it was, as by Linux."""
    priv: NetemPriv = sch.priv
    get = options.get
    if get("duplicate") or _duplicates_elsewhere(sch):
        _check_alone(sch)
    new: dict[str, Any] = dict.fromkeys(_PLAIN, 0)
    new |= {name: priv.options[name] for name in ("reorder", "corrupt", "ecn") if name in priv.options}
    new["limit"] = _DEFAULT_LIMIT
    if get("gap"):
        new["reorder"] = _U32  # Without a probability each gap ends with one that overtakes.
    new |= {name: options[name] for name in _PLAIN if name in options}
    for name in ("latency", "jitter"):
        new[f"{name}64"] = get(f"{name}64", psched_ticks2ns(get(name, 0)))
    new["jitter64"] = min(abs(new["jitter64"]), _UNLIMITED)
    for name in _KEPT:
        if name in options or name in priv.options:
            new[name] = options[name] if name in options else priv.options[name]
    if "rate" in options or "rate64" in options:
        new["rate64"] = max(get("rate", 0), get("rate64", 0))
    if "rate" in options:
        new |= {name: get(name, 0) for name in _RATE}
    for model in (_GI, _GE):
        if any(name in options for name in model):
            new |= {name: get(name, 0) for name in model}
    if any(name in new and new[name] is not None and len(new[name]) == 0 for name in ("delay_dist", "slot_dist")):
        raise OSError(EINVAL, "a distribution needs a table")
    priv.options = new
    sch.limit = new["limit"]
    priv.counter = 0
    priv.latency_ns, priv.rate = new["latency64"], new.get("rate64", 0)
    if "prng_seed" in options:
        priv.random.seed(options["prng_seed"])
    for name, state in priv.crnd.items():
        if name in options:
            state.rho, state.last = options[name], priv.random_u32()
    priv.loss_model = None
    if _GI[0] in new:
        priv.loss_model = LossStates(*(new[name] for name in _GI))
    elif _GE[0] in new:
        priv.loss_model = LossGe(*(new[name] for name in _GE))
    if any(name in options for name in _SLOT):
        _start_slots(sch)


def _start_slots(sch: Qdisc) -> None:
    priv: NetemPriv = sch.priv
    get = priv.options.get
    priv.packets_left = get("max_packets", 0) or _UNLIMITED
    priv.bytes_left = get("max_bytes", 0) or _UNLIMITED
    timed = any(get(name) for name in ("min_delay", "max_delay", "dist_jitter"))
    priv.slot_next = sch.dev_queue.dev.kernel.now_ns() if timed else 0


def _others(sch: Qdisc) -> list[Qdisc]:
    dev = sch.dev_queue.dev
    root = sch.dev_queue.qdisc_sleeping
    return [other for other in (root, *dev.qdisc_hash) if other is not sch and other.ops is netem_ops]


def _duplicates_elsewhere(sch: Qdisc) -> bool:
    return any(other.priv.options.get("duplicate") for other in _others(sch))


def _check_alone(sch: Qdisc) -> None:
    """Refuse two networks in one tree if one duplicates: a duplicate enters at the root, and meets the other again."""
    if sch.parent != TC_H_ROOT and _others(sch):
        raise OSError(EINVAL, "a netem that duplicates cannot be with others in a tree")


def _loss_event(priv: NetemPriv) -> bool:
    if priv.loss_model is not None:
        return priv.loss_model.is_lost(priv.random_u32)
    return priv.happens("loss", "loss_corr")


def packet_time_ns(length: int, priv: NetemPriv) -> int:
    """Return how long a packet takes at the rate, in cells perhaps."""
    get = priv.options.get
    length += get("packet_overhead", 0)
    cell = get("cell_size", 0)
    if cell:
        length = -(-length // cell) * (cell + get("cell_overhead", 0))
    return length * _NSEC_PER_SEC // priv.rate


def _corrupt(skb: SkBuff, priv: NetemPriv) -> bool:
    """Turn one bit around; return False if there is no memory for a packet of one's own."""
    try:
        if skb.ip_summed == CHECKSUM_PARTIAL:
            skb_checksum_help(skb)
        if skb_cloned(skb):
            pskb_expand_head(skb, 0, 0)
    except OSError:
        return False
    at = skb.data + (priv.random_u32() * skb_headlen(skb) >> 32)
    skb.view[at] ^= 1 << (priv.random_u32() >> 29)
    return True


def netem_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Decide what becomes of a packet, and when it arrives."""
    priv: NetemPriv = sch.priv
    options = priv.options
    count = 1 + priv.happens("duplicate", "dup_corr")
    if _loss_event(priv):
        if options["ecn"] and INET_ECN_set_ce(skb):
            sch.drops += 1  # Linux counts one that is marked instead, too.
        else:
            count -= 1
    if not count:
        qdisc_drop(skb, sch, to_free)
        return NET_XMIT_SUCCESS | NET_XMIT_BYPASS
    if priv.latency_ns or options["jitter64"] or priv.rate:
        skb_orphan_partial(skb)
    second = skb_clone(skb) if count > 1 else None
    if priv.happens("corrupt", "corrupt_corr") and not _corrupt(skb, priv):
        qdisc_drop(skb, sch, to_free)
        if second is not None:
            to_free.append(second)
        return NET_XMIT_DROP
    if len(priv.tfifo) >= sch.limit:
        if second is not None:
            to_free.append(second)
        return qdisc_drop(skb, sch, to_free)
    if second is not None:
        # At the root, because those above have one packet to count for each that they hand down.
        root = sch.dev_queue.qdisc
        duplicate, options["duplicate"] = options["duplicate"], 0
        assert root.enqueue is not None
        root.enqueue(second, root, to_free)
        options["duplicate"] = duplicate
    sch.qlen += 1
    sch.backlog_octets += skb.len
    gap = options["gap"]
    if not gap or priv.counter < gap - 1 or not priv.happens("reorder", "reorder_corr"):
        priv.counter += 1
        _tfifo_enqueue(skb, sch)
    else:
        priv.counter = 0
        sch.q.appendleft(skb)
        sch.requeues += 1
    return NET_XMIT_SUCCESS


def _tfifo_enqueue(skb: SkBuff, sch: Qdisc) -> None:
    priv: NetemPriv = sch.priv
    delay = tabledist(
        priv.latency_ns,
        priv.options["jitter64"],
        priv.crnd["delay_corr"],
        priv.options.get("delay_dist"),
        priv.random_u32,
    )
    now = sch.dev_queue.dev.kernel.now_ns()
    tfifo = priv.tfifo
    if priv.rate:
        if tfifo:
            # It starts when the last one is through, and has had that time for its delay.
            delay = max(delay - (tfifo[-1][0] - now), 0)
            now = tfifo[-1][0]
        delay += packet_time_ns(skb.len, priv)
    entry = (now + delay, skb)
    if not tfifo or tfifo[-1][0] <= entry[0]:
        tfifo.append(entry)
    else:
        insort(tfifo, entry, key=lambda other: other[0])


def get_slot_next(priv: NetemPriv, now: int) -> None:
    """Set when the next slot starts, and what it takes."""
    get = priv.options.get
    if get("slot_dist") is None:
        low, high = get("min_delay", 0), get("max_delay", 0)
        delay = low + (priv.random_u32() * (high - low) >> 32)
    else:
        none = Crndstate(0, priv.random_u32)
        delay = tabledist(get("dist_delay", 0), get("dist_jitter", 0), none, get("slot_dist"), priv.random_u32)
    priv.slot_next = now + delay
    priv.packets_left = get("max_packets", 0) or _UNLIMITED
    priv.bytes_left = get("max_bytes", 0) or _UNLIMITED


def netem_dequeue(sch: Qdisc) -> SkBuff | None:
    """Take a packet that overtakes, or one that has arrived, through the qdisc that it arrives in, if any."""
    priv: NetemPriv = sch.priv
    tfifo, child = priv.tfifo, priv.qdisc
    while True:
        if sch.q:
            return qdisc_count_out(sch.q.popleft(), sch)
        wake = 0
        if tfifo:
            now = sch.dev_queue.dev.kernel.now_ns()
            due = tfifo[0][0]
            if priv.slot_next and priv.slot_next < due:
                get_slot_next(priv, now)
            if due <= now and priv.slot_next <= now:
                _, skb = tfifo.popleft()
                if priv.slot_next:
                    priv.packets_left -= 1
                    priv.bytes_left -= skb.len
                    if priv.packets_left <= 0 or priv.bytes_left <= 0:
                        get_slot_next(priv, now)
                if child is None:
                    return qdisc_count_out(skb, sch)
                _arrive(skb, child, sch)
                continue
            wake = max(due, priv.slot_next)
        arrived = None if child is None else qdisc_dequeue_peeked(child)
        if arrived is not None:
            return qdisc_count_out(arrived, sch)
        if wake:
            qdisc_watchdog_schedule_range_ns(priv.watchdog, wake)
        return None


def _arrive(skb: SkBuff, child: Qdisc, sch: Qdisc) -> None:
    enqueue = child.enqueue
    assert enqueue is not None
    to_free: list[SkBuff] = []
    length = skb.len
    code = enqueue(skb, child, to_free)
    for dropped in to_free:
        kfree_skb_reason(dropped, SkbDropReason.QDISC_DROP)
    if code != NET_XMIT_SUCCESS:
        sch.drops += net_xmit_drop_count(code)
        sch.qlen -= 1
        sch.backlog_octets -= length
        qdisc_tree_reduce_backlog(sch, 1, length)


def netem_reset(sch: Qdisc) -> None:
    """Drop what is on its way."""
    priv: NetemPriv = sch.priv
    while priv.tfifo:
        kfree_skb_reason(priv.tfifo.popleft()[1], SkbDropReason.QDISC_DROP)
    if priv.qdisc is not None:
        qdisc_reset(priv.qdisc)
    qdisc_watchdog_cancel(priv.watchdog)


def netem_destroy(sch: Qdisc) -> None:
    """End the qdisc that packets arrive in, too."""
    qdisc_watchdog_cancel(sch.priv.watchdog)
    if sch.priv.qdisc is not None:
        qdisc_put(sch.priv.qdisc)


def netem_dump(sch: Qdisc) -> dict[str, Any]:
    """Return what was set; times in ns and, as far as they fit, in ticks."""
    options: dict[str, Any] = {**dict.fromkeys(_RATE, 0), **sch.priv.options}
    options["latency"] = min(psched_ns2ticks(max(options["latency64"], 0)), _U32)
    options["jitter"] = psched_ns2ticks(options["jitter64"])
    rate = options.pop("rate64", 0)
    options["rate"] = min(rate, _U32)
    if rate > _U32:
        options["rate64"] = rate
    return options


def netem_graft(sch: Qdisc, cl: int, new: Qdisc | None) -> Qdisc | None:
    """Set what packets arrive in, if in anything."""
    priv: NetemPriv = sch.priv
    old, priv.qdisc = priv.qdisc, new
    if old is not None:
        qdisc_purge_queue(old)
    return old


def netem_leaf(sch: Qdisc, cl: int) -> Qdisc | None:
    """Return it."""
    child: Qdisc | None = sch.priv.qdisc
    return child


def netem_find(sch: Qdisc, classid: int) -> int:
    """Return the only class, whatever its name."""
    return 1


def netem_walk(sch: Qdisc) -> Iterator[int]:
    """Yield it."""
    yield 1


netem_ops = QdiscOps(
    "netem",
    netem_enqueue,
    netem_dequeue,
    qdisc_peek_dequeued,
    netem_init,
    netem_reset,
    netem_destroy,
    netem_change,
    netem_dump,
    cl_ops=QdiscClassOps(netem_find, netem_walk, netem_leaf, netem_graft),
    qopt=TC_NETEM_QOPT,
    policy=POLICY,
)
