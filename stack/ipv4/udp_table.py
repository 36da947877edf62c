"""Local ports of UDP sockets (Linux: net/ipv4/udp.c)."""

from errno import EADDRINUSE
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.net import Net
    from .udp import UdpSock

__all__ = [
    "UdpTable",
    "__udp4_lib_lookup",
    "compute_score",
    "inet_lookup_reuseport",
    "udp4_lib_lookup2",
    "udp_lib_get_port",
    "udp_lib_unhash",
    "udp_v4_get_port",
]


class UdpTable:
    """UDP sockets of a namespace, by local port."""

    __slots__ = ("ports",)

    def __init__(self) -> None:
        self.ports: dict[int, list[UdpSock]] = {}


def _conflicts(sk: "UdpSock", others: "list[UdpSock]") -> bool:
    """Return whether another socket on the port could get the same datagrams."""
    for other in others:
        if other is sk or (other.sk_reuse and sk.sk_reuse) or (other.sk_reuseport and sk.sk_reuseport):
            continue
        if other.sk_bound_dev_if and sk.sk_bound_dev_if and other.sk_bound_dev_if != sk.sk_bound_dev_if:
            continue
        if not other.inet_rcv_saddr or not sk.inet_rcv_saddr or other.inet_rcv_saddr == sk.inet_rcv_saddr:
            return True
    return False


def udp_v4_get_port(sk: "UdpSock", snum: int) -> int:
    """Give a socket a local port: this one, or with 0 a free one; return 0 or a negative errno."""
    return udp_lib_get_port(sk, snum)


def udp_lib_get_port(sk: "UdpSock", snum: int) -> int:
    """Give a socket a local port: this one, or with 0 a free one.

    The search for a free one starts at a random place in the range and goes through all of it (RFC 6056, algorithm 1).

    Returns
    -------
    int
        0, or ``-EADDRINUSE``.
    """
    ports = sk.net.ipv4.udp_table.ports
    if not snum:
        snum = _free_port(sk.net, sk)
        if not snum:
            return -EADDRINUSE
    elif _conflicts(sk, ports.get(snum, [])):
        return -EADDRINUSE
    sk.inet_num = snum
    # At the head: of sockets that fit equally well, the last one receives.
    ports.setdefault(snum, []).insert(0, sk)
    return 0


def _free_port(net: "Net", sk: "UdpSock") -> int:
    low, high = _local_port_range(sk)
    ports = net.ipv4.udp_table.ports
    reserved = net.ipv4.sysctl_ip_local_reserved_ports
    count = high - low + 1
    start = net.kernel.platform.random_u32() * count >> 32
    for step in range(count):
        port = low + (start + step) % count
        if port not in reserved and not _conflicts(sk, ports.get(port, [])):
            return port
    return 0


def _local_port_range(sk: "UdpSock") -> tuple[int, int]:
    """Return the ports to choose from: those of the namespace, narrowed by the socket (``IP_LOCAL_PORT_RANGE``)."""
    low, high = sk.net.ipv4.sysctl_ip_local_port_range
    if sk.local_port_range:
        own_low, own_high = sk.local_port_range & 0xFFFF, sk.local_port_range >> 16 & 0xFFFF
        return own_low if low <= own_low <= high else low, own_high if low <= own_high <= high else high
    return low, high


def udp_lib_unhash(sk: "UdpSock") -> None:
    """Take a socket's port away."""
    ports = sk.net.ipv4.udp_table.ports
    others = ports.get(sk.inet_num)
    if others is not None and sk in others:
        others.remove(sk)
        if not others:
            del ports[sk.inet_num]
    sk.inet_num = 0


def compute_score(sk: "UdpSock", saddr: int, sport: int, daddr: int, dif: int) -> int:
    """Return how well a socket fits a datagram: the more it is bound or connected, the better; -1: not at all.

    ``daddr`` is the local address that the socket must have: the datagram's, or 0.
    """
    if sk.inet_rcv_saddr != daddr:
        return -1
    score = 2
    if sk.inet_daddr:
        if sk.inet_daddr != saddr:
            return -1
        score += 4
    if sk.inet_dport:
        if sk.inet_dport != sport:
            return -1
        score += 4
    if sk.sk_bound_dev_if:
        if sk.sk_bound_dev_if != dif:
            return -1
        score += 4
    return score


def udp4_lib_lookup2(sks: "list[UdpSock]", saddr: int, sport: int, daddr: int, dif: int) -> "UdpSock | None":
    """Return the socket that fits a datagram best, among those of a port that have one local address."""
    result: UdpSock | None = None
    badness = 0
    for sk in sks:
        score = compute_score(sk, saddr, sport, daddr, dif)
        if score > badness:
            badness = score
            result = inet_lookup_reuseport(sks, sk, saddr, sport, daddr) if sk.sk_reuseport else sk
    return result


def inet_lookup_reuseport(sks: "list[UdpSock]", sk: "UdpSock", saddr: int, sport: int, daddr: int) -> "UdpSock":
    """Return the socket, of those that share a port with ``SO_REUSEPORT``, that gets the datagrams of a flow."""
    if sk.connected:
        return sk
    group = [
        other
        for other in sks
        if other.sk_reuseport
        and not other.connected
        and other.inet_rcv_saddr == sk.inet_rcv_saddr
        and other.sk_bound_dev_if == sk.sk_bound_dev_if
    ]
    flow = (saddr, daddr, sport, sk.inet_num, sk.net.ipv4.hash_secret)
    return group[(hash(flow) & 0xFFFFFFFF) * len(group) >> 32]


def __udp4_lib_lookup(net: "Net", saddr: int, sport: int, daddr: int, dport: int, dif: int) -> "UdpSock | None":
    """Return the socket for a datagram that came by a device: one with its local address, else one with any."""
    sks = net.ipv4.udp_table.ports.get(dport)
    if sks is None:
        return None
    result = udp4_lib_lookup2(sks, saddr, sport, daddr, dif)
    return result if result is not None else udp4_lib_lookup2(sks, saddr, sport, 0, dif)
