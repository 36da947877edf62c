"""The lock of all that configures devices (Linux: net/core/rtnetlink.c)."""

from typing import TYPE_CHECKING

from .platform import WaitQueue

if TYPE_CHECKING:
    from .platform import Platform

__all__ = ["RtnlMutex"]


class RtnlMutex:
    """Let one task at a time open, close and change devices: these calls may sleep half-way (Linux: ``rtnl_mutex``).

    ``with kernel.rtnl:`` is ``rtnl_lock()`` and ``rtnl_unlock()``; as in Linux it must not be nested.
    """

    def __init__(self, platform: "Platform") -> None:
        self._platform = platform
        self._waiting = WaitQueue()
        self._held = False

    @property
    def is_locked(self) -> bool:
        """Whether a task holds it, perhaps asleep."""
        return self._held

    def __enter__(self) -> None:
        while self._held:
            self._platform.wait(self._waiting)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False
        self._platform.wake(self._waiting)
