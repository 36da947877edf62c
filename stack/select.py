"""Waiting for one of several sockets, as the functions of Python's ``select`` do (Linux: fs/select.c)."""

from collections.abc import Callable, Iterable
from errno import EBADF, ENOENT
from math import ceil
from typing import TYPE_CHECKING, TypeVar

from .core.platform import WaitQueue
from .uapi import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRBAND, POLLWRNORM
from .uapi_options import POLLNVAL, POLLPRI

if TYPE_CHECKING:
    from .core.net import Kernel
    from .socket import Socket

__all__ = ["Poll", "poll", "select", "wait"]

T = TypeVar("T", bound="int | Socket")

# What of poll makes a socket readable, writable, and exceptional (Linux: POLLIN_SET, POLLOUT_SET, POLLEX_SET).
_READ = POLLIN | POLLRDNORM | POLLHUP | POLLERR
_WRITE = POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR
_EXCEPT = POLLPRI
_ALWAYS = POLLERR | POLLHUP


def _fileno(sock: "int | Socket") -> int:
    """Return the descriptor of a socket, or the descriptor itself.

    Raises
    ------
    ValueError
        If it is negative: that of a socket that was closed.
    """
    fd = sock if isinstance(sock, int) else sock.fileno()
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return fd


def wait(
    kernel: "Kernel",
    look: Callable[[], bool],
    fds: Iterable[int],
    seconds: float | None,
    table: WaitQueue | None = None,
) -> None:
    """Sleep until ``look`` finds something, looking again whenever one of the sockets wakes somebody, or time is up.

    Who wakes ``table`` makes it look again, too.
    """
    platform = kernel.platform
    deadline_ns = None if seconds is None else platform.now_ns() + ceil(seconds * 1e9)
    sks = [kernel.files[fd].sk for fd in fds if fd in kernel.files]
    table = table or WaitQueue()
    for sk in sks:
        sk.sk_sleepers += 1
        sk.sk_wq.pollers += (table,)
    try:
        while not look() and (deadline_ns is None or platform.now_ns() < deadline_ns):
            for sk in sks:
                sk.sk_nospace = True
            platform.wait(table, deadline_ns)
    finally:
        for sk in sks:
            sk.sk_sleepers -= 1
            sk.sk_wq.pollers = tuple(other for other in sk.sk_wq.pollers if other is not table)


def select(
    kernel: "Kernel", rlist: Iterable[T], wlist: Iterable[T], xlist: Iterable[T], timeout: float | None = None
) -> tuple[list[T], list[T], list[T]]:
    """Wait until sockets are readable, writable or exceptional, at most so many seconds; None: for ever.

    Sockets are given as such or by their descriptors, and returned as they were given.

    Raises
    ------
    OSError
        ``EBADF`` for what is no socket.
    ValueError
        For a negative time, or a socket that was closed.
    """
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")
    lists = tuple([(sock, _fileno(sock)) for sock in socks] for socks in (rlist, wlist, xlist))
    ready: tuple[list[T], list[T], list[T]] = ([], [], [])

    def look() -> bool:
        for entries, events, found in zip(lists, (_READ, _WRITE, _EXCEPT), ready, strict=True):
            found.clear()
            for sock, fd in entries:
                file = kernel.files.get(fd)
                if file is None:
                    raise OSError(EBADF, f"descriptor {fd} is not open")
                if file.ops.poll(file.sk) & events:
                    found.append(sock)
        return any(ready)

    wait(kernel, look, {fd for entries in lists for _, fd in entries}, timeout)
    return ready


class Poll:
    """Sockets to wait for, each with its events (Python: ``select.poll``); ``poll(kernel)`` makes one."""

    __slots__ = ("_kernel", "_wanted")

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._wanted: dict[int, int] = {}

    def register(self, sock: "int | Socket", eventmask: int = POLLIN | POLLPRI | POLLOUT) -> None:
        """Add a socket, or change its events."""
        self._wanted[_fileno(sock)] = eventmask

    def modify(self, sock: "int | Socket", eventmask: int) -> None:
        """Change the events of a socket.

        Raises
        ------
        OSError
            ``ENOENT`` if it is not there.
        """
        fd = _fileno(sock)
        if fd not in self._wanted:
            raise OSError(ENOENT, f"descriptor {fd} was not registered")
        self._wanted[fd] = eventmask

    def unregister(self, sock: "int | Socket") -> None:
        """Remove a socket.

        Raises
        ------
        KeyError
            If it is not there.
        """
        del self._wanted[_fileno(sock)]

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """Wait until something can be done, at most so many ms; None or negative: for ever.

        Returns
        -------
        list[tuple[int, int]]
            Descriptors, and what can be done with each as ``POLL*`` bits; ``POLLNVAL``: it is no socket.
        """
        ready: list[tuple[int, int]] = []

        def look() -> bool:
            ready[:] = self.ready()
            return bool(ready)

        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        wait(self._kernel, look, self._wanted, seconds)
        return ready

    def ready(self) -> list[tuple[int, int]]:
        """Return what :meth:`poll` does, without waiting."""
        files = self._kernel.files
        ready: list[tuple[int, int]] = []
        for fd, events in self._wanted.items():
            file = files.get(fd)
            mask = POLLNVAL if file is None else file.ops.poll(file.sk) & (events | _ALWAYS)
            if mask:
                ready.append((fd, mask))
        return ready


def poll(kernel: "Kernel") -> Poll:
    """Return an object to wait for sockets of a host with."""
    return Poll(kernel)
