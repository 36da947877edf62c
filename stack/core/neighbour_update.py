"""Neighbours: taking over what was learned about them (Linux: net/core/neighbour.c)."""

from errno import EINVAL, ENOENT, EPERM

from .neighbour import (
    NUD_CONNECTED,
    NUD_FAILED,
    NUD_IN_TIMER,
    NUD_INCOMPLETE,
    NUD_NOARP,
    NUD_PERMANENT,
    NUD_PROBE,
    NUD_REACHABLE,
    NUD_STALE,
    NUD_VALID,
    Neighbour,
    NeighCause,
    neigh_add_timer,
    neigh_change_state,
    neigh_connect,
    neigh_del_timer,
    neigh_invalidate,
    neigh_suspect,
    neigh_update_notify,
)
from .timer import jiffies

__all__ = [
    "NEIGH_UPDATE_F_ADMIN",
    "NEIGH_UPDATE_F_OVERRIDE",
    "NEIGH_UPDATE_F_WEAK_OVERRIDE",
    "__neigh_update",
    "neigh_update",
]

NEIGH_UPDATE_F_OVERRIDE = 0x01  # The address may replace another one.
NEIGH_UPDATE_F_WEAK_OVERRIDE = 0x02  # Another address only makes the entry stale.
NEIGH_UPDATE_F_ADMIN = 0x80000000  # The administrator says so.


def neigh_update(neigh: Neighbour, lladdr: bytes | None, new: int, flags: int = 0, portid: int = 0) -> int:
    """Take over what somebody learned about a neighbour.

    Parameters
    ----------
    neigh : Neighbour
        The neighbour.
    lladdr : bytes or None
        Its link address; None if that is not known or not new.
    new : int
        Its new state.
    flags : int
        ``NEIGH_UPDATE_F_*``.
    portid : int
        Number of the socket that asks for it, for the notification.

    Returns
    -------
    int
        0; ``-EPERM`` if only the administrator may change the entry; ``-EINVAL`` if an address is missing or of the
        wrong length; ``-ENOENT`` if the entry is dead.
    """
    return __neigh_update(neigh, lladdr, new, flags, portid)


def __neigh_update(neigh: Neighbour, lladdr: bytes | None, new: int, flags: int, portid: int) -> int:
    old = neigh.nud_state
    if not flags & NEIGH_UPDATE_F_ADMIN and old & (NUD_NOARP | NUD_PERMANENT):
        return -EPERM
    if neigh.dead:
        return -ENOENT
    if not new & NUD_VALID:
        _invalid(neigh, new, portid)
        return 0
    if lladdr is None:
        if not old & NUD_VALID:
            return -EINVAL
        lladdr = neigh.ha
    elif len(lladdr) != neigh.dev.addr_len:
        return -EINVAL
    now = jiffies(neigh.kernel)
    if new & NUD_CONNECTED:
        neigh.confirmed = now
    if old & NUD_VALID:
        if lladdr != neigh.ha and not flags & NEIGH_UPDATE_F_OVERRIDE:
            if not (flags & NEIGH_UPDATE_F_WEAK_OVERRIDE and old & NUD_CONNECTED):
                return 0
            lladdr = neigh.ha
            new = NUD_STALE
        elif lladdr == neigh.ha and new == NUD_STALE and not flags & NEIGH_UPDATE_F_ADMIN:
            new = old
    notify = new != old or lladdr != neigh.ha
    if new != old:
        neigh_del_timer(neigh)
        if new & NUD_PROBE:
            neigh.probes = 0
        if new & NUD_IN_TIMER:
            neigh_add_timer(neigh, now + (neigh.parms.reachable_time(now) if new & NUD_REACHABLE else 0))
        neigh_change_state(neigh, NeighCause.UPDATE, new)
    if lladdr != neigh.ha:
        neigh.ha = lladdr
        neigh.updated = now
        neigh_update_hhs(neigh)
        if not new & NUD_CONNECTED:
            neigh.confirmed = now - (neigh.parms.base_reachable_time << 1)
    if new != old:
        if new & NUD_CONNECTED:
            neigh_connect(neigh)
        else:
            neigh_suspect(neigh)
        if not old & NUD_VALID:
            _flush(neigh)
    if notify:
        neigh_update_notify(neigh, portid)
    return 0


def _invalid(neigh: Neighbour, new: int, portid: int) -> None:
    """Take over that a neighbour's address is no longer known."""
    old = neigh.nud_state
    neigh_del_timer(neigh)
    if old & NUD_CONNECTED:
        neigh_suspect(neigh)
    neigh_change_state(neigh, NeighCause.UPDATE, new)
    neigh.hh.hh_len = 0
    notify = old & NUD_VALID != 0
    if old & (NUD_INCOMPLETE | NUD_PROBE) and new & NUD_FAILED:
        neigh_invalidate(neigh)
        notify = True
    if notify:
        neigh_update_notify(neigh, portid)


def neigh_update_hhs(neigh: Neighbour) -> None:
    """Write the neighbour's new address into its prebuilt header."""
    header_ops = neigh.dev.header_ops
    if neigh.hh.hh_len and header_ops is not None and header_ops.cache_update is not None:
        header_ops.cache_update(neigh.hh, neigh.dev, neigh.ha)


def _flush(neigh: Neighbour) -> None:
    """Send what waited for the link address."""
    while neigh.nud_state & NUD_VALID and neigh.arp_queue:
        skb = neigh.arp_queue.popleft()
        neigh.arp_queue_len_bytes -= skb.truesize
        # The packet's route may lead over another neighbour by now.
        dst = skb.dst
        target = dst.ops.neigh_lookup(dst, skb) if dst is not None and dst.obsolete != 2 else None
        if target is None:
            target = neigh
        target.output(target, skb)
