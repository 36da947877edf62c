"""A queue for each flow, each under CoDel, new flows first (RFC 8290; Linux: net/sched/sch_fq_codel.c)."""

from collections import deque
from collections.abc import Iterator
from errno import EINVAL
from typing import Any

from ..core.drop_reasons import SkbDropReason
from ..core.flow_dissector import skb_get_hash
from ..core.netdevice import NET_XMIT_CN, NET_XMIT_SUCCESS
from ..core.skbuff import SkBuff, kfree_skb_reason
from .cls_api import TcfBlock, TcfResult, tcf_block_put, tcf_classify
from .pkt_sched import TC_H_MAJ, TC_H_MIN, Options
from .qdisc import NET_XMIT_BYPASS, Qdisc, QdiscClassOps, QdiscOps
from .qdisc_queue import qdisc_dequeue_internal, qdisc_drop, qdisc_peek_dequeued
from .sch_api_tree import qdisc_tree_reduce_backlog
from .sch_codel import codel_change_params, codel_dump_params, codel_tell
from .sch_codel_impl import CodelParams, CodelStats, CodelVars, Packet, codel_dequeue, codel_time

__all__ = ["FqCodelFlow", "FqCodelPriv", "fq_codel_ops"]

_DEFAULT_LIMIT = 10_240
_MAX_FLOWS = 65_536
_MIN_QUANTUM, _MAX_QUANTUM = 256, 1 << 20


class FqCodelFlow:
    """Packets of one flow, or of several that share a number.

    Members
    -------
    deficit : int
        Octets that it may send before the next flow's turn.
    backlog : int
        Octets that it holds.
    listed : bool
        It is among the new or the old flows.
    """

    __slots__ = ("backlog", "deficit", "listed", "queue", "vars")

    def __init__(self) -> None:
        self.queue: deque[Packet] = deque()
        self.vars = CodelVars()
        self.deficit = self.backlog = 0
        self.listed = False


class FqCodelPriv:
    """The flows, those that are new or old, and what was counted.

    ``flows`` has those that have had packets; there may be ``flows_cnt``.
    """

    __slots__ = (
        "block",
        "drop_batch",
        "drop_overlimit",
        "drop_overmemory",
        "flows",
        "flows_cnt",
        "memory_limit",
        "memory_usage",
        "new_flow_count",
        "new_flows",
        "old_flows",
        "params",
        "quantum",
        "stats",
    )

    def __init__(self, sch: Qdisc) -> None:
        self.params = CodelParams(sch, ecn=True)
        self.stats = CodelStats()
        self.block = TcfBlock(sch)
        self.flows: dict[int, FqCodelFlow] = {}
        self.new_flows: deque[FqCodelFlow] = deque()
        self.old_flows: deque[FqCodelFlow] = deque()
        self.flows_cnt = 1024
        self.quantum = self.params.mtu
        self.memory_limit = 32 << 20
        self.memory_usage = 0
        self.drop_batch = 64
        self.drop_overlimit = self.drop_overmemory = self.new_flow_count = 0


def fq_codel_init(sch: Qdisc, options: Options) -> None:
    """Start without packets."""
    priv = sch.priv = FqCodelPriv(sch)
    sch.limit = _DEFAULT_LIMIT
    flows = options.get("flows", priv.flows_cnt)
    if not 0 < flows <= _MAX_FLOWS:
        raise OSError(EINVAL, f"flows must be 1..{_MAX_FLOWS}, not {flows}")
    priv.flows_cnt = flows
    fq_codel_change(sch, {name: value for name, value in options.items() if name != "flows"})
    sch.can_bypass = sch.limit >= 1


def fq_codel_change(sch: Qdisc, options: Options) -> None:
    """Set options, but not the number of flows; packets over a smaller limit are dropped."""
    priv: FqCodelPriv = sch.priv
    quantum = max(options.get("quantum", priv.quantum), _MIN_QUANTUM)
    if "flows" in options:
        raise OSError(EINVAL, "the number of flows cannot be changed")
    if quantum > _MAX_QUANTUM:
        raise OSError(EINVAL, f"quantum must be {_MAX_QUANTUM} at most, not {quantum}")
    codel_change_params(priv.params, options)
    priv.quantum = quantum
    sch.limit = options.get("limit", sch.limit)
    priv.drop_batch = max(options.get("drop_batch_size", priv.drop_batch), 1)
    priv.memory_limit = min(options.get("memory_limit", priv.memory_limit), 1 << 31)
    while sch.qlen > sch.limit or priv.memory_usage > priv.memory_limit:
        skb = qdisc_dequeue_internal(sch, fq_codel_dequeue)
        if skb is None:
            break
        # As by Linux, they count as sent here, and as dropped above.
        priv.stats.drop_count += 1
        priv.stats.drop_len += skb.len
        kfree_skb_reason(skb, SkbDropReason.QDISC_DROP)
    qdisc_tree_reduce_backlog(sch, priv.stats.drop_count, priv.stats.drop_len)
    priv.stats.drop_count = priv.stats.drop_len = 0


def _take(sch: Qdisc, flow: FqCodelFlow) -> Packet:
    """Take the oldest packet out of a flow."""
    priv: FqCodelPriv = sch.priv
    packet = flow.queue.popleft()
    skb = packet[0]
    flow.backlog -= skb.len
    priv.memory_usage -= skb.truesize
    sch.qlen -= 1
    sch.backlog_octets -= skb.len
    return packet


def fq_codel_classify(skb: SkBuff, sch: Qdisc) -> int:
    """Return the number of a packet's flow from 1 up; 0 if the filters know of none."""
    priv: FqCodelPriv = sch.priv
    if TC_H_MAJ(skb.priority) == sch.handle and 0 < TC_H_MIN(skb.priority) <= priv.flows_cnt:
        return TC_H_MIN(skb.priority)
    if not priv.block.chain:
        return (skb_get_hash(skb) * priv.flows_cnt >> 32) + 1
    result = TcfResult()
    if tcf_classify(skb, priv.block, result) >= 0 and TC_H_MIN(result.classid) <= priv.flows_cnt:
        return TC_H_MIN(result.classid)
    return 0


def fq_codel_drop(sch: Qdisc, to_free: list[SkBuff]) -> FqCodelFlow:
    """Drop half of the longest flow, from its head, but not more than a batch; return the flow."""
    priv: FqCodelPriv = sch.priv
    # Of flows that are equally long the one with the lowest number, as if all were looked at in order.
    flow = priv.flows[min(priv.flows, key=lambda index: (-priv.flows[index].backlog, index))]
    threshold = flow.backlog >> 1
    dropped = count = 0
    while count < priv.drop_batch and flow.queue:
        skb = _take(sch, flow)[0]
        qdisc_drop(skb, sch, to_free)
        dropped += skb.len
        count += 1
        if dropped >= threshold:
            break
    flow.vars.count += count
    return flow


def fq_codel_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet in its flow; if there are too many then, of packets or of octets of memory, drop some."""
    priv: FqCodelPriv = sch.priv
    index = fq_codel_classify(skb, sch)
    if not index:
        qdisc_drop(skb, sch, to_free)
        return NET_XMIT_SUCCESS | NET_XMIT_BYPASS
    flow = priv.flows.get(index)
    if flow is None:
        flow = priv.flows[index] = FqCodelFlow()
    flow.queue.append((skb, codel_time(sch)))
    flow.backlog += skb.len
    sch.qlen += 1
    sch.backlog_octets += skb.len
    if not flow.listed:
        flow.listed = True
        priv.new_flows.append(flow)
        priv.new_flow_count += 1
        flow.deficit = priv.quantum
    priv.memory_usage += skb.truesize
    memory_limited = priv.memory_usage > priv.memory_limit
    if sch.qlen <= sch.limit and not memory_limited:
        return NET_XMIT_SUCCESS
    length = skb.len
    packets, octets = sch.qlen, sch.backlog_octets
    longest = fq_codel_drop(sch, to_free)
    packets -= sch.qlen
    octets -= sch.backlog_octets
    priv.drop_overlimit += packets
    if memory_limited:
        priv.drop_overmemory += packets
    # Those above have not counted this packet yet, and do not if it is said that one of its flow was dropped.
    if longest is flow:
        qdisc_tree_reduce_backlog(sch, packets - 1, octets - length)
        return NET_XMIT_CN
    qdisc_tree_reduce_backlog(sch, packets, octets)
    return NET_XMIT_SUCCESS


def fq_codel_dequeue(sch: Qdisc) -> SkBuff | None:
    """Take a packet of the flow whose turn it is (RFC 8290 §4.2)."""
    priv: FqCodelPriv = sch.priv
    while True:
        flows = priv.new_flows or priv.old_flows
        if not flows:
            return None
        flow = flows[0]
        if flow.deficit <= 0:
            flow.deficit += priv.quantum
            priv.old_flows.append(flows.popleft())
            continue

        def dequeue(flow: FqCodelFlow = flow) -> Packet | None:
            return _take(sch, flow) if flow.queue else None

        skb = codel_dequeue(sch, priv.params, flow.vars, priv.stats, dequeue)
        if skb is not None:
            break
        flows.popleft()
        # A new flow that is empty waits once behind the old ones; else it could be new for ever, and starve them.
        if flows is priv.new_flows and priv.old_flows:
            priv.old_flows.append(flow)
        else:
            flow.listed = False
    sch.packets += 1
    sch.octets += skb.len
    flow.deficit -= skb.len
    codel_tell(sch, priv.stats)
    return skb


def fq_codel_reset(sch: Qdisc) -> None:
    """Drop what waits, and forget the flows."""
    priv: FqCodelPriv = sch.priv
    for flow in priv.flows.values():
        while flow.queue:
            kfree_skb_reason(flow.queue.popleft()[0], SkbDropReason.QDISC_DROP)
    priv.flows.clear()
    priv.new_flows.clear()
    priv.old_flows.clear()
    priv.memory_usage = 0


def fq_codel_destroy(sch: Qdisc) -> None:
    """End the filters."""
    tcf_block_put(sch.priv.block)


def fq_codel_dump(sch: Qdisc) -> dict[str, Any]:
    """Return the options, times in microseconds."""
    priv: FqCodelPriv = sch.priv
    return {
        **codel_dump_params(priv.params),
        "limit": sch.limit,
        "flows": priv.flows_cnt,
        "quantum": priv.quantum,
        "drop_batch_size": priv.drop_batch,
        "memory_limit": priv.memory_limit,
    }


def fq_codel_dump_stats(sch: Qdisc) -> dict[str, int]:
    """Return the fields of ``struct tc_fq_codel_qd_stats``."""
    priv: FqCodelPriv = sch.priv
    return {
        "maxpacket": priv.stats.maxpacket,
        "drop_overlimit": priv.drop_overlimit,
        "ecn_mark": priv.stats.ecn_mark,
        "new_flow_count": priv.new_flow_count,
        "new_flows_len": len(priv.new_flows),
        "old_flows_len": len(priv.old_flows),
        "ce_mark": priv.stats.ce_mark,
        "memory_usage": priv.memory_usage,
        "drop_overmemory": priv.drop_overmemory,
    }


def fq_codel_find(sch: Qdisc, classid: int) -> int:
    """Return 0: the flows are no classes that one can name."""
    return 0


def fq_codel_leaf(sch: Qdisc, cl: int) -> None:
    """Return None: flows have no qdiscs."""


def fq_codel_walk(sch: Qdisc) -> Iterator[int]:
    """Yield the numbers of flows that have packets or wait for their turn."""
    yield from sorted(index for index, flow in sch.priv.flows.items() if flow.listed)


def fq_codel_tcf_block(sch: Qdisc, cl: int) -> TcfBlock | None:
    """Return the filters."""
    block: TcfBlock = sch.priv.block
    return None if cl else block


def fq_codel_dump_class_stats(sch: Qdisc, cl: int) -> dict[str, int]:
    """Return the statistics of a flow."""
    flow: FqCodelFlow = sch.priv.flows[cl]
    return {"deficit": flow.deficit, "backlog": flow.backlog, "qlen": len(flow.queue), "drops": flow.vars.count}


fq_codel_ops = QdiscOps(
    "fq_codel",
    fq_codel_enqueue,
    fq_codel_dequeue,
    qdisc_peek_dequeued,
    fq_codel_init,
    fq_codel_reset,
    fq_codel_destroy,
    fq_codel_change,
    fq_codel_dump,
    fq_codel_dump_stats,
    cl_ops=QdiscClassOps(
        fq_codel_find,
        fq_codel_walk,
        fq_codel_leaf,
        tcf_block=fq_codel_tcf_block,
        bind_tcf=fq_codel_find,
        dump_stats=fq_codel_dump_class_stats,
    ),
    policy={
        1: ("target", "u32"),
        2: ("limit", "u32"),
        3: ("interval", "u32"),
        4: ("ecn", "u32"),
        5: ("flows", "u32"),
        6: ("quantum", "u32"),
        7: ("ce_threshold", "u32"),
        8: ("drop_batch_size", "u32"),
        9: ("memory_limit", "u32"),
    },
)
