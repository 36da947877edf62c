"""Connecting datagram sockets (Linux: net/ipv4/datagram.c)."""

from errno import EACCES, EAFNOSUPPORT, ENETUNREACH
from typing import TYPE_CHECKING

from ..core.msghdr import Sockaddr
from ..core.sock import lock_sock_nested, release_sock, sk_dst_check, sk_dst_reset, sk_dst_set
from ..uapi import AF_INET
from .flow import Flowi4
from .inet_sock import inet_sk_flowi_flags
from .route import RTCF_BROADCAST, ip_route_output_flow

if TYPE_CHECKING:
    from .inet_sock import InetSock

__all__ = ["__ip4_datagram_connect", "ip4_datagram_connect", "ip4_datagram_release_cb"]


def ip4_datagram_connect(sk: "InetSock", address: Sockaddr) -> int:
    """Connect a socket, its lock held; as ``__ip4_datagram_connect``."""
    lock_sock_nested(sk)
    try:
        return __ip4_datagram_connect(sk, address)
    finally:
        release_sock(sk)


def __ip4_datagram_connect(sk: "InetSock", address: Sockaddr) -> int:
    """Give a socket a peer: find the route there, and the source address if the socket has none.

    Raises
    ------
    OSError
        ``EAFNOSUPPORT``, ``EACCES`` for a broadcast address without ``SO_BROADCAST``, what routing raises.
    """
    family, daddr, dport = address
    if family != AF_INET:
        raise OSError(EAFNOSUPPORT, "not an IPv4 address")
    sk_dst_reset(sk)
    oif = sk.sk_bound_dev_if
    saddr = sk.inet_saddr
    if daddr >> 28 == 0xE:
        oif = oif or sk.mc_index
        saddr = saddr or sk.mc_addr
    elif not oif:
        oif = sk.uc_index
    fl4 = Flowi4(
        daddr,
        saddr,
        tos=sk.tos & 0x1E,
        mark=sk.sk_mark,
        oif=oif,
        proto=sk.sk_protocol,
        sport=sk.inet_num,
        dport=dport,
        flags=inet_sk_flowi_flags(sk),
    )
    try:
        rt = ip_route_output_flow(sk.net, fl4, sk)
    except OSError as error:
        if error.errno == ENETUNREACH:
            sk.net.mib["Ip:OutNoRoutes"] += 1
        raise
    if rt.flags & RTCF_BROADCAST and not sk.sk_broadcast:
        raise OSError(EACCES, "a broadcast needs SO_BROADCAST")
    sk.inet_saddr = sk.inet_saddr or fl4.saddr
    sk.inet_rcv_saddr = sk.inet_rcv_saddr or fl4.saddr
    sk.inet_daddr = fl4.daddr
    sk.inet_dport = dport
    sk.connected = True
    sk.inet_id = sk.kernel.platform.random_u32() & 0xFFFF
    sk_dst_set(sk, rt)
    return 0


def ip4_datagram_release_cb(sk: "InetSock") -> None:
    """Find a connected socket's route anew if it went stale while the lock was held."""
    if not sk.connected or sk.sk_dst_cache is None or sk_dst_check(sk) is not None:
        return
    fl4 = Flowi4(
        sk.inet_daddr,
        sk.inet_saddr,
        tos=sk.tos & 0x1E,
        mark=sk.sk_mark,
        oif=sk.sk_bound_dev_if,
        proto=sk.sk_protocol,
        sport=sk.inet_num,
        dport=sk.inet_dport,
        flags=inet_sk_flowi_flags(sk),
    )
    try:
        sk_dst_set(sk, ip_route_output_flow(sk.net, fl4, sk))
    except OSError:
        return  # The next send says so.
