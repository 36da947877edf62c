"""What a queueing discipline is (Linux: include/net/sch_generic.h)."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.netdevice import NetdevQueue
from ..core.skbuff import SkBuff
from .pkt_sched import TC_H_ROOT, Options, TcStruct

if TYPE_CHECKING:
    from .cls_api import TcfBlock

__all__ = ["NET_XMIT_BYPASS", "Qdisc", "QdiscClassOps", "QdiscOps", "net_xmit_drop_count", "no_options"]

NET_XMIT_STOLEN = 0x10000  # An action has the packet: it is not dropped.
NET_XMIT_BYPASS = 0x20000  # Dropped, but the sender is not to notice.

Policy = Mapping[int, Any]


def net_xmit_drop_count(code: int) -> int:
    """Return how many packets the parent has to count as dropped when a child returned this."""
    return 0 if code & NET_XMIT_STOLEN else 1


def no_options(sch: "Qdisc") -> dict[str, Any]:
    """Return the options of a kind that has none."""
    return {}


@dataclass(frozen=True, slots=True)
class QdiscClassOps:
    """How to reach the classes of a qdisc (Linux: ``struct Qdisc_class_ops``).

    A class is known by a number ``cl`` that ``find`` returns for its handle; 0 is none.

    Members
    -------
    find : callable
        Takes qdisc and handle.
    walk : callable
        Yields the numbers of all classes.
    leaf : callable
        Returns the qdisc of a class, or None.
    graft : callable or None
        Puts a qdisc there, or the default one for None, and returns the one that was there.
    tcf_block : callable or None
        Returns the list of filters of the qdisc (``cl`` 0) or of a class, or None if there is none.
    bind_tcf : callable or None
        As ``find``, for a filter that selects the class.
    select_queue : callable or None
        Returns the TX queue that a qdisc under that handle works on.
    dump_stats : callable or None
        Returns the statistics of a class.
    """

    find: "Callable[[Qdisc, int], int]"
    walk: "Callable[[Qdisc], Iterator[int]]"
    leaf: "Callable[[Qdisc, int], Qdisc | None]"
    graft: "Callable[[Qdisc, int, Qdisc | None], Qdisc | None] | None" = None
    tcf_block: "Callable[[Qdisc, int], TcfBlock | None] | None" = None
    bind_tcf: "Callable[[Qdisc, int], int] | None" = None
    select_queue: "Callable[[Qdisc, int], NetdevQueue] | None" = None
    dump_stats: "Callable[[Qdisc, int], dict[str, int]] | None" = None


@dataclass(frozen=True, slots=True)
class QdiscOps:
    """A kind of qdisc (Linux: ``struct Qdisc_ops``).

    ``enqueue(skb, sch, to_free)`` takes a packet or appends those that it drops to ``to_free``, and returns a
    ``NET_XMIT_*`` code; it is None for a kind that holds no packets. ``init(sch, options)`` and
    ``change(sch, options)`` raise ``OSError`` (``EINVAL``) for options that make no sense. ``reset`` drops what it
    holds beside ``sch.q`` and ``sch.gso_skb``.

    Members
    -------
    dump, dump_stats : callable
        Return the options, as ``init`` takes them, and statistics of its own (``TCA_XSTATS``), with its names.
    attach : callable or None
        Puts the parts of a root that has one for each TX queue in place.
    qopt : TcStruct or None
        What ``TCA_OPTIONS`` starts with.
    policy : Mapping[int, tuple[str, str] or TcStruct or Mapping]
        Attributes in (or after ``qopt`` in) ``TCA_OPTIONS``: option and its encoding, a structure of several, or nested
        attributes.
    words : tuple[tuple[str, str], ...]
        Options that programs do not have, for Python.
    nolock, can_bypass : bool
        The kernel's ``TCQ_F_NOLOCK`` and ``TCQ_F_CAN_BYPASS``.
    """

    id: str
    enqueue: "Callable[[SkBuff, Qdisc, list[SkBuff]], int] | None"
    dequeue: "Callable[[Qdisc], SkBuff | None]"
    peek: "Callable[[Qdisc], SkBuff | None]"
    init: "Callable[[Qdisc, Options], None] | None" = None
    reset: "Callable[[Qdisc], None] | None" = None
    destroy: "Callable[[Qdisc], None] | None" = None
    change: "Callable[[Qdisc, Options], None] | None" = None
    dump: "Callable[[Qdisc], dict[str, Any]]" = no_options
    dump_stats: "Callable[[Qdisc], dict[str, int]]" = no_options
    attach: "Callable[[Qdisc], None] | None" = None
    cl_ops: QdiscClassOps | None = None
    qopt: TcStruct | None = None
    policy: Policy = field(default_factory=dict[int, "tuple[str, str] | TcStruct"])
    words: tuple[tuple[str, str], ...] = ()
    nolock: bool = False
    can_bypass: bool = False

    def layouts(self) -> list[Any]:
        """Return where its options are, for ``check_options``."""
        return [*([] if self.qopt is None else [self.qopt]), *self.policy.values(), *self.words]


class Qdisc:
    """A queueing discipline at work (Linux: ``struct Qdisc``).

    Members
    -------
    handle, parent : int
        Its name, and the class that it is in, ``TC_H_ROOT`` for a root.
    refcnt : int
        In how many places it is.
    qlen, backlog_octets : int
        What it holds, with what is in qdiscs below it and what was put back by the driver.
    packets, octets, drops, requeues, overlimits : int
        Its statistics.
    gso_skb : deque[SkBuff]
        Packets that the driver did not take, valid already, or that a qdisc above has looked at; they go first.
    running, missed, scheduled, deactivated : bool
        Somebody dequeues now; and must look again; it is in the output queue; its device is down.
    can_bypass : bool
        While it is empty packets may go past it.
    one_txq : bool
        All its packets go to ``dev_queue``; otherwise to the queue that each packet names.
    noparent : bool
        What it holds does not count in ``parent``, which has a qdisc for each TX queue.
    invisible : bool
        A default of its parent, not shown unless asked for.
    """

    __slots__ = (
        "backlog_octets",
        "can_bypass",
        "deactivated",
        "dequeue",
        "dev_queue",
        "drops",
        "enqueue",
        "gso_skb",
        "handle",
        "invisible",
        "limit",
        "missed",
        "noparent",
        "octets",
        "one_txq",
        "ops",
        "overlimits",
        "packets",
        "parent",
        "priv",
        "q",
        "qlen",
        "refcnt",
        "requeues",
        "running",
        "scheduled",
    )

    def __init__(self, dev_queue: NetdevQueue, ops: QdiscOps, parent: int = TC_H_ROOT, handle: int = 0) -> None:
        self.dev_queue = dev_queue
        self.ops = ops
        self.parent = parent
        self.handle = handle
        self.refcnt = 1
        self.enqueue = ops.enqueue
        self.dequeue = ops.dequeue
        self.can_bypass = ops.can_bypass
        self.one_txq = self.noparent = self.invisible = False
        self.limit = 0
        self.q: deque[SkBuff] = deque()
        self.gso_skb: deque[SkBuff] = deque()
        self.qlen = self.backlog_octets = 0
        self.packets = self.octets = self.drops = self.requeues = self.overlimits = 0
        self.running = self.missed = self.scheduled = self.deactivated = False
        self.priv: Any = None

    def __repr__(self) -> str:
        return f"<Qdisc {self.ops.id} {self.handle >> 16:x}: on {self.dev_queue.dev.name}, {self.qlen} packets>"
