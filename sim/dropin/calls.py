"""Calls of a program to the kernel of its simulated host; simulated time passes in them only."""

import _socket
import _thread
import builtins
import os
import select
import sys
from _operator import index
from collections.abc import Sequence
from errno import EAGAIN, ENOSYS
from typing import Any, Protocol

from .channel import Channel, channel_pair

__all__ = [
    "ERROR",
    "EXIT",
    "FIRST_FD",
    "INTERRUPTED",
    "OK",
    "TIMED_OUT",
    "Thread",
    "adopt_thread",
    "call",
    "connect",
    "drop_later",
    "found_nothing",
    "host",
    "leave",
    "look_at_clock",
    "nanoseconds",
    "new_thread",
    "sleep",
    "wait_call",
]

# Descriptors of simulated sockets; no kernel gives a process so high a number.
FIRST_FD = 1 << 30

# Kinds of answers; others are names of exceptions.
OK, ERROR, TIMED_OUT, INTERRUPTED, EXIT = "", "errno", "timed out", "interrupted", "SystemExit"

# Programs take no simulated time for what they compute. One that does nothing but look, at a clock or for what is not
# there yet, would wait for ever: each look has a price, which is paid by a short sleep when enough have come together.
_CLOCK_NS = 100
_NOTHING_NS = 10_000
_SLEEP_NS = 100_000

_GLANCE_MS = 50


class Watched(Protocol):
    """A ``select.poll`` of descriptors of the real machine."""

    def register(self, fd: int, eventmask: int = ..., /) -> None:
        """Add a descriptor."""
        ...

    def unregister(self, fd: int, /) -> None:
        """Remove one."""
        ...

    def poll(self, timeout: float | None = ..., /) -> list[tuple[int, int]]:
        """Wait."""
        ...


class _Host:
    """What a program knows of its host.

    Members
    -------
    name : str
        Its name.
    names : dict[str, str]
        Addresses by name.
    start_ns : int
        Time of day at simulated time 0, in ns since 1970.
    now_ns : int
        Simulated time; it stands still while the program computes.
    threads : set of Thread
        Those that can make calls.
    left : bool
        Whether the program has ended, and what it had open is closed; objects may still be cleared away.
    """

    def __init__(self) -> None:
        self.name = ""
        self.names: dict[str, str] = {}
        self.start_ns = 0
        self.now_ns = 0
        self.owed_ns = 0
        self.control: _socket.socket | None = None
        self.dropped: list[int] = []  # Descriptors of sockets that nobody has any more.
        self.threads: set[Thread] = set()
        self.left = False


host = _Host()
_local = _thread._local()


class Thread:
    """A thread of the program: one call at a time, and those that a signal's handler makes meanwhile."""

    def __init__(self, number: int, channel: Channel) -> None:
        self.number = number
        self.channel = channel
        self._last = 0
        self._pending: list[int] = []
        self._answers: dict[int, tuple[str, Any]] = {}

    def call(self, name: str, args: Sequence[Any], watched: Watched | None = None) -> tuple[str, Any]:
        """Make a call and return its answer: kind and value."""
        if self._pending:
            self._interrupt(self._pending[-1])  # It is made again once this one is over.
        self._last += 1
        number = self._last
        self._pending.append(number)
        try:
            self.channel.send((number, name, *args))
            if watched is not None:
                self._watch(number, watched)
            while number not in self._answers:
                answered, host_ns, kind, value = self.channel.receive()
                if host_ns > host.now_ns:
                    host.now_ns, host.owed_ns = host_ns, 0
                if answered in self._pending:
                    self._answers[answered] = kind, value
        except EOFError:
            raise SystemExit(1) from None  # The simulation is over.
        except BaseException:  # A signal's handler raised it.
            self._interrupt(number)
            raise
        finally:
            self._pending.remove(number)
        return self._answers.pop(number)

    def leave(self) -> None:
        """Say that the thread has ended."""
        host.threads.discard(self)
        self.channel.close()

    def let_go(self) -> None:
        """Let the simulation wait no more for the next call, which may never come; one that is under way goes on."""
        if not self._pending and self is not getattr(_local, "thread", None):
            self.channel.shut()

    def _watch(self, number: int, watched: Watched) -> None:
        """Wait for an answer, or until a descriptor of the real machine is ready: that ends the call."""
        answer = self.channel.sock.fileno()
        watched.register(answer, select.POLLIN)
        try:
            ready: list[tuple[int, int]] = []
            # From time to time, since the call of a signal's handler takes this one's answer, too.
            while not ready and number not in self._answers:
                ready = watched.poll(_GLANCE_MS)
        finally:
            watched.unregister(answer)
        if ready and all(fd != answer for fd, _ in ready):
            self._interrupt(number)

    def _interrupt(self, number: int) -> None:
        if host.control is not None:
            try:
                host.control.send(f"{self.number} {number}".encode())
            except OSError:
                pass  # The simulation is over; the next call will say so.


def connect(channel: _socket.socket, control: _socket.socket) -> None:
    """Become a program of a simulated host; the calling thread is the main one."""
    host.control = control
    adopt_thread(0, channel)
    host.name, host.names, host.start_ns = call("begin")
    os.register_at_fork(after_in_child=_leave_child)


def _leave_child() -> None:
    """Keep a forked process, which the host does not know, away from its parent's calls."""
    host.control = None
    for thread in host.threads:
        thread.channel.close()
    host.threads.clear()
    _local.__dict__.pop("thread", None)


def leave() -> None:
    """Say that the program has ended, and wait until the simulation has."""
    for thread in list(host.threads):
        thread.let_go()
    try:
        status = call("exit")
    except SystemExit:
        status = 1
    except OSError:
        return  # A forked process.
    host.left = True
    if status:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(status)


def new_thread() -> tuple[int, _socket.socket]:
    """Tell the host of a new thread; return what the thread hands to ``adopt_thread``."""
    _thread_of_caller()
    ours, theirs = channel_pair()
    assert host.control is not None  # Only what is forked has none.
    host.control.sendmsg([b"thread"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, theirs.fileno().to_bytes(4, "little"))])
    theirs.close()
    return call("thread"), ours


def adopt_thread(number: int, channel: _socket.socket) -> Thread:
    """Make the calling thread one that can make calls."""
    thread = _local.thread = Thread(number, Channel(channel))
    host.threads.add(thread)
    return thread


def _thread_of_caller() -> Thread:
    thread: Thread | None = getattr(_local, "thread", None)
    if thread is None:
        raise OSError(ENOSYS, "a forked process, or a thread not made by Python, has no simulated host")
    return thread


def call(name: str, *args: Any) -> Any:
    """Make a call, and return its result.

    Raises
    ------
    OSError, TypeError, ValueError, OverflowError
        As the host's kernel says it.
    SystemExit
        If the program is to end, or the simulation is over.
    """
    thread = _thread_of_caller()
    while host.dropped:
        thread.call("close", (host.dropped.pop(),))
    while True:
        kind, value = thread.call(name, args)
        if kind != INTERRUPTED:
            break
    if kind == OK:
        return value
    if kind == TIMED_OUT:
        raise TimeoutError("timed out")
    if kind == ERROR:
        if value == EAGAIN:
            found_nothing()
        raise OSError(value, os.strerror(value))
    raise getattr(builtins, kind)(value)


def wait_call(name: str, *args: Any, watched: Watched | None = None) -> Any:
    """Make a call that may end early, with None: when a watched descriptor of the real machine is ready."""
    thread = _thread_of_caller()
    kind, value = thread.call(name, args, watched)
    if kind == EXIT and not _awaits_threads(thread):
        raise SystemExit(value)
    return value if kind == OK else None


def _awaits_threads(thread: Thread) -> bool:
    """Return whether this is the main thread, which has ended but for waiting for the others."""
    threading = sys.modules.get("threading")
    return thread.number == 0 and threading is not None and not threading.main_thread().is_alive()


def nanoseconds(seconds: Any) -> int:
    """Return a duration, a number of seconds, in ns, rounded up.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    number: float = seconds if isinstance(seconds, float) else index(seconds)
    if number != number:
        raise ValueError("Invalid value NaN (not a number)")
    return -int(-number * 1e9 // 1)


def sleep(duration_ns: int) -> None:
    """Let simulated time pass."""
    call("sleep", host.now_ns + duration_ns)


def drop_later(fd: int) -> None:
    """Close a socket that nobody has any more, with the next call: this may be in the middle of one."""
    host.dropped.append(fd)


def look_at_clock() -> int:
    """Return the simulated time in ns."""
    _owe(_CLOCK_NS)
    return host.now_ns


def found_nothing() -> None:
    """Note that the program has asked for something that is not there yet."""
    _owe(_NOTHING_NS)


def _owe(price_ns: int) -> None:
    host.owed_ns += price_ns
    if host.owed_ns >= _SLEEP_NS:
        host.owed_ns = 0
        sleep(_SLEEP_NS)
