"""Options of raw sockets (Linux: net/ipv4/raw.c, ip_sockglue.c; raw(7))."""

from errno import EADDRINUSE, ENOBUFS, ENOPROTOOPT, EOPNOTSUPP
from struct import Struct
from typing import TYPE_CHECKING

from ..uapi import ICMP_FILTER, IP_HDRINCL, IPPROTO_ICMP, IPPROTO_RAW, SOL_IP, SOL_RAW
from ..uapi_options import IP_ROUTER_ALERT
from .ip_sockglue import ip_getsockopt, ip_setsockopt

if TYPE_CHECKING:
    from .raw import RawSock

__all__ = ["ip_ra_control", "raw_getsockopt", "raw_setsockopt"]

_FILTER = Struct("=I")


def ip_ra_control(sk: "RawSock", on: bool) -> None:
    """Give a socket the forwarded packets of its protocol that have the option Router Alert (RFC 2113), or no more.

    Raises
    ------
    OSError
        ``EADDRINUSE`` if it has them, ``ENOBUFS`` if it has not.
    """
    chain = sk.net.ipv4.ra_chain
    if on:
        if sk in chain:
            raise OSError(EADDRINUSE, "the socket has them")
        chain.append(sk)
    elif sk in chain:
        chain.remove(sk)
    else:
        raise OSError(ENOBUFS, "the socket does not have them")


def raw_setsockopt(sk: "RawSock", level: int, optname: int, octets: bytes) -> int:
    """Set an option of raw sockets, or of IP.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``, ``EINVAL``.
    """
    if level == SOL_IP and optname == IP_HDRINCL:
        sk.hdrincl = any(octets[:4])
        return 0
    if level == SOL_IP and optname == IP_ROUTER_ALERT and sk.inet_num != IPPROTO_RAW:
        ip_ra_control(sk, any(octets[:4]))
        return 0
    if level != SOL_RAW:
        return ip_setsockopt(sk, level, optname, octets)
    _check_filter(sk, optname)
    sk.filter = _FILTER.unpack((octets[:4] + bytes(4))[:4])[0]
    return 0


def _check_filter(sk: "RawSock", optname: int) -> None:
    if optname != ICMP_FILTER:
        raise OSError(ENOPROTOOPT, f"raw sockets have no option {optname}")
    if sk.inet_num != IPPROTO_ICMP:
        raise OSError(EOPNOTSUPP, "ICMP_FILTER is of sockets of ICMP")


def raw_getsockopt(sk: "RawSock", level: int, optname: int) -> int | bytes:
    """Return an option of raw sockets, or of IP.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``.
    """
    if level == SOL_IP and optname == IP_HDRINCL:
        return int(sk.hdrincl)
    if level == SOL_IP and optname == IP_ROUTER_ALERT:
        return int(sk in sk.net.ipv4.ra_chain)
    if level != SOL_RAW:
        return ip_getsockopt(sk, level, optname)
    _check_filter(sk, optname)
    return _FILTER.pack(sk.filter)
