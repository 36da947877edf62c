"""A selector for sockets of a simulated host, as those of Python's ``selectors``."""

import selectors
from collections.abc import Iterator, Mapping
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import TYPE_CHECKING, Any

from .core.platform import WaitQueue
from .select import Poll, wait
from .uapi import POLLIN, POLLOUT

if TYPE_CHECKING:
    from .core.net import Kernel

__all__ = ["EVENT_READ", "EVENT_WRITE", "PollSelector", "SelectorKey"]


class PollSelector(selectors.BaseSelector):
    """Waits for sockets of one host (Python: ``selectors.PollSelector``), which are given as such or by descriptor."""

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._poll = Poll(kernel)
        self._keys: dict[int, SelectorKey] = {}
        self._wakeups = WaitQueue()
        self._woken = False

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        """Add a socket.

        Raises
        ------
        KeyError
            If it is there already.
        ValueError
            For unknown events, or a socket that was closed.
        """
        if not events or events & ~(EVENT_READ | EVENT_WRITE):
            raise ValueError(f"Invalid events: {events!r}")
        fd: int = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} (FD {fd}) is already registered")
        self._poll.register(fd, (POLLIN if events & EVENT_READ else 0) | (POLLOUT if events & EVENT_WRITE else 0))
        key = self._keys[fd] = SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> SelectorKey:
        """Remove a socket; also one that was closed meanwhile.

        Raises
        ------
        KeyError
            If it is not there.
        """
        key = self.get_key(fileobj)
        self._poll.unregister(key.fd)
        return self._keys.pop(key.fd)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait until something can be done with a socket, at most so many seconds, or until :meth:`wake`."""
        ready: list[tuple[int, int]] = []

        def look() -> bool:
            ready[:] = self._poll.ready()
            return bool(ready) or self._woken

        wait(self._kernel, look, self._keys, None if timeout is None else max(timeout, 0), self._wakeups)
        self._woken = False
        return [(self._keys[fd], _events(mask) & self._keys[fd].events) for fd, mask in ready]

    def wake(self) -> None:
        """Let :meth:`select` return, the present call or else the next one."""
        self._woken = True
        self._kernel.platform.wake(self._wakeups)

    def get_map(self) -> Mapping[Any, SelectorKey]:
        """Return what is registered, by socket or descriptor."""
        return _Map(self._keys)


class _Map(Mapping[Any, SelectorKey]):
    """Keys by descriptor, to be found by socket, too: also by one that was closed."""

    def __init__(self, keys: dict[int, SelectorKey]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys)

    def __getitem__(self, fileobj: Any) -> SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd in self._keys:
            return self._keys[fd]
        for key in self._keys.values():
            if key.fileobj is fileobj:
                return key
        raise KeyError(fileobj)


def _events(mask: int) -> int:
    """Return what a socket is ready for; one with an error for both."""
    return (EVENT_READ if mask & ~POLLOUT else 0) | (EVENT_WRITE if mask & ~POLLIN else 0)
