"""Softirqs: work that interrupts leave for later (Linux: kernel/softirq.c)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..drivers.bus import Irq
    from .net import Kernel

__all__ = [
    "NET_RX_SOFTIRQ",
    "NET_TX_SOFTIRQ",
    "TIMER_SOFTIRQ",
    "Softirq",
    "__do_softirq",
    "do_softirq",
    "irq_enter",
    "irq_exit",
    "local_bh_disable",
    "local_bh_enable",
    "open_softirq",
    "raise_softirq",
    "raise_softirq_irqoff",
    "request_irq",
    "run_in_irq",
    "run_in_softirq",
]

TIMER_SOFTIRQ = 1
NET_TX_SOFTIRQ = 2
NET_RX_SOFTIRQ = 3

_MAX_RESTART = 10
_KSOFTIRQD_NS = 10_000


class Softirq:
    """The softirq state of one CPU.

    Members
    -------
    pending : int
        One bit for each softirq that was raised.
    count : int
        How deep bottom halves are disabled, or 1 more while softirqs run.
    hardirq : int
        How many hard interrupts nest.
    """

    __slots__ = ("count", "handlers", "hardirq", "ksoftirqd", "kernel", "pending")

    def __init__(self, kernel: "Kernel") -> None:
        self.kernel = kernel
        self.pending = 0
        self.count = 0
        self.hardirq = 0
        self.ksoftirqd = False  # What is left over waits for the softirq thread.
        self.handlers: list[Callable[[Kernel], None] | None] = [None] * 10


def open_softirq(kernel: "Kernel", number: int, action: Callable[["Kernel"], None]) -> None:
    """Set the function that runs for a softirq."""
    kernel.softirq.handlers[number] = action


def raise_softirq_irqoff(kernel: "Kernel", number: int) -> None:
    """Mark a softirq as pending; something that ends, an interrupt or a critical section, will run it."""
    kernel.softirq.pending |= 1 << number


def raise_softirq(kernel: "Kernel", number: int) -> None:
    """Mark a softirq as pending, and have it run soon even if nothing else is going on."""
    softirq = kernel.softirq
    softirq.pending |= 1 << number
    if not softirq.count and not softirq.hardirq:
        _wakeup_softirqd(softirq, 0)


def local_bh_disable(kernel: "Kernel") -> None:
    """Hold softirqs off."""
    kernel.softirq.count += 1


def local_bh_enable(kernel: "Kernel") -> None:
    """Let softirqs run again, and run what came up meanwhile."""
    softirq = kernel.softirq
    softirq.count -= 1
    if softirq.pending and not softirq.count and not softirq.hardirq:
        do_softirq(kernel)


def do_softirq(kernel: "Kernel") -> None:
    """Run the pending softirqs, unless they run already or are held off."""
    softirq = kernel.softirq
    if softirq.pending and not softirq.count and not softirq.hardirq:
        __do_softirq(kernel)


def __do_softirq(kernel: "Kernel") -> None:
    """Run pending softirqs, lowest first, again while new ones come up, but not for ever."""
    softirq = kernel.softirq
    handlers = softirq.handlers
    softirq.count += 1
    try:
        for _ in range(_MAX_RESTART):
            pending = softirq.pending
            if not pending:
                return
            softirq.pending = 0
            number = 0
            while pending:
                if pending & 1:
                    handler = handlers[number]
                    if handler is not None:
                        handler(kernel)
                pending >>= 1
                number += 1
    finally:
        softirq.count -= 1
    if softirq.pending:
        # Time must pass, or work that only raises itself again would never let the device get on.
        _wakeup_softirqd(softirq, _KSOFTIRQD_NS)


def _wakeup_softirqd(softirq: Softirq, delay_ns: int) -> None:
    """Let the softirq thread do the rest, after the present call."""
    if not softirq.ksoftirqd:
        softirq.ksoftirqd = True
        kernel = softirq.kernel
        kernel.platform.timer(kernel.now_ns() + delay_ns, lambda: _run_ksoftirqd(kernel))


def _run_ksoftirqd(kernel: "Kernel") -> None:
    kernel.softirq.ksoftirqd = False
    do_softirq(kernel)


def irq_enter(kernel: "Kernel") -> None:
    """Begin a hard interrupt."""
    kernel.softirq.hardirq += 1


def irq_exit(kernel: "Kernel") -> None:
    """End a hard interrupt, and run the softirqs that it raised."""
    softirq = kernel.softirq
    softirq.hardirq -= 1
    if softirq.pending and not softirq.hardirq and not softirq.count:
        __do_softirq(kernel)


def run_in_irq(kernel: "Kernel", function: Callable[[], None]) -> None:
    """Call a function as a hard interrupt does, with the softirqs behind it."""
    irq_enter(kernel)
    try:
        function()
    finally:
        irq_exit(kernel)


def run_in_softirq(kernel: "Kernel", function: Callable[[], None]) -> None:
    """Call a function as a softirq does, with the other softirqs behind it."""
    kernel.softirq.count += 1
    try:
        function()
    finally:
        kernel.softirq.count -= 1
    do_softirq(kernel)


def request_irq(kernel: "Kernel", irq: "Irq", handler: Callable[[], None]) -> None:
    """Have a function called for a device's interrupt."""
    irq.request(lambda: run_in_irq(kernel, handler))
