"""Queueing disciplines: between the stack and the driver (Linux: net/sched/sch_generic.c)."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from errno import EINVAL
from functools import partial
from typing import Any

from ..core.dev_queue import __netif_schedule
from ..core.dev_validate import validate_xmit_skb_list
from ..core.dev_xmit import dev_hard_start_xmit
from ..core.dql import dql_avail
from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import (
    IFF_NO_QUEUE,
    NET_XMIT_CN,
    NET_XMIT_DROP,
    NET_XMIT_MASK,
    NET_XMIT_SUCCESS,
    NetDevice,
    NetdevQueue,
    netif_carrier_ok,
)
from ..core.skbuff import SkBuff, kfree_skb_reason
from ..core.timer import NSEC_PER_JIFFY, TimerList, del_timer, jiffies, mod_timer

__all__ = [
    "Qdisc",
    "QdiscOps",
    "__qdisc_run",
    "dev_activate",
    "dev_deactivate",
    "dev_init_scheduler",
    "dev_watchdog",
    "noop_qdisc_ops",
    "noqueue_qdisc_ops",
    "pfifo_fast_ops",
    "qdisc_create",
    "qdisc_drop",
    "qdisc_reset",
    "qdisc_run",
    "qdisc_run_begin",
    "qdisc_run_end",
    "sch_direct_xmit",
]

_DEV_TX_WEIGHT = 64
_PRIO2BAND = (1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)


@dataclass(frozen=True, slots=True)
class QdiscOps:
    """A kind of qdisc (Linux: ``struct Qdisc_ops``).

    ``enqueue(skb, sch, to_free)`` takes a packet or appends those that it drops to ``to_free``, and returns a
    ``NET_XMIT_*`` code; it is None for a kind that holds no packets. ``init(sch, **options)`` raises ``OSError``
    (``EINVAL``) for options that make no sense. ``nolock`` and ``can_bypass`` are the kernel's ``TCQ_F_NOLOCK`` and
    ``TCQ_F_CAN_BYPASS``.
    """

    id: str
    enqueue: "Callable[[SkBuff, Qdisc, list[SkBuff]], int] | None"
    dequeue: "Callable[[Qdisc], SkBuff | None]"
    peek: "Callable[[Qdisc], SkBuff | None] | None" = None
    init: "Callable[..., None] | None" = None
    reset: "Callable[[Qdisc], None] | None" = None
    nolock: bool = False
    can_bypass: bool = False


class Qdisc:
    """A queueing discipline at work on one TX queue (Linux: ``struct Qdisc``).

    Members
    -------
    qlen, backlog_octets : int
        What it holds, packets put back by the driver included.
    packets, octets, drops, requeues, overlimits : int
        Its statistics.
    gso_skb : deque[SkBuff]
        Packets that the driver did not take; they go first, and are valid already.
    running, missed, scheduled, deactivated : bool
        Somebody dequeues now; and must look again; it is in the output queue; its device is down.
    """

    __slots__ = (
        "backlog_octets",
        "deactivated",
        "dequeue",
        "dev_queue",
        "drops",
        "enqueue",
        "gso_skb",
        "limit",
        "missed",
        "octets",
        "ops",
        "overlimits",
        "packets",
        "priv",
        "q",
        "qlen",
        "requeues",
        "running",
        "scheduled",
    )

    def __init__(self, dev_queue: NetdevQueue, ops: QdiscOps) -> None:
        self.dev_queue = dev_queue
        self.ops = ops
        self.enqueue = ops.enqueue
        self.dequeue = ops.dequeue
        self.limit = 0
        self.q: deque[SkBuff] = deque()
        self.gso_skb: deque[SkBuff] = deque()
        self.qlen = self.backlog_octets = 0
        self.packets = self.octets = self.drops = self.requeues = self.overlimits = 0
        self.running = self.missed = self.scheduled = self.deactivated = False
        self.priv: Any = None

    def __repr__(self) -> str:
        return f"<Qdisc {self.ops.id} on {self.dev_queue.dev.name}, {self.qlen} packets>"


def qdisc_create(dev_queue: NetdevQueue, ops: QdiscOps, **options: Any) -> Qdisc:
    """Make a qdisc for a TX queue.

    Raises
    ------
    OSError
        ``EINVAL`` for impossible options.
    """
    sch = Qdisc(dev_queue, ops)
    sch.limit = dev_queue.dev.tx_queue_len
    if ops.init is not None:
        ops.init(sch, **options)
    elif options:
        raise OSError(EINVAL, f"qdisc {ops.id} has no options")
    return sch


def qdisc_drop(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Drop a packet that a qdisc has no room for; the caller of ``enqueue`` frees it."""
    to_free.append(skb)
    sch.drops += 1
    return NET_XMIT_DROP


def qdisc_reset(sch: Qdisc) -> None:
    """Drop all that a qdisc holds."""
    if sch.ops.reset is not None:
        sch.ops.reset(sch)
    for queue in (sch.gso_skb, sch.q):
        while queue:
            kfree_skb_reason(queue.popleft(), SkbDropReason.QDISC_DROP)
    sch.qlen = sch.backlog_octets = 0
    sch.missed = False


def qdisc_run_begin(q: Qdisc) -> bool:
    """Return whether the caller may dequeue; if somebody does already, that one is told to look again."""
    if q.running:
        q.missed = True
        return False
    q.running = True
    return True


def qdisc_run_end(q: Qdisc) -> None:
    """End dequeueing, and see to it that it goes on later if need be."""
    q.running = False
    if q.missed:
        q.missed = False
        __netif_schedule(q)


def qdisc_run(q: Qdisc) -> None:
    """Send what a qdisc has ready, if nobody does so already."""
    if qdisc_run_begin(q):
        __qdisc_run(q)
        qdisc_run_end(q)


def __qdisc_run(q: Qdisc) -> None:
    """Send what a qdisc has ready, but not for ever: the rest is left to ``net_tx_action``."""
    quota = _DEV_TX_WEIGHT
    while True:
        packets = qdisc_restart(q)
        if not packets:
            return
        quota -= packets
        if quota <= 0:
            _run_later(q)
            return


def _run_later(q: Qdisc) -> None:
    if q.ops.nolock:
        q.missed = True
    else:
        __netif_schedule(q)


def qdisc_restart(q: Qdisc) -> int:
    """Send what one round of dequeueing brings; return how many packets, 0 if there is no point in going on."""
    txq = q.dev_queue
    if txq.state:
        return 0
    if q.gso_skb:
        skb = q.gso_skb.popleft()
        q.qlen -= 1
        q.backlog_octets -= skb.len
        return 1 if sch_direct_xmit(skb, q, txq.dev, txq, False) else 0
    first = q.dequeue(q)
    if first is None:
        return 0
    packets = 1 + _try_bulk_dequeue_skb(q, first, txq)
    return packets if sch_direct_xmit(first, q, txq.dev, txq, True) else 0


def _try_bulk_dequeue_skb(q: Qdisc, skb: SkBuff, txq: NetdevQueue) -> int:
    """Append as many packets to a list as byte queue limits have room for; return how many."""
    room = dql_avail(txq.dql) - skb.len
    count = 0
    while room > 0:
        following = q.dequeue(q)
        if following is None:
            break
        skb.next = following
        skb = following
        room -= skb.len
        count += 1
    return count


def sch_direct_xmit(skb: SkBuff | None, q: Qdisc, dev: NetDevice, txq: NetdevQueue, validate: bool) -> bool:
    """Send a list of packets; what the driver does not take goes back to the qdisc.

    Returns
    -------
    bool
        Whether the driver took all, so that it makes sense to go on.
    """
    if validate:
        skb = validate_xmit_skb_list(skb, dev)
        if skb is None:
            return True
    if not txq.state:
        assert skb is not None
        skb, rc = dev_hard_start_xmit(skb, dev, txq)
        if rc < NET_XMIT_MASK:
            return True
    dev_requeue_skb(skb, q)
    return False


def dev_requeue_skb(skb: SkBuff | None, q: Qdisc) -> None:
    """Put packets back that the driver did not take; they are sent first, when it takes some again."""
    while skb is not None:
        following = skb.next
        skb.next = None
        q.gso_skb.append(skb)
        q.requeues += 1
        q.qlen += 1
        q.backlog_octets += skb.len
        skb = following
    _run_later(q)


def pfifo_fast_init(sch: Qdisc) -> None:
    """Make the three bands."""
    sch.priv = (deque[SkBuff](), deque[SkBuff](), deque[SkBuff]())


def pfifo_fast_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Queue a packet in the band of its priority."""
    band = sch.priv[_PRIO2BAND[skb.priority & 15]]
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


def noop_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Drop: the device is down. Senders are told of congestion only, as by Linux."""
    qdisc_drop(skb, sch, to_free)
    return NET_XMIT_CN


def noop_dequeue(sch: Qdisc) -> SkBuff | None:
    """Return nothing."""
    return None


pfifo_fast_ops = QdiscOps(
    "pfifo_fast",
    pfifo_fast_enqueue,
    pfifo_fast_dequeue,
    pfifo_fast_peek,
    pfifo_fast_init,
    pfifo_fast_reset,
    nolock=True,
    can_bypass=True,
)
noop_qdisc_ops = QdiscOps("noop", noop_enqueue, noop_dequeue)
noqueue_qdisc_ops = QdiscOps("noqueue", None, noop_dequeue)


def dev_init_scheduler(dev: NetDevice) -> None:
    """Give a new device qdiscs: one that drops, while it is down, and none chosen for later."""
    for txq in dev.tx:
        txq.qdisc = txq.qdisc_sleeping = Qdisc(txq, noop_qdisc_ops)
    dev.qdisc = dev.tx[0].qdisc
    if dev.netdev_ops.ndo_tx_timeout is not None:
        dev.watchdog_timer = TimerList(dev.kernel, partial(dev_watchdog, dev))


def dev_activate(dev: NetDevice) -> None:
    """Let packets through: the qdiscs that were chosen, or else the default, start to work, once there is a link."""
    for txq in dev.tx:
        if txq.qdisc_sleeping.ops is noop_qdisc_ops:
            none = dev.priv_flags & IFF_NO_QUEUE or not dev.tx_queue_len
            ops = noqueue_qdisc_ops if none else pfifo_fast_ops
            txq.qdisc_sleeping = qdisc_create(txq, ops)
    if not netif_carrier_ok(dev):
        return  # linkwatch_do_dev() comes back when there is one.
    for txq in dev.tx:
        txq.qdisc_sleeping.deactivated = False
        txq.qdisc = txq.qdisc_sleeping
        txq.trans_start_ns = dev.kernel.now_ns()
    dev.qdisc = dev.tx[0].qdisc_sleeping


def dev_deactivate(dev: NetDevice) -> None:
    """Let no more packets through, and drop those that wait."""
    for txq in dev.tx:
        sleeping = txq.qdisc_sleeping
        txq.qdisc = Qdisc(txq, noop_qdisc_ops)
        sleeping.deactivated = True
        qdisc_reset(sleeping)
    if dev.watchdog_timer is not None:
        del_timer(dev.watchdog_timer)


def dev_watchdog(dev: NetDevice) -> None:
    """Tell the driver when a queue has been stopped for too long."""
    now_ns = dev.kernel.now_ns()
    stopped = False
    for txq in dev.tx:
        if not txq.state:
            continue
        stopped = True
        if now_ns - txq.trans_start_ns >= dev.watchdog_timeo_ns:
            txq.trans_timeouts += 1
            txq.trans_start_ns = now_ns
            timeout = dev.netdev_ops.ndo_tx_timeout
            assert timeout is not None
            timeout(dev, txq.index)
    if stopped and dev.watchdog_timer is not None:
        mod_timer(dev.watchdog_timer, jiffies(dev.kernel) + dev.watchdog_timeo_ns // NSEC_PER_JIFFY + 1)
