"""Requests of sockets, by their numbers (Linux: net/socket.c)."""

from errno import EFAULT, ENOENT, ENOTTY
from struct import Struct
from typing import TYPE_CHECKING, Any

from .core.dev_ioctl import dev_ifconf, dev_ioctl
from .core.sock import sock_enable_timestamp
from .uapi_ioctl import FIONBIO, SIOCGIFCONF, SIOCGSTAMP, SIOCGSTAMPNS

if TYPE_CHECKING:
    from .socket import Socket

__all__ = ["fcntl_ioctl", "sock_do_ioctl", "sock_gettstamp", "sock_ioctl"]

_INT = Struct("=i")
_TIME = Struct("=qq")
_BUFFER_OCTETS = 1024


def fcntl_ioctl(sock: "Socket", request: int, arg: Any, mutate_flag: bool) -> Any:
    """Make a request as Python's ``fcntl.ioctl`` does.

    Octets are copied to a buffer and back: into a buffer that can be written, unless ``mutate_flag`` says not to, else
    into what is returned. A number is where nothing can be read from or written to.
    """
    if isinstance(arg, int):
        sock_ioctl(sock, request, None)
        return 0
    writable = mutate_flag and not memoryview(arg).readonly
    octets = bytes(arg)
    buffer = bytearray(octets.ljust(_BUFFER_OCTETS, b"\0"))
    if request == SIOCGIFCONF:
        del buffer[len(octets) :]  # Its length counts.
    sock_ioctl(sock, request, buffer)
    if not writable:
        return bytes(buffer[: len(octets)])
    memoryview(arg).cast("B")[:] = buffer[: len(octets)]
    return 0


def sock_ioctl(sock: "Socket", request: int, arg: bytearray | None) -> None:
    """Make a request; ``arg`` has its octets, and gets those of the answer.

    Raises
    ------
    OSError
        ``EFAULT`` without octets, ``ENOTTY`` for a request that there is not; what the request raises.
    """
    if arg is None:
        raise OSError(EFAULT, f"request {request:#x} needs octets")
    if request == FIONBIO:
        sock.setblocking(not _INT.unpack_from(arg)[0])
    elif request in (SIOCGSTAMP, SIOCGSTAMPNS):
        sock_gettstamp(sock, arg, ns=request == SIOCGSTAMPNS)
    else:
        sock_do_ioctl(sock, request, arg)


def sock_do_ioctl(sock: "Socket", request: int, arg: bytearray) -> None:
    """Make a request of the socket's family, or else of a device."""
    if request == SIOCGIFCONF:
        dev_ifconf(sock.net, arg)
        return
    try:
        sock.ops.ioctl(sock.sk, request, arg)
    except OSError as error:
        if error.errno != ENOTTY:
            raise
        dev_ioctl(sock.net, request, arg)


def sock_gettstamp(sock: "Socket", arg: bytearray, *, ns: bool) -> None:
    """Tell when the packet came that was received last, as ``struct timeval`` or ``timespec``.

    From now on that is noted when packets come; of one before, the time is now.

    Raises
    ------
    OSError
        ``ENOENT`` if none was received.
    """
    sk = sock.sk
    sock_enable_timestamp(sk)
    if sk.sk_stamp_ns < 0:
        raise OSError(ENOENT, "nothing was received yet")
    if not sk.sk_stamp_ns:
        sk.sk_stamp_ns = sock.kernel.now_ns()
    seconds, rest = divmod(sk.sk_stamp_ns, 1_000_000_000)
    _TIME.pack_into(arg, 0, seconds, rest if ns else rest // 1000)
