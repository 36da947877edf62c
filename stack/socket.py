"""Sockets: what programs call, and the system calls behind it (Linux: net/socket.c)."""

from collections.abc import Callable, Iterable, Sequence
from errno import EAFNOSUPPORT, EAGAIN, EINPROGRESS, EINVAL, EMSGSIZE
from sys import byteorder
from typing import TYPE_CHECKING, Any, Self

from . import uapi, uapi_ioctl, uapi_options
from .core.msghdr import EIOCBQUEUED, Kiocb, Msghdr, Octets, RecvMsghdr
from .core.proto_ops import ProtoOps
from .ipv4.af_inet import inet_create
from .netlink.af_netlink import netlink_create
from .netlink.uapi import AF_NETLINK
from .packet.af_packet import packet_create
from .security import security_socket_sendmsg
from .socket_connect import sys_accept4, sys_connect, sys_listen
from .socket_ioctl import fcntl_ioctl
from .socket_lookup import move_addr_to_kernel, sockfd_lookup_light
from .socket_recv import new_octets, sock_poll, sys_recvfrom, sys_recvmsg, user_buffers
from .socket_sockopt import sys_getsockopt, sys_setsockopt
from .uapi import *  # noqa: F403 - the constants are part of this module, as in Python's own
from .uapi import (
    AF_INET,
    AF_PACKET,
    MSG_DONTWAIT,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_MAX,
    SOCK_NONBLOCK,
    SOCK_TYPE_MASK,
)
from .uapi_ioctl import *  # noqa: F403
from .uapi_options import *  # noqa: F403

if TYPE_CHECKING:
    from .core.net import Kernel, Net
    from .core.sock import Sock

__all__ = ["Socket", "__sock_sendmsg", "sock_sendmsg", "sockfd_lookup_light", "sys_socket"]
__all__ += uapi.__all__
__all__ += uapi_ioctl.__all__
__all__ += uapi_options.__all__

# What a program gives for an address: of IPv4 (host, port), of AF_PACKET (device, protocol, ...), or octets.
Address = tuple[Any, ...] | bytes | bytearray | memoryview
ControlMessage = tuple[int, int, Octets]


class Socket:
    """A socket (Linux: ``struct socket``), with the methods that Python's own sockets have.

    An address is ``(host, port)``, the host in dotted form, ``""`` for any or ``"<broadcast>"``; or the octets of a
    ``struct sockaddr_in``. Each method raises ``OSError`` with the errno that the kernel gives. ``net.socket()`` makes
    one.

    Members
    -------
    family, type, proto : int
        What it was made as.
    timeout : float or None
        How many seconds a call may wait; None: for ever.
    """

    __slots__ = ("f_count", "family", "fd", "kernel", "net", "nonblock", "ops", "proto", "sk", "timeout", "type")

    def __init__(self, net: "Net", sk: "Sock", ops: ProtoOps, fd: int) -> None:
        self.net = net
        self.kernel = net.kernel
        self.sk = sk
        self.ops = ops
        self.fd = fd
        self.f_count = 1  # The descriptor, and each call under way.
        self.family = sk.sk_family
        self.type = sk.sk_type
        self.proto = sk.sk_protocol
        self.nonblock = False
        self.timeout: float | None = None

    def __repr__(self) -> str:
        return f"<Socket fd={self.fd} family={self.family} type={self.type} proto={self.proto}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor, -1 after ``close``."""
        return self.fd

    def bind(self, address: Address) -> None:
        """Set the local address and port."""
        sys_bind(self.kernel, self.fd, address)

    def connect(self, address: Address) -> None:
        """Set the peer, for ``send``; of a stream: connect to it."""
        try:
            sys_connect(self.kernel, self.fd, address)
        except BlockingIOError as error:
            if error.errno == EINPROGRESS:
                self._timed_out()
            raise

    def connect_ex(self, address: Address) -> int:
        """Connect; return 0, or the errno of what failed."""
        try:
            self.connect(address)
        except OSError as error:
            if error.errno is None:  # Time was up.
                return EAGAIN
            return error.errno
        return 0

    def listen(self, backlog: int = 128) -> None:
        """Let others connect; so many of them, and one more, may wait to be accepted."""
        sys_listen(self.kernel, self.fd, max(backlog, 0))

    def accept(self, flags: int = 0) -> "tuple[Socket, Any]":
        """Return a socket for the next connection, and the peer's address; ``SOCK_NONBLOCK`` makes it not wait."""
        try:
            sock, name = sys_accept4(self.kernel, self.fd, flags)
        except BlockingIOError:
            self._timed_out()
            raise
        return sock, self.ops.address(name)

    def sendto(self, data: Octets, flags_or_address: "int | Address", address: Address | None = None) -> int:
        """Send a datagram to an address: ``sendto(data, address)`` or ``sendto(data, flags, address)``."""
        flags = 0
        if isinstance(flags_or_address, int):
            flags = flags_or_address
        else:
            address = flags_or_address
        try:
            return sys_sendto(self.kernel, self.fd, data, flags, address)
        except BlockingIOError:
            self._timed_out()
            raise

    def send(self, data: Octets, flags: int = 0) -> int:
        """Send a datagram to the peer, or of a stream as much as there is room for; return the number of octets."""
        try:
            return sys_sendto(self.kernel, self.fd, data, flags, None)
        except BlockingIOError:
            self._timed_out()
            raise

    def sendall(self, data: Octets, flags: int = 0) -> None:
        """Send all of it to the peer, in as many calls as needed; together they may wait as long as one.

        Raises
        ------
        TimeoutError, BlockingIOError
            If only a part was sent in that time; of how much, nothing is said.
        """
        left = memoryview(data).cast("B")
        timeout_ns = self.sk.sk_sndtimeo
        end_ns = None if timeout_ns is None else self.kernel.now_ns() + timeout_ns
        try:
            while left:
                if end_ns is not None:
                    self.sk.sk_sndtimeo = end_ns - self.kernel.now_ns()
                    if self.sk.sk_sndtimeo <= 0:
                        raise TimeoutError("timed out")
                left = left[self.send(left, flags) :]
        finally:
            self.sk.sk_sndtimeo = timeout_ns

    def sendmsg(
        self,
        buffers: Iterable[Octets],
        ancdata: Iterable[ControlMessage] = (),
        flags: int = 0,
        address: Address | None = None,
    ) -> int:
        """Send the octets of several buffers as one datagram, with control messages ``(level, type, data)``."""
        try:
            return sys_sendmsg(self.kernel, self.fd, list(buffers), list(ancdata), flags, address)
        except BlockingIOError:
            self._timed_out()
            raise

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Receive a datagram, at most so many octets of it, or what a stream has; ``b""``: the peer has ended it."""
        msg = new_octets(bufsize)
        self._receive(msg, flags)
        return msg.octets

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        """Receive a datagram, and return it with its sender's address."""
        msg = new_octets(bufsize)
        self._receive(msg, flags)
        return msg.octets, self._name(msg)

    def recv_into(self, buffer: "bytearray | memoryview", nbytes: int = 0, flags: int = 0) -> int:
        """Receive a datagram into a buffer, and return its length."""
        return self._receive(user_buffers([memoryview(buffer)[: nbytes or None]]), flags)

    def recvfrom_into(self, buffer: "bytearray | memoryview", nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """Receive a datagram into a buffer, and return its length with its sender's address."""
        msg = user_buffers([memoryview(buffer)[: nbytes or None]])
        return self._receive(msg, flags), self._name(msg)

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        """Receive a datagram, with control messages; return both, ``MSG_*`` flags, and the sender's address."""
        msg = new_octets(bufsize)
        self._receive_msg(msg, ancbufsize, flags)
        return msg.octets, msg.control, msg.flags, self._name(msg)

    def recvmsg_into(
        self, buffers: "Sequence[bytearray | memoryview]", ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        """As ``recvmsg``, into several buffers."""
        msg = user_buffers(buffers)
        length = self._receive_msg(msg, ancbufsize, flags)
        return length, msg.control, msg.flags, self._name(msg)

    def _receive(self, msg: RecvMsghdr, flags: int) -> int:
        try:
            return sys_recvfrom(self.kernel, self.fd, msg, flags)
        except BlockingIOError:
            self._timed_out()
            raise

    def _receive_msg(self, msg: RecvMsghdr, ancbufsize: int, flags: int) -> int:
        try:
            return sys_recvmsg(self.kernel, self.fd, msg, ancbufsize, flags)
        except BlockingIOError:
            self._timed_out()
            raise

    def _name(self, msg: RecvMsghdr) -> Any:
        return None if msg.name is None else self.ops.address(msg.name)

    def poll(self, events: int, timeout: float | None = None) -> int:
        """Wait until something of ``events`` can be done, at most so many seconds; return ``POLL*`` bits, perhaps 0."""
        deadline_ns = None if timeout is None else self.kernel.now_ns() + int(timeout * 1e9)
        return sock_poll(self._checked(), events, deadline_ns)

    def _timed_out(self) -> None:
        if self.timeout:
            raise TimeoutError("timed out") from None

    def setsockopt(self, level: int, optname: int, value: int | bytes) -> None:
        """Set an option, given as a number or as octets.

        Raises
        ------
        TypeError
            If the number does not fit a C ``int``.
        OSError
            What the option's handler raises.
        """
        if isinstance(value, int):
            if not -(1 << 31) <= value < 1 << 31:
                raise TypeError(f"a number must fit 32 bits with a sign, or be given as octets: {value}")
            value = value.to_bytes(4, byteorder, signed=True)
        sys_setsockopt(self.kernel, self.fd, level, optname, bytes(value))

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> int | bytes:
        """Return an option: as a number, or with ``buflen`` at most so many octets of it."""
        octets = sys_getsockopt(self.kernel, self.fd, level, optname, buflen or 4)
        return octets if buflen else int.from_bytes(octets.ljust(4, b"\0"), byteorder, signed=True)

    def getsockname(self) -> Any:
        """Return the local address (and port)."""
        return self.ops.address(self._checked().ops.getname(self.sk, False))

    def getpeername(self) -> Any:
        """Return the peer's address (and port)."""
        return self.ops.address(self._checked().ops.getname(self.sk, True))

    def _checked(self) -> Self:
        sockfd_lookup_light(self.kernel, self.fd)
        return self

    def ioctl(self, request: int, arg: Any = 0, mutate_flag: bool = True) -> Any:
        """Make a request, by its number (``SIOC*``), of a socket or of what is behind it (Python: ``fcntl.ioctl``)."""
        return fcntl_ioctl(self._checked(), request, arg, mutate_flag)

    def shutdown(self, how: int) -> None:
        """End receiving (0), sending (1) or both (2)."""
        self._checked().ops.shutdown(self.sk, how)

    def settimeout(self, timeout: float | None) -> None:
        """Set how many seconds a call may wait; 0: not at all; None: for ever."""
        if timeout is not None and timeout < 0:
            raise ValueError("Timeout value out of range")
        self._checked()
        self.timeout = timeout
        self.nonblock = timeout == 0
        self.sk.sk_sndtimeo = self.sk.sk_rcvtimeo = None if not timeout else int(timeout * 1e9)

    def gettimeout(self) -> float | None:
        """Return how many seconds a call may wait."""
        return self.timeout

    def setblocking(self, flag: bool) -> None:
        """Let calls wait for ever, or not at all."""
        self.settimeout(None if flag else 0)

    def getblocking(self) -> bool:
        """Return whether calls wait."""
        return not self.nonblock

    def close(self) -> None:
        """Close it: what was sent goes its way, and a call that sleeps comes to its end first."""
        if self.fd >= 0:
            del self.kernel.files[self.fd]
            self.fd = -1
            self.f_count -= 1
            if not self.f_count:
                self.ops.release(self.sk)


_UIO_MAXIOV = 1024


def __sock_sendmsg(sock: Socket, msg: Msghdr) -> int:
    """Send a message: ask the security hooks, then the socket's operations."""
    kernel = sock.kernel
    if kernel.security_socket_sendmsg:
        error = security_socket_sendmsg(sock, msg, msg.count)
        if error:
            raise OSError(-error, "a security hook forbids it")
    sock.f_count += 1
    try:
        return sock.ops.sendmsg(sock.sk, msg, msg.count)
    finally:
        sock.f_count -= 1
        if not sock.f_count:  # Closed meanwhile.
            sock.ops.release(sock.sk)


def sock_sendmsg(sock: Socket, msg: Msghdr, iocb: Kiocb | None = None) -> int:
    """Send a message from within the kernel.

    Parameters
    ----------
    sock : Socket
        The socket.
    msg : Msghdr
        The message.
    iocb : Kiocb or None
        Where the result goes if the protocol finishes later; without one, this call waits for it.

    Returns
    -------
    int
        Number of octets taken, or ``-EIOCBQUEUED``: the result will be in ``iocb``.
    """
    msg.iocb = iocb or Kiocb(sock.kernel.platform)
    result = __sock_sendmsg(sock, msg)
    if result == -EIOCBQUEUED and iocb is None:
        result = msg.iocb.wait()
    return result


# Who makes sockets of which family (Linux: net_families): takes namespace, type and protocol.
_NET_FAMILIES: "dict[int, Callable[[Net, int, int], tuple[Sock, ProtoOps]]]" = {
    AF_INET: inet_create,
    AF_PACKET: packet_create,
    AF_NETLINK: netlink_create,
}


def __sys_socket(net: "Net", family: int, type: int, protocol: int) -> Socket:
    flags = type & ~SOCK_TYPE_MASK
    type &= SOCK_TYPE_MASK
    if flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK):
        raise OSError(EINVAL, f"unknown flags {flags:#o} in the socket's type")
    create = _NET_FAMILIES.get(family)
    if create is None:
        raise OSError(EAFNOSUPPORT, f"no sockets of family {family}")
    if not 0 <= type < SOCK_MAX:
        raise OSError(EINVAL, f"no sockets of type {type}")
    sk, ops = create(net, type, protocol)
    return sock_alloc_file(net, sk, ops, flags)


def sock_alloc_file(net: "Net", sk: "Sock", ops: ProtoOps, flags: int) -> Socket:
    """Give a socket the lowest descriptor that is free; ``SOCK_NONBLOCK``: its calls shall not wait."""
    kernel = net.kernel
    fd = 3
    while fd in kernel.files:
        fd += 1
    sock = kernel.files[fd] = Socket(net, sk, ops, fd)
    if flags & SOCK_NONBLOCK:
        sock.setblocking(False)
    return sock


def __x64_sys_socket(net: "Net", family: int = AF_INET, type: int = SOCK_DGRAM, protocol: int = 0) -> Socket:
    """Make a socket.

    Raises
    ------
    OSError
        ``EAFNOSUPPORT``, ``EINVAL``, ``ESOCKTNOSUPPORT``, ``EPROTONOSUPPORT``.
    """
    return __sys_socket(net, family, type, protocol)


def __x64_sys_sendto(kernel: "Kernel", fd: int, data: Octets, flags: int, address: Address | None) -> int:
    return __sys_sendto(kernel, fd, data, flags, address)


def __sys_sendto(kernel: "Kernel", fd: int, data: Octets, flags: int, address: Address | None) -> int:
    if type(data) is not bytes:
        data = memoryview(data).cast("B")
    sock = sockfd_lookup_light(kernel, fd)
    name = None if address is None else move_addr_to_kernel(sock, address)
    if sock.nonblock:
        flags |= MSG_DONTWAIT
    return __sock_sendmsg(sock, Msghdr(name, (data,), len(data), flags))


def __x64_sys_sendmsg(
    kernel: "Kernel",
    fd: int,
    buffers: Sequence[Octets],
    control: Sequence[ControlMessage],
    flags: int,
    address: Address | None,
) -> int:
    return __sys_sendmsg(kernel, fd, buffers, control, flags, address)


def __sys_sendmsg(
    kernel: "Kernel",
    fd: int,
    buffers: Sequence[Octets],
    control: Sequence[ControlMessage],
    flags: int,
    address: Address | None,
) -> int:
    sock = sockfd_lookup_light(kernel, fd)
    return ___sys_sendmsg(sock, buffers, control, flags, address)


def ___sys_sendmsg(
    sock: Socket,
    buffers: Sequence[Octets],
    control: Sequence[ControlMessage],
    flags: int,
    address: Address | None,
) -> int:
    return ____sys_sendmsg(sock, copy_msghdr_from_user(sock, buffers, control, flags, address))


def ____sys_sendmsg(sock: Socket, msg: Msghdr) -> int:
    if sock.nonblock:
        msg.flags |= MSG_DONTWAIT
    return __sock_sendmsg(sock, msg)


def copy_msghdr_from_user(
    sock: Socket, buffers: Sequence[Octets], control: Sequence[ControlMessage], flags: int, address: Address | None
) -> Msghdr:
    """Take over a message from a program.

    Raises
    ------
    OSError
        ``EMSGSIZE`` for too many buffers.
    """
    if len(buffers) > _UIO_MAXIOV:
        raise OSError(EMSGSIZE, f"at most {_UIO_MAXIOV} buffers, not {len(buffers)}")
    name = None if address is None else move_addr_to_kernel(sock, address)
    iov = [memoryview(buffer).cast("B") for buffer in buffers]
    return Msghdr(name, iov, sum(map(len, iov)), flags, control)


def __x64_sys_bind(kernel: "Kernel", fd: int, address: Address) -> int:
    return __sys_bind(kernel, fd, address)


def __sys_bind(kernel: "Kernel", fd: int, address: Address) -> int:
    sock = sockfd_lookup_light(kernel, fd)
    return sock.ops.bind(sock.sk, move_addr_to_kernel(sock, address))


# Inside a class Python changes names that start with two underscores.
sys_socket = __x64_sys_socket
sys_bind = __x64_sys_bind
sys_sendto = __x64_sys_sendto
sys_sendmsg = __x64_sys_sendmsg
