"""The one system call that all calls of sockets go through on old machines (Linux: net/socket.c; socketcall(2))."""

from collections.abc import Callable, Sequence
from errno import EFAULT, EINVAL, EOPNOTSUPP
from typing import TYPE_CHECKING, Any

from .socket import Socket, sys_socket
from .socket_connect import sys_listen
from .socket_lookup import sockfd_lookup_light

if TYPE_CHECKING:
    from .core.net import Net

__all__ = [
    "SYS_ACCEPT",
    "SYS_ACCEPT4",
    "SYS_BIND",
    "SYS_CONNECT",
    "SYS_GETPEERNAME",
    "SYS_GETSOCKNAME",
    "SYS_GETSOCKOPT",
    "SYS_LISTEN",
    "SYS_RECV",
    "SYS_RECVFROM",
    "SYS_RECVMSG",
    "SYS_SEND",
    "SYS_SENDMSG",
    "SYS_SENDTO",
    "SYS_SETSOCKOPT",
    "SYS_SHUTDOWN",
    "SYS_SOCKET",
    "SYS_SOCKETPAIR",
    "sys_socketcall",
]

# Numbers of include/uapi/linux/net.h.
SYS_SOCKET = 1
SYS_BIND = 2
SYS_CONNECT = 3
SYS_LISTEN = 4
SYS_ACCEPT = 5
SYS_GETSOCKNAME = 6
SYS_GETPEERNAME = 7
SYS_SOCKETPAIR = 8
SYS_SEND = 9
SYS_RECV = 10
SYS_SENDTO = 11
SYS_RECVFROM = 12
SYS_SHUTDOWN = 13
SYS_SETSOCKOPT = 14
SYS_GETSOCKOPT = 15
SYS_SENDMSG = 16
SYS_RECVMSG = 17
SYS_ACCEPT4 = 18


def _listen(sock: Socket, backlog: int) -> None:
    sys_listen(sock.kernel, sock.fd, backlog)


def _accept(sock: Socket, flags: int = 0) -> tuple[int, Any]:
    child, address = sock.accept(flags)
    return child.fileno(), address


# The calls of a socket, by number: its method, and the least and most arguments behind the descriptor.
_METHODS: dict[int, tuple[Callable[..., Any], int, int]] = {
    SYS_BIND: (Socket.bind, 1, 1),
    SYS_CONNECT: (Socket.connect, 1, 1),
    SYS_LISTEN: (_listen, 1, 1),
    SYS_ACCEPT: (_accept, 0, 0),
    SYS_ACCEPT4: (_accept, 1, 1),
    SYS_GETSOCKNAME: (Socket.getsockname, 0, 0),
    SYS_GETPEERNAME: (Socket.getpeername, 0, 0),
    SYS_SEND: (Socket.send, 1, 2),
    SYS_RECV: (Socket.recv, 1, 2),
    SYS_SENDTO: (Socket.sendto, 2, 3),
    SYS_RECVFROM: (Socket.recvfrom, 1, 2),
    SYS_SHUTDOWN: (Socket.shutdown, 1, 1),
    SYS_SETSOCKOPT: (Socket.setsockopt, 3, 3),
    SYS_GETSOCKOPT: (Socket.getsockopt, 2, 3),
    SYS_SENDMSG: (Socket.sendmsg, 1, 4),
    SYS_RECVMSG: (Socket.recvmsg, 1, 3),
}


def sys_socketcall(net: "Net", call: int, args: Sequence[Any]) -> Any:
    """Make a call of sockets by its number.

    Parameters
    ----------
    net : Net
        The caller's namespace.
    call : int
        ``SYS_SOCKET`` and so on.
    args : sequence
        Its arguments as the call's own: first the descriptor (``SYS_SOCKET``: family, type, protocol), buffers and
        addresses as in Python's ``socket``.

    Returns
    -------
    object
        What the call returns; of ``SYS_SOCKET`` the descriptor, of ``SYS_ACCEPT`` that and the peer's address.

    Raises
    ------
    OSError
        ``EINVAL`` for a call that there is not, ``EFAULT`` for too few or too many arguments, ``EBADF``, ``EOPNOTSUPP``
        for ``SYS_SOCKETPAIR``; what the call raises.
    """
    if call == SYS_SOCKET:
        if len(args) != 3:
            raise OSError(EFAULT, f"SYS_SOCKET takes 3 arguments, not {len(args)}")
        return sys_socket(net, *args).fileno()
    if call == SYS_SOCKETPAIR:
        raise OSError(EOPNOTSUPP, "no sockets here come in pairs")
    if call not in _METHODS:
        raise OSError(EINVAL, f"no call of sockets has the number {call}")
    method, least, most = _METHODS[call]
    if not least + 1 <= len(args) <= most + 1:
        raise OSError(EFAULT, f"{method.__name__}() takes {least + 1} to {most + 1} arguments, not {len(args)}")
    return method(sockfd_lookup_light(net.kernel, args[0]), *args[1:])
