"""Answering for others: addresses that a device speaks for, and answers that wait (Linux: net/core/neighbour.c)."""

from typing import TYPE_CHECKING

from .drop_reasons import SkbDropReason
from .netdevice import netif_running
from .skbuff import kfree_skb_reason
from .timer import del_timer, jiffies, mod_timer, timer_pending

if TYPE_CHECKING:
    from .neighbour_table import NeighParms, NeighTable
    from .netdevice import NetDevice
    from .skbuff import SkBuff

__all__ = ["NeighCb", "neigh_proxy_process", "pneigh_delete", "pneigh_enqueue", "pneigh_ifdown", "pneigh_lookup"]


class NeighCb:
    """What a question that waits for its answer says of itself (Linux: ``NEIGH_CB``): when to answer, in jiffies."""

    __slots__ = ("parms", "sched_next")

    def __init__(self, sched_next: int, parms: "NeighParms") -> None:
        self.sched_next = sched_next
        self.parms = parms


def pneigh_lookup(tbl: "NeighTable", key: int, dev: "NetDevice", *, creat: bool = False) -> bool:
    """Return whether a device speaks for an address; with ``creat`` it does from now on."""
    if creat:
        tbl.phash.add((key, dev))
    return (key, dev) in tbl.phash


def pneigh_delete(tbl: "NeighTable", key: int, dev: "NetDevice") -> bool:
    """Let a device speak for an address no more; return whether it did."""
    found = (key, dev) in tbl.phash
    tbl.phash.discard((key, dev))
    return found


def pneigh_enqueue(tbl: "NeighTable", parms: "NeighParms", skb: "SkBuff") -> None:
    """Let a question wait, up to ``proxy_delay``, so that whoever really has the address can answer first."""
    if parms.proxy_waiting > parms.proxy_qlen:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return
    kernel = tbl.net.kernel
    sched_next = jiffies(kernel) + (kernel.platform.random_u32() * parms.proxy_delay >> 32)
    skb.cb = NeighCb(sched_next, parms)
    skb.dst = None
    if timer_pending(tbl.proxy_timer):
        sched_next = min(sched_next, tbl.proxy_timer.expires)
    tbl.proxy_queue.append(skb)
    parms.proxy_waiting += 1
    mod_timer(tbl.proxy_timer, sched_next)


def neigh_proxy_process(tbl: "NeighTable") -> None:
    """Answer what has waited long enough."""
    now = jiffies(tbl.net.kernel)
    due = [skb for skb in tbl.proxy_queue if skb.cb.sched_next <= now]
    tbl.proxy_queue = [skb for skb in tbl.proxy_queue if skb.cb.sched_next > now]
    for skb in due:
        skb.cb.parms.proxy_waiting -= 1
        if skb.dev is not None and netif_running(skb.dev):
            tbl.proxy_redo(skb)
        else:
            kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    if tbl.proxy_queue:
        mod_timer(tbl.proxy_timer, min(skb.cb.sched_next for skb in tbl.proxy_queue))


def pneigh_ifdown(tbl: "NeighTable", dev: "NetDevice") -> None:
    """Let a device that goes down speak for nobody, and drop what waits for its answer."""
    tbl.phash = {entry for entry in tbl.phash if entry[1] is not dev}
    gone = [skb for skb in tbl.proxy_queue if skb.dev is dev]
    tbl.proxy_queue = [skb for skb in tbl.proxy_queue if skb.dev is not dev]
    for skb in gone:
        skb.cb.parms.proxy_waiting -= 1
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    if not tbl.proxy_queue:
        del_timer(tbl.proxy_timer)
