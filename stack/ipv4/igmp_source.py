"""From whom a socket wants a group's packets (Linux: net/ipv4/igmp.c; RFC 3376 §2, §3.1)."""

from errno import EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV
from typing import TYPE_CHECKING

from ..uapi_options import MCAST_EXCLUDE, MCAST_INCLUDE
from .igmp import IpMcSocklist, ip_mc_find_dev, ip_mc_leave_group

if TYPE_CHECKING:
    from .inet_sock import InetSock

__all__ = ["ip_mc_msfilter", "ip_mc_source"]


def _joined(sk: "InetSock", group: int, address: int, ifindex: int) -> IpMcSocklist:
    """Return what a socket keeps for a group that it is in."""
    if group >> 28 != 0xE:
        raise OSError(EINVAL, "not a group")
    dev = ip_mc_find_dev(sk.net, ifindex, address, group)
    if dev is None or dev.ip_ptr is None:
        raise OSError(ENODEV, "no device for the group")
    pmc = sk.mc_list.get((group, dev.ifindex))
    if pmc is None:
        raise OSError(EINVAL, "the socket is not in the group")
    return pmc


def ip_mc_source(sk: "InetSock", add: bool, omode: int, group: int, address: int, ifindex: int, source: int) -> None:
    """Add a source to a socket's filter for a group, or take it away.

    A filter that lets sources in leaves the group with the last of them.

    Raises
    ------
    OSError
        ``EINVAL`` if it is no group, or the socket is not in it, or has a filter of the other mode; ``ENODEV``;
        ``EADDRNOTAVAIL`` if the source is there already, or is not; ``ENOBUFS`` for too many.
    """
    pmc = _joined(sk, group, address, ifindex)
    if pmc.sfmode != omode:
        if pmc.sources:
            raise OSError(EINVAL, "the filter has another mode")
        pmc.sfmode = omode
    if (source in pmc.sources) == add:
        raise OSError(EADDRNOTAVAIL, "the source is there already" if add else "there is no such source")
    if not add:
        pmc.sources.remove(source)
        if not pmc.sources and omode == MCAST_INCLUDE:
            ip_mc_leave_group(sk, group, address, ifindex)
    elif len(pmc.sources) >= sk.net.ipv4.sysctl_igmp_max_msf:
        raise OSError(ENOBUFS, "too many sources")
    else:
        pmc.sources.append(source)


def ip_mc_msfilter(sk: "InetSock", mode: int, group: int, address: int, ifindex: int, sources: list[int]) -> None:
    """Replace a socket's filter for a group; to let nobody in is to leave it.

    Raises
    ------
    OSError
        ``EINVAL`` if it is no group or no mode, or the socket is not in the group; ``ENODEV``.
    """
    if group >> 28 != 0xE or mode not in (MCAST_INCLUDE, MCAST_EXCLUDE):
        raise OSError(EINVAL, "not a group, or no mode of a filter")
    dev = ip_mc_find_dev(sk.net, ifindex, address, group)
    if dev is None or dev.ip_ptr is None:
        raise OSError(ENODEV, "no device for the group")
    if mode == MCAST_INCLUDE and not sources:
        ip_mc_leave_group(sk, group, address, ifindex)
        return
    pmc = _joined(sk, group, address, ifindex)
    pmc.sfmode = mode
    pmc.sources = sources
