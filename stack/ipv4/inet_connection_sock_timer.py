"""Timers of connections (Linux: net/ipv4/inet_connection_sock.c, include/net/inet_connection_sock.h)."""

from typing import TYPE_CHECKING

from ..core.timer import TimerList, del_timer, jiffies, mod_timer
from .tcp_defs import ICSK_ACK_TIMER, TCP_RTO_MAX

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = [
    "inet_csk_clear_xmit_timer",
    "inet_csk_clear_xmit_timers",
    "inet_csk_delete_keepalive_timer",
    "inet_csk_reset_keepalive_timer",
    "inet_csk_reset_xmit_timer",
    "inet_csk_rto_backoff",
    "sk_reset_timer",
    "sk_stop_timer",
]


def sk_reset_timer(timer: TimerList, expires: int) -> None:
    """Start a timer of a socket, or move its end."""
    mod_timer(timer, expires)


def sk_stop_timer(timer: TimerList) -> None:
    """Stop a timer of a socket."""
    del_timer(timer)


def inet_csk_reset_xmit_timer(sk: "TcpSock", what: int, when: int) -> None:
    """Have a segment sent once more, a window or the tail probed (``ICSK_TIME_*``), in so many jiffies."""
    sk.icsk_pending = what
    sk.icsk_timeout = jiffies(sk.kernel) + min(max(when, 1), TCP_RTO_MAX)
    sk_reset_timer(sk.retransmit_timer, sk.icsk_timeout)


def inet_csk_clear_xmit_timer(sk: "TcpSock") -> None:
    """Have nothing sent once more."""
    sk.icsk_pending = 0
    sk_stop_timer(sk.retransmit_timer)


def inet_csk_clear_xmit_timers(sk: "TcpSock") -> None:
    """Stop all timers of a connection."""
    sk.icsk_pending = 0
    sk.ack_pending &= ~ICSK_ACK_TIMER
    sk_stop_timer(sk.retransmit_timer)
    sk_stop_timer(sk.delack_timer)
    sk_stop_timer(sk.sk_timer)


def inet_csk_reset_keepalive_timer(sk: "TcpSock", length: int) -> None:
    """Have the peer asked whether it is still there, or a connection without a program ended, in so many jiffies."""
    sk_reset_timer(sk.sk_timer, jiffies(sk.kernel) + length)


def inet_csk_delete_keepalive_timer(sk: "TcpSock") -> None:
    """Take that back."""
    sk_stop_timer(sk.sk_timer)


def inet_csk_rto_backoff(sk: "TcpSock", most: int) -> int:
    """Return the timeout after so many doublings, in jiffies (RFC 6298 §5.5)."""
    return min(sk.icsk_rto << sk.icsk_backoff, most)
