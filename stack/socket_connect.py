"""Sockets, connecting, listening and accepting: the system calls (Linux: net/socket.c)."""

from errno import ECONNABORTED, EINVAL
from typing import TYPE_CHECKING

from .socket_lookup import fdget, move_addr_to_kernel, sockfd_lookup_light
from .uapi import SOCK_CLOEXEC, SOCK_NONBLOCK

if TYPE_CHECKING:
    from .core.msghdr import Sockaddr
    from .core.net import Kernel
    from .socket import Address, Socket

__all__ = ["sys_accept4", "sys_connect", "sys_listen"]


def __x64_sys_connect(kernel: "Kernel", fd: int, address: "Address") -> int:
    return __sys_connect(kernel, fd, address)


def __sys_connect(kernel: "Kernel", fd: int, address: "Address") -> int:
    with fdget(kernel, fd) as sock:
        return __sys_connect_file(sock, move_addr_to_kernel(sock, address))


def __sys_connect_file(sock: "Socket", address: "Sockaddr") -> int:
    return sock.ops.connect(sock.sk, address, _file_flags(sock))


def _file_flags(sock: "Socket") -> int:
    return SOCK_NONBLOCK if sock.nonblock else 0


def __x64_sys_listen(kernel: "Kernel", fd: int, backlog: int) -> int:
    return __sys_listen(kernel, fd, backlog)


def __sys_listen(kernel: "Kernel", fd: int, backlog: int) -> int:
    sock = sockfd_lookup_light(kernel, fd)
    most = sock.net.ipv4.sysctl_somaxconn
    return sock.ops.listen(sock.sk, backlog if 0 <= backlog <= most else most)


def __x64_sys_accept4(kernel: "Kernel", fd: int, flags: int) -> "tuple[Socket, Sockaddr]":
    return __sys_accept4(kernel, fd, flags)


def __sys_accept4(kernel: "Kernel", fd: int, flags: int) -> "tuple[Socket, Sockaddr]":
    with fdget(kernel, fd) as sock:
        if flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK):
            raise OSError(EINVAL, f"unknown flags {flags:#o}")
        return do_accept(sock, flags)


def do_accept(sock: "Socket", flags: int) -> "tuple[Socket, Sockaddr]":
    """Return a new socket for a listener's next connection, and its peer's address.

    Raises
    ------
    OSError
        ``ECONNABORTED`` if there is no such address; what the socket's operation raises.
    """
    from .socket import sock_alloc_file  # It is built on this module.

    sk = sock.ops.accept(sock.sk, _file_flags(sock))
    try:
        name = sock.ops.getname(sk, 2)
    except OSError:
        sock.ops.release(sk)
        raise OSError(ECONNABORTED, "the connection was aborted") from None
    return sock_alloc_file(sock.net, sk, sock.ops, flags), name


# Inside a class Python changes names that start with two underscores.
sys_connect = __x64_sys_connect
sys_listen = __x64_sys_listen
sys_accept4 = __x64_sys_accept4
