"""Connections that are being made to a listener: its SYN queue (Linux: net/ipv4/inet_connection_sock.c)."""

from typing import TYPE_CHECKING

from ..core.tcp_states import TCP_LISTEN
from ..core.timer import del_timer, jiffies, mod_timer
from .inet_hashtables import inet_ehash_insert
from .tcp_defs import TCP_RTO_MAX
from .tcp_state import sock_orphan, tcp_done

if TYPE_CHECKING:
    from collections.abc import Callable

    from .request_sock import TcpRequestSock
    from .tcp_sock import TcpSock

__all__ = [
    "__inet_csk_reqsk_queue_drop",
    "inet_child_forget",
    "inet_csk_complete_hashdance",
    "inet_csk_reqsk_queue_drop",
    "inet_csk_reqsk_queue_hash_add",
    "inet_csk_reqsk_queue_is_full",
    "inet_rtx_syn_ack",
]


def inet_csk_reqsk_queue_is_full(sk: "TcpSock") -> bool:
    """Return whether as many connections are being made as may wait to be accepted."""
    return sk.qlen > sk.sk_max_ack_backlog


def inet_csk_reqsk_queue_hash_add(
    sk: "TcpSock", req: "TcpRequestSock", rtx_synack: "Callable[[TcpSock, TcpRequestSock], int]"
) -> bool:
    """Make a request known, and have it answered once more when the peer is silent; False if there is one already."""
    if not inet_ehash_insert(sk.net.ipv4.tcp_hashinfo, req.key, req):
        return False
    sk.qlen += 1
    sk.listen_opts[req.key] = req
    req.rsk_timer.function = lambda: reqsk_timer_handler(req, rtx_synack)
    mod_timer(req.rsk_timer, jiffies(sk.kernel) + req.timeout)
    return True


def reqsk_timer_handler(req: "TcpRequestSock", rtx_synack: "Callable[[TcpSock, TcpRequestSock], int]") -> None:
    """Answer a request once more, or give it up after ``tcp_synack_retries``; sooner if many wait."""
    sk = req.rsk_listener
    most = sk.icsk_syn_retries or sk.net.ipv4.sysctl_tcp_synack_retries
    # A crowded queue keeps those that have been answered for long no more (twice at least).
    if sk.qlen > max(8, sk.sk_max_ack_backlog) >> 1:
        most = max(most - (sk.qlen << 2 > 3 * sk.sk_max_ack_backlog) - 1, 2)
    expired = req.num_timeout >= most and (not req.acked or req.num_timeout >= max(sk.defer_accept, most))
    if sk.sk_state != TCP_LISTEN or expired:
        inet_csk_reqsk_queue_drop(sk, req)
        return
    resend = not req.acked or req.num_timeout >= sk.defer_accept - 1
    req.num_timeout += 1
    if resend:
        inet_rtx_syn_ack(sk, req, rtx_synack)
    mod_timer(req.rsk_timer, jiffies(sk.kernel) + min(req.timeout << req.num_timeout, TCP_RTO_MAX))


def inet_rtx_syn_ack(
    sk: "TcpSock", req: "TcpRequestSock", rtx_synack: "Callable[[TcpSock, TcpRequestSock], int]"
) -> int:
    """Send a SYN-ACK once more, and count that."""
    error = rtx_synack(sk, req)
    if not error:
        req.num_retrans += 1
    return error


def __inet_csk_reqsk_queue_drop(sk: "TcpSock", req: "TcpRequestSock") -> bool:
    """Take a request out of the tables; return whether it was there."""
    del_timer(req.rsk_timer)
    ehash = sk.net.ipv4.tcp_hashinfo.ehash
    if ehash.get(req.key) is req:
        del ehash[req.key]
    if sk.listen_opts.pop(req.key, None) is None:
        return False
    sk.qlen -= 1
    return True


def inet_csk_reqsk_queue_drop(sk: "TcpSock", req: "TcpRequestSock") -> None:
    """Give a request up."""
    __inet_csk_reqsk_queue_drop(sk, req)


def inet_csk_complete_hashdance(sk: "TcpSock", child: "TcpSock", req: "TcpRequestSock") -> "TcpSock | None":
    """Put a new connection into the queue of its listener, in the place of its request; None if that is gone."""
    __inet_csk_reqsk_queue_drop(sk, req)
    if sk.sk_state != TCP_LISTEN:
        inet_child_forget(child)
        return None
    child.parent = sk
    sk.icsk_accept_queue.append(child)
    return child


def inet_child_forget(child: "TcpSock") -> None:
    """End a connection that nobody will accept."""
    sock_orphan(child)
    tcp_done(child)
