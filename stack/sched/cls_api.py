"""Filters: which class a packet belongs to (Linux: net/sched/cls_api.c)."""

from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.skbuff import SkBuff
from .pkt_sched import Options, TcStruct

if TYPE_CHECKING:
    from .qdisc import Qdisc

__all__ = [
    "TC_ACT_OK",
    "TC_ACT_UNSPEC",
    "TcfBlock",
    "TcfProto",
    "TcfProtoOps",
    "TcfResult",
    "tcf_block_put",
    "tcf_classify",
]

ETH_P_ALL = 0x0003
TC_ACT_UNSPEC = -1  # The filter does not know the packet.
TC_ACT_OK = 0


class TcfResult:
    """What filters found (Linux: ``struct tcf_result``)."""

    __slots__ = ("classid",)

    def __init__(self) -> None:
        self.classid = 0


@dataclass(frozen=True, slots=True)
class TcfProtoOps:
    """A kind of filter (Linux: ``struct tcf_proto_ops``).

    Members
    -------
    classify : callable
        Takes packet, ``TcfProto`` and ``TcfResult``; returns ``TC_ACT_*``.
    init : callable
        Prepares a ``TcfProto``.
    get : callable
        Returns the filter of that handle, or None.
    change : callable
        Takes ``TcfProto``, handle, filter or None, and options; makes or changes a filter and returns it, None if there
        is none to make. Raises ``OSError``.
    delete : callable
        Takes a filter out; returns whether none is left.
    walk : callable
        Yields the filters.
    dump : callable
        Returns a filter's handle and its options.
    policy : Mapping[int, tuple[str, str] or TcStruct]
        As of ``QdiscOps``.
    """

    kind: str
    classify: "Callable[[SkBuff, TcfProto, TcfResult], int]"
    init: "Callable[[TcfProto], None]"
    get: "Callable[[TcfProto, int], Any]"
    change: "Callable[[TcfProto, int, Any, Options], Any]"
    delete: "Callable[[TcfProto, Any], bool]"
    walk: "Callable[[TcfProto], Iterator[Any]]"
    dump: "Callable[[TcfProto, Any], tuple[int, dict[str, Any]]]"
    destroy: "Callable[[TcfProto], None] | None" = None
    policy: Mapping[int, "tuple[str, str] | TcStruct"] = field(default_factory=dict[int, "tuple[str, str] | TcStruct"])


class TcfProto:
    """The filters of one kind, preference and protocol on a qdisc (Linux: ``struct tcf_proto``).

    Members
    -------
    prio : int
        Preference, from 1 up: the lowest is asked first.
    protocol : int
        EtherType of the packets that it is asked about; 3 (``ETH_P_ALL``) for all.
    data : object
        The kind's own.
    """

    __slots__ = ("block", "data", "ops", "prio", "protocol")

    def __init__(self, block: "TcfBlock", ops: TcfProtoOps, prio: int, protocol: int) -> None:
        self.block = block
        self.ops = ops
        self.prio = prio
        self.protocol = protocol
        self.data: Any = None


class TcfBlock:
    """The filters of a qdisc, by preference (Linux: ``struct tcf_block`` with one chain).

    ``u32`` is what filters of that kind share.
    """

    __slots__ = ("chain", "sch", "u32")

    def __init__(self, sch: "Qdisc") -> None:
        self.sch = sch
        self.chain: list[TcfProto] = []
        self.u32: Any = None


def tcf_block_insert(block: TcfBlock, tp: TcfProto) -> None:
    """Put a new kind of filters in its place."""
    insort(block.chain, tp, key=lambda other: other.prio)


def tcf_block_put(block: TcfBlock) -> None:
    """Forget the filters of a qdisc that ends."""
    for tp in block.chain:
        if tp.ops.destroy is not None:
            tp.ops.destroy(tp)
    block.chain.clear()


def tcf_classify(skb: SkBuff, block: TcfBlock, result: TcfResult) -> int:
    """Ask the filters about a packet, in order.

    Returns
    -------
    int
        ``TC_ACT_OK`` if one knows it: ``result`` has the class; ``TC_ACT_UNSPEC``.
    """
    protocol = skb.vlan_proto or skb.protocol
    for tp in block.chain:
        if tp.protocol == protocol or tp.protocol == ETH_P_ALL:
            verdict = tp.ops.classify(skb, tp, result)
            if verdict >= 0:
                return verdict
    return TC_ACT_UNSPEC
