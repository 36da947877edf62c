"""Times that a program can set for its connection (Linux: include/net/tcp.h; tcp(7))."""

from typing import TYPE_CHECKING

from ..core.sock import SOCK_KEEPOPEN
from ..core.tcp_states import TCPF_CLOSE, TCPF_LISTEN
from ..core.timer import jiffies
from .inet_connection_sock_timer import inet_csk_delete_keepalive_timer, inet_csk_reset_keepalive_timer

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = [
    "keepalive_intvl_when",
    "keepalive_probes",
    "keepalive_time_elapsed",
    "keepalive_time_when",
    "tcp_fin_time",
    "tcp_set_keepalive",
]


def keepalive_time_when(sk: "TcpSock") -> int:
    """Return after how many jiffies without a word the peer is asked."""
    return sk.keepalive_time or sk.net.ipv4.sysctl_tcp_keepalive_time


def keepalive_intvl_when(sk: "TcpSock") -> int:
    """Return how many jiffies later it is asked again."""
    return sk.keepalive_intvl or sk.net.ipv4.sysctl_tcp_keepalive_intvl


def keepalive_probes(sk: "TcpSock") -> int:
    """Return how often it is asked."""
    return sk.keepalive_probes or sk.net.ipv4.sysctl_tcp_keepalive_probes


def keepalive_time_elapsed(sk: "TcpSock") -> int:
    """Return for how many jiffies nothing came."""
    now = jiffies(sk.kernel)
    return min(now - sk.ack_lrcvtime, now - sk.rcv_tstamp)


def tcp_set_keepalive(sk: "TcpSock", on: bool) -> None:
    """Begin or end to ask a silent peer whether it is there (``SO_KEEPALIVE``)."""
    if 1 << sk.sk_state & (TCPF_CLOSE | TCPF_LISTEN):
        return
    if on and not sk.sk_flags & SOCK_KEEPOPEN:
        inet_csk_reset_keepalive_timer(sk, keepalive_time_when(sk))
    elif not on:
        inet_csk_delete_keepalive_timer(sk)


def tcp_fin_time(sk: "TcpSock") -> int:
    """Return for how many jiffies a connection without a program waits for the peer's FIN."""
    rto = sk.icsk_rto
    return max(sk.linger2 or sk.net.ipv4.sysctl_tcp_fin_timeout, (rto << 2) - (rto >> 1))
