"""Entries of a bridge's table that somebody configures, and showing it (Linux: net/bridge/br_fdb.c; bridge(8))."""

from dataclasses import dataclass
from errno import EEXIST, EINVAL, ENOENT, EPERM
from typing import TYPE_CHECKING

from ..core.neighbour import NUD_NOARP, NUD_PERMANENT, NUD_REACHABLE, NUD_STALE
from ..core.netdevice import IFF_EBRIDGE
from ..core.timer import jiffies
from .br_fdb import br_fdb_update, fdb_create, fdb_delete, fdb_find_rcu, has_expired
from .br_private import (
    BR_STATE_FORWARDING,
    BR_STATE_LEARNING,
    NetBridge,
    NetBridgeFdbEntry,
    NetBridgePort,
    br_port_get_rcu,
)

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice

__all__ = [
    "NLM_F_CREATE",
    "NLM_F_EXCL",
    "FdbInfo",
    "br_fdb_add",
    "br_fdb_delete",
    "br_fdb_dump",
]

NLM_F_EXCL = 0x200  # Flags of a request that makes something (include/uapi/linux/netlink.h).
NLM_F_CREATE = 0x400


@dataclass(frozen=True, slots=True)
class FdbInfo:
    """An entry as ``bridge fdb show`` has it.

    Members
    -------
    dev : NetDevice
        The port's device, or the bridge's.
    state : int
        ``NUD_PERMANENT`` (ours), ``NUD_NOARP`` (static), ``NUD_STALE`` (too old) or ``NUD_REACHABLE``.
    used, updated : int
        How long ago, in jiffies.
    """

    addr: bytes
    vlan_id: int
    dev: "NetDevice"
    state: int
    sticky: bool
    used: int
    updated: int


def _find(dev: "NetDevice") -> tuple[NetBridge, NetBridgePort | None]:
    """Return the bridge, and the port, that a device is."""
    if dev.priv_flags & IFF_EBRIDGE:
        return dev.priv, None
    p = br_port_get_rcu(dev)
    if p is None:
        raise OSError(EINVAL, f"{dev.name} is no port of a bridge")
    return p.br, p


def fdb_add_entry(
    br: NetBridge, source: NetBridgePort | None, addr: bytes, vid: int, flags: int, state: int, *, sticky: bool
) -> None:
    """Make or change an entry, as the flags allow."""
    if source is not None:
        if not state & (NUD_PERMANENT | NUD_NOARP) and source.state not in (BR_STATE_LEARNING, BR_STATE_FORWARDING):
            raise OSError(EPERM, f"{source.dev.name} does not learn now")
    elif not state & NUD_PERMANENT:
        raise OSError(EINVAL, f"an entry of {br.dev.name} itself must be permanent")
    if sticky and state & NUD_PERMANENT:
        raise OSError(EINVAL, "an entry of our own cannot be sticky")
    fdb = fdb_find_rcu(br, addr, vid)
    if fdb is None:
        if not flags & NLM_F_CREATE:
            raise OSError(ENOENT, f"{addr.hex(':')} is not known")
        fdb = fdb_create(br, source, addr, vid)
    elif flags & NLM_F_EXCL:
        raise OSError(EEXIST, f"{addr.hex(':')} is known")
    fdb.dst = source
    fdb.is_local = state & NUD_PERMANENT != 0
    fdb.is_static = state & (NUD_PERMANENT | NUD_NOARP) != 0
    fdb.is_sticky = sticky
    fdb.added_by_user = True
    fdb.used = fdb.updated = jiffies(br.dev.kernel)


def br_fdb_add(
    dev: "NetDevice", addr: bytes, vid: int, flags: int, state: int, *, use: bool = False, sticky: bool = False
) -> None:
    """Know a station at a port, or as this host: ``bridge fdb add ADDR dev DEV master STATE``.

    Parameters
    ----------
    dev : NetDevice
        A port's device, or the bridge's.
    addr, vid : bytes, int
        The station; ``vid`` is 0 without VLAN filtering.
    flags : int
        ``NLM_F_CREATE``: if there is none. ``NLM_F_EXCL``: not if there is one.
    state : int
        ``NUD_PERMANENT``: it is this host. ``NUD_NOARP``: it does not age (``static``). ``NUD_REACHABLE``: it does
        (``dynamic``).
    use : bool
        Learn it, as from a frame.
    sticky : bool
        It stays at the port, wherever frames from it come in.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENOENT``, ``EEXIST``, ``EPERM``.
    """
    br, p = _find(dev)
    if not state & (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE):
        raise OSError(EINVAL, f"no entry can have state {state:#x}")
    if len(addr) != 6 or addr == bytes(6):
        raise OSError(EINVAL, f"{addr.hex(':')} is no station's address")
    if vid:
        raise OSError(EINVAL, f"{br.dev.name} does not filter by VLAN")
    if not use:
        fdb_add_entry(br, p, addr, vid, flags, state, sticky=sticky)
    elif p is None:
        raise OSError(EINVAL, f"a bridge itself cannot learn {addr.hex(':')}")
    elif p.state in (BR_STATE_LEARNING, BR_STATE_FORWARDING):
        br_fdb_update(br, p, addr, vid, added_by_user=True)


def br_fdb_delete(dev: "NetDevice", addr: bytes, vid: int) -> None:
    """Forget a station: ``bridge fdb del ADDR dev DEV master``.

    Raises
    ------
    OSError
        ``ENOENT`` if it is not known there, ``EINVAL``.
    """
    br, p = _find(dev)
    fdb = fdb_find_rcu(br, addr, vid)
    if fdb is None or fdb.dst is not p:
        raise OSError(ENOENT, f"{addr.hex(':')} is not known at {dev.name}")
    fdb_delete(br, fdb)


def fdb_to_nud(br: NetBridge, fdb: NetBridgeFdbEntry) -> int:
    """Return the state of an entry, as of a neighbour."""
    if fdb.is_local:
        return NUD_PERMANENT
    if fdb.is_static:
        return NUD_NOARP
    return NUD_STALE if has_expired(br, fdb) else NUD_REACHABLE


def br_fdb_dump(br_dev: "NetDevice") -> list[FdbInfo]:
    """Return the table of a bridge: ``bridge fdb show br BRIDGE``."""
    br: NetBridge = br_dev.priv
    now = jiffies(br_dev.kernel)
    return [
        FdbInfo(
            addr=fdb.addr,
            vlan_id=fdb.vlan_id,
            dev=br_dev if fdb.dst is None else fdb.dst.dev,
            state=fdb_to_nud(br, fdb),
            sticky=fdb.is_sticky,
            used=now - fdb.used,
            updated=now - fdb.updated,
        )
        for fdb in br.fdb_hash.values()
    ]
