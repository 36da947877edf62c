"""Sockets, receiving: the system calls (Linux: net/socket.c)."""

from errno import EINVAL
from typing import TYPE_CHECKING

from .core.msghdr import RecvMsghdr
from .socket_lookup import sockfd_lookup_light
from .uapi import MSG_CTRUNC, MSG_DONTWAIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .core.net import Kernel
    from .socket import Socket

__all__ = ["sock_poll", "sock_recvmsg", "sys_recvfrom", "sys_recvmsg"]

_CMSG_HEADER_OCTETS = 16  # struct cmsghdr on 64 bits; control messages lie at multiples of 8.


def sock_recvmsg(sock: "Socket", msg: RecvMsghdr, flags: int) -> int:
    """Receive a message through the socket's operations; return the number of octets.

    Raises
    ------
    OSError
        What the protocol raises.
    """
    sock.f_count += 1
    try:
        return sock.ops.recvmsg(sock.sk, msg, msg.size, flags)
    finally:
        sock.f_count -= 1
        if not sock.f_count:  # Closed meanwhile.
            sock.ops.release(sock.sk)


def __x64_sys_recvfrom(kernel: "Kernel", fd: int, msg: RecvMsghdr, flags: int) -> int:
    return __sys_recvfrom(kernel, fd, msg, flags)


def __sys_recvfrom(kernel: "Kernel", fd: int, msg: RecvMsghdr, flags: int) -> int:
    sock = sockfd_lookup_light(kernel, fd)
    if sock.nonblock:
        flags |= MSG_DONTWAIT
    return sock_recvmsg(sock, msg, flags)


def __x64_sys_recvmsg(kernel: "Kernel", fd: int, msg: RecvMsghdr, controllen: int, flags: int) -> int:
    return __sys_recvmsg(kernel, fd, msg, controllen, flags)


def __sys_recvmsg(kernel: "Kernel", fd: int, msg: RecvMsghdr, controllen: int, flags: int) -> int:
    return ___sys_recvmsg(sockfd_lookup_light(kernel, fd), msg, controllen, flags)


def ___sys_recvmsg(sock: "Socket", msg: RecvMsghdr, controllen: int, flags: int) -> int:
    length = ____sys_recvmsg(sock, msg, flags)
    if msg.control or controllen:
        put_cmsgs(msg, controllen)
    return length


def ____sys_recvmsg(sock: "Socket", msg: RecvMsghdr, flags: int) -> int:
    if sock.nonblock:
        flags |= MSG_DONTWAIT
    return sock_recvmsg(sock, msg, flags)


def put_cmsgs(msg: RecvMsghdr, room: int) -> None:
    """Leave as many control messages as fit; the first that does not is cut, and ``MSG_CTRUNC`` says so."""
    fitting: list[tuple[int, int, bytes]] = []
    for level, kind, data in msg.control:
        if room < _CMSG_HEADER_OCTETS:
            msg.flags |= MSG_CTRUNC
            break
        part = data[: room - _CMSG_HEADER_OCTETS]
        fitting.append((level, kind, part))
        if len(part) < len(data):
            msg.flags |= MSG_CTRUNC
            break
        room -= _CMSG_HEADER_OCTETS + (len(data) + 7 & ~7)
    msg.control = fitting


def user_buffers(buffers: "Sequence[bytearray | memoryview]") -> RecvMsghdr:
    """Return a message for a program's buffers.

    Raises
    ------
    TypeError
        If one of them cannot be written.
    """
    iov = [memoryview(buffer).cast("B") for buffer in buffers]
    if any(view.readonly for view in iov):
        raise TypeError("buffers must be writable")
    return RecvMsghdr(sum(map(len, iov)), iov)


def new_octets(size: int) -> RecvMsghdr:
    """Return a message for new octets.

    Raises
    ------
    ValueError
        If the size is negative.
    """
    if size < 0:
        raise ValueError("negative buffersize in recv")
    return RecvMsghdr(size)


def sock_poll(sock: "Socket", events: int, deadline_ns: int | None) -> int:
    """Wait until something of ``events`` can be done with a socket, or it has an error or is at its end.

    Returns
    -------
    int
        What can be done, as ``POLL*`` bits; 0 if the deadline came first.

    Raises
    ------
    OSError
        ``EINVAL`` for events that are none.
    """
    if not 0 <= events <= 0xFFFF:
        raise OSError(EINVAL, f"no events {events:#x}")
    sk = sock.sk
    platform = sock.kernel.platform
    events |= _ALWAYS
    while True:
        ready = sock.ops.poll(sk) & events
        if ready or (deadline_ns is not None and platform.now_ns() >= deadline_ns):
            return ready
        sk.sk_sleepers += 1
        sk.sk_nospace = True
        try:
            platform.wait(sk.sk_wq, deadline_ns)
        finally:
            sk.sk_sleepers -= 1


_ALWAYS = 0x18  # POLLERR | POLLHUP

# Inside a class Python changes names that start with two underscores.
sys_recvfrom = __x64_sys_recvfrom
sys_recvmsg = __x64_sys_recvmsg
