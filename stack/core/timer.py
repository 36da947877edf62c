"""Kernel timers: jiffies and high resolution (Linux: kernel/time/timer.c, hrtimer.c)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .softirq import TIMER_SOFTIRQ, do_softirq, raise_softirq_irqoff, run_in_irq

if TYPE_CHECKING:
    from .net import Kernel
    from .platform import Timer

__all__ = [
    "HZ",
    "NSEC_PER_JIFFY",
    "HrTimer",
    "TimerList",
    "call_timer_fn",
    "del_timer",
    "hrtimer_cancel",
    "hrtimer_start_range_ns",
    "jiffies",
    "mod_timer",
    "run_timer_softirq",
    "timer_pending",
]

HZ = 250  # As in the reference kernel.
NSEC_PER_JIFFY = 1_000_000_000 // HZ


def jiffies(kernel: "Kernel") -> int:
    """Return the number of clock ticks since the host was made."""
    return kernel.now_ns() // NSEC_PER_JIFFY


class TimerList:
    """A timer that ends on a tick and runs in softirq context (Linux: ``struct timer_list``)."""

    __slots__ = ("expires", "function", "kernel", "timer")

    def __init__(self, kernel: "Kernel", function: Callable[[], None]) -> None:
        self.kernel = kernel
        self.function = function
        self.expires = 0
        self.timer: Timer | None = None

    def run(self) -> None:
        """Do what the timer is for; the platform calls it."""
        self.timer = None
        kernel = self.kernel
        kernel.expired_timers.append(self)
        raise_softirq_irqoff(kernel, TIMER_SOFTIRQ)
        do_softirq(kernel)


def run_timer_softirq(kernel: "Kernel") -> None:
    """Do what the timers that ended are for."""
    expired = kernel.expired_timers
    while expired:
        call_timer_fn(expired.popleft())


def call_timer_fn(timer: TimerList) -> None:
    """Do what one timer is for."""
    timer.function()


def timer_pending(timer: TimerList) -> bool:
    """Return whether the timer is running."""
    return timer.timer is not None


def mod_timer(timer: TimerList, expires: int) -> bool:
    """Start a timer, or move its end to another tick; return whether it was running."""
    pending = timer.timer is not None
    if pending and timer.expires == expires:
        return True
    if timer.timer is not None:
        timer.timer.cancel()
    timer.expires = expires
    timer.timer = timer.kernel.platform.timer(expires * NSEC_PER_JIFFY, timer.run)
    return pending


def del_timer(timer: TimerList) -> bool:
    """Stop a timer; return whether it was running."""
    if timer.timer is None:
        return False
    timer.timer.cancel()
    timer.timer = None
    return True


class HrTimer:
    """A timer of nanosecond resolution that runs in hard interrupt context (Linux: ``struct hrtimer``)."""

    __slots__ = ("expires_ns", "function", "kernel", "timer")

    def __init__(self, kernel: "Kernel", function: Callable[[], None]) -> None:
        self.kernel = kernel
        self.function = function
        self.expires_ns = 0
        self.timer: Timer | None = None

    def run(self) -> None:
        """Do what the timer is for; the platform calls it."""
        self.timer = None
        run_in_irq(self.kernel, self.function)


def hrtimer_start_range_ns(timer: HrTimer, expires_ns: int) -> None:
    """Start a timer, or move its end."""
    if timer.timer is not None:
        timer.timer.cancel()
    timer.expires_ns = expires_ns
    timer.timer = timer.kernel.platform.timer(expires_ns, timer.run)


def hrtimer_cancel(timer: HrTimer) -> bool:
    """Stop a timer; return whether it was running."""
    if timer.timer is None:
        return False
    timer.timer.cancel()
    timer.timer = None
    return True
