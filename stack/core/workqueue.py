"""Work that is left for later, outside of interrupts (Linux: kernel/workqueue.c)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .timer import NSEC_PER_JIFFY, jiffies

if TYPE_CHECKING:
    from .net import Kernel
    from .platform import Timer

__all__ = ["DelayedWork", "cancel_delayed_work", "queue_delayed_work", "schedule_work"]


class DelayedWork:
    """A function that shall run once, at once or on a tick (Linux: ``struct delayed_work``)."""

    __slots__ = ("function", "kernel", "timer")

    def __init__(self, kernel: "Kernel", function: Callable[[], None]) -> None:
        self.kernel = kernel
        self.function = function
        self.timer: Timer | None = None

    def run(self) -> None:
        """Do the work; the platform calls it."""
        self.timer = None
        self.function()


def queue_delayed_work(work: DelayedWork, delay: int) -> bool:
    """Have the work done after ``delay`` ticks; return False if it waits already."""
    if work.timer is not None:
        return False
    kernel = work.kernel
    expires_ns = (jiffies(kernel) + delay) * NSEC_PER_JIFFY if delay else kernel.now_ns()
    work.timer = kernel.platform.timer(expires_ns, work.run)
    return True


def schedule_work(work: DelayedWork) -> bool:
    """Have the work done soon; return False if it waits already."""
    return queue_delayed_work(work, 0)


def cancel_delayed_work(work: DelayedWork) -> bool:
    """Have the work not done; return whether it waited."""
    if work.timer is None:
        return False
    work.timer.cancel()
    work.timer = None
    return True
