"""Waiting of streams: for a connection, and for room to send (Linux: net/core/stream.c)."""

from errno import EAGAIN, EPIPE
from os import strerror
from typing import TYPE_CHECKING

from .sock import SEND_SHUTDOWN, sk_wait_event, sock_error
from .tcp_states import TCPF_CLOSE_WAIT, TCPF_ESTABLISHED, TCPF_SYN_RECV, TCPF_SYN_SENT
from .timer import HZ, NSEC_PER_JIFFY

if TYPE_CHECKING:
    from ..ipv4.inet_connection_sock import InetConnectionSock

__all__ = ["sk_stream_memory_free", "sk_stream_wait_connect", "sk_stream_wait_memory"]

_CAN_SEND = TCPF_ESTABLISHED | TCPF_CLOSE_WAIT
_CONNECTING = TCPF_SYN_SENT | TCPF_SYN_RECV


def sk_stream_memory_free(sk: "InetConnectionSock") -> bool:
    """Return whether there is room to send; ``TCP_NOTSENT_LOWAT`` is not modelled."""
    return sk.sk_wmem_queued < sk.sk_sndbuf


def _check_time(sk: "InetConnectionSock", deadline_ns: int | None) -> None:
    if deadline_ns is not None and sk.kernel.now_ns() >= deadline_ns:
        raise OSError(EAGAIN, "not now")


def sk_stream_wait_connect(sk: "InetConnectionSock", deadline_ns: int | None) -> None:
    """Wait until a connection is made.

    Raises
    ------
    OSError
        Why it is not; ``EPIPE`` if it is not being made; ``EAGAIN`` if it may not wait (any longer).
    """
    while not 1 << sk.sk_state & _CAN_SEND:
        if sk.sk_err:
            error = -sock_error(sk)
            raise OSError(error, strerror(error))
        if not 1 << sk.sk_state & _CONNECTING:
            raise OSError(EPIPE, "not connected")
        _check_time(sk, deadline_ns)
        sk_wait_event(sk, deadline_ns, lambda: bool(sk.sk_err) or not 1 << sk.sk_state & _CONNECTING)


def _is_broken(sk: "InetConnectionSock") -> bool:
    return bool(sk.sk_err or sk.sk_shutdown & SEND_SHUTDOWN)


def sk_stream_wait_memory(sk: "InetConnectionSock", deadline_ns: int | None) -> None:
    """Wait for room to send: in the socket's buffer, or, if there is some, a little while for memory of all sockets.

    Raises
    ------
    OSError
        ``EPIPE`` if nothing can be sent any more; ``EAGAIN`` if it may not wait (any longer).
    """
    until_ns: int | None = None
    if sk_stream_memory_free(sk):
        # Nobody says when others have given memory back: not all who wait should ask at once.
        jiffies = sk.kernel.platform.random_u32() % (HZ // 5) + 2
        until_ns = sk.kernel.now_ns() + jiffies * NSEC_PER_JIFFY
    while True:
        sk.sk_nospace = True
        if _is_broken(sk):
            raise OSError(EPIPE, "not connected any more")  # The error itself is for who gets nothing sent.
        _check_time(sk, deadline_ns)
        if until_ns is None:
            if sk_stream_memory_free(sk):
                sk.sk_nospace = False
                return
            sk_wait_event(sk, deadline_ns, lambda: _is_broken(sk) or sk_stream_memory_free(sk))
        else:
            wake_ns = until_ns if deadline_ns is None else min(until_ns, deadline_ns)
            sk_wait_event(sk, wake_ns, lambda: _is_broken(sk))
            until_ns = None
