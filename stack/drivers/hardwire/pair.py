"""A TX queue and an RX queue of our NIC that share an interrupt line and are polled together."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...core.dev_napi import (
    Napi,
    __napi_schedule,
    napi_complete_done,
    napi_disable,
    napi_enable,
    napi_schedule,
    napi_schedule_prep,
    netif_napi_add,
)
from ...core.softirq import local_bh_disable, local_bh_enable, request_irq
from .queue import Queue
from .ring import TxRing
from .rx import hardwire_clean_rx
from .rx_ring import RxRing
from .tx import hardwire_clean_tx

if TYPE_CHECKING:
    from ...core.netdevice import NetDevice
    from ..bus import Irq

__all__ = ["QueuePair", "hardwire_intr", "hardwire_poll"]


class QueuePair:
    """The queues of one number.

    Members
    -------
    tx, rx : TxRing or None, RxRing or None
        The queues; a device with more of one kind than of the other has pairs with one only.
    queues : tuple[Queue, ...]
        Those that there are, RX first.
    irq : Irq
        Their interrupt line.
    napi : Napi
        What polls them.
    """

    __slots__ = ("dev", "irq", "napi", "queues", "rx", "tx")

    def __init__(self, dev: "NetDevice", tx: TxRing | None, rx: RxRing | None, irq: "Irq") -> None:
        self.dev = dev
        self.tx = tx
        self.rx = rx
        self.queues: tuple[Queue, ...] = tuple(queue for queue in (rx, tx) if queue is not None)
        self.irq = irq
        self.napi = netif_napi_add(dev, partial(hardwire_poll, self))
        if rx is not None:
            rx.napi = self.napi

    def enable(self) -> None:
        """Take interrupts and have the queues polled; start the queues afterwards."""
        request_irq(self.dev.kernel, self.irq, partial(hardwire_intr, self))
        napi_enable(self.napi)

    def disable(self) -> None:
        """End that; the queues are at rest, or about to be."""
        napi_disable(self.napi)
        for queue in self.queues:
            queue.mask_irq()
        self.irq.free()

    def resume(self) -> None:
        """Poll again after ``napi_disable``; what came up meanwhile is seen to at once."""
        kernel = self.dev.kernel
        napi_enable(self.napi)
        local_bh_disable(kernel)
        napi_schedule(self.napi)
        local_bh_enable(kernel)


def hardwire_intr(pair: QueuePair) -> None:
    """Take the interrupt: keep further ones of the queue that raised it away until it was polled.

    Which one that is shows in memory, so that nothing has to be read from the device. If the other one has raised the
    line too it stays high, and the interrupt comes again.
    """
    queues: Sequence[Queue] = [queue for queue in pair.queues if queue.irq_enabled]
    for queue in queues:
        if queue.is_completed():
            queue.mask_irq()
            break
    else:
        for queue in queues:
            queue.mask_irq()
    if napi_schedule_prep(pair.napi):
        __napi_schedule(pair.napi)


def hardwire_poll(pair: QueuePair, napi: Napi, budget: int) -> int:
    """Clean both queues; cleaning TX counts as no work unless there is a great deal of it."""
    tx, rx = pair.tx, pair.rx
    complete = tx is None or hardwire_clean_tx(tx)
    work = 0
    if rx is not None:
        work = hardwire_clean_rx(rx, napi, budget)
        if work or rx.missing:
            rx.refill()
    if not complete or work >= budget:
        return budget
    if napi_complete_done(napi, work):
        for queue in pair.queues:
            queue.rearm()
    return work
