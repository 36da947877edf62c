"""Where stations are: learning and ageing (Linux: net/bridge/br_fdb.c; IEEE Std 802.1D-1998 §7.8, §7.9)."""

from ..core.timer import HZ, jiffies, mod_timer
from .br_private import NetBridge, NetBridgeFdbEntry, NetBridgePort

__all__ = [
    "br_fdb_add_local",
    "br_fdb_change_mac_address",
    "br_fdb_changeaddr",
    "br_fdb_cleanup",
    "br_fdb_delete_by_port",
    "br_fdb_find_rcu",
    "br_fdb_flush",
    "br_fdb_update",
    "fdb_create",
    "fdb_delete",
    "has_expired",
    "hold_time",
]

_CLEANUP_MIN = HZ // 100 or 1  # Not more often than each 10 ms.


def hold_time(br: NetBridge) -> int:
    """Return how long an address that is not heard of is kept; short while the topology changes."""
    return br.forward_delay if br.topology_change else br.ageing_time


def has_expired(br: NetBridge, fdb: NetBridgeFdbEntry) -> bool:
    """Return whether an address is not heard of any more."""
    return not fdb.is_static and fdb.updated + hold_time(br) <= jiffies(br.dev.kernel)


def fdb_find_rcu(br: NetBridge, addr: bytes, vid: int) -> NetBridgeFdbEntry | None:
    """Return the entry of an address."""
    return br.fdb_hash.get((addr, vid))


def br_fdb_find_rcu(br: NetBridge, addr: bytes, vid: int) -> NetBridgeFdbEntry | None:
    """Return the entry of an address, for a frame to it."""
    return fdb_find_rcu(br, addr, vid)


def fdb_create(
    br: NetBridge,
    source: NetBridgePort | None,
    addr: bytes,
    vid: int,
    *,
    is_local: bool = False,
    is_static: bool = False,
) -> NetBridgeFdbEntry:
    """Make an entry; one of our own address does not age."""
    now = jiffies(br.dev.kernel)
    fdb = NetBridgeFdbEntry(addr, vid, source, now, is_local=is_local)
    br.fdb_hash[addr, vid] = fdb
    return fdb


def fdb_delete(br: NetBridge, fdb: NetBridgeFdbEntry) -> None:
    """Forget an entry."""
    del br.fdb_hash[fdb.addr, fdb.vlan_id]


def br_fdb_update(br: NetBridge, source: NetBridgePort, addr: bytes, vid: int, *, added_by_user: bool = False) -> None:
    """Learn from a frame that its sender is at a port; a bridge whose ageing time is 0 learns nothing."""
    if not hold_time(br):
        return
    fdb = fdb_find_rcu(br, addr, vid)
    if fdb is None:
        fdb = fdb_create(br, source, addr, vid)
    elif fdb.is_local:
        return  # A frame with our own address as source: a loop, or somebody has the same.
    else:
        fdb.updated = jiffies(br.dev.kernel)
        if not fdb.is_sticky:
            fdb.dst = source
    if added_by_user:
        fdb.added_by_user = True


def br_fdb_cleanup(br: NetBridge) -> None:
    """Forget addresses that are not heard of any more, and look again when the next one may be too old."""
    now = jiffies(br.dev.kernel)
    delay = work_delay = hold_time(br)
    for fdb in list(br.fdb_hash.values()):
        if fdb.is_static:
            continue
        left = fdb.updated + delay - now
        if left > 0:
            work_delay = min(work_delay, left)
        else:
            fdb_delete(br, fdb)
    mod_timer(br.gc_work, now + max(work_delay, _CLEANUP_MIN))


def br_fdb_flush(br: NetBridge) -> None:
    """Forget what was learned."""
    for fdb in list(br.fdb_hash.values()):
        if not fdb.is_static:
            fdb_delete(br, fdb)


def fdb_delete_local(br: NetBridge, p: NetBridgePort | None, fdb: NetBridgeFdbEntry) -> None:
    """Forget an address of ours, unless another port or the bridge itself has it, too: then it is that one's."""
    for other in br.port_list:
        if other is not p and other.dev.dev_addr == fdb.addr:
            fdb.dst, fdb.added_by_user = other, False
            return
    if p is not None and br.dev.dev_addr == fdb.addr:
        fdb.dst, fdb.added_by_user = None, False
        return
    fdb_delete(br, fdb)


def br_fdb_delete_by_port(br: NetBridge, p: NetBridgePort, *, do_all: bool) -> None:
    """Forget what was learned at a port; with ``do_all`` also what was configured, and its own address."""
    for fdb in list(br.fdb_hash.values()):
        if fdb.dst is not p or (fdb.is_static and not do_all):
            continue
        if fdb.is_local:
            fdb_delete_local(br, p, fdb)
        else:
            fdb_delete(br, fdb)


def br_fdb_add_local(br: NetBridge, source: NetBridgePort | None, addr: bytes, vid: int) -> None:
    """Know an address as our own; of several ports with the same address the first has it."""
    fdb = fdb_find_rcu(br, addr, vid)
    if fdb is not None:
        if fdb.is_local:
            return
        fdb_delete(br, fdb)
    fdb_create(br, source, addr, vid, is_local=True)


def br_fdb_changeaddr(p: NetBridgePort, newaddr: bytes) -> None:
    """Take over a port's new address."""
    br = p.br
    for fdb in list(br.fdb_hash.values()):
        if fdb.dst is p and fdb.is_local and not fdb.added_by_user:
            fdb_delete_local(br, p, fdb)
    br_fdb_add_local(br, p, newaddr, 0)


def br_fdb_change_mac_address(br: NetBridge, newaddr: bytes) -> None:
    """Take over the bridge's new address; its device still has the old one."""
    fdb = fdb_find_rcu(br, br.dev.dev_addr, 0)
    if fdb is not None and fdb.is_local and fdb.dst is None and not fdb.added_by_user:
        fdb_delete_local(br, None, fdb)
    br_fdb_add_local(br, None, newaddr, 0)
