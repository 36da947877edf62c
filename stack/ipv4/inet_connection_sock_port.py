"""Local ports of stream sockets (Linux: net/ipv4/inet_connection_sock.c)."""

from errno import EADDRINUSE
from typing import TYPE_CHECKING

from .inet_hashtables import InetBindBucket, inet_bind_conflict, inet_sk_get_local_port_range

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = ["inet_csk_find_open_port", "inet_csk_get_port"]


def inet_csk_get_port(sk: "TcpSock", snum: int) -> int:
    """Give a socket a local port: this one, or with 0 a free one; return 0 or ``-EADDRINUSE``."""
    bhash = sk.net.ipv4.tcp_hashinfo.bhash
    port = snum or inet_csk_find_open_port(sk)
    if not port:
        return -EADDRINUSE
    bucket = bhash.get(port)
    if bucket is None:
        bucket = bhash[port] = InetBindBucket()
    elif inet_bind_conflict(sk, bucket):
        return -EADDRINUSE
    if sk not in bucket.owners:
        bucket.owners.append(sk)
    bucket.bound = True
    sk.inet_num = port
    sk.tcp_bind_hash = True
    return 0


def inet_csk_find_open_port(sk: "TcpSock") -> int:
    """Return a port that a socket can have, 0 if there is none; the search begins at a random one (RFC 6056)."""
    low, high = inet_sk_get_local_port_range(sk)
    ipv4 = sk.net.ipv4
    count = high - low + 1
    start = sk.kernel.platform.random_u32() * count >> 32
    for step in range(count):
        port = low + (start + step) % count
        bucket = ipv4.tcp_hashinfo.bhash.get(port)
        if port not in ipv4.sysctl_ip_local_reserved_ports and (
            bucket is None or not inet_bind_conflict(sk, bucket, reuse=False)
        ):
            return port
    return 0
