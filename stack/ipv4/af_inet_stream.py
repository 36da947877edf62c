"""Stream sockets of IPv4, whatever their protocol (Linux: net/ipv4/af_inet.c)."""

from errno import EALREADY, ECONNABORTED, EINPROGRESS, EINVAL, EISCONN, ENOTCONN
from os import strerror
from typing import TYPE_CHECKING

from ..core.proto_ops import ProtoOps
from ..core.sock import (
    RCV_SHUTDOWN,
    lock_sock_nested,
    release_sock,
    sk_wait_event,
    sock_def_wakeup,
    sock_error,
    sock_sndtimeo,
)
from ..core.tcp_states import (
    TCP_CLOSE,
    TCP_LISTEN,
    TCP_SYN_SENT,
    TCPF_CLOSE,
    TCPF_LISTEN,
    TCPF_SYN_RECV,
    TCPF_SYN_SENT,
)
from ..uapi import AF_UNSPEC, SOCK_NONBLOCK, SOCK_STREAM
from .af_inet import inet_bind, inet_getname, inet_ioctl, inet_recvmsg, inet_release, inet_sendmsg
from .inet_connection_sock import SocketState, inet_csk_listen_start
from .sockaddr_in import sockaddr_in, sockaddr_in_address, sockaddr_in_octets

if TYPE_CHECKING:
    from ..core.msghdr import Sockaddr
    from .inet_connection_sock import InetConnectionSock

__all__ = ["inet_accept", "inet_listen", "inet_shutdown", "inet_stream_connect", "inet_stream_ops"]

_CONNECTING = TCPF_SYN_SENT | TCPF_SYN_RECV
_UNCONNECTED = SocketState.SS_UNCONNECTED


def inet_stream_connect(sk: "InetConnectionSock", address: "Sockaddr", flags: int) -> int:
    """Connect a socket, its lock held; as ``__inet_stream_connect``."""
    lock_sock_nested(sk)
    try:
        return __inet_stream_connect(sk, address, flags)
    finally:
        release_sock(sk)


def __inet_stream_connect(sk: "InetConnectionSock", address: "Sockaddr", flags: int) -> int:
    """Connect a socket and wait for that; or with ``AF_UNSPEC`` end what there is.

    Another call while it connects waits for the same connection; the first one after that returns 0, too.

    Raises
    ------
    OSError
        ``EISCONN``; ``EINPROGRESS``, and from the second call on ``EALREADY``, if it may not wait (any longer);
        ``EINVAL`` for one that was shut down while it connected; why there is no connection, ``ECONNABORTED`` if nobody
        knows; what the protocol raises.
    """
    if address[0] == AF_UNSPEC:
        _disconnect(sk, flags)
        return 0
    state = sk.socket_state
    if state == SocketState.SS_CONNECTED:
        raise OSError(EISCONN, "connected")
    if state == SocketState.SS_CONNECTING:
        waiting = OSError(EALREADY, "connecting already")
    elif state == _UNCONNECTED:
        if sk.sk_state != TCP_CLOSE:
            raise OSError(EISCONN, "the socket listens")
        sk.sk_prot.connect(sk, address)
        sk.socket_state = SocketState.SS_CONNECTING
        waiting = OSError(EINPROGRESS, "connecting")
    else:
        raise OSError(EINVAL, "disconnecting")
    if 1 << sk.sk_state & _CONNECTING:
        inet_wait_for_connect(sk, sock_sndtimeo(sk, flags & SOCK_NONBLOCK != 0))
        if 1 << sk.sk_state & _CONNECTING:
            raise waiting
    if sk.sk_state == TCP_CLOSE:
        error = sock_error(sk) or -ECONNABORTED
        _disconnect(sk, flags)
        raise OSError(-error, strerror(-error))
    sk.socket_state = SocketState.SS_CONNECTED
    return 0


def _disconnect(sk: "InetConnectionSock", flags: int) -> None:
    """End what there is.

    Raises
    ------
    OSError
        What the protocol raises: then the socket can do no more.
    """
    assert sk.sk_prot.disconnect is not None
    try:
        sk.sk_prot.disconnect(sk, flags)
    except OSError:
        sk.socket_state = SocketState.SS_DISCONNECTING
        raise
    sk.socket_state = _UNCONNECTED


def inet_wait_for_connect(sk: "InetConnectionSock", timeo: int | None) -> None:
    """Wait until a socket connects no longer or time is up, the lock given back meanwhile."""
    platform = sk.kernel.platform
    deadline_ns = None if timeo is None else platform.now_ns() + timeo
    while 1 << sk.sk_state & _CONNECTING and (deadline_ns is None or platform.now_ns() < deadline_ns):
        sk_wait_event(sk, deadline_ns, lambda: not 1 << sk.sk_state & _CONNECTING)


def inet_listen(sk: "InetConnectionSock", backlog: int) -> int:
    """Let a socket listen, or change how many connections may wait.

    Raises
    ------
    OSError
        ``EINVAL`` if it is connected or of another type; what ``inet_csk_listen_start`` raises.
    """
    lock_sock_nested(sk)
    try:
        if sk.socket_state != _UNCONNECTED or sk.sk_type != SOCK_STREAM:
            raise OSError(EINVAL, "the socket cannot listen")
        if not 1 << sk.sk_state & (TCPF_CLOSE | TCPF_LISTEN):
            raise OSError(EINVAL, "the socket has a connection")
        sk.sk_max_ack_backlog = backlog
        if sk.sk_state != TCP_LISTEN:
            inet_csk_listen_start(sk)
    finally:
        release_sock(sk)
    return 0


def inet_accept(sk: "InetConnectionSock", flags: int) -> "InetConnectionSock":
    """Return the next connection of a listener.

    Raises
    ------
    OSError
        What the protocol raises.
    """
    assert sk.sk_prot.accept is not None
    child: InetConnectionSock = sk.sk_prot.accept(sk, flags)
    lock_sock_nested(child)
    __inet_accept(child)
    release_sock(child)
    return child


def __inet_accept(child: "InetConnectionSock") -> None:
    """Give a connection to a program."""
    child.socket_state = SocketState.SS_CONNECTED


def inet_shutdown(sk: "InetConnectionSock", how: int) -> int:
    """End receiving (0), sending (1) or both (2); a listener, or a socket that connects, gives up.

    Raises
    ------
    OSError
        ``EINVAL``; ``ENOTCONN`` if there is no connection; what the protocol raises.
    """
    if how not in (0, 1, 2):
        raise OSError(EINVAL, f"how must be 0, 1 or 2, not {how}")
    how += 1
    lock_sock_nested(sk)
    try:
        if sk.socket_state == SocketState.SS_CONNECTING:
            gone = 1 << sk.sk_state & (_CONNECTING | TCPF_CLOSE)
            sk.socket_state = SocketState.SS_DISCONNECTING if gone else SocketState.SS_CONNECTED
        state = sk.sk_state
        if state == TCP_SYN_SENT or (state == TCP_LISTEN and how & RCV_SHUTDOWN):
            _disconnect(sk, SOCK_NONBLOCK)
        elif state != TCP_LISTEN:
            sk.sk_shutdown |= how
            if state != TCP_CLOSE and sk.sk_prot.shutdown is not None:
                sk.sk_prot.shutdown(sk, how)
        sock_def_wakeup(sk)
        if state == TCP_CLOSE:
            raise OSError(ENOTCONN, "not connected")
    finally:
        release_sock(sk)
    return 0


def inet_stream_poll(sk: "InetConnectionSock") -> int:
    """Return what could be done with a socket now, as ``POLL*`` bits; the protocol knows."""
    assert sk.sk_prot.poll is not None
    return sk.sk_prot.poll(sk)


inet_stream_ops = ProtoOps(
    sockaddr=sockaddr_in,
    address=sockaddr_in_address,
    octets=sockaddr_in_octets,
    bind=inet_bind,
    connect=inet_stream_connect,
    accept=inet_accept,
    getname=inet_getname,
    poll=inet_stream_poll,
    ioctl=inet_ioctl,
    listen=inet_listen,
    release=inet_release,
    sendmsg=inet_sendmsg,
    recvmsg=inet_recvmsg,
    shutdown=inet_shutdown,
)
