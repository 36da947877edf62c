"""Closing (Linux: net/ipv4/tcp.c; RFC 9293 §3.6, §3.10.4)."""

from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import kfree_skb_reason
from ..core.sock import (
    RCV_SHUTDOWN,
    SEND_SHUTDOWN,
    SOCK_LINGER,
    __release_sock,
    lock_sock_nested,
    release_sock,
    sk_wait_event,
)
from ..core.tcp_states import (
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT1,
    TCP_FIN_WAIT2,
    TCP_LAST_ACK,
    TCP_LISTEN,
    TCP_SYN_RECV,
    TCPF_CLOSE_WAIT,
    TCPF_CLOSING,
    TCPF_ESTABLISHED,
    TCPF_FIN_WAIT1,
    TCPF_LAST_ACK,
    TCPF_SYN_RECV,
    TCPF_SYN_SENT,
)
from ..core.timer import NSEC_PER_JIFFY
from .inet_connection_sock import inet_csk_listen_stop
from .inet_connection_sock_request import inet_csk_reqsk_queue_drop
from .inet_connection_sock_timer import inet_csk_reset_keepalive_timer
from .tcp_defs import TCP_TIMEWAIT_LEN, TCPHDR_FIN, after
from .tcp_keepalive import tcp_fin_time
from .tcp_memory import tcp_check_oom
from .tcp_minisocks_wait import tcp_time_wait
from .tcp_output_ack import tcp_send_active_reset, tcp_send_fin
from .tcp_state import inet_csk_destroy_sock, sock_orphan, tcp_set_state

if TYPE_CHECKING:
    from .tcp_sock import TcpSock

__all__ = ["tcp_close", "tcp_shutdown"]

# What a state becomes by closing, and whether a FIN goes (RFC 9293 §3.3.2, figure 5).
_CLOSE = {
    TCP_ESTABLISHED: (TCP_FIN_WAIT1, True),
    TCP_SYN_RECV: (TCP_FIN_WAIT1, True),
    TCP_CLOSE_WAIT: (TCP_LAST_ACK, True),
    TCP_FIN_WAIT1: (TCP_FIN_WAIT1, False),
    TCP_FIN_WAIT2: (TCP_FIN_WAIT2, False),
    TCP_LAST_ACK: (TCP_LAST_ACK, False),
    TCP_CLOSING: (TCP_CLOSING, False),
}
_WAITS_FOR_ACK = TCPF_FIN_WAIT1 | TCPF_CLOSING | TCPF_LAST_ACK
_FOR_EVER = 1 << 60


def tcp_close_state(sk: "TcpSock") -> bool:
    """Change the state because the program closes; return whether a FIN is to go."""
    state, fin = _CLOSE.get(sk.sk_state, (TCP_CLOSE, False))
    if state != sk.sk_state:
        tcp_set_state(sk, state)
    return fin


def tcp_shutdown(sk: "TcpSock", how: int) -> None:
    """Say that no more comes, if the program will not send any more."""
    if how & SEND_SHUTDOWN:
        if 1 << sk.sk_state & (TCPF_ESTABLISHED | TCPF_SYN_SENT | TCPF_CLOSE_WAIT | TCPF_SYN_RECV):
            if tcp_close_state(sk):
                tcp_send_fin(sk)


def _purge_unread(sk: "TcpSock") -> bool:
    """Throw away what came; return whether there was something that the program has not read."""
    unread = False
    while sk.sk_receive_queue:
        skb = sk.sk_receive_queue.popleft()
        fin = 1 if skb.cb.tcp_flags & TCPHDR_FIN else 0
        unread = unread or after(skb.cb.end_seq - fin & 0xFFFFFFFF, sk.copied_seq)
        kfree_skb_reason(skb, SkbDropReason.CONSUMED)
    return unread


def sk_stream_wait_close(sk: "TcpSock", timeout: int) -> None:
    """Wait until the peer has acknowledged everything, at most so many jiffies (``SO_LINGER``)."""
    if not timeout:
        return
    deadline_ns = None if timeout >= _FOR_EVER else sk.kernel.now_ns() + timeout * NSEC_PER_JIFFY
    while 1 << sk.sk_state & _WAITS_FOR_ACK and (deadline_ns is None or sk.kernel.now_ns() < deadline_ns):
        sk_wait_event(sk, deadline_ns, lambda: not 1 << sk.sk_state & _WAITS_FOR_ACK)


def tcp_close(sk: "TcpSock") -> None:
    """Close a socket: what was sent arrives still, but what was not read is lost, and the peer is told so."""
    lingers = sk.sk_flags & SOCK_LINGER
    lock_sock_nested(sk)
    __tcp_close(sk, sk.sk_lingertime if lingers else 0)
    release_sock(sk)


def __tcp_close(sk: "TcpSock", timeout: int) -> None:
    """Close a socket, with the lock."""
    mib = sk.net.mib
    if sk.sk_state == TCP_LISTEN:
        tcp_set_state(sk, TCP_CLOSE)
        for req in list(sk.listen_opts.values()):
            inet_csk_reqsk_queue_drop(sk, req)
        inet_csk_listen_stop(sk)
    else:
        unread = _purge_unread(sk)
        sk.sk_shutdown = RCV_SHUTDOWN | SEND_SHUTDOWN
        if sk.sk_state != TCP_CLOSE:
            if unread:
                # RFC 9293 §3.6.1 (RFC 2525 §2.17): data was lost, which the peer has to know.
                mib["TcpExt:TCPAbortOnClose"] += 1
                tcp_send_active_reset(sk)
                tcp_set_state(sk, TCP_CLOSE)
            elif sk.sk_flags & SOCK_LINGER and not sk.sk_lingertime:
                assert sk.sk_prot.disconnect is not None
                sk.sk_prot.disconnect(sk, 0)
                mib["TcpExt:TCPAbortOnData"] += 1
            elif tcp_close_state(sk):
                tcp_send_fin(sk)
            sk_stream_wait_close(sk, timeout)
    sk.sk_shutdown = RCV_SHUTDOWN | SEND_SHUTDOWN
    sock_orphan(sk)
    __release_sock(sk)
    if sk.sk_state == TCP_CLOSE:
        if not sk.destroyed:
            inet_csk_destroy_sock(sk)
        return
    if sk.sk_state == TCP_FIN_WAIT2:
        if sk.linger2 < 0:
            tcp_send_active_reset(sk)
            tcp_set_state(sk, TCP_CLOSE)
            mib["TcpExt:TCPAbortOnLinger"] += 1
        else:
            timeo = tcp_fin_time(sk)
            if timeo > TCP_TIMEWAIT_LEN:
                inet_csk_reset_keepalive_timer(sk, timeo - TCP_TIMEWAIT_LEN)
            else:
                tcp_time_wait(sk, TCP_FIN_WAIT2, timeo)
                return
    elif tcp_check_oom(sk, 0):
        tcp_set_state(sk, TCP_CLOSE)
        tcp_send_active_reset(sk)
        mib["TcpExt:TCPAbortOnMemory"] += 1
    if sk.sk_state == TCP_CLOSE and not sk.destroyed:
        inet_csk_destroy_sock(sk)
