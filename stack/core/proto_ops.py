"""What a family does for one type of socket (Linux: include/linux/net.h)."""

from collections.abc import Callable
from errno import ENOPROTOOPT, ENOTTY, EOPNOTSUPP
from typing import Any, NoReturn

from .msghdr import Msghdr, RecvMsghdr, Sockaddr

__all__ = [
    "ProtoOps",
    "sock_common_getsockopt",
    "sock_common_setsockopt",
    "sock_no_accept",
    "sock_no_connect",
    "sock_no_getsockopt",
    "sock_no_ioctl",
    "sock_no_listen",
    "sock_no_octets",
    "sock_no_set_peek_off",
    "sock_no_setsockopt",
    "sock_no_shutdown",
]


def sock_common_setsockopt(sk: Any, level: int, optname: int, value: bytes) -> int:
    """Set an option of the socket's protocol."""
    return int(sk.sk_prot.setsockopt(sk, level, optname, value))


def sock_common_getsockopt(sk: Any, level: int, optname: int) -> int | bytes:
    """Return an option of the socket's protocol."""
    value: int | bytes = sk.sk_prot.getsockopt(sk, level, optname)
    return value


def sock_no_setsockopt(sk: Any, level: int, optname: int, value: bytes) -> NoReturn:  # noqa: ARG001 - an operation's arguments
    """Refuse an option: ``ENOPROTOOPT``."""
    raise OSError(ENOPROTOOPT, f"no option {optname} of level {level}")


def sock_no_getsockopt(sk: Any, level: int, optname: int) -> NoReturn:  # noqa: ARG001 - an operation's arguments
    """Refuse an option: ``ENOPROTOOPT``."""
    raise OSError(ENOPROTOOPT, f"no option {optname} of level {level}")


def sock_no_connect(sk: Any, address: Sockaddr, flags: int = 0) -> NoReturn:  # noqa: ARG001 - an operation's arguments
    """Refuse a peer: ``EOPNOTSUPP``."""
    raise OSError(EOPNOTSUPP, "this kind of socket has no peer")


def sock_no_listen(sk: Any, backlog: int) -> NoReturn:  # noqa: ARG001 - an operation's arguments
    """Refuse to listen: ``EOPNOTSUPP``."""
    raise OSError(EOPNOTSUPP, "this kind of socket does not listen")


def sock_no_accept(sk: Any, flags: int) -> NoReturn:  # noqa: ARG001 - an operation's arguments
    """Refuse to accept: ``EOPNOTSUPP``."""
    raise OSError(EOPNOTSUPP, "this kind of socket does not listen")


def sock_no_shutdown(sk: Any, how: int) -> NoReturn:  # noqa: ARG001 - an operation's arguments
    """Refuse half a connection: ``EOPNOTSUPP``."""
    raise OSError(EOPNOTSUPP, "this kind of socket has no connection to end")


def sock_no_set_peek_off(sk: Any, offset: int) -> NoReturn:  # noqa: ARG001 - an operation's arguments
    """Refuse a place to peek at: ``EOPNOTSUPP``."""
    raise OSError(EOPNOTSUPP, "sockets of this kind cannot be peeked into")


def sock_no_octets(name: Sockaddr) -> NoReturn:  # noqa: ARG001 - an operation's arguments
    """Refuse to show an address as octets: ``EOPNOTSUPP``."""
    raise OSError(EOPNOTSUPP, "addresses of this family are not shown as octets")


def sock_no_ioctl(sk: Any, request: int, arg: bytearray) -> NoReturn:  # noqa: ARG001 - an operation's arguments
    """Refuse a request: ``ENOTTY``."""
    raise OSError(ENOTTY, f"no request {request:#x}")


class ProtoOps:
    """What a family does for one type of socket (Linux: ``struct proto_ops``).

    Members
    -------
    sockaddr : callable
        Takes an address as a program gives it (what Python's ``socket`` takes for the family, or the octets of its
        ``struct sockaddr_*``), and returns a ``Sockaddr``: its family, and what else the family has.
    address : callable
        The way back: takes a ``Sockaddr``, and returns what Python's ``socket`` shows.
    octets : callable
        Takes a ``Sockaddr``, and returns the octets of the family's ``struct sockaddr_*``.
    set_peek_off : callable
        ``set_peek_off(sk, offset)``: says where the next ``MSG_PEEK`` begins (``SO_PEEK_OFF``).
    release, bind, connect, accept, getname, poll, ioctl, listen, shutdown, setsockopt, getsockopt, sendmsg, recvmsg
        The calls. ``getname(sk, peer)`` returns a ``Sockaddr``; with ``peer`` 2 that of a connection just accepted,
        even if that is over. ``accept(sk, flags)`` returns the new ``sk``; of its flags and those of ``connect`` only
        ``SOCK_NONBLOCK`` counts.
        ``ioctl(sk, request, arg)`` gets octets in ``arg``, and leaves those of the answer there.
    """

    __slots__ = (
        "accept",
        "address",
        "bind",
        "connect",
        "getname",
        "getsockopt",
        "ioctl",
        "listen",
        "octets",
        "poll",
        "recvmsg",
        "release",
        "sendmsg",
        "set_peek_off",
        "setsockopt",
        "shutdown",
        "sockaddr",
    )

    def __init__(
        self,
        *,
        sockaddr: Callable[[Any], Sockaddr],
        address: Callable[[Sockaddr], Any],
        release: Callable[[Any], None],
        bind: Callable[[Any, Sockaddr], int],
        getname: Callable[[Any, int], Sockaddr],
        poll: Callable[[Any], int],
        sendmsg: Callable[[Any, Msghdr, int], int],
        recvmsg: Callable[[Any, RecvMsghdr, int, int], int],
        connect: Callable[[Any, Sockaddr, int], int] = sock_no_connect,
        accept: Callable[[Any, int], Any] = sock_no_accept,
        listen: Callable[[Any, int], int] = sock_no_listen,
        shutdown: Callable[[Any, int], int] = sock_no_shutdown,
        ioctl: Callable[[Any, int, bytearray], None] = sock_no_ioctl,
        setsockopt: Callable[[Any, int, int, bytes], int] = sock_common_setsockopt,
        getsockopt: Callable[[Any, int, int], "int | bytes"] = sock_common_getsockopt,
        octets: Callable[[Sockaddr], bytes] = sock_no_octets,
        set_peek_off: Callable[[Any, int], None] = sock_no_set_peek_off,
    ) -> None:
        self.sockaddr = sockaddr
        self.address = address
        self.release = release
        self.bind = bind
        self.connect = connect
        self.accept = accept
        self.getname = getname
        self.poll = poll
        self.ioctl = ioctl
        self.listen = listen
        self.shutdown = shutdown
        self.setsockopt = setsockopt
        self.getsockopt = getsockopt
        self.octets = octets
        self.set_peek_off = set_peek_off
        self.sendmsg = sendmsg
        self.recvmsg = recvmsg
