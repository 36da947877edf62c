"""What the stack needs from the world it runs in: time, timers, sleep, memory and randomness."""

from collections.abc import Callable
from typing import Protocol

__all__ = ["Buffer", "Platform", "Timer", "WaitQueue", "wake_up"]


class Buffer(Protocol):
    """A run of host memory that a device can reach.

    Members
    -------
    addr : int
        Physical address of octet 0; what ``Dma.map`` takes, offset added.
    view : memoryview
        The octets themselves, writable, format ``B``.
    """

    addr: int
    view: memoryview


class Timer(Protocol):
    """A timer that was set; forget it once it ran."""

    def cancel(self) -> bool:
        """Stop the timer; return whether it was still pending."""
        ...


class WaitQueue:
    """A place where tasks sleep until they are woken. Made by the stack; ``sleepers`` are the platform's only.

    Members
    -------
    pollers : tuple[WaitQueue, ...]
        Where tasks sleep that wait for several such places at once; ``wake_up`` wakes those, too.
    """

    __slots__ = ("pollers", "sleepers")

    def __init__(self) -> None:
        self.sleepers: list[object] = []
        self.pollers: tuple[WaitQueue, ...] = ()


class Platform(Protocol):
    """The world of one simulated host: one CPU, one memory, one clock.

    The stack runs in no simulated time: only ``wait`` lets time pass (and an ``Mmio.read32``, by some cycles).
    Callbacks of timers run in softirq context, one at a time, never inside another call into the stack.
    """

    @property
    def memory_octets(self) -> int:
        """Return how much memory the host has: limits of what all sockets may use follow from it."""
        ...

    def now_ns(self) -> int:
        """Return the simulated time in ns since the host was made."""
        ...

    def timer(self, deadline_ns: int, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` at ``deadline_ns``, or at once after the present call if that is past."""
        ...

    def wait(self, queue: WaitQueue, deadline_ns: int | None = None) -> bool:
        """Park the calling task until ``wake(queue)``, True, or the deadline, False."""
        ...

    def wake(self, queue: WaitQueue) -> None:
        """Make every task that sleeps on ``queue`` runnable."""
        ...

    def kmalloc(self, size_octets: int) -> Buffer:
        """Return memory that a device can reach, at least so long; its content is undefined.

        Raises
        ------
        OSError
            ``ENOMEM`` when there is no room.
        """
        ...

    def kfree(self, buffer: Buffer) -> None:
        """Give memory back."""
        ...

    def random_u32(self) -> int:
        """Return a random number of 32 bits from the run's seed."""
        ...


def wake_up(platform: Platform, queue: WaitQueue) -> None:
    """Wake who sleeps on a queue, or on several with this one among them."""
    platform.wake(queue)
    for poller in queue.pollers:
        platform.wake(poller)
