"""Stochastic fairness: flows take turns (Linux: net/sched/sch_sfq.c, tc-sfq(8)); without its RED mode."""

from collections import deque
from collections.abc import Iterator
from errno import EINVAL, EOPNOTSUPP
from functools import partial
from typing import Any

from ..core.drop_reasons import SkbDropReason
from ..core.flow_dissector import skb_get_hash
from ..core.netdevice import NET_XMIT_CN, NET_XMIT_SUCCESS
from ..core.skbuff import SkBuff, kfree_skb_reason
from ..core.timer import HZ, TimerList, del_timer, jiffies, mod_timer
from .cls_api import TcfBlock, TcfResult, tcf_block_put, tcf_classify
from .pkt_sched import TC_H_MAJ, TC_H_MIN, Options, TcStruct
from .qdisc import NET_XMIT_BYPASS, Qdisc, QdiscClassOps, QdiscOps
from .qdisc_queue import qdisc_count_out, qdisc_drop, qdisc_peek_dequeued
from .sch_api_tree import qdisc_tree_reduce_backlog

__all__ = ["SfqPriv", "SfqSlot", "sfq_ops"]

_MAX_DEPTH = 127
_MAX_FLOWS = 0x10000 - _MAX_DEPTH - 1
_MIN_QUANTUM = 256

TC_SFQ_QOPT = TcStruct(
    "tc_sfq_qopt",
    (("quantum", "u32"), ("perturb_period", "s32"), ("limit", "u32"), ("divisor", "u32"), ("flows", "u32")),
)
_RED = (
    *((name, "u32") for name in ("red_limit", "qth_min", "qth_max")),
    *((name, "u8") for name in ("Wlog", "Plog", "Scell_log", "flags")),
    ("max_P", "u32"),
)
_RED_STATS = ("prob_drop", "forced_drop", "prob_mark", "forced_mark", "prob_mark_head", "forced_mark_head")
TC_SFQ_QOPT_V1 = TcStruct(
    "tc_sfq_qopt_v1",
    (*TC_SFQ_QOPT.fields, ("depth", "u32"), ("headdrop", "u32"), *_RED, *((name, "u32") for name in _RED_STATS)),
)


class SfqSlot:
    """One flow that has packets; ``allot`` is what it may send in this turn."""

    __slots__ = ("allot", "backlog", "hash", "queue")

    def __init__(self, hash: int, allot: int) -> None:
        self.hash = hash
        self.allot = allot
        self.queue: deque[SkBuff] = deque()
        self.backlog = 0


class SfqPriv:
    """Flows by hash, their order, and by their numbers of packets.

    Members
    -------
    flows : deque[SfqSlot]
        The first one's turn is next.
    depths : list[dict[SfqSlot, None]]
        Flows by how many packets they have, those that came to it last at the end.
    """

    __slots__ = (
        "block",
        "depths",
        "divisor",
        "flows",
        "headdrop",
        "maxdepth",
        "maxflows",
        "perturb_period",
        "perturb_timer",
        "perturbation",
        "quantum",
        "slots",
    )

    def __init__(self, sch: Qdisc) -> None:
        dev = sch.dev_queue.dev
        self.block = TcfBlock(sch)
        self.slots: dict[int, SfqSlot] = {}
        self.flows: deque[SfqSlot] = deque()
        self.depths: list[dict[SfqSlot, None]] = [{} for _ in range(_MAX_DEPTH + 1)]
        self.maxdepth = _MAX_DEPTH
        self.maxflows = 128
        self.divisor = 1024
        self.headdrop = 0
        self.quantum = dev.mtu + dev.hard_header_len
        self.perturb_period = 0
        self.perturbation = dev.kernel.platform.random_u32()
        self.perturb_timer = TimerList(dev.kernel, partial(sfq_perturbation, sch))


def sfq_init(sch: Qdisc, options: Options) -> None:
    """Set the options, which cannot be changed later."""
    priv = sch.priv = SfqPriv(sch)
    if any(options.get(name) for name, _ in _RED):
        raise OSError(EOPNOTSUPP, "sfq has no RED here")
    divisor = options.get("divisor", 0)
    if divisor & (divisor - 1) or divisor > 65_536:
        raise OSError(EINVAL, f"divisor must be a power of 2 up to 65536, not {divisor}")
    if options.get("quantum", 0) >= 1 << 31:
        raise OSError(EINVAL, f"quantum must be below 2**31, not {options['quantum']}")
    priv.quantum = max(options.get("quantum") or priv.quantum, _MIN_QUANTUM)
    priv.perturb_period = options.get("perturb_period", 0)
    priv.maxflows = min(options.get("flows") or priv.maxflows, _MAX_FLOWS)
    if divisor:
        priv.divisor = divisor
        priv.maxflows = min(priv.maxflows, divisor)
    priv.maxdepth = min(options.get("depth") or priv.maxdepth, _MAX_DEPTH)
    priv.headdrop = options.get("headdrop", 0)
    sch.limit = _MAX_DEPTH
    if options.get("limit"):
        sch.limit = min(options["limit"], priv.maxdepth * priv.maxflows)
        priv.maxflows = min(priv.maxflows, sch.limit)
    sch.can_bypass = sch.limit >= 1
    if priv.perturb_period > 0:
        mod_timer(priv.perturb_timer, jiffies(sch.dev_queue.dev.kernel) + priv.perturb_period * HZ)


def sfq_hash(skb: SkBuff, priv: SfqPriv) -> int:
    """Return the number of a packet's flow, until the next perturbation."""
    return hash((skb_get_hash(skb), priv.perturbation)) & (priv.divisor - 1)


def sfq_classify(skb: SkBuff, sch: Qdisc) -> int:
    """Return the number of a packet's flow from 1 up; 0 if the filters know of none."""
    priv: SfqPriv = sch.priv
    if TC_H_MAJ(skb.priority) == sch.handle and 0 < TC_H_MIN(skb.priority) <= priv.divisor:
        return TC_H_MIN(skb.priority)
    if not priv.block.chain:
        return sfq_hash(skb, priv) + 1
    result = TcfResult()
    if tcf_classify(skb, priv.block, result) >= 0 and TC_H_MIN(result.classid) <= priv.divisor:
        return TC_H_MIN(result.classid)
    return 0


def _slot_of(priv: SfqPriv, hash: int) -> SfqSlot | None:
    """Return the slot of a flow, a new one if there is room."""
    slot = priv.slots.get(hash)
    if slot is None and len(priv.slots) < priv.maxflows:
        slot = priv.slots[hash] = SfqSlot(hash, priv.quantum)
        priv.flows.append(slot)  # Behind the others: new flows that come all the time must not starve them.
        priv.depths[0][slot] = None
    return slot


def _add(priv: SfqPriv, slot: SfqSlot, skb: SkBuff) -> None:
    del priv.depths[len(slot.queue)][slot]
    slot.queue.append(skb)
    slot.backlog += skb.len
    priv.depths[len(slot.queue)][slot] = None


def _remove(priv: SfqPriv, slot: SfqSlot, *, newest: bool = False) -> SkBuff:
    """Take a packet out of a slot; without packets it is no flow any more."""
    del priv.depths[len(slot.queue)][slot]
    skb = slot.queue.pop() if newest else slot.queue.popleft()
    slot.backlog -= skb.len
    if slot.queue:
        priv.depths[len(slot.queue)][slot] = None
    else:
        del priv.slots[slot.hash]
        priv.flows.remove(slot)
    return skb


def sfq_drop(sch: Qdisc, to_free: list[SkBuff]) -> tuple[SfqSlot, int]:
    """Drop a packet of the flow that has most; return the flow, and the packet's length."""
    priv: SfqPriv = sch.priv
    longest = next(depth for depth in reversed(priv.depths) if depth)
    slot = next(reversed(longest)) if len(next(iter(longest)).queue) > 1 else priv.flows[0]
    skb = _remove(priv, slot, newest=not priv.headdrop)
    sch.qlen -= 1
    sch.backlog_octets -= skb.len
    qdisc_drop(skb, sch, to_free)
    return slot, skb.len


def sfq_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet in its flow, and drop one of the longest flow if there are too many then."""
    priv: SfqPriv = sch.priv
    hash = sfq_classify(skb, sch)
    if not hash:
        qdisc_drop(skb, sch, to_free)
        return NET_XMIT_SUCCESS | NET_XMIT_BYPASS
    slot = _slot_of(priv, hash - 1)
    if slot is None:
        return qdisc_drop(skb, sch, to_free)
    length = skb.len
    if len(slot.queue) >= priv.maxdepth:
        if not priv.headdrop:
            return qdisc_drop(skb, sch, to_free)
        oldest = slot.queue.popleft()
        slot.queue.append(skb)
        slot.backlog += length - oldest.len
        sch.backlog_octets += length - oldest.len
        qdisc_drop(oldest, sch, to_free)
        qdisc_tree_reduce_backlog(sch, 0, oldest.len - length)
        return NET_XMIT_CN
    _add(priv, slot, skb)
    sch.qlen += 1
    sch.backlog_octets += length
    if sch.qlen <= sch.limit:
        return NET_XMIT_SUCCESS
    victim, dropped = sfq_drop(sch, to_free)
    if victim is slot:
        qdisc_tree_reduce_backlog(sch, 0, dropped - length)
        return NET_XMIT_CN
    qdisc_tree_reduce_backlog(sch, 1, dropped)
    return NET_XMIT_SUCCESS


def sfq_dequeue(sch: Qdisc) -> SkBuff | None:
    """Take a packet of the flow whose turn it is."""
    priv: SfqPriv = sch.priv
    if not priv.flows:
        return None
    while (slot := priv.flows[0]).allot <= 0:
        slot.allot += priv.quantum
        priv.flows.rotate(-1)
    skb = _remove(priv, slot)
    slot.allot -= skb.len
    return qdisc_count_out(skb, sch)


def sfq_perturbation(sch: Qdisc) -> None:
    """Spread the flows anew, so that those that share a number do not for long."""
    priv: SfqPriv = sch.priv
    kernel = sch.dev_queue.dev.kernel
    priv.perturbation = kernel.platform.random_u32()
    if not priv.block.chain and priv.flows:
        sfq_rehash(sch)
    mod_timer(priv.perturb_timer, jiffies(kernel) + priv.perturb_period * HZ)


def sfq_rehash(sch: Qdisc) -> None:
    """Put each packet in the flow that it has now; those for which there is no room there are dropped."""
    priv: SfqPriv = sch.priv
    packets = [skb for slot in priv.flows for skb in slot.queue]
    _clear(priv)
    dropped = octets = 0
    for skb in packets:
        slot = _slot_of(priv, sfq_hash(skb, priv))
        if slot is None or len(slot.queue) >= priv.maxdepth:
            sch.qlen -= 1
            sch.backlog_octets -= skb.len
            sch.drops += 1
            dropped += 1
            octets += skb.len
            kfree_skb_reason(skb, SkbDropReason.QDISC_DROP)
        else:
            _add(priv, slot, skb)
    qdisc_tree_reduce_backlog(sch, dropped, octets)


def _clear(priv: SfqPriv) -> None:
    priv.slots.clear()
    priv.flows.clear()
    for depth in priv.depths:
        depth.clear()


def sfq_reset(sch: Qdisc) -> None:
    """Drop what the flows hold."""
    priv: SfqPriv = sch.priv
    for slot in priv.flows:
        for skb in slot.queue:
            kfree_skb_reason(skb, SkbDropReason.QDISC_DROP)
    _clear(priv)


def sfq_destroy(sch: Qdisc) -> None:
    """Stop the timer and end the filters."""
    del_timer(sch.priv.perturb_timer)
    tcf_block_put(sch.priv.block)


def sfq_dump(sch: Qdisc) -> dict[str, Any]:
    """Return the options."""
    priv: SfqPriv = sch.priv
    return {
        "quantum": priv.quantum,
        "perturb_period": priv.perturb_period,
        "limit": sch.limit,
        "divisor": priv.divisor,
        "flows": priv.maxflows,
        "depth": priv.maxdepth,
        "headdrop": priv.headdrop,
    }


def sfq_find(sch: Qdisc, classid: int) -> int:
    """Return 0: the flows are no classes that one can name."""
    return 0


def sfq_leaf(sch: Qdisc, cl: int) -> None:
    """Return None: flows have no qdiscs."""


def sfq_walk(sch: Qdisc) -> Iterator[int]:
    """Yield the numbers of flows that have packets, from 1 up."""
    yield from sorted(hash + 1 for hash in sch.priv.slots)


def sfq_tcf_block(sch: Qdisc, cl: int) -> TcfBlock | None:
    """Return the filters."""
    block: TcfBlock = sch.priv.block
    return None if cl else block


def sfq_dump_class_stats(sch: Qdisc, cl: int) -> dict[str, int]:
    """Return the statistics of a flow."""
    slot: SfqSlot = sch.priv.slots[cl - 1]
    return {"allot": slot.allot, "backlog": slot.backlog, "qlen": len(slot.queue)}


sfq_ops = QdiscOps(
    "sfq",
    sfq_enqueue,
    sfq_dequeue,
    qdisc_peek_dequeued,
    sfq_init,
    sfq_reset,
    sfq_destroy,
    dump=sfq_dump,
    cl_ops=QdiscClassOps(
        sfq_find, sfq_walk, sfq_leaf, tcf_block=sfq_tcf_block, bind_tcf=sfq_find, dump_stats=sfq_dump_class_stats
    ),
    qopt=TC_SFQ_QOPT_V1,
)
