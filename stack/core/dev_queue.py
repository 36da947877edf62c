"""TX queues: stopping, waking, byte queue limits, and getting a qdisc to run (Linux: netdevice.h, net/core/dev.c)."""

from typing import TYPE_CHECKING

from .dql import dql_avail, dql_completed, dql_queued, dql_reset
from .netdevice import QUEUE_STATE_DRV_XOFF, QUEUE_STATE_FROZEN, QUEUE_STATE_STACK_XOFF, NetDevice, NetdevQueue
from .softirq import NET_TX_SOFTIRQ, raise_softirq
from .timer import NSEC_PER_JIFFY, jiffies, mod_timer, timer_pending

if TYPE_CHECKING:
    from ..sched.qdisc import Qdisc

__all__ = [
    "__netdev_tx_sent_queue",
    "__netif_schedule",
    "netdev_tx_completed_queue",
    "netdev_tx_reset_queue",
    "netdev_tx_sent_queue",
    "netif_freeze_queues",
    "netif_schedule_queue",
    "netif_start_queue",
    "netif_stop_queue",
    "netif_tx_start_queue",
    "netif_tx_stop_queue",
    "netif_tx_wake_queue",
    "netif_unfreeze_queues",
    "netif_wake_queue",
]


def __netif_reschedule(q: "Qdisc") -> None:
    """Have ``net_tx_action`` run a qdisc."""
    q.scheduled = True
    kernel = q.dev_queue.dev.kernel
    kernel.softnet.output_queue.append(q)
    raise_softirq(kernel, NET_TX_SOFTIRQ)


def __netif_schedule(q: "Qdisc") -> None:
    """Have ``net_tx_action`` run a qdisc, once."""
    if not q.scheduled:
        __netif_reschedule(q)


def _watch(txq: NetdevQueue) -> None:
    """See to it that a queue that stays stopped is noticed.

    The kernel looks at each device all the time; we look only while a queue is stopped, so that an idle host has
    nothing to do.
    """
    dev = txq.dev
    txq.trans_start_ns = dev.kernel.now_ns()
    timer = dev.watchdog_timer
    if timer is not None and not timer_pending(timer):
        mod_timer(timer, jiffies(dev.kernel) + dev.watchdog_timeo_ns // NSEC_PER_JIFFY + 1)


def netif_tx_stop_queue(txq: NetdevQueue) -> None:
    """Keep packets from the driver, which has no room."""
    txq.state |= QUEUE_STATE_DRV_XOFF
    _watch(txq)


def netif_tx_start_queue(txq: NetdevQueue) -> None:
    """Let packets through to the driver again, without running the qdisc."""
    txq.state &= ~QUEUE_STATE_DRV_XOFF


def netif_tx_wake_queue(txq: NetdevQueue) -> None:
    """Let packets through to the driver again, and send those that wait."""
    if txq.state & QUEUE_STATE_DRV_XOFF:
        txq.state &= ~QUEUE_STATE_DRV_XOFF
        __netif_schedule(txq.qdisc)


def netif_stop_queue(dev: NetDevice) -> None:
    """Stop the first queue, of a device that has one."""
    netif_tx_stop_queue(dev.tx[0])


def netif_start_queue(dev: NetDevice) -> None:
    """Start it without running the qdisc."""
    netif_tx_start_queue(dev.tx[0])


def netif_wake_queue(dev: NetDevice) -> None:
    """Start it, and send what waits."""
    netif_tx_wake_queue(dev.tx[0])


def netif_schedule_queue(txq: NetdevQueue) -> None:
    """Send what waits, unless the driver stopped the queue."""
    if not txq.state & QUEUE_STATE_DRV_XOFF:
        __netif_schedule(txq.qdisc)


def netif_freeze_queues(dev: NetDevice) -> None:
    """Keep packets from the driver while it sets its rings up anew (Linux: ``netif_tx_lock``)."""
    for txq in dev.tx:
        txq.state |= QUEUE_STATE_FROZEN


def netif_unfreeze_queues(dev: NetDevice) -> None:
    """Let packets through again, and send those that wait."""
    for txq in dev.tx:
        txq.state &= ~QUEUE_STATE_FROZEN
        netif_schedule_queue(txq)


def netdev_tx_sent_queue(txq: NetdevQueue, octets: int) -> None:
    """Say that a frame went into the ring; stop the queue when that is enough for now."""
    dql = txq.dql
    dql_queued(dql, octets)
    if dql_avail(dql) < 0:
        txq.state |= QUEUE_STATE_STACK_XOFF
        _watch(txq)


def __netdev_tx_sent_queue(txq: NetdevQueue, octets: int, xmit_more: bool) -> bool:
    """Say that a frame went into the ring, of a batch perhaps; return whether to ring the doorbell."""
    if xmit_more:
        dql_queued(txq.dql, octets)
        return txq.state != 0
    netdev_tx_sent_queue(txq, octets)
    return True


def netdev_tx_completed_queue(txq: NetdevQueue, packets: int, octets: int) -> None:
    """Say that frames are done; send what waits when there is room for it."""
    if not packets:
        return
    dql_completed(txq.dql, octets, txq.dev.kernel.now_ns())
    if txq.state & QUEUE_STATE_STACK_XOFF and dql_avail(txq.dql) >= 0:
        txq.state &= ~QUEUE_STATE_STACK_XOFF
        netif_schedule_queue(txq)


def netdev_tx_reset_queue(txq: NetdevQueue) -> None:
    """Forget what was in a ring that was emptied."""
    txq.state &= ~QUEUE_STATE_STACK_XOFF
    dql_reset(txq.dql)
