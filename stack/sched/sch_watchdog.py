"""The timer that qdiscs wait with (Linux: net/sched/sch_api.c)."""

from functools import partial

from ..core.dev_queue import __netif_schedule
from ..core.timer import HrTimer, hrtimer_cancel, hrtimer_start_range_ns
from .qdisc import Qdisc

__all__ = ["QdiscWatchdog", "qdisc_watchdog", "qdisc_watchdog_cancel", "qdisc_watchdog_schedule_range_ns"]


class QdiscWatchdog:
    """A timer that lets a qdisc go on when its time has come (Linux: ``struct qdisc_watchdog``)."""

    __slots__ = ("qdisc", "timer")

    def __init__(self, qdisc: Qdisc) -> None:
        self.qdisc = qdisc
        self.timer = HrTimer(qdisc.dev_queue.dev.kernel, partial(qdisc_watchdog, self))


def qdisc_watchdog(watchdog: QdiscWatchdog) -> None:
    """Have the root above the qdisc run."""
    __netif_schedule(watchdog.qdisc.dev_queue.qdisc)


def qdisc_watchdog_schedule_range_ns(watchdog: QdiscWatchdog, expires_ns: int) -> None:
    """Let the qdisc run at a time, unless it is set to do so."""
    timer = watchdog.timer
    root = watchdog.qdisc.dev_queue.qdisc_sleeping
    if root.deactivated or (timer.timer is not None and timer.expires_ns == expires_ns):
        return
    hrtimer_start_range_ns(timer, expires_ns)


def qdisc_watchdog_cancel(watchdog: QdiscWatchdog) -> None:
    """Stop the timer."""
    hrtimer_cancel(watchdog.timer)
