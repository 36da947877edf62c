"""Options and control messages of IP (Linux: net/ipv4/ip_sockglue.c)."""

from errno import EADDRNOTAVAIL, EINVAL, ENODEV, ENOPROTOOPT, ENOTCONN
from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import consume_skb
from ..core.sock import sk_dst_check, sk_dst_reset
from ..uapi import (
    IP_ADD_MEMBERSHIP,
    IP_DROP_MEMBERSHIP,
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
    SOL_IP,
    SOL_SOCKET,
)
from .devinet import __ip_dev_find
from .igmp import ip_mc_join_group, ip_mc_leave_group
from .ip import rt_tos2priority
from .ip_options import ip_options_compile
from .route import ipv4_mtu

if TYPE_CHECKING:
    from ..core.msghdr import Msghdr, Octets
    from .inet_sock import InetSock, IpcmCookie
    from .route import RTable

__all__ = ["ip_cmsg_send", "ip_getsockopt", "ip_setsockopt"]

_INT = Struct("=i")
_PKTINFO = Struct("=i4s4s")  # struct in_pktinfo: ifindex, spec_dst, addr.


def _number(data: "Octets") -> int:
    """Return an int out of a control message."""
    if len(data) != _INT.size:
        raise OSError(EINVAL, f"a control message of {len(data)} octets, not {_INT.size}")
    return int(_INT.unpack(data)[0])


def ip_cmsg_send(sk: "InetSock", msg: "Msghdr", ipc: "IpcmCookie") -> None:
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


def ip_setsockopt(sk: "InetSock", level: int, optname: int, octets: bytes) -> int:
    """Set an option of IP.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``, ``EINVAL``, ``ENODEV``, ``EADDRNOTAVAIL``.
    """
    if level != SOL_IP:
        raise OSError(ENOPROTOOPT, f"no options of level {level}")
    if optname == IP_OPTIONS:
        sk.opt = ip_options_compile(octets)
        sk_dst_reset(sk)
    elif optname == IP_MULTICAST_IF:
        _set_multicast_if(sk, octets)
    elif optname in (IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP):
        _set_membership(sk, optname, octets)
    elif not octets and optname in (IP_MULTICAST_TTL, IP_MULTICAST_LOOP):
        raise OSError(EINVAL, "no value")
    else:
        # An int, or a single octet.
        _set_number(sk, optname, _INT.unpack_from(octets)[0] if len(octets) >= _INT.size else (*octets, 0)[0])
    return 0


def _set_number(sk: "InetSock", optname: int, value: int) -> None:
    if optname == IP_TOS:
        sk.tos = value & 0xFF
        sk.sk_priority = rt_tos2priority(sk.tos)
        sk_dst_reset(sk)
    elif optname == IP_TTL:
        sk.uc_ttl = value if value == -1 else _within(value, 1, 255)
    elif optname == IP_MTU_DISCOVER:
        sk.pmtudisc = _within(value, 0, IP_PMTUDISC_OMIT)
    elif optname == IP_RECVERR:
        sk.recverr = value != 0
        if not value:
            while sk.sk_error_queue:
                consume_skb(sk.sk_error_queue.popleft())
    elif optname == IP_PKTINFO:
        sk.pktinfo = value != 0
    elif optname == IP_RECVTTL:
        sk.recvttl = value != 0
    elif optname == IP_RECVTOS:
        sk.recvtos = value != 0
    elif optname == IP_MULTICAST_ALL:
        sk.mc_all = _within(value, 0, 1) != 0
    elif optname == IP_MULTICAST_TTL:
        sk.mc_ttl = 1 if value == -1 else _within(value, 0, 255)
    elif optname == IP_MULTICAST_LOOP:
        sk.mc_loop = value != 0
    else:
        raise OSError(ENOPROTOOPT, f"IP has no option {optname}")


def _within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise OSError(EINVAL, f"{value} is not in {low}..{high}")
    return value


def _set_multicast_if(sk: "InetSock", octets: bytes) -> None:
    """Choose where multicasts go: ``struct in_addr``, ``ip_mreq`` or ``ip_mreqn``."""
    if len(octets) < 4:
        raise OSError(EINVAL, "IP_MULTICAST_IF takes 4, 8 or 12 octets")
    address = int.from_bytes(octets[4:8] if len(octets) >= 8 else octets[:4], "big")
    ifindex = _INT.unpack_from(octets, 8)[0] if len(octets) >= 12 else 0
    if ifindex:
        if ifindex not in sk.net.devices:
            raise OSError(ENODEV, f"no device {ifindex}")
    elif address:
        dev = __ip_dev_find(sk.net, address)
        if dev is None:
            raise OSError(EADDRNOTAVAIL, "not an address of this host")
        ifindex = dev.ifindex
    sk.mc_index = ifindex
    sk.mc_addr = address


def _set_membership(sk: "InetSock", optname: int, octets: bytes) -> None:
    """Join or leave a group: ``struct ip_mreq`` or ``ip_mreqn``."""
    if len(octets) < 8:
        raise OSError(EINVAL, "a membership takes 8 or 12 octets")
    group, address = int.from_bytes(octets[:4], "big"), int.from_bytes(octets[4:8], "big")
    ifindex = _INT.unpack_from(octets, 8)[0] if len(octets) >= 12 else 0
    change = ip_mc_join_group if optname == IP_ADD_MEMBERSHIP else ip_mc_leave_group
    change(sk, group, address, ifindex)


def ip_getsockopt(sk: "InetSock", level: int, optname: int) -> int | bytes:
    """Return an option of IP.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``; ``ENOTCONN`` for ``IP_MTU`` without a route.
    """
    if level != SOL_IP:
        raise OSError(ENOPROTOOPT, f"no options of level {level}")
    if optname == IP_OPTIONS:
        return sk.opt
    if optname == IP_MULTICAST_IF:
        return sk.mc_addr.to_bytes(4, "big")
    if optname == IP_MTU:
        rt: RTable | None = sk_dst_check(sk)  # type: ignore[assignment]  # What IPv4 set.
        if rt is None:
            raise OSError(ENOTCONN, "the socket has no route")
        return ipv4_mtu(rt)
    values = {
        IP_TOS: sk.tos,
        IP_TTL: sk.uc_ttl if sk.uc_ttl >= 0 else sk.net.ipv4.sysctl_ip_default_ttl,
        IP_MTU_DISCOVER: sk.pmtudisc,
        IP_RECVERR: int(sk.recverr),
        IP_PKTINFO: int(sk.pktinfo),
        IP_RECVTTL: int(sk.recvttl),
        IP_RECVTOS: int(sk.recvtos),
        IP_MULTICAST_ALL: int(sk.mc_all),
        IP_MULTICAST_TTL: sk.mc_ttl,
        IP_MULTICAST_LOOP: int(sk.mc_loop),
    }
    if optname not in values:
        raise OSError(ENOPROTOOPT, f"IP has no option {optname}")
    return int(values[optname])
