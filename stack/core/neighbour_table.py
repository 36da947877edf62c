"""The table of neighbours: making, finding and forgetting them (Linux: net/core/neighbour.c)."""

from collections import defaultdict
from collections.abc import Callable
from copy import copy
from errno import ENOBUFS
from typing import TYPE_CHECKING

from .drop_reasons import SkbDropReason
from .neighbour import (
    NUD_FAILED,
    NUD_IN_TIMER,
    NUD_NOARP,
    NUD_NONE,
    NUD_PERMANENT,
    NUD_VALID,
    Neighbour,
    NeighCause,
    neigh_change_state,
    neigh_del_timer,
)
from .neighbour_proxy import neigh_proxy_process, pneigh_ifdown
from .netevent import NetEvent, call_netevent_notifiers
from .skbuff import kfree_skb, kfree_skb_reason
from .timer import HZ, TimerList, jiffies, mod_timer, timer_pending

if TYPE_CHECKING:
    from .net import Net
    from .netdevice import NetDevice
    from .skbuff import SkBuff

__all__ = [
    "NeighParms",
    "NeighTable",
    "___neigh_create",
    "__neigh_create",
    "neigh_carrier_down",
    "neigh_changeaddr",
    "neigh_forced_gc",
    "neigh_ifdown",
    "neigh_lookup",
    "neigh_remove_one",
]

_RTM_DELNEIGH = 29
_RANDOMISE_AGAIN = 300 * HZ  # How long one random reachable time holds.


class NeighParms:
    """Settings of a device for its neighbours, with the kernel's defaults (Linux: ``struct neigh_parms``).

    Times are in jiffies. ``queue_len_bytes`` counts ``truesize``; it is ``unres_qlen_bytes``.
    """

    def __init__(self, net: "Net") -> None:
        self.net = net
        self.base_reachable_time = 30 * HZ
        self.delay_probe_time = 5 * HZ
        self.retrans_time = HZ
        self.gc_staletime = 60 * HZ
        self.ucast_probes = 3
        self.mcast_probes = 3
        self.app_probes = 0
        self.mcast_reprobes = 0
        self.queue_len_bytes = 212992
        self.arp_announce = 0
        self.locktime = HZ  # How long one answer keeps others from replacing it.
        self.proxy_delay = 4 * HZ // 5
        self.proxy_qlen = 64
        self.proxy_waiting = 0  # Questions that wait for an answer in another's name.
        self._reachable_time = 0
        self._last_rand = 0

    def clone(self) -> "NeighParms":
        """Return settings for one more device, equal to these now."""
        parms = copy(self)
        parms._reachable_time = parms.proxy_waiting = 0
        return parms

    def reachable_time(self, now: int) -> int:
        """Return how long a confirmation holds: random, between half and one and a half of ``base_reachable_time``."""
        base = self.base_reachable_time
        stale = now - self._last_rand >= _RANDOMISE_AGAIN
        if stale or not base >> 1 <= self._reachable_time <= (base >> 1) + base:
            self._last_rand = now
            random_u32 = self.net.kernel.platform.random_u32()
            self._reachable_time = (base >> 1) + (random_u32 * base >> 32)
        return self._reachable_time


class NeighTable:
    """All neighbours of one protocol in a namespace (Linux: ``struct neigh_table``).

    Members
    -------
    nht : dict[int, Neighbour]
        Neighbours by what ``hash`` returns for address and device.
    constructor : callable
        Sets a new neighbour's type, state and functions up; returns 0 or a negative errno.
    parms : NeighParms
        Settings that new devices start with.
    gc_thresh1, gc_thresh2, gc_thresh3 : int
        Number of entries from which on old ones are looked for, are removed at once, and no more are made.
    phash : set[tuple[int, NetDevice]]
        Addresses that a device speaks for.
    proxy_queue, proxy_timer, proxy_redo : list[SkBuff], TimerList, callable
        Questions that wait for an answer in another's name, when the next one is due, and what answers it.
    stats : defaultdict[str, int]
        Counters: ``unres_discards``, ``res_failed``, ``allocs``, ``destroys``, ``table_fulls``, ``forced_gc_runs``.
    """

    def __init__(
        self, net: "Net", constructor: Callable[[Neighbour], int], hash: Callable[[int, "NetDevice"], int]
    ) -> None:
        self.net = net
        self.constructor = constructor
        self.hash = hash
        self.nht: dict[int, Neighbour] = {}
        self.parms = NeighParms(net)
        self.gc_interval = 30 * HZ
        self.gc_thresh1 = 128
        self.gc_thresh2 = 512
        self.gc_thresh3 = 1024
        self.last_flush = 0
        self.stats: defaultdict[str, int] = defaultdict(int)
        self.gc_work = TimerList(net.kernel, self._periodic_work)
        self.phash: set[tuple[int, NetDevice]] = set()
        self.proxy_queue: list[SkBuff] = []
        self.proxy_timer = TimerList(net.kernel, lambda: neigh_proxy_process(self))
        self.proxy_redo: Callable[[SkBuff], None] = kfree_skb

    def _periodic_work(self) -> None:
        neigh_periodic_work(self)


def neigh_lookup(tbl: NeighTable, pkey: int, dev: "NetDevice") -> Neighbour | None:
    """Return the neighbour of a device with an address, if there is an entry."""
    return tbl.nht.get(tbl.hash(pkey, dev))


def __neigh_create(tbl: NeighTable, pkey: int, dev: "NetDevice") -> Neighbour:
    """Return the neighbour of a device with an address, made if needed.

    Raises
    ------
    OSError
        ``ENOBUFS`` when the table is full; what the constructor says.
    """
    return ___neigh_create(tbl, pkey, dev)


def ___neigh_create(tbl: NeighTable, pkey: int, dev: "NetDevice") -> Neighbour:
    _make_room(tbl)
    neigh = Neighbour(tbl, pkey, dev, dev.arp_parms or tbl.parms)
    error = tbl.constructor(neigh)
    if error:
        raise OSError(-error, "the neighbour cannot be made")
    key = tbl.hash(neigh.primary_key, dev)
    existing = tbl.nht.get(key)
    if existing is not None:
        return existing
    tbl.nht[key] = neigh
    tbl.stats["allocs"] += 1
    if len(tbl.nht) >= tbl.gc_thresh1 and not timer_pending(tbl.gc_work):
        mod_timer(tbl.gc_work, jiffies(tbl.net.kernel) + tbl.gc_interval)
    return neigh


def _make_room(tbl: NeighTable) -> None:
    """See that the table has room for one more entry."""
    if len(tbl.nht) < tbl.gc_thresh2:
        return
    entries = _gc_entries(tbl)
    if entries < tbl.gc_thresh2:
        return
    now = jiffies(tbl.net.kernel)
    if entries >= tbl.gc_thresh3 or now > tbl.last_flush + 5 * HZ:
        if not neigh_forced_gc(tbl) and entries >= tbl.gc_thresh3:
            tbl.stats["table_fulls"] += 1
            raise OSError(ENOBUFS, "neighbour table overflow")


def _gc_entries(tbl: NeighTable) -> int:
    """Return how many entries count against the limits: not those set by hand (Linux: ``gc_entries``)."""
    return sum(not neigh.nud_state & NUD_PERMANENT for neigh in tbl.nht.values())


def neigh_forced_gc(tbl: NeighTable) -> int:
    """Remove the entries that nobody needs, oldest first, down to ``gc_thresh2``; return how many went.

    Entries set by hand stay, as do those in use: with packets waiting or a timer running, or changed less than 5 s ago
    (those that never ask, such as of multicast groups, may go at any time).
    """
    tbl.stats["forced_gc_runs"] += 1
    now = jiffies(tbl.net.kernel)
    tbl.last_flush = now
    wanted = _gc_entries(tbl) - tbl.gc_thresh2
    old = [n for n in tbl.nht.values() if not n.nud_state & NUD_PERMANENT and not _in_use(n)]
    old.sort(key=lambda neigh: neigh.updated)
    shrunk = 0
    for neigh in old:
        if shrunk >= wanted:
            break
        if neigh.nud_state in (NUD_FAILED, NUD_NOARP) or neigh.updated <= now - 5 * HZ:
            neigh_remove_one(neigh)
            shrunk += 1
    return shrunk


def _in_use(neigh: Neighbour) -> bool:
    return bool(neigh.arp_queue) or neigh.nud_state & NUD_IN_TIMER != 0


def neigh_periodic_work(tbl: NeighTable) -> None:
    """Remove failed entries and those that were not used for ``gc_staletime``, while there are many."""
    now = jiffies(tbl.net.kernel)
    if len(tbl.nht) < tbl.gc_thresh1:
        return
    for neigh in list(tbl.nht.values()):
        if neigh.nud_state & NUD_PERMANENT or _in_use(neigh):
            continue
        used = max(neigh.used, neigh.confirmed)
        if neigh.nud_state == NUD_FAILED or now > used + neigh.parms.gc_staletime:
            neigh_remove_one(neigh)
    if len(tbl.nht) >= tbl.gc_thresh1:
        mod_timer(tbl.gc_work, now + tbl.parms.base_reachable_time // 2)


def neigh_remove_one(neigh: Neighbour) -> None:
    """Forget a neighbour, and tell those who keep a copy; what waits for it is dropped, its senders not told."""
    from .neighbour_netlink import __neigh_notify  # Built on this module.

    tbl = neigh.tbl
    key = tbl.hash(neigh.primary_key, neigh.dev)
    if tbl.nht.get(key) is neigh:
        del tbl.nht[key]
    neigh_del_timer(neigh)
    was_valid = neigh.nud_state & NUD_VALID
    neigh.dead = True
    neigh.hh.hh_len = 0
    __neigh_notify(neigh, _RTM_DELNEIGH)
    neigh_change_state(neigh, NeighCause.UPDATE, NUD_NONE)
    while neigh.arp_queue:
        kfree_skb_reason(neigh.arp_queue.popleft(), SkbDropReason.NEIGH_DEAD)
    neigh.arp_queue_len_bytes = 0
    tbl.stats["destroys"] += 1
    if was_valid:
        call_netevent_notifiers(neigh.kernel, NetEvent.NEIGH_UPDATE, neigh)


def neigh_ifdown(tbl: NeighTable, dev: "NetDevice") -> None:
    """Forget all neighbours of a device that goes down, and for whom it spoke."""
    for neigh in [neigh for neigh in tbl.nht.values() if neigh.dev is dev]:
        neigh_remove_one(neigh)
    pneigh_ifdown(tbl, dev)


def neigh_carrier_down(tbl: NeighTable, dev: "NetDevice") -> None:
    """Forget the neighbours of a device that lost its link, but those set by hand, and for whom it spoke."""
    for neigh in [n for n in tbl.nht.values() if n.dev is dev and not n.nud_state & NUD_PERMANENT]:
        neigh_remove_one(neigh)
    pneigh_ifdown(tbl, dev)


def neigh_changeaddr(tbl: NeighTable, dev: "NetDevice") -> None:
    """Forget all neighbours of a device whose link address changed: their link headers have the old one."""
    for neigh in [neigh for neigh in tbl.nht.values() if neigh.dev is dev]:
        neigh_remove_one(neigh)
