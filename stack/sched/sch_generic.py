"""Queueing disciplines: between the stack and the driver (Linux: net/sched/sch_generic.c)."""

from functools import partial

from ..core.dev_queue import __netif_schedule
from ..core.dev_validate import validate_xmit_skb_list
from ..core.dev_xmit import dev_hard_start_xmit
from ..core.dql import dql_avail
from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import (
    IFF_NO_QUEUE,
    NET_XMIT_CN,
    NET_XMIT_MASK,
    NetDevice,
    NetdevQueue,
    netif_carrier_ok,
)
from ..core.skbuff import SkBuff, kfree_skb_reason
from ..core.timer import NSEC_PER_JIFFY, TimerList, del_timer, jiffies, mod_timer
from .pkt_sched import TC_H_ROOT
from .qdisc import Qdisc, QdiscOps
from .qdisc_queue import qdisc_drop
from .sch_api_tree import qdisc_hash_del, qdisc_tree_reduce_backlog

__all__ = [
    "Qdisc",
    "QdiscOps",
    "__qdisc_run",
    "dev_activate",
    "dev_deactivate",
    "dev_graft_qdisc",
    "dev_init_scheduler",
    "dev_shutdown",
    "dev_watchdog",
    "noop_qdisc_ops",
    "noqueue_qdisc_ops",
    "qdisc_create_dflt",
    "qdisc_drop",
    "qdisc_purge_queue",
    "qdisc_put",
    "qdisc_reset",
    "qdisc_run",
    "qdisc_run_begin",
    "qdisc_run_end",
    "sch_direct_xmit",
]

_DEV_TX_WEIGHT = 64


def qdisc_create_dflt(dev_queue: NetdevQueue, ops: QdiscOps, parent: int = TC_H_ROOT) -> Qdisc:
    """Make a qdisc with the options that its kind starts with."""
    sch = Qdisc(dev_queue, ops, parent)
    if ops.init is not None:
        ops.init(sch, {})
    return sch


def qdisc_put(sch: Qdisc) -> None:
    """Let go of a qdisc; the last to do so drops what it holds and ends it."""
    sch.refcnt -= 1
    if sch.refcnt or sch.ops is noop_qdisc_ops:
        return
    qdisc_hash_del(sch)
    qdisc_reset(sch)
    if sch.ops.destroy is not None:
        sch.ops.destroy(sch)


def qdisc_purge_queue(sch: Qdisc) -> None:
    """Drop all that a child holds, and tell those above."""
    packets, octets = sch.qlen, sch.backlog_octets
    qdisc_reset(sch)
    qdisc_tree_reduce_backlog(sch, packets, octets)


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
    if not q.one_txq:
        return _restart_shared(q)
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


def _restart_shared(q: Qdisc) -> int:
    """Send one packet of a qdisc that serves several TX queues, to its own."""
    dev = q.dev_queue.dev
    if not q.gso_skb:
        skb = q.dequeue(q)
        return int(skb is not None and sch_direct_xmit(skb, q, dev, dev.tx[skb.queue_mapping], True))
    skb = q.gso_skb[0]
    txq = dev.tx[skb.queue_mapping]
    if txq.state:
        return 0
    q.gso_skb.popleft()
    q.qlen -= 1
    q.backlog_octets -= skb.len
    return int(sch_direct_xmit(skb, q, dev, txq, False))


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


def noop_enqueue(skb: SkBuff, sch: Qdisc, to_free: list[SkBuff]) -> int:
    """Drop: the device is down. Senders are told of congestion only, as by Linux."""
    qdisc_drop(skb, sch, to_free)
    return NET_XMIT_CN


def noop_dequeue(sch: Qdisc) -> SkBuff | None:
    """Return nothing."""
    return None


def noop_peek(sch: Qdisc) -> SkBuff | None:
    """Return nothing."""
    return None


noop_qdisc_ops = QdiscOps("noop", noop_enqueue, noop_dequeue, noop_peek)
noqueue_qdisc_ops = QdiscOps("noqueue", None, noop_dequeue, noop_peek)


def dev_init_scheduler(dev: NetDevice) -> None:
    """Give a new device qdiscs: one that drops, while it is down, and none chosen for later."""
    for txq in dev.tx:
        txq.qdisc = txq.qdisc_sleeping = Qdisc(txq, noop_qdisc_ops)
    dev.qdisc = dev.tx[0].qdisc
    if dev.netdev_ops.ndo_tx_timeout is not None:
        dev.watchdog_timer = TimerList(dev.kernel, partial(dev_watchdog, dev))


def dev_shutdown(dev: NetDevice) -> None:
    """End the qdiscs of a device that goes."""
    olds = [dev_graft_qdisc(txq, None) for txq in dev.tx]
    olds.append(dev.qdisc)
    dev.qdisc = dev.tx[0].qdisc
    for old in olds:
        qdisc_put(old)


def dev_graft_qdisc(txq: NetdevQueue, sch: Qdisc | None) -> Qdisc:
    """Choose the qdisc that a TX queue will have once its device is up, or none; return the one it had."""
    old = txq.qdisc_sleeping
    txq.qdisc = Qdisc(txq, noop_qdisc_ops)
    txq.qdisc_sleeping = txq.qdisc if sch is None else sch
    return old


def attach_default_qdiscs(dev: NetDevice) -> None:
    """Give a device the qdiscs that it has unless others are asked for: with several TX queues one each, under mq."""
    if len(dev.tx) > 1 and not _is_without_queue(dev):
        from .sch_mq import mq_qdisc_ops  # Built on this module.

        dev.qdisc = qdisc_create_dflt(dev.tx[0], mq_qdisc_ops)
        assert mq_qdisc_ops.attach is not None
        mq_qdisc_ops.attach(dev.qdisc)
        return
    for txq in dev.tx:
        ops = noqueue_qdisc_ops if _is_without_queue(dev) else dev.kernel.default_qdisc_ops
        txq.qdisc_sleeping = qdisc_create_dflt(txq, ops)
        txq.qdisc_sleeping.one_txq = txq.qdisc_sleeping.noparent = True
    dev.qdisc = dev.tx[0].qdisc_sleeping
    dev.qdisc.refcnt += 1


def _is_without_queue(dev: NetDevice) -> bool:
    return bool(dev.priv_flags & IFF_NO_QUEUE) or not dev.tx_queue_len


def dev_activate(dev: NetDevice) -> None:
    """Let packets through: the qdiscs that were chosen, or else the default, start to work, once there is a link."""
    if dev.qdisc.ops is noop_qdisc_ops:
        attach_default_qdiscs(dev)
    if not netif_carrier_ok(dev):
        return  # linkwatch_do_dev() comes back when there is one.
    for txq in dev.tx:
        txq.qdisc_sleeping.deactivated = False
        txq.qdisc = txq.qdisc_sleeping
        txq.trans_start_ns = dev.kernel.now_ns()


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
