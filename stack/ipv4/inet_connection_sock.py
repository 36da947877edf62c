"""Sockets of stream protocols: states, listening, accepting (Linux: net/ipv4/inet_connection_sock.c)."""

from collections import deque
from enum import Enum, auto
from errno import EADDRINUSE, EAGAIN, EINVAL
from os import strerror
from typing import TYPE_CHECKING

from ..core.datagram import sock_def_readable, sock_rcvtimeo
from ..core.sock import lock_sock_nested, release_sock, sk_dst_reset, sk_wait_event
from ..core.tcp_states import TCP_CLOSE, TCP_LISTEN, TCPF_CLOSE, TCPF_LISTEN, TCPF_SYN_SENT
from ..uapi import SOCK_NONBLOCK
from .inet_sock import InetSock

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.sock import Proto

__all__ = [
    "InetConnectionSock",
    "SocketState",
    "inet_csk_accept",
    "inet_csk_listen_start",
    "inet_csk_listen_stop",
    "inet_csk_reqsk_queue_add",
    "inet_sk_set_state",
    "sk_acceptq_is_full",
]

_WITHOUT_PEER = TCPF_CLOSE | TCPF_SYN_SENT | TCPF_LISTEN


class SocketState(Enum):
    """What a program has made of its stream socket (Linux: ``socket_state`` of include/uapi/linux/net.h)."""

    SS_UNCONNECTED = auto()
    SS_CONNECTING = auto()
    SS_CONNECTED = auto()
    SS_DISCONNECTING = auto()


class InetConnectionSock(InetSock):
    """A socket of a stream protocol (Linux: ``struct inet_connection_sock``), as ``inet_stream_ops`` takes it.

    What the protocol has to do, beyond what the ``Proto`` of a datagram protocol does:

    - It changes ``sk_state`` by ``inet_sk_set_state`` only, and calls ``sock_def_wakeup`` after each change that
      somebody may wait for: SYN_SENT and SYN_RECV left, CLOSE reached. Why a connection came to its end is in
      ``sk_err`` by then. All this may happen in a softirq, but while ``sk_owned`` it waits for ``release_cb``.
    - ``connect(sk, address)``, called with the lock and in CLOSE, checks the address, gives the socket addresses and
      ports, and leaves it in SYN_SENT, or at once in ESTABLISHED. If it raises, the socket is as before.
    - ``disconnect(sk, flags)``, with the lock, ends what there is at once, in any state: CLOSE, without a peer,
      ``sk_shutdown`` 0. A listener gives up what waits in its queue with ``inet_csk_listen_stop``.
    - ``shutdown(sk, how)``, with the lock, tells the peer; ``sk_shutdown`` says so already. Not for CLOSE.
    - ``hash(sk)`` makes a listener known, and returns 0 or a negative errno. Its port is one that ``get_port`` gave;
      ``get_port`` is asked for it once more just before.
    - A connection of a listener that is made gets an ``sk`` of its own, with addresses, ports and ``sk_state``, and is
      handed over with ``inet_csk_reqsk_queue_add``, unless ``sk_acceptq_is_full`` before.
    - ``accept(sk, flags)`` is ``inet_csk_accept``.
    - ``sendmsg``, ``recvmsg`` and ``poll(sk)`` look at ``sk_state``; ``no_autobind`` is true where ``connect`` and
      ``listen`` are what gives a port.
    - ``close(sk)`` heeds ``SOCK_LINGER`` and ``sk_lingertime``, and may go on after it returned.

    Members
    -------
    sk_state : int
        ``TCP_*``: state of the connection. ``connected`` follows it.
    socket_state : SocketState
        State of the program's socket (Linux: ``sk_socket->state``); ``inet_stream_ops`` keeps it.
    icsk_accept_queue : deque[InetConnectionSock]
        Connections that nobody has accepted yet.
    sk_max_ack_backlog : int
        How many of those there may be, and one more.
    """

    __slots__ = ("icsk_accept_queue", "sk_max_ack_backlog", "sk_state", "socket_state")

    def __init__(self, net: "Net", family: int, type: int, protocol: int, prot: "Proto") -> None:
        super().__init__(net, family, type, protocol, prot)
        self.sk_state = TCP_CLOSE
        self.socket_state = SocketState.SS_UNCONNECTED
        self.icsk_accept_queue: deque[InetConnectionSock] = deque()
        self.sk_max_ack_backlog = 0


def inet_sk_set_state(sk: InetConnectionSock, state: int) -> None:
    """Change the state of a connection."""
    sk.sk_state = state
    sk.connected = not 1 << state & _WITHOUT_PEER


def inet_csk_listen_start(sk: InetConnectionSock) -> None:
    """Let a socket listen: on its port, or on a free one.

    Raises
    ------
    OSError
        ``EADDRINUSE``; what the protocol's ``hash`` returns.
    """
    inet_sk_set_state(sk, TCP_LISTEN)
    error = -EADDRINUSE
    # Others may have come to share the port since it was bound.
    if not sk.sk_prot.get_port(sk, sk.inet_num):
        sk_dst_reset(sk)
        assert sk.sk_prot.hash is not None
        error = sk.sk_prot.hash(sk)
        if not error:
            return
    inet_sk_set_state(sk, TCP_CLOSE)
    raise OSError(-error, strerror(-error))


def inet_csk_listen_stop(sk: InetConnectionSock) -> None:
    """Give up the connections of a listener that nobody has accepted."""
    while sk.icsk_accept_queue:
        child = sk.icsk_accept_queue.popleft()
        assert child.sk_prot.disconnect is not None
        lock_sock_nested(child)
        child.sk_prot.disconnect(child, SOCK_NONBLOCK)
        release_sock(child)
        child.sk_prot.close(child)


def sk_acceptq_is_full(sk: InetConnectionSock) -> bool:
    """Return whether more connections wait to be accepted than the program wants."""
    return len(sk.icsk_accept_queue) > sk.sk_max_ack_backlog


def inet_csk_reqsk_queue_add(sk: InetConnectionSock, child: InetConnectionSock) -> None:
    """Hand a new connection over to its listener's program."""
    sk.icsk_accept_queue.append(child)
    sock_def_readable(sk)


def inet_csk_accept(sk: InetConnectionSock, flags: int) -> InetConnectionSock:
    """Return the oldest connection that nobody has accepted, waiting for one if allowed.

    Raises
    ------
    OSError
        ``EINVAL`` if the socket does not listen (any longer); ``EAGAIN`` if it may not wait (any longer).
    """
    lock_sock_nested(sk)
    try:
        if sk.sk_state != TCP_LISTEN:
            raise OSError(EINVAL, "the socket does not listen")
        if not sk.icsk_accept_queue:
            inet_csk_wait_for_connect(sk, sock_rcvtimeo(sk, flags & SOCK_NONBLOCK != 0))
        return sk.icsk_accept_queue.popleft()
    finally:
        release_sock(sk)


def inet_csk_wait_for_connect(sk: InetConnectionSock, timeo: int | None) -> None:
    """Wait for a connection, the lock given back meanwhile.

    Raises
    ------
    OSError
        As ``inet_csk_accept``.
    """
    platform = sk.kernel.platform
    deadline_ns = None if timeo is None else platform.now_ns() + timeo
    while not sk.icsk_accept_queue:
        if sk.sk_state != TCP_LISTEN:
            raise OSError(EINVAL, "the socket listens no longer")
        if deadline_ns is not None and platform.now_ns() >= deadline_ns:
            raise OSError(EAGAIN, "no connection to accept")
        sk_wait_event(sk, deadline_ns, lambda: bool(sk.icsk_accept_queue) or sk.sk_state != TCP_LISTEN)
