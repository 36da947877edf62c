"""NAPI for devices on top of others: what a tunnel received is polled once more (Linux: net/core/gro_cells.c)."""

from collections import deque

from .dev_napi import (
    NETDEV_MAX_BACKLOG,
    Napi,
    __napi_schedule,
    napi_complete_done,
    napi_disable,
    napi_enable,
    napi_schedule_prep,
    netif_napi_add,
    netif_rx,
)
from .drop_reasons import SkbDropReason
from .gro import flush_gro_hash, napi_gro_receive
from .netdevice import IFF_UP, NET_RX_DROP, NET_RX_SUCCESS, NETIF_F_GRO, NetDevice
from .skbuff import SkBuff, kfree_skb_reason
from .skbuff_data import skb_cloned

__all__ = ["GroCells", "gro_cells_destroy", "gro_cells_init", "gro_cells_receive"]


class GroCells:
    """The queue of a device's received packets and what polls it (Linux: ``struct gro_cells``, for one CPU)."""

    __slots__ = ("napi", "napi_skbs")

    def __init__(self, dev: NetDevice) -> None:
        self.napi_skbs: deque[SkBuff] = deque()
        self.napi = netif_napi_add(dev, self.gro_cell_poll)

    def gro_cell_poll(self, napi: Napi, budget: int) -> int:
        """Hand packets from the queue to the protocols."""
        work = 0
        while work < budget and self.napi_skbs:
            napi_gro_receive(napi, self.napi_skbs.popleft())
            work += 1
        if work < budget:
            napi_complete_done(napi, work)
        return work


def gro_cells_init(dev: NetDevice) -> GroCells:
    """Give a device its queue."""
    cells = GroCells(dev)
    napi_enable(cells.napi)
    return cells


def gro_cells_destroy(cells: GroCells) -> None:
    """Take it away, with what is in it."""
    napi_disable(cells.napi)
    flush_gro_hash(cells.napi)  # netif_napi_del()
    while cells.napi_skbs:
        kfree_skb_reason(cells.napi_skbs.popleft(), SkbDropReason.NOT_SPECIFIED)


def gro_cells_receive(cells: GroCells | None, skb: SkBuff) -> int:
    """Queue a packet, whose device is set; return ``NET_RX_*``.

    Without a queue of its own, or where the device merges no packets, it takes the backlog (``netif_elide_gro()``).
    """
    dev = skb.dev
    assert dev is not None
    if not dev.flags & IFF_UP or (cells is not None and len(cells.napi_skbs) > NETDEV_MAX_BACKLOG):
        dev.core_stats.rx_dropped += 1
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return NET_RX_DROP
    if cells is None or skb_cloned(skb) or not dev.features & NETIF_F_GRO:
        return netif_rx(skb)
    cells.napi_skbs.append(skb)
    if len(cells.napi_skbs) == 1 and napi_schedule_prep(cells.napi):
        __napi_schedule(cells.napi)
    return NET_RX_SUCCESS
