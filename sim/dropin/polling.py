"""The program's ``select``: waits for sockets of the simulated host, and for what the real machine has, together."""

import os
import select
from collections.abc import Iterable
from errno import EBADF, ENOENT
from types import ModuleType
from typing import Any

from .calls import FIRST_FD, call, found_nothing, host, nanoseconds, sleep, wait_call
from .stand_in import stand_in

__all__ = ["own_fds", "select_module", "wait"]

# Pairs of local sockets that the program has made: what is written there comes from itself.
own_fds: set[int] = set()

# What of poll makes a descriptor readable, writable, exceptional (Linux: POLLIN_SET, POLLOUT_SET, POLLEX_SET).
_SETS = (
    select.POLLIN | select.POLLRDNORM | select.POLLRDBAND | select.POLLHUP | select.POLLERR,
    select.POLLOUT | select.POLLWRNORM | select.POLLWRBAND | select.POLLERR,
    select.POLLPRI,
)


def _fd(file: Any) -> int:
    """Return a descriptor, or that of an object.

    Raises
    ------
    TypeError, ValueError
        As the real module.
    """
    if not hasattr(file, "__index__") and not hasattr(file, "fileno"):
        raise TypeError("argument must be an int, or have a fileno() method.")
    fd: int = file.__index__() if hasattr(file, "__index__") else file.fileno()
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return fd


def wait(wanted: dict[int, int], timeout_ns: int | None) -> list[tuple[int, int]]:
    """Wait until something can be done with one of several descriptors, or time is up.

    What the real machine has, such as a terminal, is looked at first and while the others wait. Alone, it is waited
    for in real time, while the simulation stands still; then the same simulated time passes.
    """
    simulated = [(fd, events) for fd, events in wanted.items() if fd >= FIRST_FD]
    real = {fd: events for fd, events in wanted.items() if fd < FIRST_FD}
    if not real:
        found: list[tuple[int, int]] = call("poll", simulated, timeout_ns, "")
        if not found and timeout_ns == 0:
            found_nothing()
        return found
    watched = select.poll()
    for fd, events in real.items():
        watched.register(fd, events)
    outside = real.keys() - own_fds
    if outside == wanted.keys():
        found = watched.poll(None if timeout_ns is None else timeout_ns / 1e6)
        if not found and timeout_ns is not None:
            sleep(timeout_ns)
        return found
    deadline_ns = None if timeout_ns is None else host.now_ns + timeout_ns
    while True:
        found = watched.poll(0)
        left_ns = None if deadline_ns is None else max(deadline_ns - host.now_ns, 0)
        how = (0, "") if found else (left_ns, "outside" if outside else "own")
        found += wait_call("poll", simulated, *how, watched=None if found else watched) or []
        if found:
            return found
        if deadline_ns is not None and host.now_ns >= deadline_ns:
            if timeout_ns == 0:
                found_nothing()
            return watched.poll(0)


def _select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /
) -> tuple[list[Any], list[Any], list[Any]]:
    if not all(hasattr(files, "__iter__") for files in (rlist, wlist, xlist)):
        raise TypeError("arguments 1-3 must be sequences")
    if timeout is not None and not isinstance(timeout, float) and not hasattr(timeout, "__index__"):
        raise TypeError("timeout must be a float or None")
    timeout_ns = None if timeout is None else nanoseconds(timeout)
    if timeout_ns is not None and timeout_ns < 0:
        raise ValueError("timeout must be non-negative")
    lists = [[(file, _fd(file)) for file in files] for files in (rlist, wlist, xlist)]
    wanted: dict[int, int] = {}
    for entries, events in zip(lists, _SETS, strict=True):
        for _, fd in entries:
            wanted[fd] = wanted.get(fd, 0) | events
    ready = dict(wait(wanted, timeout_ns))
    if any(events & select.POLLNVAL for events in ready.values()):
        raise OSError(EBADF, os.strerror(EBADF))
    readable, writable, exceptional = (
        [file for file, fd in entries if ready.get(fd, 0) & events]
        for entries, events in zip(lists, _SETS, strict=True)
    )
    return readable, writable, exceptional


class _Poll:
    """What ``select.poll()`` returns."""

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = select.POLLIN | select.POLLPRI | select.POLLOUT, /) -> None:
        self._wanted[_fd(fd)] = int(eventmask)

    def modify(self, fd: Any, eventmask: int, /) -> None:
        number = _fd(fd)
        if number not in self._wanted:
            raise OSError(ENOENT, os.strerror(ENOENT))
        self._wanted[number] = int(eventmask)

    def unregister(self, fd: Any, /) -> None:
        del self._wanted[_fd(fd)]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        return wait(self._wanted, None if timeout is None or timeout < 0 else nanoseconds(timeout) // 1000)


def select_module() -> ModuleType:
    """Return what stands in for ``select``; without ``epoll``, as on systems that have none."""
    epoll = tuple(name for name in vars(select) if name.lower().startswith("epoll"))
    return stand_in(select, {"select": _select, "poll": _Poll}, without=epoll)
