"""Requests about ARP, as ``struct arpreq`` (Linux: net/ipv4/arp.c; arp(7))."""

from errno import EINVAL, ENODEV, ENOENT, ENXIO, EPFNOSUPPORT
from struct import Struct
from typing import TYPE_CHECKING

from ..core.neighbour import NUD_FAILED, NUD_NOARP, NUD_PERMANENT, NUD_STALE, NUD_VALID
from ..core.neighbour_proxy import pneigh_delete, pneigh_lookup
from ..core.neighbour_table import __neigh_create, neigh_lookup, neigh_remove_one
from ..core.neighbour_update import NEIGH_UPDATE_F_ADMIN, NEIGH_UPDATE_F_OVERRIDE, neigh_update
from ..core.netdevice import IFF_LOOPBACK
from ..uapi import AF_INET
from ..uapi_ioctl import SIOCDARP, SIOCGARP
from .flow import Flowi4
from .route import ip_route_output_flow

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = [
    "ATF_COM",
    "ATF_NETMASK",
    "ATF_PERM",
    "ATF_PUBL",
    "arp_ioctl",
    "arp_req_delete",
    "arp_req_get",
    "arp_req_set",
]

# struct arpreq: protocol address, link address, flags, mask, device.
_ARPREQ = Struct("=H2x4s8xH14siH2x4s8x16s")
ATF_COM = 0x02  # It has a link address.
ATF_PERM = 0x04
ATF_PUBL = 0x08  # Answer for it.
ATF_NETMASK = 0x20
ATF_DONTPUB = 0x40
_FORCE = NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_ADMIN


def arp_ioctl(net: "Net", request: int, arg: bytearray) -> None:
    """Look for an entry of the ARP table, set or delete it.

    Raises
    ------
    OSError
        ``EPFNOSUPPORT``, ``EINVAL``, ``ENODEV``, ``ENXIO`` if there is none; what routing raises.
    """
    family, pa, ha_family, ha, flags, _, mask, name = _ARPREQ.unpack_from(arg)
    if family != AF_INET:
        raise OSError(EPFNOSUPPORT, "not an IPv4 address")
    if not flags & ATF_PUBL and flags & (ATF_NETMASK | ATF_DONTPUB):
        raise OSError(EINVAL, "a mask is of entries to answer for")
    ip = int.from_bytes(pa, "big")
    dev: NetDevice | None = None
    if name[0]:
        text = name.split(b"\0")[0].decode("ascii", "replace")
        dev = net.dev_by_name.get(text)
        if dev is None:
            raise OSError(ENODEV, f"no device {text!r}")
        if request not in (SIOCDARP, SIOCGARP) and flags & ATF_COM and ha_family not in (0, dev.type):
            raise OSError(EINVAL, f"{dev.name} has no addresses of type {ha_family}")
    elif request == SIOCGARP:
        raise OSError(ENODEV, "an entry is of a device")
    if request == SIOCGARP:
        assert dev is not None
        if not flags & ATF_NETMASK:
            arg[40:44] = b"\xff" * 4
        arp_req_get(dev, ip, arg)
        return
    full = int.from_bytes(mask, "big") if flags & ATF_NETMASK else 0xFFFFFFFF
    if flags & ATF_PUBL and full != 0xFFFFFFFF:
        raise OSError(EINVAL, "only single addresses can be answered for")
    if request == SIOCDARP:
        arp_req_delete(net, dev, ip, flags)
    else:
        arp_req_set(net, dev, ip, flags, ha)


def _device(net: "Net", dev: "NetDevice | None", ip: int) -> "NetDevice":
    """Return the device of an entry: that of the way to it, unless it is named."""
    if dev is None:
        dev = ip_route_output_flow(net, Flowi4(ip), None).dev
        if dev.flags & IFF_LOOPBACK:
            raise OSError(EINVAL, "this host needs no entry for itself")
    return dev


def arp_req_set(net: "Net", dev: "NetDevice | None", ip: int, flags: int, ha: bytes) -> None:
    """Make or change an entry.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENOBUFS``; what routing raises.
    """
    dev = _device(net, dev, ip)
    if flags & ATF_PUBL:
        pneigh_lookup(net.ipv4.arp_tbl, ip, dev, creat=True)
        return
    if flags & ATF_PERM:
        flags |= ATF_COM
    neigh = __neigh_create(net.ipv4.arp_tbl, ip, dev)
    lladdr = bytes(ha[: dev.addr_len]) if flags & ATF_COM else None
    error = neigh_update(neigh, lladdr, NUD_PERMANENT if flags & ATF_PERM else NUD_STALE, _FORCE)
    if error:
        raise OSError(-error, "the entry cannot be set")


def arp_req_delete(net: "Net", dev: "NetDevice | None", ip: int, flags: int) -> None:
    """Delete an entry.

    Raises
    ------
    OSError
        ``ENXIO`` if there is none; what routing raises.
    """
    dev = _device(net, dev, ip)
    tbl = net.ipv4.arp_tbl
    if flags & ATF_PUBL:
        if not pneigh_delete(tbl, ip, dev):
            raise OSError(ENOENT, "it is not answered for")
        return
    neigh = neigh_lookup(tbl, ip, dev)
    if neigh is None:
        raise OSError(ENXIO, "no such entry")
    if neigh.nud_state & ~NUD_NOARP:
        neigh_update(neigh, None, NUD_FAILED, _FORCE)
    neigh_remove_one(neigh)


def arp_req_get(dev: "NetDevice", ip: int, arg: bytearray) -> None:
    """Fill a ``struct arpreq`` with an entry.

    Raises
    ------
    OSError
        ``ENXIO`` if there is none.
    """
    neigh = neigh_lookup(dev.net.ipv4.arp_tbl, ip, dev)
    if neigh is None or neigh.nud_state & NUD_NOARP:
        raise OSError(ENXIO, "no such entry")
    flags = ATF_PERM | ATF_COM if neigh.nud_state & NUD_PERMANENT else ATF_COM if neigh.nud_state & NUD_VALID else 0
    arg[16:32] = dev.type.to_bytes(2, "little") + neigh.ha.ljust(14, b"\0")
    arg[32:36] = flags.to_bytes(4, "little")
    arg[52:68] = dev.name.encode().ljust(16, b"\0")
