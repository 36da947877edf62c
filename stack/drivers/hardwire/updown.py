"""Our NIC going up and down, getting other rings, and being reset."""

from contextlib import suppress
from typing import TYPE_CHECKING

from ...core.dev_napi import napi_disable
from ...core.dev_queue import (
    netif_freeze_queues,
    netif_tx_start_queue,
    netif_tx_stop_queue,
    netif_unfreeze_queues,
)
from ...core.netdevice import NetDevice, netif_running
from .filter import hardwire_set_up_filter
from .pair import QueuePair
from .queue import Queue
from .ring import TxRing
from .rx import hardwire_drop_rx, hardwire_flush_rx
from .rx_ring import RxRing
from .tx import hardwire_clean_all

if TYPE_CHECKING:
    from .main import Hardwire

__all__ = ["hardwire_open", "hardwire_resize", "hardwire_stop", "hardwire_tx_timeout"]


def hardwire_open(dev: NetDevice) -> None:
    """Bring the device up (``ndo_open``).

    Buffers to receive into that cannot be had now are tried again later.

    Raises
    ------
    OSError
        ``ENOMEM``; ``EIO`` if the PHY does not answer any more.
    """
    nic: Hardwire = dev.priv
    ready: list[Queue] = []
    try:
        for queue in (*nic.rings, *nic.rx_rings):
            queue.allocate(queue.log2)
            ready.append(queue)
        nic.phy.start()
    except OSError:
        for queue in ready:
            queue.free()
        raise
    hardwire_set_up_filter(nic)
    for pair in nic.pairs:
        pair.enable()
        for queue in pair.queues:
            queue.start()
    for ring in nic.rings:
        netif_tx_start_queue(ring.txq)


def hardwire_stop(dev: NetDevice) -> None:
    """Take the device down once it has sent what it was given (``ndo_stop``).

    One that does not come to rest is let go of all the same; its frames are counted as aborted.
    """
    nic: Hardwire = dev.priv
    nic.phy.stop()
    for pair in nic.pairs:
        pair.disable()
    for rx in nic.rx_rings:
        with suppress(OSError):
            rx.drain()
        hardwire_drop_rx(rx)
        rx.free()
    for ring in nic.rings:
        with suppress(OSError):
            ring.drain()
        hardwire_clean_all(ring)
        ring.free()
    nic.neigh.flush()


def hardwire_tx_timeout(dev: NetDevice, txqueue: int) -> None:
    """Reset a queue that has been stuck (``ndo_tx_timeout``); each of its frames is accounted for.

    Its partner goes on receiving.
    """
    nic: Hardwire = dev.priv
    ring = nic.rings[txqueue]
    pair = nic.pairs[txqueue]
    netif_freeze_queues(dev)
    napi_disable(pair.napi)
    ring.stat["resets"] += 1
    try:
        ring.reset()
    except OSError:
        pair.resume()
        return  # The queue stays frozen, so the watchdog comes back.
    hardwire_clean_all(ring)
    ring.start()
    pair.resume()
    netif_tx_start_queue(ring.txq)
    netif_unfreeze_queues(dev)


def hardwire_resize(nic: "Hardwire", tx_log2: int, rx_log2: int) -> None:
    """Give the queues other rings; what is in the present ones is sent or received first.

    Raises
    ------
    OSError
        ``ENOMEM``: the rings are as they were; ``EIO``: the device does not come to rest, and the watchdog resets it.
    """
    dev = nic.dev
    queues: list[tuple[Queue, int]] = [(ring, tx_log2) for ring in nic.rings]
    queues += [(rx, rx_log2) for rx in nic.rx_rings]
    changed = [(queue, log2) for queue, log2 in queues if queue.log2 != log2]
    if not netif_running(dev):
        for queue, log2 in changed:
            queue.set_size(log2)
        return
    netif_freeze_queues(dev)
    try:
        for queue, log2 in changed:
            pair = nic.pairs[queue.index]
            if isinstance(queue, TxRing):
                _resize_tx(pair, queue, log2)
            elif isinstance(queue, RxRing):
                _resize_rx(pair, queue, log2)
    finally:
        netif_unfreeze_queues(dev)


def _resize_tx(pair: QueuePair, ring: TxRing, log2: int) -> None:
    napi_disable(pair.napi)
    try:
        ring.drain()
    except OSError:
        pair.resume()
        netif_tx_stop_queue(ring.txq)
        raise
    hardwire_clean_all(ring)
    try:
        ring.allocate(log2)
    finally:
        ring.start()
        netif_tx_start_queue(ring.txq)
        pair.resume()


def _resize_rx(pair: QueuePair, ring: RxRing, log2: int) -> None:
    napi_disable(pair.napi)
    try:
        ring.drain()
    except OSError:
        pair.resume()
        raise
    hardwire_flush_rx(ring)
    try:
        ring.allocate(log2)
    finally:
        ring.start()
        pair.resume()
