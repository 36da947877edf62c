"""Options of groups: which a socket is in, from whom, and where it sends to them (Linux: net/ipv4/ip_sockglue.c)."""

from errno import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENOBUFS
from struct import Struct
from sys import byteorder
from typing import TYPE_CHECKING

from ..uapi import AF_INET, IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MULTICAST_IF
from ..uapi_options import (
    IP_ADD_SOURCE_MEMBERSHIP,
    IP_BLOCK_SOURCE,
    IP_DROP_SOURCE_MEMBERSHIP,
    IP_MSFILTER,
    IP_UNBLOCK_SOURCE,
    MCAST_BLOCK_SOURCE,
    MCAST_EXCLUDE,
    MCAST_INCLUDE,
    MCAST_JOIN_GROUP,
    MCAST_JOIN_SOURCE_GROUP,
    MCAST_LEAVE_GROUP,
    MCAST_LEAVE_SOURCE_GROUP,
    MCAST_MSFILTER,
    MCAST_UNBLOCK_SOURCE,
)
from .devinet import __ip_dev_find
from .igmp import ip_mc_join_group, ip_mc_join_group_ssm, ip_mc_leave_group
from .igmp_source import ip_mc_msfilter, ip_mc_source

if TYPE_CHECKING:
    from .inet_sock import InetSock

__all__ = ["MULTICAST_OPTIONS", "ip_multicast_setsockopt"]

_INT = Struct("=i")
_SOCKADDR_OCTETS = 128  # struct sockaddr_storage.
_GROUP_REQ = 8 + _SOCKADDR_OCTETS  # The number of a device, and a group.
_MREQ_SOURCE = Struct("!III")  # struct ip_mreq_source: group, interface, source.
_MODE_AND_COUNT = Struct("=II")
_MSFILTER_OCTETS = 16  # Group, interface, mode and number of sources in front of a struct ip_msfilter.

# What the options do to a source: mode of the filter that it is in, and whether it comes or goes.
_SOURCES = {
    IP_BLOCK_SOURCE: (MCAST_EXCLUDE, True),
    IP_UNBLOCK_SOURCE: (MCAST_EXCLUDE, False),
    IP_ADD_SOURCE_MEMBERSHIP: (MCAST_INCLUDE, True),
    IP_DROP_SOURCE_MEMBERSHIP: (MCAST_INCLUDE, False),
    MCAST_BLOCK_SOURCE: (MCAST_EXCLUDE, True),
    MCAST_UNBLOCK_SOURCE: (MCAST_EXCLUDE, False),
    MCAST_JOIN_SOURCE_GROUP: (MCAST_INCLUDE, True),
    MCAST_LEAVE_SOURCE_GROUP: (MCAST_INCLUDE, False),
}
_MEMBERSHIPS = (IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP)
MULTICAST_OPTIONS = frozenset((*_SOURCES, *_MEMBERSHIPS, IP_MULTICAST_IF, IP_MSFILTER, MCAST_MSFILTER))


def ip_multicast_setsockopt(sk: "InetSock", optname: int, octets: bytes) -> None:
    """Set one of the ``MULTICAST_OPTIONS``.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``EADDRNOTAVAIL``, ``EADDRINUSE``, ``ENOBUFS``.
    """
    if optname == IP_MULTICAST_IF:
        _set_multicast_if(sk, octets)
    elif optname in _MEMBERSHIPS:
        group, address, ifindex = _membership(octets, optname in (MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP))
        join = optname in (IP_ADD_MEMBERSHIP, MCAST_JOIN_GROUP)
        (ip_mc_join_group if join else ip_mc_leave_group)(sk, group, address, ifindex)
    elif optname in _SOURCES:
        _set_source(sk, optname, octets)
    else:
        _set_filter(sk, optname, octets)


def _need(octets: bytes, length: int) -> None:
    if len(octets) < length:
        raise OSError(EINVAL, f"the option takes {length} octets, not {len(octets)}")


def _sockaddr(octets: bytes, at: int, error: int = EADDRNOTAVAIL) -> int:
    """Return the IPv4 address in a ``struct sockaddr_storage``."""
    if int.from_bytes(octets[at : at + 2], byteorder) != AF_INET:
        raise OSError(error, "not an IPv4 address")
    return int.from_bytes(octets[at + 4 : at + 8], "big")


def _membership(octets: bytes, by_group_req: bool) -> tuple[int, int, int]:
    """Return group, address and number of the device of ``struct ip_mreq``, ``ip_mreqn`` or ``group_req``."""
    if by_group_req:
        _need(octets, _GROUP_REQ)
        return _sockaddr(octets, 8, EINVAL), 0, _INT.unpack_from(octets)[0]
    _need(octets, 8)
    ifindex = _INT.unpack_from(octets, 8)[0] if len(octets) >= 12 else 0
    return int.from_bytes(octets[:4], "big"), int.from_bytes(octets[4:8], "big"), ifindex


def _set_multicast_if(sk: "InetSock", octets: bytes) -> None:
    """Choose where multicasts go: ``struct in_addr``, ``ip_mreq`` or ``ip_mreqn``."""
    _need(octets, 4)
    address = int.from_bytes(octets[4:8] if len(octets) >= 8 else octets[:4], "big")
    ifindex = _INT.unpack_from(octets, 8)[0] if len(octets) >= 12 else 0
    if ifindex or address:
        dev = sk.net.devices.get(ifindex) if ifindex else __ip_dev_find(sk.net, address)
        if dev is None:
            raise OSError(EADDRNOTAVAIL, "neither a device nor an address of this host")
        ifindex = dev.ifindex
        if sk.sk_bound_dev_if and sk.sk_bound_dev_if != ifindex:
            raise OSError(EINVAL, "the socket is bound to another device")
    sk.mc_index = ifindex
    sk.mc_addr = address


def _set_source(sk: "InetSock", optname: int, octets: bytes) -> None:
    """Let a source of a group in, or keep it out: ``struct ip_mreq_source`` or ``group_source_req``."""
    address = ifindex = 0
    if optname >= MCAST_JOIN_GROUP:
        _need(octets, _GROUP_REQ + _SOCKADDR_OCTETS)
        ifindex = _INT.unpack_from(octets)[0]
        group, source = _sockaddr(octets, 8), _sockaddr(octets, 8 + _SOCKADDR_OCTETS)
    else:
        if len(octets) != _MREQ_SOURCE.size:
            raise OSError(EINVAL, f"a struct ip_mreq_source has {_MREQ_SOURCE.size} octets")
        group, address, source = _MREQ_SOURCE.unpack(octets)
    mode, add = _SOURCES[optname]
    if mode == MCAST_INCLUDE and add:
        try:
            ip_mc_join_group_ssm(sk, group, address, ifindex)
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise
    ip_mc_source(sk, add, mode, group, address, ifindex, source)


def _set_filter(sk: "InetSock", optname: int, octets: bytes) -> None:
    """Replace all of a group's sources: ``struct ip_msfilter`` or ``group_filter``."""
    address = ifindex = 0
    if optname == MCAST_MSFILTER:
        _need(octets, _GROUP_REQ + 8)
        ifindex = _INT.unpack_from(octets)[0]
        mode, count = _MODE_AND_COUNT.unpack_from(octets, _GROUP_REQ)
        start, size = _GROUP_REQ + 8, _SOCKADDR_OCTETS
    else:
        _need(octets, _MSFILTER_OCTETS)
        mode, count = _MODE_AND_COUNT.unpack_from(octets, 8)
        start, size = _MSFILTER_OCTETS, 4
    if count > sk.net.ipv4.sysctl_igmp_max_msf:
        raise OSError(ENOBUFS, f"more than {sk.net.ipv4.sysctl_igmp_max_msf} sources")
    _need(octets, start + count * size)
    places = range(start, start + count * size, size)
    if optname == MCAST_MSFILTER:
        group = _sockaddr(octets, 8)
        sources = [_sockaddr(octets, at) for at in places]
    else:
        group, address = int.from_bytes(octets[:4], "big"), int.from_bytes(octets[4:8], "big")
        sources = [int.from_bytes(octets[at : at + 4], "big") for at in places]
    ip_mc_msfilter(sk, mode, group, address, ifindex, sources)
