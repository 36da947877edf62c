"""Local ports of UDP sockets (Linux: net/ipv4/udp.c)."""

from errno import EADDRINUSE
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.net import Net
    from .inet_sock import InetSock

__all__ = ["UdpTable", "udp_lib_get_port", "udp_lib_unhash", "udp_v4_get_port"]


class UdpTable:
    """UDP sockets of a namespace, by local port."""

    __slots__ = ("ports",)

    def __init__(self) -> None:
        self.ports: dict[int, list[InetSock]] = {}


def _conflicts(sk: "InetSock", others: "list[InetSock]") -> bool:
    """Return whether another socket on the port could get the same datagrams."""
    for other in others:
        if other is sk or (other.sk_reuse and sk.sk_reuse):
            continue
        if other.sk_bound_dev_if and sk.sk_bound_dev_if and other.sk_bound_dev_if != sk.sk_bound_dev_if:
            continue
        if not other.inet_rcv_saddr or not sk.inet_rcv_saddr or other.inet_rcv_saddr == sk.inet_rcv_saddr:
            return True
    return False


def udp_v4_get_port(sk: "InetSock", snum: int) -> int:
    """Give a socket a local port: this one, or with 0 a free one; return 0 or a negative errno."""
    return udp_lib_get_port(sk, snum)


def udp_lib_get_port(sk: "InetSock", snum: int) -> int:
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
    ports.setdefault(snum, []).append(sk)
    return 0


def _free_port(net: "Net", sk: "InetSock") -> int:
    low, high = net.ipv4.sysctl_ip_local_port_range
    ports = net.ipv4.udp_table.ports
    reserved = net.ipv4.sysctl_ip_local_reserved_ports
    count = high - low + 1
    start = net.kernel.platform.random_u32() * count >> 32
    for step in range(count):
        port = low + (start + step) % count
        if port not in reserved and not _conflicts(sk, ports.get(port, [])):
            return port
    return 0


def udp_lib_unhash(sk: "InetSock") -> None:
    """Take a socket's port away."""
    ports = sk.net.ipv4.udp_table.ports
    others = ports.get(sk.inet_num)
    if others is not None and sk in others:
        others.remove(sk)
        if not others:
            del ports[sk.inet_num]
    sk.inet_num = 0
