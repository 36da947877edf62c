"""Options and control messages of IP (Linux: net/ipv4/ip_sockglue.c); those of groups are in the file beside."""

from collections.abc import Callable
from errno import EADDRNOTAVAIL, EINVAL, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP
from struct import Struct
from sys import byteorder
from typing import TYPE_CHECKING

from ..core.skbuff import consume_skb
from ..core.sock import sk_dst_check, sk_dst_reset
from ..uapi import (
    IP_HDRINCL,
    IP_MTU,
    IP_MTU_DISCOVER,
    IP_MULTICAST_ALL,
    IP_MULTICAST_IF,
    IP_MULTICAST_LOOP,
    IP_MULTICAST_TTL,
    IP_OPTIONS,
    IP_PKTINFO,
    IP_PMTUDISC_OMIT,
    IP_RECVERR,
    IP_RECVTOS,
    IP_RECVTTL,
    IP_RETOPTS,
    IP_TOS,
    IP_TTL,
    SO_MARK,
    SOCK_RAW,
    SOL_IP,
    SOL_SOCKET,
)
from ..uapi_options import (
    IP_BIND_ADDRESS_NO_PORT,
    IP_CHECKSUM,
    IP_FREEBIND,
    IP_LOCAL_PORT_RANGE,
    IP_MINTTL,
    IP_NODEFRAG,
    IP_PASSSEC,
    IP_PROTOCOL,
    IP_RECVERR_RFC4884,
    IP_RECVFRAGSIZE,
    IP_RECVOPTS,
    IP_RECVORIGDSTADDR,
    IP_ROUTER_ALERT,
    IP_TRANSPARENT,
    IP_UNICAST_IF,
)
from .inet_sock import (
    INET_FLAGS_BIND_ADDRESS_NO_PORT,
    INET_FLAGS_FREEBIND,
    INET_FLAGS_NODEFRAG,
    INET_FLAGS_RECVERR_RFC4884,
    INET_FLAGS_TRANSPARENT,
    IP_CMSG_CHECKSUM,
    IP_CMSG_ORIGDSTADDR,
    IP_CMSG_PASSSEC,
    IP_CMSG_PKTINFO,
    IP_CMSG_RECVFRAGSIZE,
    IP_CMSG_RECVOPTS,
    IP_CMSG_RETOPTS,
    IP_CMSG_TOS,
    IP_CMSG_TTL,
    InetSock,
)
from .ip import rt_tos2priority
from .ip_options import ip_options_compile
from .ip_sockglue_mcast import MULTICAST_OPTIONS, ip_multicast_setsockopt
from .route import ipv4_mtu

if TYPE_CHECKING:
    from ..core.msghdr import Msghdr, Octets
    from .inet_sock import IpcmCookie
    from .route import RTable

__all__ = ["ip_cmsg_send", "ip_getsockopt", "ip_setsockopt"]

_INT = Struct("=i")
_PKTINFO = Struct("=i4s4s")  # struct in_pktinfo: ifindex, spec_dst, addr.

# Options that ask for control messages, and others that are a plain truth value.
_CMSGS = {
    IP_PKTINFO: IP_CMSG_PKTINFO,
    IP_RECVTTL: IP_CMSG_TTL,
    IP_RECVTOS: IP_CMSG_TOS,
    IP_RECVOPTS: IP_CMSG_RECVOPTS,
    IP_RETOPTS: IP_CMSG_RETOPTS,
    IP_PASSSEC: IP_CMSG_PASSSEC,
    IP_RECVORIGDSTADDR: IP_CMSG_ORIGDSTADDR,
    IP_CHECKSUM: IP_CMSG_CHECKSUM,
    IP_RECVFRAGSIZE: IP_CMSG_RECVFRAGSIZE,
}
_FLAGS = {
    IP_FREEBIND: INET_FLAGS_FREEBIND,
    IP_TRANSPARENT: INET_FLAGS_TRANSPARENT,
    IP_NODEFRAG: INET_FLAGS_NODEFRAG,
    IP_BIND_ADDRESS_NO_PORT: INET_FLAGS_BIND_ADDRESS_NO_PORT,
    IP_RECVERR_RFC4884: INET_FLAGS_RECVERR_RFC4884,
}
# What takes a number, but not none at all.
_NOT_EMPTY = (IP_MULTICAST_TTL, IP_MULTICAST_LOOP, IP_MULTICAST_ALL, IP_FREEBIND, IP_TRANSPARENT, IP_MINTTL)


def _number(data: "Octets") -> int:
    """Return an int out of a control message."""
    if len(data) != _INT.size:
        raise OSError(EINVAL, f"a control message of {len(data)} octets, not {_INT.size}")
    return int(_INT.unpack(data)[0])


def ip_cmsg_send(sk: InetSock, msg: "Msghdr", ipc: "IpcmCookie") -> None:
    """Note what the control messages of a send ask for.

    Raises
    ------
    OSError
        ``EINVAL`` for one that is unknown or malformed.
    """
    for level, kind, data in msg.control:
        if level == SOL_SOCKET:
            if kind != SO_MARK:
                raise OSError(EINVAL, f"no such control message: {kind}")
            ipc.mark = _number(data) & 0xFFFF_FFFF
            continue
        if level != SOL_IP:
            continue
        if kind == IP_RETOPTS:
            ipc.opt = ip_options_compile(bytes(data))
        elif kind == IP_PKTINFO:
            if len(data) != _PKTINFO.size:
                raise OSError(EINVAL, "IP_PKTINFO has 12 octets")
            ifindex, spec_dst, _ = _PKTINFO.unpack(data)
            ipc.oif = ifindex or ipc.oif
            ipc.addr = int.from_bytes(spec_dst, "big")
        elif kind == IP_TTL:
            ttl = _number(data)
            if not 1 <= ttl <= 255:
                raise OSError(EINVAL, f"IP_TTL {ttl} is not in 1..255")
            ipc.ttl = ttl
        elif kind == IP_TOS:
            tos = data[0] if len(data) == 1 else _number(data)
            if not 0 <= tos <= 255:
                raise OSError(EINVAL, f"IP_TOS {tos} is not in 0..255")
            ipc.tos = tos
            ipc.priority = rt_tos2priority(tos)
        else:
            raise OSError(EINVAL, f"no such control message: {kind}")


def ip_setsockopt(sk: InetSock, level: int, optname: int, octets: bytes) -> int:
    """Set an option of IP.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``, ``EINVAL``, ``ENODEV``, ``EADDRNOTAVAIL``; what joining a group raises.
    """
    if level != SOL_IP:
        raise OSError(ENOPROTOOPT, f"no options of level {level}")
    if optname == IP_OPTIONS:
        sk.opt = ip_options_compile(octets)
        sk_dst_reset(sk)
    elif optname in MULTICAST_OPTIONS:
        ip_multicast_setsockopt(sk, optname, octets)
    elif optname in (IP_UNICAST_IF, IP_LOCAL_PORT_RANGE):
        if len(octets) != _INT.size:
            raise OSError(EINVAL, f"the option takes {_INT.size} octets, not {len(octets)}")
        _SETTERS[optname](sk, _INT.unpack(octets)[0])
    elif not octets and optname in _NOT_EMPTY:
        raise OSError(EINVAL, "no value")
    else:
        # An int, or a single octet.
        value = _INT.unpack_from(octets)[0] if len(octets) >= _INT.size else (*octets, 0)[0]
        _set_number(sk, optname, value)
    return 0


def _set_number(sk: InetSock, optname: int, value: int) -> None:
    if optname in _CMSGS:
        bit = _CMSGS[optname]
        sk.cmsg_flags = sk.cmsg_flags | bit if value else sk.cmsg_flags & ~bit
    elif optname in _FLAGS:
        if optname == IP_NODEFRAG and sk.sk_type != SOCK_RAW:
            raise OSError(ENOPROTOOPT, "IP_NODEFRAG is of raw sockets")
        elif optname == IP_RECVERR_RFC4884:
            _within(value, 0, 1)
        bit = _FLAGS[optname]
        sk.inet_flags = sk.inet_flags | bit if value else sk.inet_flags & ~bit
    elif optname in _SETTERS:
        _SETTERS[optname](sk, value)
    elif optname == IP_ROUTER_ALERT:
        raise OSError(EINVAL, "IP_ROUTER_ALERT is of raw sockets of a protocol")
    else:
        raise OSError(ENOPROTOOPT, f"IP has no option {optname} to set")


def _within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise OSError(EINVAL, f"{value} is not in {low}..{high}")
    return value


def _set_tos(sk: InetSock, value: int) -> None:
    sk.tos = value & 0xFF
    sk.sk_priority = rt_tos2priority(sk.tos)
    sk_dst_reset(sk)


def _set_ttl(sk: InetSock, value: int) -> None:
    sk.uc_ttl = value if value == -1 else _within(value, 1, 255)


def _set_mtu_discover(sk: InetSock, value: int) -> None:
    sk.pmtudisc = _within(value, 0, IP_PMTUDISC_OMIT)


def _set_recverr(sk: InetSock, value: int) -> None:
    sk.recverr = value != 0
    if not value:
        while sk.sk_error_queue:
            consume_skb(sk.sk_error_queue.popleft())


def _set_minttl(sk: InetSock, value: int) -> None:
    sk.min_ttl = _within(value, 0, 255)


def _set_mc_ttl(sk: InetSock, value: int) -> None:
    sk.mc_ttl = 1 if value == -1 else _within(value, 0, 255)


def _set_mc_loop(sk: InetSock, value: int) -> None:
    sk.mc_loop = value != 0


def _set_mc_all(sk: InetSock, value: int) -> None:
    sk.mc_all = _within(value, 0, 1) != 0


def _swapped(value: int) -> int:
    """Turn a number of the host's order into one of the network's, and back."""
    return int.from_bytes(value.to_bytes(4, byteorder, signed=True), "big", signed=True)


def _set_unicast_if(sk: InetSock, value: int) -> None:
    """Choose the device of unicasts: its number in the network's order, as of ``IPV6_UNICAST_IF``."""
    ifindex = _swapped(value)
    if ifindex and ifindex not in sk.net.devices:
        raise OSError(EADDRNOTAVAIL, f"no device {ifindex}")
    if ifindex and sk.sk_bound_dev_if and sk.sk_bound_dev_if != ifindex:
        raise OSError(EINVAL, "the socket is bound to another device")
    sk.uc_index = ifindex


def _set_local_port_range(sk: InetSock, value: int) -> None:
    low, high = value & 0xFFFF, value >> 16 & 0xFFFF
    if low and high and low > high:
        raise OSError(EINVAL, f"no ports in {low}..{high}")
    sk.local_port_range = value


_SETTERS: "dict[int, Callable[[InetSock, int], None]]" = {
    IP_TOS: _set_tos,
    IP_TTL: _set_ttl,
    IP_MTU_DISCOVER: _set_mtu_discover,
    IP_RECVERR: _set_recverr,
    IP_MINTTL: _set_minttl,
    IP_MULTICAST_TTL: _set_mc_ttl,
    IP_MULTICAST_LOOP: _set_mc_loop,
    IP_MULTICAST_ALL: _set_mc_all,
    IP_UNICAST_IF: _set_unicast_if,
    IP_LOCAL_PORT_RANGE: _set_local_port_range,
}


def ip_getsockopt(sk: InetSock, level: int, optname: int) -> int | bytes:
    """Return an option of IP.

    Raises
    ------
    OSError
        ``EOPNOTSUPP`` for another level, ``ENOPROTOOPT``; ``ENOTCONN`` for ``IP_MTU`` without a route.
    """
    if level != SOL_IP:
        raise OSError(EOPNOTSUPP, f"no options of level {level}")
    if optname in _CMSGS:
        return int(sk.cmsg_flags & _CMSGS[optname] != 0)
    if optname in (IP_HDRINCL, IP_ROUTER_ALERT):
        return 0  # Of raw sockets.
    if optname in _FLAGS:
        return int(sk.inet_flags & _FLAGS[optname] != 0)
    if optname in _MEMBERS:
        return int(getattr(sk, _MEMBERS[optname]))
    if optname not in _GETTERS:
        raise OSError(ENOPROTOOPT, f"IP has no option {optname} to read")
    return _GETTERS[optname](sk)


def _get_options(sk: InetSock) -> bytes:
    return sk.opt


def _get_mtu(sk: InetSock) -> int:
    rt: RTable | None = sk_dst_check(sk)  # type: ignore[assignment]  # What IPv4 set.
    if rt is None:
        raise OSError(ENOTCONN, "the socket has no route")
    return ipv4_mtu(rt)


def _get_ttl(sk: InetSock) -> int:
    return sk.uc_ttl if sk.uc_ttl >= 0 else sk.net.ipv4.sysctl_ip_default_ttl


def _get_multicast_if(sk: InetSock) -> bytes:
    return sk.mc_addr.to_bytes(4, "big")


def _get_unicast_if(sk: InetSock) -> int:
    return _swapped(sk.uc_index)


def _get_protocol(sk: InetSock) -> int:
    return sk.inet_num if sk.sk_type == SOCK_RAW else 0


_MEMBERS = {
    IP_TOS: "tos",
    IP_MTU_DISCOVER: "pmtudisc",
    IP_RECVERR: "recverr",
    IP_MINTTL: "min_ttl",
    IP_MULTICAST_ALL: "mc_all",
    IP_MULTICAST_TTL: "mc_ttl",
    IP_MULTICAST_LOOP: "mc_loop",
    IP_LOCAL_PORT_RANGE: "local_port_range",
}
_GETTERS: "dict[int, Callable[[InetSock], int | bytes]]" = {
    IP_OPTIONS: _get_options,
    IP_MULTICAST_IF: _get_multicast_if,
    IP_MTU: _get_mtu,
    IP_TTL: _get_ttl,
    IP_UNICAST_IF: _get_unicast_if,
    IP_PROTOCOL: _get_protocol,
}
