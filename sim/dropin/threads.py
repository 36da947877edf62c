"""The program's ``_thread``: threads that take turns, since a host has one CPU, and locks that wait in simulated time.

One runs until it calls what sleeps; then the world goes on. Python's own ``threading.py`` runs above this.
"""

import _thread
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .calls import adopt_thread, call, host, look_at_clock, nanoseconds, new_thread, wait_call
from .stand_in import stand_in

__all__ = ["thread_module"]

_local = _thread._local()


class _Lock:
    """A lock; who waits for it sleeps in the host's kernel."""

    __slots__ = ("__weakref__", "_lock", "_waiting")

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._waiting = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if timeout != -1 and (not blocking or not 0 <= timeout <= _thread.TIMEOUT_MAX):
            return self._lock.acquire(blocking, timeout)  # It says what is wrong.
        if self._lock.acquire(False):
            return True
        if not blocking or timeout == 0:
            look_at_clock()  # That has a price, so that time moves for who asks again and again.
            return False
        deadline_ns = None if timeout == -1 else host.now_ns + nanoseconds(timeout)
        self._waiting += 1
        try:
            while not self._lock.acquire(False):
                if deadline_ns is not None and host.now_ns >= deadline_ns:
                    return False
                wait_call("futex_wait", id(self), deadline_ns)  # However it ends, the lock may be free.
            return True
        finally:
            self._waiting -= 1

    def release(self) -> None:
        self._lock.release()
        if self._waiting:
            call("futex_wake", id(self))

    def locked(self) -> bool:
        return self._lock.locked()

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]  # As a new one.

    acquire_lock, release_lock, locked_lock = acquire, release, locked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} _thread.lock object at {id(self):#x}>"


class _RLock:
    """A lock that its owner may take again."""

    __slots__ = ("__weakref__", "_block", "_count", "_owner")

    def __init__(self) -> None:
        self._block = _Lock()
        self._owner = 0
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not self._is_owned():
            if not self._block.acquire(blocking, timeout):
                return False
            self._owner = _thread.get_ident()
        self._count += 1
        return True

    def release(self) -> None:
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = 0
            self._block.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    # What conditions of ``threading`` use.

    def _is_owned(self) -> bool:
        return self._owner == _thread.get_ident()

    def _recursion_count(self) -> int:
        return self._count if self._is_owned() else 0

    def _release_save(self) -> tuple[int, int]:
        saved = self._count, self._owner
        self._count = self._owner = 0
        self._block.release()
        return saved

    def _acquire_restore(self, saved: tuple[int, int]) -> None:
        self._block.acquire()
        self._count, self._owner = saved

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]  # As a new one.


class _ThreadHandle:
    """How a thread can be waited for (Python 3.13 on)."""

    def __init__(self) -> None:
        self.ident: int | None = None
        self._over = False
        self._running = _Lock()
        self._running.acquire()

    def is_done(self) -> bool:
        return self._over

    def _set_done(self) -> None:
        if not self._over:
            self._over = True
            self._running.release()

    def join(self, timeout: float | None = None) -> None:
        if self._running.acquire(timeout=-1 if timeout is None or timeout < 0 else timeout):
            self._running.release()


_joinable: set[_ThreadHandle] = set()  # Threads that the program's end waits for.


def _start(function: Callable[[], Any], ended: Callable[[], None]) -> int:
    number, channel = new_thread()

    def run() -> None:
        thread = adopt_thread(number, channel)
        try:
            call("begin")
            function()
        finally:
            ended()
            thread.leave()

    return _thread.start_new_thread(run, ())


def _start_new_thread(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, /
) -> int:
    return _start(lambda: function(*args, **(kwargs or {})), _release_sentinel)


def _set_sentinel() -> _Lock:
    """Return a lock that is released when the calling thread ends (up to Python 3.12)."""
    lock = _local.sentinel = _Lock()
    return lock


def _release_sentinel() -> None:
    lock: _Lock | None = getattr(_local, "sentinel", None)
    if lock is not None and lock.locked():
        lock.release()


def _start_joinable_thread(
    function: Callable[[], Any], *, handle: _ThreadHandle | None = None, daemon: bool = True
) -> _ThreadHandle:
    handle = handle or _ThreadHandle()

    def run() -> None:
        handle.ident = _thread.get_ident()
        function()

    def ended() -> None:
        handle._set_done()
        _joinable.discard(handle)

    if not daemon:
        _joinable.add(handle)
    handle.ident = _start(run, ended)
    return handle


def _make_thread_handle(ident: int) -> _ThreadHandle:
    handle = _ThreadHandle()
    handle.ident = ident
    return handle


def _shutdown() -> None:
    while _joinable:
        next(iter(_joinable)).join()


def thread_module() -> ModuleType:
    """Return what stands in for ``_thread``."""
    instead: dict[str, Any] = dict.fromkeys(("LockType", "allocate_lock", "allocate"), _Lock)
    instead["RLock"] = _RLock
    instead |= dict.fromkeys(("start_new_thread", "start_new"), _start_new_thread)
    if hasattr(_thread, "start_joinable_thread"):
        instead |= {
            "lock": _Lock,
            "start_joinable_thread": _start_joinable_thread,
            "_ThreadHandle": _ThreadHandle,
            "_make_thread_handle": _make_thread_handle,
            "_shutdown": _shutdown,
        }
    else:
        instead["_set_sentinel"] = _set_sentinel
    return stand_in(_thread, instead)
