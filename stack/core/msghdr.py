"""Messages on their way from a program to a protocol (Linux: ``struct msghdr``, ``iov_iter``)."""

from collections.abc import Sequence
from typing import Any

from .platform import Platform, WaitQueue

__all__ = [
    "EIOCBQUEUED",
    "Kiocb",
    "Msghdr",
    "Octets",
    "RecvMsghdr",
    "Sockaddr",
    "copy_from_iter",
    "copy_to_iter",
    "put_cmsg",
]

EIOCBQUEUED = 529  # "The request goes on; its result comes by ki_complete": never seen by a program.

Octets = bytes | bytearray | memoryview
Sockaddr = tuple[Any, ...]  # Its family, and what the family has: of IPv4 the address as a number, and the port.


class Kiocb:
    """A request whose result may come later (Linux: ``struct kiocb``).

    A protocol that returned ``-EIOCBQUEUED`` calls ``complete`` when it is done.

    Members
    -------
    done : bool
        Whether ``result`` is there: the number of octets taken, or a negative errno.
    """

    __slots__ = ("_platform", "_queue", "done", "result")

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._queue = WaitQueue()
        self.done = False
        self.result = 0

    def complete(self, result: int) -> None:
        """Set the result, and wake who waits for it."""
        self.done = True
        self.result = result
        self._platform.wake(self._queue)

    def wait(self) -> int:
        """Wait for the result (Linux: ``wait_on_sync_kiocb``).

        Raises
        ------
        OSError
            If it is an error.
        """
        while not self.done:
            self._platform.wait(self._queue)
        if self.result < 0:
            raise OSError(-self.result, "an error of a request that was finished later")
        return self.result


class Msghdr:
    """What to send, where to, and how (Linux: ``struct msghdr``).

    Members
    -------
    name : Sockaddr or None
        Where to.
    iov : sequence of memoryview or bytes
        The octets, in order.
    count : int
        How many octets there are in all; ``done`` of them were copied.
    control : sequence of (level, type, data)
        Control messages.
    flags : int
        ``MSG_*``.
    """

    __slots__ = ("at", "control", "count", "done", "flags", "index", "iocb", "iov", "name")

    def __init__(
        self,
        name: Sockaddr | None,
        iov: Sequence[Octets],
        count: int,
        flags: int = 0,
        control: Sequence[tuple[int, int, Octets]] = (),
        iocb: Kiocb | None = None,
    ) -> None:
        self.name = name
        self.iov = iov
        self.count = count
        self.flags = flags
        self.control = control
        self.iocb = iocb
        self.done = 0
        self.index = 0  # The buffer that the next octet is in, and where.
        self.at = 0


def copy_from_iter(msg: Msghdr, view: memoryview, to: int, length: int) -> None:
    """Copy the message's next ``length`` octets, which it has, to ``view[to:]``."""
    if length == msg.count and len(msg.iov) == 1:
        view[to : to + length] = msg.iov[0]
        msg.done = length
        return
    msg.done += length
    while length:
        buffer = msg.iov[msg.index]
        at = msg.at
        part = min(len(buffer) - at, length)
        view[to : to + part] = memoryview(buffer)[at : at + part]
        to += part
        length -= part
        msg.at = at + part
        if msg.at == len(buffer):
            msg.index += 1
            msg.at = 0


class RecvMsghdr:
    """Where to put what is received, and what came with it (Linux: ``struct msghdr`` of a receive).

    Members
    -------
    iov : list[memoryview] or None
        The program's buffers, in order; None: it wants new ``octets``.
    size : int
        How many octets it takes.
    octets : bytes
        What was received, without buffers.
    name : Sockaddr or None
        Where it came from.
    flags : int
        ``MSG_TRUNC``, ``MSG_CTRUNC``, ``MSG_ERRQUEUE``.
    control : list of (level, type, data)
        Control messages.
    """

    __slots__ = ("at", "control", "flags", "index", "iov", "name", "octets", "size")

    def __init__(self, size: int, iov: list[memoryview] | None = None) -> None:
        self.size = size
        self.iov = iov
        self.octets = b""
        self.name: Sockaddr | None = None
        self.flags = 0
        self.control: list[tuple[int, int, bytes]] = []
        self.index = 0  # The buffer that the next octet goes to, and where in it.
        self.at = 0


def copy_to_iter(msg: RecvMsghdr, octets: memoryview) -> None:
    """Copy octets, for which there is room, to the program's buffers."""
    iov = msg.iov
    assert iov is not None
    start = 0
    while start < len(octets):
        buffer = iov[msg.index]
        part = min(len(buffer) - msg.at, len(octets) - start)
        buffer[msg.at : msg.at + part] = octets[start : start + part]
        start += part
        msg.at += part
        if msg.at == len(buffer):
            msg.index += 1
            msg.at = 0


def put_cmsg(msg: RecvMsghdr, level: int, kind: int, data: bytes) -> None:
    """Give the program a control message; those that have no room are cut off when it has them all."""
    msg.control.append((level, kind, data))
